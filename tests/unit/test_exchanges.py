"""Requests, their responses and their tokens: RFC 7252 sections 5.2 and 5.3."""

from __future__ import annotations

from contextlib import suppress

import pytest

from coapsep.errors import LocalProtocolError
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    EndReason,
    Event,
    RequestEnded,
    RequestReceived,
    ResponseUndelivered,
    Undelivered,
)
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import (
    CLIENT,
    CLIENT_ELSEWHERE,
    OK,
    OTHER,
    TOKEN,
    Longest,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
)

TOKENS = [b"12345678"[:length] for length in range(9)]
OBSERVE = Options.build(observe=0)
UNAVAILABLE = Response(Code.SERVICE_UNAVAILABLE)


def in_phase(s: Scenario, phase: str, request: Message | None = None) -> Exchange:
    """A request in this phase; what was sent so far was looked at."""
    request = request or con(1)
    exchange = s.open(request)
    exchange.attachment = phase
    if phase == "acknowledged":
        s.at(s.now + 0.1)
    elif phase in ("deferred", "resumed", "answered"):
        s.defer(exchange)
    if phase == "resumed":
        s.core.resume(exchange)
    elif phase == "answered":
        s.respond(exchange)
    s.drain()
    return exchange


# -- piggybacked: section 5.2.1 -----------------------------------------------------------------


@pytest.mark.parametrize("token", TOKENS)
def test_section_5_2_1_a_quick_response_rides_in_the_ack(token: bytes) -> None:
    s = Scenario()
    exchange = s.open(con(0x1CF5, token=token))
    assert (exchange.request.token, exchange.session) == (token, CLIENT)
    s.at(0.099)
    s.respond(exchange)
    assert s.sent() == [Message(Code.CONTENT, Type.ACK, 0x1CF5, token, payload=b"ok")]
    assert exchange.phase is Phase.CLOSED
    s.at(10.0)
    assert s.sent() == []
    counted = s.core.statistics()
    assert (counted.piggybacked, counted.empty_acks, counted.separate) == (1, 0, 0)
    assert s.nothing_left()


def test_a_response_carries_code_options_and_payload() -> None:
    s = Scenario()
    response = Response(Code.CREATED, b"body", location=["a", "b"], etag=b"e")
    s.respond(s.open(con(1, Code.POST)), response)
    [sent] = s.sent()
    assert (sent.code, sent.options, sent.payload) == (Code.CREATED, response.options, b"body")


# -- separate: section 5.2.2 ----------------------------------------------------------------------


@pytest.mark.parametrize("token", TOKENS)
def test_section_5_2_2_a_slow_response_comes_separately(token: bytes) -> None:
    s = Scenario(rng=Longest(first=0x44CB))
    exchange = s.open(con(0x1CF5, token=token))
    s.at(0.1)
    [sent] = s.drain()
    assert (sent.at, sent.message) == (0.1, ack(0x1CF5))
    s.at(5.0)
    s.respond(exchange)
    assert s.sent() == [Message(Code.CONTENT, Type.CON, 0x44CB, token, payload=b"ok")]
    assert exchange.phase is Phase.ANSWERED
    s.at(5.01)
    s.receive(ack(0x44CB))
    assert s.sent() == []
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.empty_acks, counted.separate, counted.delivered) == (1, 1, 1)
    assert s.nothing_left()


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.5, 1.9])
def test_the_empty_ack_leaves_after_its_delay_and_not_earlier(delay: float) -> None:
    s = Scenario(Tuning(empty_ack_delay=delay))
    for n in range(5):
        s.at(float(n))
        s.open(con(n, token=bytes((n,))))
    s.at(10.0)
    assert [(sent.at, sent.message) for sent in s.drain()] == [
        (n + delay, ack(n)) for n in range(5)
    ]
    assert s.core.statistics().empty_acks == 5


