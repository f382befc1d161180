"""What has arrived at a scripted peer, and has not been expected yet."""

from __future__ import annotations

from collections import deque

import attrs
import trio

from coapsep.address import Address
from coapsep.trace.notation import describe_datagram
from coapsep.transport.base import Batch

#: Datagrams that are kept.
LIMIT = 1024


@attrs.frozen
class Arrival:
    """A datagram that came."""

    data: bytes
    source: Address

    time: float
    """When it arrived; if it is lost, when it was sent."""

    def __str__(self) -> str:
        return f"{describe_datagram(self.data)}, from {self.source}"


class Inbox:
    """Keeps what arrives, in order, until it is taken. What does not fit is counted."""

    def __init__(self) -> None:
        #: Datagrams that did not fit.
        self.dropped: int = 0
        self._kept: deque[Arrival] = deque()
        self._news = trio.lowlevel.ParkingLot()

    def put(self, batch: Batch) -> None:
        """These have arrived."""
        now = trio.current_time()
        for data, session in batch:
            if len(self._kept) < LIMIT:
                self._kept.append(Arrival(data, session.peer, now))
            else:
                self.dropped += 1
        self._news.unpark_all()

    async def take(self, deadline: float, source: Address | None = None) -> Arrival | None:
        """The next one, from ``source`` if that is given; None if there is none in time.

        One that is there already is in time, even if the deadline has passed.
        """
        await trio.lowlevel.checkpoint()
        with trio.CancelScope(deadline=deadline):
            while True:
                for at, arrival in enumerate(self._kept):
                    if source in (None, arrival.source):
                        del self._kept[at]
                        return arrival
                await self._news.park()
        return None
