"""A trace as a collection; what it draws and writes has tests of its own."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.codec import decode
from coapsep.trace import Trace
from tests.unit.wire import ACK, GET, up


def test_a_trace_is_a_sequence() -> None:
    trace = Trace()
    first, second = up(0, GET), up(1, ACK)
    trace.add(first)
    trace.add(second)
    assert len(trace) == 2
    assert list(trace) == [first, second]
    assert trace[-1] is second
    assert trace[:1] == [first]
    with pytest.raises(IndexError):
        trace[2]


def test_a_full_trace_forgets_its_oldest() -> None:
    trace = Trace(limit=2)
    for time in range(4):
        trace.add(up(time, GET))
    assert [datagram.time for datagram in trace] == [2, 3]


def test_a_trace_may_keep_nothing() -> None:
    trace = Trace(limit=0)
    trace.add(up(0, GET))
    assert len(trace) == 0


def test_a_trace_can_be_emptied() -> None:
    trace = Trace()
    trace.add(up(0, GET))
    trace.clear()
    assert list(trace) == []


def test_a_datagram_shows_its_message() -> None:
    assert up(0, GET).message == decode(GET)


def test_of_a_datagram_more_may_become_known() -> None:
    trace = Trace(limit=2)
    first, second, again = up(0, GET), up(1, ACK), up(1, ACK)
    for datagram in (first, second, again):
        trace.add(datagram)
    lost = attrs.evolve(second, arrivals=(), lost="nobody there")
    trace.replace(second, lost)
    assert trace[0] is lost
    assert trace[1] is again, "an equal one is another one"
    trace.replace(first, lost)
    assert list(trace) == [lost, again], "it has left"
