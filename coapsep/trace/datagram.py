"""One datagram, and what became of it: what a trace is made of."""

from __future__ import annotations

import attrs

from coapsep.address import Address
from coapsep.message.codec import decode
from coapsep.message.message import Malformed, Message


@attrs.frozen
class Datagram:
    """A datagram that was sent, with its fate. Times are seconds on any one scale."""

    time: float
    """When it left."""

    source: Address
    destination: Address
    data: bytes

    arrivals: tuple[float, ...] | None = None
    """When it arrived, once for each copy: () for never, None where nobody can know."""

    lost: str = ""
    """Why it, or a copy of it, did not arrive: a word or two, such as "loss"."""

    @property
    def message(self) -> Message | Malformed:
        """What a receiver reads in it."""
        return decode(self.data)
