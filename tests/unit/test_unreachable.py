"""No way to the peer: ICMP errors (RFC 7252 section 4.2), lost sessions, no room for one more."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep.errors import LocalProtocolError
from coapsep.message.codec import empty, encode
from coapsep.message.message import Message
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Failure, RequestFailed
from coapsep.protocol.records import Stage
from tests.unit.scenario import (
    OTHER_PEER,
    PEER,
    Longest,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    rst,
    separate,
    session,
)

MID = 0x44CB


def client(tuning: Tuning | None = None, limits: Limits | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, limits, Longest(), serves=False)


# -- ICMP says that nobody is at the port: section 4.2 -------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_section_4_2_an_icmp_error_that_quotes_the_request_ends_it_at_once(kind: Type) -> None:
    s = client()
    exchange = s.ask(kind, payload=b"body")
    s.drain()
    s.at(1.0)
    s.refused(exchange.data)
    [event] = s.events()
    assert isinstance(event, RequestFailed)
    assert (event.exchange, event.failure) == (exchange, Failure.UNREACHABLE)
    assert event.detail == "nobody is at that port"
    s.at(1000.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().refusals == 1
    assert s.nothing_left()


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_header_and_the_whole_token_must_be_quoted_and_may_be_all(kind: Type) -> None:
    """Whoever has not seen the request cannot know them. A router that quotes less (RFC 792
    asks for no more than the UDP header) is not believed."""
    s = client()
    exchange = s.ask(kind, payload=b"body")
    s.drain()
    for end in range(12):
        s.refused(exchange.data[:end])
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    assert s.core.statistics().refusals == 12
    s.refused(exchange.data[:12])
    assert s.failure(exchange) is Failure.UNREACHABLE


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_quote_with_one_wrong_bit_in_header_or_token_is_ignored(kind: Type, at: int) -> None:
    s = client()
    exchange = s.ask(kind, payload=b"body")
    s.drain()
    for bit in range(8):
        wrong = bytearray(exchange.data)
        wrong[at] ^= 1 << bit
        s.refused(bytes(wrong))
    assert s.events() == []
    assert exchange.stage is Stage.SENT


def test_an_icmp_error_for_another_session_ends_nothing() -> None:
    s = client()
    exchange, _ = s.asked()
    s.acknowledged(OTHER_PEER)
    for wrong in (
        OTHER_PEER,
        session(1),
        attrs.evolve(PEER, local=OTHER_PEER.peer),
        attrs.evolve(PEER, transport="dtls"),
    ):
        s.refused(exchange.data, wrong)
    assert s.events() == []
    assert exchange.stage is Stage.SENT


def test_only_the_request_that_is_quoted_ends() -> None:
    s = client(Tuning(nstart=3))
    first, second, third = s.ask(), s.ask(), s.ask(Type.NON)
    s.drain()
    s.refused(second.data)
    assert s.failure(second) is Failure.UNREACHABLE
    assert first.stage is third.stage is Stage.SENT
    s.receive(piggybacked(first.request))
    assert s.response(first)


def test_after_an_acknowledgement_an_icmp_error_is_late_or_a_lie() -> None:
    """Somebody is at the port: they have acknowledged it."""
    s = client()
    exchange, request = s.acknowledged()
    s.refused(exchange.data)
    assert s.events() == []
    s.receive(separate(request, MID))
    assert s.response(exchange)


def test_an_icmp_error_for_a_request_that_is_over_or_waits_ends_nothing() -> None:
    s = client()
    over, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(over)
    cancelled, _ = s.asked()
    s.cancel(cancelled)
    s.asked()
    waiting = s.ask()
    for exchange in (over, cancelled, waiting):
        s.refused(exchange.data)
    assert s.events() == []
    assert waiting.stage is Stage.QUEUED


def test_an_icmp_error_for_a_retransmission_counts_as_well() -> None:
    s = client()
    exchange, _ = s.asked()
    s.at(10.0)
    [*_, copy] = s.drain()
    s.refused(copy.data)
    assert s.failure(exchange) is Failure.UNREACHABLE


def test_an_icmp_error_for_what_is_no_request_ends_nothing() -> None:
    """An ACK or RST of ours has a message ID of the peer's, which may be that of a request."""
    s = Scenario(rng=Longest(first=MID))
    exchange, request = s.asked()
    assert request.mid == MID
    for data in (
        empty(Type.ACK, MID),
        empty(Type.RST, MID),
        encode(Message(Code.CONTENT, Type.ACK, MID, request.token)),
        encode(con(MID, Code.CONTENT, token=request.token)),
        encode(non(MID, token=request.token)),
    ):
        s.refused(data)
    assert s.events() == []
    assert exchange.stage is Stage.SENT


