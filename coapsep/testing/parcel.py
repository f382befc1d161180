"""What flies over a virtual network."""

from __future__ import annotations

import attrs

from coapsep.address import Address
from coapsep.trace.datagram import Datagram


class Parcel:
    """A datagram under way; all its copies are one parcel."""

    __slots__ = ("data", "group", "record", "source")

    def __init__(
        self, source: Address, group: Address | None, data: bytes, record: Datagram | None
    ) -> None:
        #: Where it comes from, as its receiver sees that.
        self.source: Address = source
        #: The group it was sent to, if it was.
        self.group: Address | None = group
        self.data: bytes = data
        #: Its place in the trace, if there is one.
        self.record: Datagram | None = record


@attrs.frozen
class Refusal:
    """An ICMP port unreachable message under way."""

    quote: bytes
    """The datagram that it is about, or its beginning."""

    source: Address
    """Where that came from, as seen from outside: the message goes there."""

    destination: Address
    """Where that was sent to."""
