"""A transport that keeps a trace of what passes through it."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
import trio
import trio.testing

from coapsep.address import Address, Session
from coapsep.testing import open_network
from coapsep.trace import Datagram, RecordingTransport, Trace
from coapsep.transport.base import Batch, Refused, Transport
from tests.unit.wire import ACK, CLIENT, CONTENT, GET, SERVER

SESSION = Session(CLIENT, SERVER)


class FakeTransport(Transport):
    """Does what the test says, and remembers what it was asked to do."""

    def __init__(self) -> None:
        self.answer: bool | OSError = True
        self.arrived: Batch = []
        self.calls: list[str] = []
        self.given: tuple[object, ...] = ()
        self.dropped = 3

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (CLIENT,)

    def session_to(self, peer: Address) -> Session:
        return Session(CLIENT, peer, "fake")

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        await trio.lowlevel.checkpoint()
        self.given = (lost, refused)
        deliver(self.arrived)
        raise trio.ClosedResourceError("this transport is closed")

    def poll(self) -> Batch:
        return self.arrived

    def send(self, data: bytes, session: Session) -> bool:
        if isinstance(self.answer, OSError):
            raise self.answer
        return self.answer

    async def wait_writable(self, session: Session) -> None:
        await trio.lowlevel.checkpoint()
        self.calls.append(f"wait_writable {session}")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def inner() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def trace() -> Trace:
    return Trace()


@pytest.fixture
def recording(inner: FakeTransport, trace: Trace) -> RecordingTransport:
    return RecordingTransport(inner, trace, clock=lambda: 7.5)


def test_what_is_sent_is_recorded(recording: RecordingTransport, trace: Trace) -> None:
    assert recording.send(GET, SESSION) is True
    assert list(trace) == [Datagram(7.5, CLIENT, SERVER, GET, None)]


def test_what_is_not_taken_was_not_sent(
    inner: FakeTransport, recording: RecordingTransport, trace: Trace
) -> None:
    inner.answer = False
    assert recording.send(GET, SESSION) is False
    assert list(trace) == []


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "Network is unreachable"),
        (OSError("no"), "refused"),
    ],
)
def test_what_the_system_refuses_is_lost(
    inner: FakeTransport, recording: RecordingTransport, trace: Trace, error: OSError, why: str
) -> None:
    inner.answer = error
    with pytest.raises(OSError) as info:
        recording.send(GET, SESSION)
    assert info.value is error
    assert list(trace) == [Datagram(7.5, CLIENT, SERVER, GET, (), why)]


def test_what_arrives_by_a_group_was_sent_to_the_group(
    inner: FakeTransport, recording: RecordingTransport, trace: Trace
) -> None:
    group = Address("224.0.1.187", 5683)
    inner.arrived = [(GET, Session(CLIENT, SERVER, group=group))]
    assert recording.poll() == inner.arrived
    assert list(trace) == [Datagram(7.5, SERVER, group, GET, (7.5,))]


async def test_what_arrives_is_recorded_before_it_is_delivered(
    inner: FakeTransport, recording: RecordingTransport, trace: Trace
) -> None:
    inner.arrived = [(ACK, SESSION), (CONTENT, SESSION)]
    seen: list[tuple[Batch, int]] = []

    def lost(session: Session) -> None:
        raise AssertionError

    def refused(data: bytes, session: Session) -> None:
        raise AssertionError

    with pytest.raises(trio.ClosedResourceError):
        await recording.run(lambda batch: seen.append((batch, len(trace))), lost, refused)
    assert seen == [(inner.arrived, 2)]
    assert inner.given == (lost, refused)
    assert list(trace) == [
        Datagram(7.5, SERVER, CLIENT, ACK, (7.5,)),
        Datagram(7.5, SERVER, CLIENT, CONTENT, (7.5,)),
    ]


def test_what_is_polled_is_recorded(
    inner: FakeTransport, recording: RecordingTransport, trace: Trace
) -> None:
    inner.arrived = [(ACK, SESSION)]
    assert recording.poll() == [(ACK, SESSION)]
    assert [datagram.data for datagram in trace] == [ACK]


def test_somebody_can_be_told(inner: FakeTransport, trace: Trace) -> None:
    told: list[Datagram] = []
    inner.arrived = [(ACK, SESSION)]
    recording = RecordingTransport(inner, trace, clock=lambda: 1, on_datagram=told.append)
    recording.send(GET, SESSION)
    recording.poll()
    assert told == list(trace)
    assert len(told) == 2


async def test_all_else_is_the_other_ones(
    inner: FakeTransport, recording: RecordingTransport
) -> None:
    assert recording.addresses == (CLIENT,)
    assert recording.dropped == 3
    assert recording.session_to(SERVER) == Session(CLIENT, SERVER, "fake")
    await recording.wait_writable(SESSION)
    recording.close()
    assert inner.calls == [f"wait_writable {SESSION}", "close"]


async def test_on_a_network(autojump_clock: trio.testing.MockClock) -> None:
    """The clock is Trio's, unless another one is given."""
    trace = Trace()
    async with open_network() as network, trio.open_nursery() as nursery:
        a = RecordingTransport(network.bind("10.0.0.2"), trace)
        b = network.bind("10.0.0.1")
        nursery.start_soon(a.run, lambda batch: None, lambda session: None)
        await trio.sleep(1)
        a.send(GET, a.session_to(b.address))
        b.send(ACK, b.session_to(a.addresses[0]))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert [(datagram.time, datagram.data) for datagram in trace] == [(1, GET), (1.01, ACK)]