def test_a_deferred_request_is_acknowledged_at_once_and_once() -> None:
    s = Scenario()
    exchange = s.open(con(1))
    s.defer(exchange)
    assert s.sent() == [ack(1)]
    s.at(50.0)
    s.core.resume(exchange)
    s.defer(exchange)
    s.at(100.0)
    assert s.sent() == []
    assert exchange.phase is Phase.DEFERRED


@pytest.mark.parametrize("phase", ["acknowledged", "deferred", "resumed"])
def test_after_the_ack_a_response_is_a_con_in_every_phase(phase: str) -> None:
    s = Scenario()
    s.respond(in_phase(s, phase))
    [response] = s.sent()
    assert (response.type, response.token, response.code) == (Type.CON, TOKEN, Code.CONTENT)


# -- NON: section 5.2.3 --------------------------------------------------------------------------


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("phase", ["running", "acknowledged", "deferred", "resumed"])
def test_section_5_2_3_a_non_request_has_a_non_response(token: bytes, phase: str) -> None:
    s = Scenario(rng=Longest(first=900))
    exchange = in_phase(s, phase, non(7, token=token))
    s.at(20.0)
    assert s.sent() == []  # a NON is never acknowledged
    s.respond(exchange)
    assert s.sent() == [Message(Code.CONTENT, Type.NON, 900, token, payload=b"ok")]
    assert exchange.phase is Phase.CLOSED
    assert s.nothing_left()


@pytest.mark.parametrize("phase", ["running", "acknowledged", "deferred", "answered"])
def test_a_second_response_is_a_mistake_of_the_caller(phase: str) -> None:
    s = Scenario()
    exchange = in_phase(s, phase)
    if phase != "answered":
        s.respond(exchange)
    s.drain()
    with pytest.raises(LocalProtocolError, match="already"):
        s.respond(exchange)
    assert s.sent() == []


# -- the token is in use: docs/architecture.md, "Reused tokens" ---------------------------------


def test_an_identical_request_while_deferred_is_acknowledged_and_not_dispatched() -> None:
    s = Scenario()
    exchange = s.deferred(con(1, path="async", payload=b"p"))
    s.receive(con(2, path="async", payload=b"p"))
    s.receive(con(2, path="async", payload=b"p"))
    assert s.sent() == [ack(2), ack(2)]
    assert s.events() == []
    assert s.core.find(CLIENT, TOKEN) is exchange
    counted = s.core.statistics()
    assert (counted.repeats, counted.copies_answered, counted.open_requests) == (1, 1, 1)
    s.respond(exchange)
    [response] = s.sent()
    s.receive(ack(response.mid))
    s.receive(con(2, path="async", payload=b"p"))
    assert s.sent() == [ack(2)]
    assert s.events() == []
    assert s.nothing_left()


def test_an_identical_non_request_while_deferred_is_dropped() -> None:
    s = Scenario()
    exchange = s.deferred(non(1))
    s.receive(non(2))
    s.receive(non(2))
    assert s.sent() == []
    assert s.events() == []
    assert exchange.phase is Phase.DEFERRED
    counted = s.core.statistics()
    assert (counted.repeats, counted.copies_ignored) == (1, 1)


