"""Cancelling a request of ours, at every stage: nothing more is sent, and nothing is left.

What stays is its message ID, until its lifetime is over (RFC 7252 section 4.4).
"""

from __future__ import annotations

import pytest

from coapsep.numbers import Type
from coapsep.params import Tuning
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import (
    Longest,
    Scenario,
    ack,
    piggybacked,
    rst,
    separate,
)

MID = 0x44CB


def client(tuning: Tuning | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, rng=Longest(), serves=False)


def is_gone(s: Scenario, exchange: ClientExchange) -> bool:
    """Whether nothing is sent or told for it, or set to happen, any more."""
    assert exchange.stage is Stage.OVER
    held = s.core.statistics()
    assert held.own_requests == 0
    assert held.timers == 1  # which is for the message IDs
    s.at(s.now + 86_400.0)
    assert s.sent() == []
    assert s.events() == []
    return s.nothing_left()


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("seconds", [0.0, 1.0, 3.0, 50.0])
def test_one_that_was_sent(kind: Type, seconds: float) -> None:
    s = client()
    exchange, _ = s.asked(kind)
    s.at(seconds)
    s.drain()
    s.cancel(exchange)
    assert s.sent() == []
    assert s.core.statistics().requests_cancelled == 1
    assert is_gone(s, exchange)


def test_one_that_was_acknowledged() -> None:
    s = client(Tuning(response_timeout=100.0))
    exchange, _ = s.acknowledged()
    s.at(50.0)
    s.cancel(exchange)
    assert is_gone(s, exchange)


def test_one_that_was_never_sent() -> None:
    s = client()
    first, request = s.asked()
    waiting = s.ask()
    s.cancel(waiting)
    s.receive(piggybacked(request))
    assert s.response(first)
    assert s.core.statistics().requests_sent == 1
    assert is_gone(s, waiting)


@pytest.mark.parametrize("place", [0, 2, 4], ids=["head", "middle", "last"])
def test_one_that_waits_leaves_the_queue_as_it_was(place: int) -> None:
    s = client()
    _, request = s.asked()
    waiting = [s.ask(payload=bytes((n,))) for n in range(5)]
    s.cancel(waiting.pop(place))
    assert s.sent() == []
    for exchange in waiting:
        s.receive(piggybacked(request))
        [request] = s.sent()
        assert request == exchange.request


@pytest.mark.parametrize("ended", ["response", "rst", "failure", "cancelled"])
def test_one_that_is_over_stays_as_it_is(ended: str) -> None:
    s = client()
    exchange, request = s.asked()
    if ended == "response":
        s.receive(piggybacked(request))
    elif ended == "rst":
        s.receive(rst(request.mid))
    elif ended == "failure":
        s.unsent(exchange.data)
    else:
        s.cancel(exchange)
    count = s.core.statistics().requests_cancelled
    before, after = s.events(), s.ask()
    s.drain()
    s.cancel(exchange)
    assert after.stage is Stage.SENT
    assert s.events() == []
    assert len(before) == (ended != "cancelled")
    assert s.core.statistics().requests_cancelled == count


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_next_one_leaves_at_once(kind: Type) -> None:
    s = client()
    exchange, _ = s.asked(kind)
    waiting = s.ask(), s.ask()
    s.at(1.0)
    s.cancel(exchange)
    assert s.sent() == [waiting[0].request]
    s.cancel(waiting[0])
    assert s.sent() == [waiting[1].request]


def test_the_acknowledged_one_held_no_place_and_frees_none() -> None:
    s = client()
    exchange, _ = s.acknowledged()
    s.asked()
    waiting = s.ask()
    s.cancel(exchange)
    assert s.sent() == []
    assert waiting.stage is Stage.QUEUED


def test_when_all_are_cancelled_from_the_first_on_each_leaves_and_is_cancelled() -> None:
    """Thus cancels a nursery whose tasks wake in this order. No limit stops what is legal."""
    s = client()
    exchanges = [s.ask() for _ in range(4)]
    for exchange in exchanges:
        s.cancel(exchange)
    assert len(s.sent()) == 4
    assert s.events() == []
    assert s.nothing_left()


# -- what comes late: sections 4.2 and 5.3.2 -----------------------------------------------------


@pytest.mark.parametrize("stage", ["sent", "acknowledged"])
def test_a_late_con_response_is_rejected_with_every_copy(stage: str) -> None:
    s = client()
    exchange, request = s.acknowledged() if stage == "acknowledged" else s.asked()
    s.cancel(exchange)
    for _ in range(3):
        s.receive(separate(request, MID))
    assert s.sent() == [rst(MID)] * 3
    assert s.core.statistics().rejected == 3
    assert is_gone(s, exchange)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_whatever_else_comes_late_is_ignored(kind: Type) -> None:
    s = client()
    exchange, request = s.asked(kind)
    s.cancel(exchange)
    late = [
        ack(request.mid),
        rst(request.mid),
        piggybacked(request),
        separate(request, MID, Type.NON),
    ]
    for message in late:
        s.receive(message)
    s.refused(exchange.data)
    s.unsent(exchange.data)
    assert s.core.statistics().ignored == len(late)
    assert is_gone(s, exchange)


def test_what_comes_late_does_not_touch_the_next_one() -> None:
    s = client()
    exchange, request = s.asked()
    following = s.ask()
    s.cancel(exchange)
    assert s.sent() == [following.request]
    s.receive(ack(request.mid))
    s.receive(piggybacked(request))
    s.receive(rst(request.mid))
    assert following.stage is Stage.SENT
    s.at(3.0)
    assert s.sent() == [following.request]
    s.receive(piggybacked(following.request))
    assert s.response(following)


def test_a_copy_of_a_response_that_was_taken_is_acknowledged_all_the_same() -> None:
    s = client()
    first, request = s.acknowledged()
    s.receive(separate(request, MID))
    assert s.response(first)
    assert s.sent() == [ack(MID)]
    second, _ = s.asked()
    s.cancel(second)
    s.receive(separate(request, MID))
    assert s.sent() == [ack(MID)]
