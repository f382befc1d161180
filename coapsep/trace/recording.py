"""A transport that keeps a trace of what passes through it."""

from __future__ import annotations

from collections.abc import Callable

import trio

from coapsep.address import Address, Session
from coapsep.trace.datagram import Datagram
from coapsep.trace.trace import Trace
from coapsep.transport.base import Batch, Refused, Transport


class RecordingTransport(Transport):
    """Another transport, of which each datagram is put into a trace.

    What is sent has left, and nobody knows whether it arrives; if the system refuses it, it
    is lost. What is received is recorded as having left when it arrived. ``on_datagram`` is
    told of each one; it must not raise.
    """

    def __init__(
        self,
        inner: Transport,
        trace: Trace,
        *,
        clock: Callable[[], float] = trio.current_time,
        on_datagram: Callable[[Datagram], None] | None = None,
    ) -> None:
        self._inner = inner
        self._trace = trace
        self._clock = clock
        self._on_datagram = on_datagram

    @property
    def addresses(self) -> tuple[Address, ...]:
        return self._inner.addresses

    @property
    def dropped(self) -> int:  # type: ignore[override]  # that of the other one, and read only
        return self._inner.dropped

    def session_to(self, peer: Address) -> Session:
        return self._inner.session_to(peer)

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        def record_and_deliver(batch: Batch) -> None:
            self._received(batch)
            deliver(batch)

        await self._inner.run(record_and_deliver, lost, refused)

    def poll(self) -> Batch:
        batch = self._inner.poll()
        self._received(batch)
        return batch

    def send(self, data: bytes, session: Session) -> bool:
        now = self._clock()
        try:
            sent = self._inner.send(data, session)
        except OSError as exc:
            why = exc.strerror or "refused"
            self._record(Datagram(now, session.local, session.peer, data, (), why))
            raise
        if sent:
            self._record(Datagram(now, session.local, session.peer, data))
        return sent

    async def wait_writable(self, session: Session) -> None:
        await self._inner.wait_writable(session)

    def close(self) -> None:
        self._inner.close()

    def _received(self, batch: Batch) -> None:
        now = self._clock()
        for data, session in batch:
            asked = session.group or session.local
            self._record(Datagram(now, session.peer, asked, data, (now,)))

    def _record(self, datagram: Datagram) -> None:
        self._trace.add(datagram)
        if self._on_datagram is not None:
            self._on_datagram(datagram)