def test_an_icmp_error_does_not_touch_a_response_of_ours() -> None:
    s = Scenario()
    _, response = s.answered(con(1))
    s.refused(encode(response))
    assert s.events() == []
    s.at(100.0)
    assert s.sent() == [response] * 4


@given(st.binary(max_size=20), st.booleans())
def test_no_quote_makes_it_raise(quoted: bytes, known: bool) -> None:
    s = client(Tuning(nstart=3))
    if known:
        s.ask()
        s.ask(Type.NON)
        s.ping()
        s.ask()
    s.refused(quoted)
    s.unsent(quoted)
    assert s.events() == []


# -- the system does not send it ------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_request_whose_first_transmission_fails_has_failed(kind: Type) -> None:
    s = client()
    exchange = s.ask(kind)
    [sent] = s.drain()
    s.unsent(sent.data, sent.session, "Network is unreachable")
    assert s.events() == [RequestFailed(exchange, Failure.UNREACHABLE, "Network is unreachable")]
    s.at(1000.0)
    assert s.sent() == []
    assert s.nothing_left()


def test_a_retransmission_that_fails_is_like_one_that_is_lost() -> None:
    """The network may be back for the next one."""
    s = client()
    exchange, request = s.asked()
    for due in (3.0, 9.0, 21.0, 45.0):
        s.at(due)
        [sent] = s.drain()
        s.unsent(sent.data)
    assert s.events() == []
    s.at(60.0)
    s.receive(piggybacked(request))
    assert s.response(exchange)


def test_a_retransmission_that_fails_does_not_end_a_request_that_was_acknowledged() -> None:
    """It waited for the socket meanwhile."""
    s = client()
    exchange, request = s.asked()
    s.at(3.0)
    [copy] = s.drain()
    s.receive(ack(request.mid))
    s.unsent(copy.data)
    assert s.events() == []
    s.receive(separate(request, MID))
    assert s.response(exchange)


def test_what_fails_to_leave_for_another_session_ends_nothing() -> None:
    s = client()
    exchange, _ = s.asked()
    s.unsent(exchange.data, OTHER_PEER)
    s.unsent(exchange.data[:11])
    s.unsent(b"")
    assert s.events() == []


def test_an_ack_or_response_that_fails_to_leave_ends_no_request() -> None:
    s = Scenario(rng=Longest(first=MID))
    exchange, _ = s.asked()
    theirs = s.open(con(MID))
    s.respond(theirs)
    [answer] = s.drain()
    s.unsent(answer.data)
    s.unsent(empty(Type.ACK, MID))
    assert s.events() == []
    assert exchange.stage is Stage.SENT


# -- the session is lost --------------------------------------------------------------------------