DIFFERENT = {
    "code": con(2, Code.POST),
    "options": con(2, path="other"),
    "payload": con(2, payload=b"other"),
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_a_different_request_while_deferred_takes_its_place(what: str) -> None:
    s = Scenario()
    old = in_phase(s, "deferred")
    s.receive(DIFFERENT[what])
    ended, received = s.events()
    assert ended == RequestEnded("deferred", EndReason.REPLACED)
    assert isinstance(received, RequestReceived)
    assert old.phase is Phase.CLOSED
    assert s.core.find(CLIENT, TOKEN) is received.exchange
    assert s.core.statistics().replaced == 1
    s.respond(received.exchange)
    assert s.sent() == [piggybacked(DIFFERENT[what])]
    with pytest.raises(LocalProtocolError):
        s.respond(old)
    assert s.nothing_left()


def test_an_identical_request_with_observe_takes_its_place() -> None:
    """It may want to be told of the state again (RFC 7641 section 3.1)."""
    s = Scenario()
    old = s.deferred(con(1, options=OBSERVE))
    s.receive(con(2, options=OBSERVE))
    assert [type(event) for event in s.events()] == [RequestEnded, RequestReceived]
    assert old.phase is Phase.CLOSED


@pytest.mark.parametrize("request_", [con(2), con(2, path="other"), non(2)])
@pytest.mark.parametrize("phase", ["running", "acknowledged", "resumed"])
def test_a_new_message_id_while_running_abandons_the_old(phase: str, request_: Message) -> None:
    s = Scenario()
    old = in_phase(s, phase)
    s.receive(request_)
    ended, received = s.events()
    assert ended == RequestEnded(phase, EndReason.REPLACED)
    assert isinstance(received, RequestReceived)
    assert old.abandoned
    assert s.core.open_requests == 2
    s.respond(old)  # not sent: the client would take it for the new one's
    assert s.sent() == ([ack(1)] if phase == "running" else [])
    assert s.core.statistics().responses_abandoned == 1
    s.respond(received.exchange)
    [response] = s.sent()
    assert response.token == TOKEN
    assert s.core.open_requests == 0
    assert s.nothing_left()


def test_an_abandoned_con_gets_its_ack_in_time() -> None:
    s = Scenario()
    old = s.open(con(1))
    s.at(0.05)
    s.receive(con(2))
    s.at(0.1)
    assert s.sent() == [ack(1)]
    s.at(0.05 + 0.1)
    assert s.sent() == [ack(2)]
    s.respond(old)
    assert s.sent() == []


def test_a_token_may_be_taken_over_again_and_again() -> None:
    s = Scenario()
    exchanges = []
    for mid in range(5):
        s.receive(con(mid))
        [event] = [e for e in s.events() if isinstance(e, RequestReceived)]
        exchanges.append(event.exchange)
    for exchange in reversed(exchanges):
        s.respond(exchange)
    assert s.sent() == [piggybacked(con(4)), ack(3), ack(2), ack(1), ack(0)]
    assert s.nothing_left()


def test_a_request_with_the_token_of_an_answered_one_stops_its_retransmission() -> None:
    s = Scenario()
    old, response = s.answered(con(1))
    new = s.open(con(2))
    assert old.phase is Phase.CLOSED
    s.at(200.0)
    assert s.sent() == [ack(2)]
    s.receive(ack(response.mid))
    assert s.events() == []
    s.respond(new)
    assert [(m.type, m.token) for m in s.sent()] == [(Type.CON, TOKEN)]


def test_a_token_is_free_when_its_response_was_acknowledged() -> None:
    s = Scenario()
    _, response = s.answered(con(1))
    s.receive(ack(response.mid))
    s.open(con(2))
    assert s.core.statistics().replaced == 0


@pytest.mark.parametrize("token", [b"", b"\0", b"12345678"])
def test_a_token_means_something_in_its_session_only(token: bytes) -> None:
    s = Scenario()
    for session in (CLIENT, OTHER, CLIENT_ELSEWHERE):
        exchange = s.deferred(con(1, token=token), session)
        assert s.core.find(session, token) is exchange
    assert s.core.open_requests == 3
    assert s.core.statistics().replaced == 0


def test_section_5_3_1_tokens_are_compared_as_bytes_and_an_empty_one_is_a_token() -> None:
    s = Scenario()
    tokens = [b"", b"\0", b"\0\0", b"\1", b"\1\0"]
    exchanges = [s.deferred(con(n, token=token)) for n, token in enumerate(tokens)]
    assert [s.core.find(CLIENT, token) for token in tokens] == exchanges
    s.receive(con(9, token=b"", path="other"))
    assert exchanges[0].phase is Phase.CLOSED
    assert s.core.open_requests == 5


def test_nothing_is_found_for_a_token_or_a_session_that_is_unknown() -> None:
    s = Scenario()
    assert s.core.find(CLIENT, TOKEN) is None
    s.respond(s.open(con(1)))
    assert s.core.find(CLIENT, TOKEN) is None


@pytest.mark.parametrize("phase", ["running", "acknowledged", "deferred", "resumed"])
def test_refuse_answers_5_03_while_the_token_is_in_use_and_the_old_goes_on(phase: str) -> None:
    s = Scenario(limits=Limits(token_reuse="refuse", retry_after=3))
    old = in_phase(s, phase)
    s.receive(con(2, path="other"))
    [refusal] = s.sent()
    assert (refusal.code, refusal.mid) == (Code.SERVICE_UNAVAILABLE, 2)
    assert refusal.options.max_age == 3
    s.receive(non(3, path="other"))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().refused == 2
    s.respond(old)
    assert [m.code for m in s.sent()] == [Code.CONTENT]


def test_refuse_still_acknowledges_a_repeat_and_takes_the_token_of_an_answered_one() -> None:
    s = Scenario(limits=Limits(token_reuse="refuse"))
    old = s.deferred(con(1))
    s.receive(con(2))
    assert s.sent() == [ack(2)]
    s.respond(old)
    assert s.open(con(3))


# -- the session has gone ---------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["running", "acknowledged", "deferred", "resumed", "answered"])
def test_a_lost_session_ends_a_request_in_every_phase(phase: str) -> None:
    s = Scenario()
    exchange = in_phase(s, phase)
    response = exchange.transmission.sent if exchange.transmission else None
    s.lose()
    expected: Event = RequestEnded(phase, EndReason.SESSION_LOST)
    if response is not None:
        expected = ResponseUndelivered(exchange, response, Undelivered.SESSION_LOST)
    assert s.events() == [expected]
    assert s.core.find(CLIENT, TOKEN) is None
    if phase in ("running", "acknowledged", "resumed"):
        s.respond(exchange)
        assert s.core.statistics().responses_abandoned == 1
    s.at(300.0)
    assert s.sent() == []  # there is nobody to send to, an ACK neither
    assert s.nothing_left()


def test_a_lost_session_sends_nothing_of_what_waited() -> None:
    """A cancelled response makes room in the window; what then moves up goes nowhere."""
    s = Scenario(Tuning(response_window=1))
    for n in range(3):
        s.deferred(con(n, token=bytes((n,))))
    for exchange in s.core.open_exchanges():
        s.respond(exchange)
    assert len(s.sent()) == 1
    s.lose()
    assert s.sent() == []
    assert len(s.events()) == 3
    assert s.nothing_left()


def test_an_ack_that_is_owed_is_not_sent_to_a_session_that_has_gone() -> None:
    s = Scenario()
    s.open(con(1))
    s.lose()
    s.at(1.0)
    assert s.sent() == []


def test_losing_a_session_does_not_touch_another_nor_one_that_is_unknown() -> None:
    s = Scenario()
    s.lose()
    exchange = s.open(con(1), OTHER)
    s.lose()
    assert s.events() == []
    s.respond(exchange)
    assert s.sent() == [piggybacked(con(1))]


def test_a_session_that_comes_back_is_a_new_one() -> None:
    s = Scenario()
    old = s.open(con(1))
    s.lose()
    s.events()
    new = s.open(con(1))
    s.respond(old)
    s.respond(new)
    assert piggybacked(con(1)) in s.sent()
    assert s.nothing_left()


# -- close and finish -------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["running", "acknowledged", "deferred", "resumed", "answered"])
def test_close_gives_a_request_up_and_sends_nothing_but_an_ack(phase: str) -> None:
    s = Scenario()
    exchange = in_phase(s, phase)
    s.close(exchange)
    assert s.sent() == ([ack(1)] if phase == "running" else [])
    assert exchange.phase is Phase.CLOSED
    assert exchange.attachment is None
    s.close(exchange)
    s.at(200.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.core.open_requests == 0
    assert s.nothing_left()


@pytest.mark.parametrize("change", ["defer", "resume"])
def test_a_closed_request_cannot_be_opened_again(change: str) -> None:
    """A request ends in the core, too (RequestEnded): its owner may not know yet."""
    s = Scenario(checked=False)
    exchange = s.open(con(1))
    s.close(exchange)
    with suppress(LocalProtocolError):  # an error or nothing, but no second end
        s.defer(exchange) if change == "defer" else s.core.resume(exchange)
    s.close(exchange)
    assert s.core.open_requests == 0
    assert s.nothing_left()


@pytest.mark.parametrize("phase", ["acknowledged", "deferred", "resumed"])
def test_finish_sends_an_acknowledged_request_one_non(phase: str) -> None:
    s = Scenario()
    exchange = in_phase(s, phase)
    s.finish(exchange, UNAVAILABLE)
    [last] = s.sent()
    assert (last.type, last.code, last.token) == (Type.NON, Code.SERVICE_UNAVAILABLE, TOKEN)
    assert exchange.phase is Phase.CLOSED
    s.finish(exchange, UNAVAILABLE)
    assert s.sent() == []
    assert s.nothing_left()


def test_finish_before_the_ack_answers_in_the_ack() -> None:
    s = Scenario()
    s.finish(s.open(con(1)), UNAVAILABLE)
    assert s.sent() == [piggybacked(con(1), Code.SERVICE_UNAVAILABLE, b"")]
    assert s.nothing_left()


def test_finish_of_a_non_request_sends_a_non() -> None:
    s = Scenario()
    s.finish(s.open(non(1)), UNAVAILABLE)
    assert [(m.type, m.code) for m in s.sent()] == [(Type.NON, Code.SERVICE_UNAVAILABLE)]


def test_finish_leaves_a_response_that_was_sent_at_that() -> None:
    s = Scenario()
    exchange, _ = s.answered(con(1))
    s.finish(exchange, UNAVAILABLE)
    s.at(200.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


@pytest.mark.parametrize("backwards", [False, True])
def test_finish_sends_each_response_that_waited_once_and_not_another(backwards: bool) -> None:
    s = Scenario(Tuning(response_window=1))
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(4)]
    for exchange in exchanges:
        s.respond(exchange, Response(Code.CONTENT, b"own", etag=b"e"))
    for exchange in reversed(exchanges) if backwards else exchanges:
        s.finish(exchange, UNAVAILABLE)
    s.at(200.0)
    sent = s.sent()
    assert sorted(m.token for m in sent) == [b"\0", b"\1", b"\2", b"\3"]
    assert {(m.code, m.payload, m.options.etags) for m in sent} == {(Code.CONTENT, b"own", (b"e",))}
    assert s.nothing_left()


@pytest.mark.parametrize("phase", ["running", "acknowledged", "resumed"])
def test_finish_does_not_answer_with_a_token_that_is_another_requests_now(phase: str) -> None:
    s = Scenario()
    old = in_phase(s, phase)
    s.receive(con(2, path="other"))
    s.finish(old, UNAVAILABLE)
    assert s.sent() == ([ack(1)] if phase == "running" else [])


# -- in all ----------------------------------------------------------------------------------


def test_open_exchanges_are_those_that_hold_a_token() -> None:
    s = Scenario()
    running = s.open(con(1, token=b"1"))
    deferred = s.deferred(con(2, token=b"2"))
    answered, _ = s.answered(con(1, token=b"1"), OTHER)
    s.respond(s.open(con(3, token=b"3")), OK)
    assert s.core.open_exchanges() == [running, deferred, answered]
    assert s.core.open_requests == 3


def test_a_refused_post_may_be_forgotten_early() -> None:
    """Nothing was run for it, so it may come again without harm."""
    s = Scenario(limits=Limits(dedup_entries=1))
    exchange = s.open(con(1, Code.POST))
    s.core.refuse(exchange, Response(Code.NOT_FOUND), s.now)
    [(answer, _)] = s.core.outgoing
    assert answer[1] == Code.NOT_FOUND
    s.open(con(2))
    assert s.core.statistics().dedup_evicted == 1
