"""What arrives at a bound address: handed over at once, or kept until somebody listens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from coapsep.address import Address, Session
from coapsep.transport.base import Batch, Refused

#: Datagrams that are kept while nobody listens; the buffer of a socket is bounded, too.
_KEPT = 1024


class Port:
    """One bound address. What its listener raises is the listener's, not the network's."""

    def __init__(self, address: Address) -> None:
        self.address: Address = address
        self.closed: bool = False
        #: Datagrams that nobody listened to in time.
        self.dropped: int = 0
        self._deliver: Callable[[Batch], None] | None = None
        self._refused: Refused | None = None
        self._kept: Batch = []
        self._sessions: dict[Address, Session] = {}
        self._over = trio.Event()
        self._failure: BaseException | None = None

    def session_with(self, peer: Address) -> Session:
        """The session with a peer: always the same one."""
        session = self._sessions.get(peer)
        if session is None:
            session = self._sessions[peer] = Session(self.address, peer, "virtual")
        return session

    async def run(self, deliver: Callable[[Batch], None], refused: Refused | None) -> None:
        """Hand over what arrives, until the port is closed or the listener fails."""
        self._deliver, self._refused = deliver, refused
        try:
            kept = self.take()
            if kept:
                deliver(kept)
            await self._over.wait()
        finally:
            self._deliver = self._refused = None
        if self._failure is not None:
            raise self._failure

    def take(self) -> Batch:
        """What has been kept."""
        kept, self._kept = self._kept, []
        return kept

    def receive(self, batch: Batch) -> None:
        """These datagrams have arrived."""
        if self.closed:
            return
        if self._deliver is not None:
            self._call(partial(self._deliver, batch))
            return
        room = _KEPT - len(self._kept)
        self._kept += batch[:room]
        self.dropped += len(batch[room:])

    def refuse(self, quote: bytes, session: Session) -> None:
        """A datagram of ours, of which this is quoted, found nobody."""
        if self._refused is not None:
            self._call(partial(self._refused, quote, session))

    def close(self) -> None:
        """Nothing arrives any more."""
        self.closed = True
        self._over.set()

    def _call(self, listener: Callable[[], None]) -> None:
        try:
            listener()
        except BaseException as exc:
            # It happened in the network's task, and belongs to the one that called ``run``.
            self._failure = exc
            self._over.set()
