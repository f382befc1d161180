"""Whose turn it is: RFC 7252 section 4.7."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Type
from coapsep.params import Tuning
from coapsep.protocol.events import Failure, RequestFailed
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import (
    CLIENT,
    OTHER_PEER,
    PEER,
    Longest,
    Scenario,
    ack,
    con,
    piggybacked,
    rst,
    separate,
    session,
)

MID = 0x44CB


def client(nstart: int = 1) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(Tuning(nstart=nstart), rng=Longest(), serves=False)


def ask_all(s: Scenario, count: int, kind: Type = Type.CON) -> list[ClientExchange]:
    """Ask as often, with payloads 0, 1, 2 ..., at one time."""
    return [s.ask(kind, payload=bytes((n,))) for n in range(count)]


def numbers(messages: list[Message]) -> list[int]:
    """Which of the requests of ``ask_all`` these are."""
    return [message.payload[0] for message in messages]


# -- how many -----------------------------------------------------------------------------------


@pytest.mark.parametrize("nstart", [1, 2, 5])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_no_more_than_nstart_are_outstanding_and_the_queue_is_fair(kind: Type, nstart: int) -> None:
    s = client(nstart)
    exchanges = ask_all(s, 10, kind)
    sent = s.sent()
    assert numbers(sent) == list(range(nstart))
    for n, exchange in enumerate(exchanges):
        s.receive(separate(sent[n], MID + n, Type.NON))
        assert s.response(exchange).token == sent[n].token
        sent += s.sent()
        assert numbers(sent) == list(range(min(10, n + 1 + nstart)))
    assert s.nothing_left()


def test_confirmable_and_non_confirmable_requests_are_in_one_queue() -> None:
    s = client()
    kinds = [Type.CON, Type.NON, Type.NON, Type.CON, Type.CON, Type.NON]
    exchanges = [s.ask(kind) for kind in kinds]
    for exchange, kind in zip(exchanges, kinds, strict=True):
        [request] = s.sent()
        assert request.type is kind
        s.receive(separate(request, request.mid ^ 0x8000, Type.NON))
        assert s.response(exchange)


@pytest.mark.parametrize("place", [0, 2])
def test_with_several_places_whichever_is_free_goes_to_the_next(place: int) -> None:
    s = client(3)
    ask_all(s, 6)
    sent = s.sent()
    s.receive(ack(sent[place].mid))
    assert numbers(s.sent()) == [3]
    s.receive(piggybacked(sent[1]))
    assert numbers(s.sent()) == [4]


def test_waiting_takes_nothing_but_memory() -> None:
    """No message ID, no token on the wire, no alarm, before it leaves (section 4.2)."""
    s = client()
    first, second = ask_all(s, 2)
    [request] = s.sent()
    assert second.stage is Stage.QUEUED
    s.at(60.0)
    assert numbers(s.sent()) == [0] * 4
    s.receive(piggybacked(request))
    assert s.response(first)
    [next_one] = s.sent()
    assert next_one == second.request
    assert next_one.mid == request.mid + 1
    s.at(62.9)
    assert s.sent() == []
    s.at(60.0 + 93.0)  # from when it left
    assert numbers(s.sent()) == [1] * 4
    assert s.failure(second) is Failure.TIMED_OUT


# -- what ends an outstanding request -------------------------------------------------------------

Ending = Callable[[Scenario, ClientExchange], None]
_BAD = Options([(65001, b"")])
ENDINGS: dict[str, Ending] = {
    "a piggybacked response": lambda s, e: s.receive(piggybacked(e.request)),
    "an empty ACK": lambda s, e: s.receive(ack(e.request.mid)),
    "a separate CON": lambda s, e: s.receive(separate(e.request, MID)),
    "a separate NON": lambda s, e: s.receive(separate(e.request, MID, Type.NON)),
    "a bad response": lambda s, e: s.receive(attrs.evolve(piggybacked(e.request), options=_BAD)),
    "a large response": lambda s, e: s.receive(piggybacked(e.request, payload=b"x" * 4000)),
    "an RST": lambda s, e: s.receive(rst(e.request.mid)),
    "no answer": lambda s, e: s.at(s.now + s.tuning.max_transmit_wait),
    "port unreachable": lambda s, e: s.refused(e.data),
    "unsent": lambda s, e: s.unsent(e.data),
    "cancel": lambda s, e: s.cancel(e),
}


@pytest.mark.parametrize("how", ENDINGS)
def test_the_next_one_leaves_when_one_is_no_longer_outstanding(how: str) -> None:
    s = client()
    first, second, third = ask_all(s, 3)
    s.drain()
    ENDINGS[how](s, first)
    [*own, request] = [m for m in s.sent() if m.code.is_request]
    assert numbers(own) == ([0] * 4 if how == "no answer" else [])
    assert request == second.request
    s.receive(piggybacked(request))
    assert numbers(s.sent()) == [2]
    assert third.stage is Stage.SENT


@pytest.mark.parametrize("how", [name for name in ENDINGS if name != "an empty ACK"])
def test_whatever_ends_a_request_leaves_nothing_of_it(how: str) -> None:
    s = client()
    [exchange] = ask_all(s, 1)
    ENDINGS[how](s, exchange)
    assert exchange.stage is Stage.OVER
    s.drain()
    s.at(s.now + 86_400.0)
    assert s.sent() == []
    assert len(s.events()) == (how != "cancel")
    assert s.nothing_left()


def test_any_number_may_be_acknowledged_and_wait_for_their_responses() -> None:
    """Section 4.7: what was acknowledged is not outstanding."""
    s = client()
    waiting = [s.acknowledged() for _ in range(100)]
    assert s.core.statistics().own_requests == 100
    for exchange, request in waiting:
        s.receive(separate(request, request.mid))
        assert s.response(exchange)


def test_the_response_of_an_acknowledged_request_frees_no_second_place() -> None:
    s = client()
    exchange, request = s.acknowledged()
    outstanding = s.ask()
    waiting = s.ask()
    s.drain()
    s.receive(separate(request, MID, Type.NON))
    assert s.response(exchange)
    assert s.sent() == []
    assert outstanding.stage is Stage.SENT
    assert waiting.stage is Stage.QUEUED


def test_when_none_answers_each_has_its_turn() -> None:
    s = client()
    exchanges = ask_all(s, 3)
    s.at(3 * 93.0)
    assert numbers(s.sent()) == [0] * 5 + [1] * 5 + [2] * 5
    assert s.events() == [RequestFailed(e, Failure.TIMED_OUT) for e in exchanges]
    assert s.nothing_left()


# -- each peer for itself -------------------------------------------------------------------------


def test_the_queue_of_one_peer_does_not_hold_up_another() -> None:
    s = client()
    ask_all(s, 3)
    s.drain()
    for n in range(10):
        exchange, request = s.asked(Type.CON, session(n))
        s.receive(piggybacked(request), session(n))
        assert s.response(exchange)
    s.at(60.0)
    assert numbers(s.sent()) == [0] * 4


def test_a_request_that_fails_fails_only_itself() -> None:
    s = client(2)
    first, second = s.ask(), s.ask()
    other = s.ask(session=OTHER_PEER)
    waiting = s.ask()
    s.drain()
    s.refused(first.data)
    assert s.failure(first) is Failure.UNREACHABLE
    assert second.stage is other.stage is waiting.stage is Stage.SENT
    for exchange in (second, other, waiting):
        s.receive(piggybacked(exchange.request), exchange.peer.session)
        assert s.response(exchange)


# -- pings, and the server's side -----------------------------------------------------------------


def test_a_ping_waits_for_its_turn_and_so_do_others_behind_it() -> None:
    """Section 4.7: an outstanding CON is one whatever is in it."""
    s = client()
    _, request = s.asked()
    ping = s.ping()
    last = s.ask()
    assert s.sent() == []
    s.receive(piggybacked(request))
    assert s.sent() == [ping.request]
    s.receive(rst(ping.request.mid))
    assert s.sent() == [last.request]


def test_the_window_of_responses_is_not_touched_by_requests() -> None:
    s = Scenario(Tuning(response_window=2))
    theirs = [s.deferred(con(n, token=bytes((n,)))) for n in range(4)]
    exchange, request = s.asked()
    for one in theirs:
        s.respond(one)
    first, second = s.sent()
    assert (first.token, second.token) == (b"\0", b"\1")
    s.receive(piggybacked(request))
    assert s.response(exchange)
    assert s.sent() == []  # the place that is free now is none in that window
    s.receive(ack(first.mid))
    assert [message.token for message in s.sent()] == [b"\2"]


def test_requests_are_not_held_up_by_unacknowledged_responses() -> None:
    s = Scenario(Tuning(response_window=1))
    _, response = s.answered(con(1, token=b"1"))
    s.respond(s.deferred(con(2, token=b"2")))
    exchange, request = s.asked()
    assert request.mid == (response.mid + 1) & 0xFFFF  # one sequence for all that we send
    s.receive(ack(response.mid))
    assert [message.token for message in s.sent()] == [b"2"]
    s.receive(piggybacked(request))
    assert s.response(exchange)
    waiting = s.ask()
    assert s.sent() == [waiting.request]
    assert waiting.peer.session == CLIENT != PEER


def test_an_ack_or_rst_settles_what_has_its_message_id_and_nothing_else() -> None:
    s = Scenario()
    theirs, response = s.answered(con(1))
    exchange, request = s.asked()
    s.receive(ack(request.mid))
    assert exchange.stage is Stage.ACKNOWLEDGED
    s.receive(ack(response.mid))
    assert theirs.transmission is None or theirs.transmission.on_end is None
    assert s.core.statistics().delivered == 1
    s.at(100.0)
    assert s.sent() == []