def test_a_lost_session_fails_all_of_its_requests_and_sends_nothing() -> None:
    s = client(Tuning(nstart=3, response_timeout=50.0))
    acknowledged, _ = s.acknowledged()
    exchanges = [acknowledged, s.ask(), s.ask(Type.NON), s.ping(), s.ask(), s.ask(Type.NON)]
    s.drain()
    other, request = s.asked(Type.CON, OTHER_PEER)
    s.lose()
    assert s.sent() == []
    assert s.events() == [RequestFailed(e, Failure.SESSION_LOST) for e in exchanges]
    assert all(exchange.stage is Stage.OVER for exchange in exchanges)
    counted = s.core.statistics()
    assert (counted.requests_failed, counted.own_requests, counted.peers) == (6, 1, 1)
    s.receive(piggybacked(request), OTHER_PEER)
    assert s.response(other)
    s.at(1000.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


def test_a_lost_session_ends_what_it_asked_of_us_as_well() -> None:
    s = Scenario()
    exchange, _ = s.asked()
    s.answered(con(1))
    s.lose()
    failed, undelivered = s.events()
    assert failed == RequestFailed(exchange, Failure.SESSION_LOST)
    assert type(undelivered).__name__ == "ResponseUndelivered"
    s.at(1000.0)
    assert s.sent() == []
    assert s.nothing_left()


def test_after_a_lost_session_what_comes_is_unexpected_and_one_may_ask_anew() -> None:
    s = client()
    exchange, request = s.asked()
    s.lose()
    s.events()
    s.cancel(exchange)  # which is over: nothing happens
    s.receive(piggybacked(request))
    assert s.sent() == []
    s.receive(separate(request, MID))
    assert s.sent() == [rst(MID)]
    again, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(again)
    assert s.core.statistics().requests_cancelled == 0
    assert s.nothing_left()


def test_a_session_that_is_lost_while_its_queue_is_stalled_leaves_no_alarm() -> None:
    s = client(Tuning(nstart=1000))
    exchanges = [s.ask(Type.NON, payload=b"x" * 200) for _ in range(10)]
    assert any(exchange.stage is Stage.QUEUED for exchange in exchanges)
    s.lose()
    assert s.events() == [RequestFailed(e, Failure.SESSION_LOST) for e in exchanges]
    assert s.nothing_left()


def test_the_loss_of_a_session_of_which_nothing_is_known_is_nothing() -> None:
    s = client()
    s.lose()
    s.refused(b"", session(1))
    assert s.events() == []
    assert s.core.statistics().peers == 0


# -- no room for another peer: Limits.peers --------------------------------------------------------


@pytest.mark.parametrize("ping", [False, True], ids=["request", "ping"])
def test_where_the_table_of_peers_is_full_the_caller_is_told(ping: bool) -> None:
    s = client(limits=Limits(peers=2))
    open_ones = [s.asked(Type.CON, session(n)) for n in (1, 2)]
    before = attrs.evolve(s.core.statistics(), datagrams_received=0)
    with pytest.raises(LocalProtocolError, match=r"2 peers .* raise Limits\.peers"):
        if ping:
            s.ping(session(3))
        else:
            s.ask(session=session(3))
    s.check()
    assert s.sent() == []
    assert s.core.statistics() == before
    for n, (exchange, request) in enumerate(open_ones, 1):  # which goes on
        s.receive(piggybacked(request), session(n))
        assert s.response(exchange)
    s.ask(session=session(1))  # one that is known has its place
    with pytest.raises(LocalProtocolError):  # until the message IDs of another are free
        s.ask(session=session(3))
    s.exchange_lifetime_later()
    s.drain()
    exchange, request = s.asked(Type.CON, session(3))
    s.events()
    s.receive(piggybacked(request), session(3))
    assert s.response(exchange)


def test_a_full_table_of_peers_gives_up_one_of_which_only_done_requests_are_left() -> None:
    s = Scenario(limits=Limits(peers=2))
    s.respond(s.open(con(1), session(1)))
    s.open(con(1), session(2))
    s.drain()
    s.asked(Type.CON, session(3))
    counted = s.core.statistics()
    assert (counted.peers, counted.dedup_evicted) == (2, 1)
    with pytest.raises(LocalProtocolError):
        s.ask(session=session(4))


def test_a_peer_that_is_asked_is_not_given_up_for_another() -> None:
    s = Scenario(limits=Limits(peers=1))
    exchange, request = s.acknowledged()
    s.respond(s.open(con(1)))
    s.exchange_lifetime_later()
    s.drain()
    s.receive(con(1), session(1))
    [refusal] = s.sent()
    assert refusal.code is Code.SERVICE_UNAVAILABLE
    s.receive(separate(request, MID))
    assert s.response(exchange)
