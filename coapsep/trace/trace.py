"""A trace: the datagrams of a while, in the order in which they left."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from typing import BinaryIO, overload

from coapsep.address import Address
from coapsep.trace.capture import read_capture, write_capture
from coapsep.trace.datagram import Datagram
from coapsep.trace.ladder import draw_ladder
from coapsep.trace.svg import draw_svg


class Trace:
    """The last ``limit`` datagrams that were added; None keeps all, 0 keeps none.

    It is a sequence: it has a length, and its items can be had by index or slice.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._datagrams: deque[Datagram] = deque(maxlen=limit)
        #: How many packets of the capture that it was read from are not here, and why.
        self.skipped: Counter[str] = Counter()

    def add(self, datagram: Datagram) -> None:
        """Add one more. If the trace is full, the oldest one leaves."""
        self._datagrams.append(datagram)

    def replace(self, old: Datagram, new: Datagram) -> None:
        """Put one in the place of another, of which more has become known.

        It is looked for from the end. If it has left, nothing happens.
        """
        kept = self._datagrams
        for at in range(len(kept) - 1, -1, -1):
            if kept[at] is old:
                kept[at] = new
                return

    def clear(self) -> None:
        """Forget all of them."""
        self._datagrams.clear()

    def ladder(
        self,
        *,
        names: Mapping[Address, str] | None = None,
        start: float | None = None,
        width: int = 100,
        limit: int | None = 200,
        payload_limit: int = 32,
    ) -> str:
        """The ladder diagram as text, as in the figures of RFC 7252 appendix A.

        Its lines end in a newline each; trace/ladder.py says what the arrows mean.

        - ``names`` stand above the columns in place of addresses.
        - ``start`` is the time that is drawn as zero: that of the first datagram, unless set.
        - ``width`` is in characters. Labels are wrapped there, and cut after three lines.
        - ``limit``: only so many datagrams are drawn, the last ones. None draws all.
        - ``payload_limit``: longer payloads are cut, in characters of text or bytes.
        """
        return draw_ladder(
            self,
            names=names,
            start=start,
            width=width,
            limit=limit,
            payload_limit=payload_limit,
        )

    def svg(
        self,
        *,
        names: Mapping[Address, str] | None = None,
        start: float | None = None,
        limit: int | None = 200,
        payload_limit: int = 32,
    ) -> str:
        """The ladder diagram as the text of a standalone SVG file, for light and dark.

        The arguments are those of ``ladder``. Pointing at an arrow shows the whole message.
        """
        return draw_svg(self, names=names, start=start, limit=limit, payload_limit=payload_limit)

    def save_pcapng(self, target: str | os.PathLike[str] | BinaryIO, *, epoch: float = 0.0) -> None:
        """Write a capture file that Wireshark opens, to a path or an open file.

        Each datagram is in it once, when it left; the packet's comment says what became of
        it. The IP and UDP headers around it are made up. ``epoch`` is when the trace's time
        was zero, in seconds since 1970. Scopes of link-local addresses are not kept.

        Raises ValueError for a host that is no IP address, for more data than UDP holds and
        for a time before 1970, OSError if the file cannot be written.
        """
        write_capture(target, self, epoch)

    def __len__(self) -> int:
        return len(self._datagrams)

    def __iter__(self) -> Iterator[Datagram]:
        return iter(self._datagrams)

    @overload
    def __getitem__(self, index: int) -> Datagram: ...
    @overload
    def __getitem__(self, index: slice) -> list[Datagram]: ...
    def __getitem__(self, index: int | slice) -> Datagram | list[Datagram]:
        if isinstance(index, slice):
            return list(self._datagrams)[index]
        return self._datagrams[index]


def read_pcapng(
    source: str | os.PathLike[str] | BinaryIO, *, ports: Collection[int] = (5683,)
) -> Trace:
    """The trace in a capture file, pcapng or pcap: its datagrams from or to these UDP ports.

    Times are seconds since 1970, in order; nothing is known of arrivals. Ethernet, Linux
    cooked, loopback and raw IP captures are read. ``skipped`` counts what could have been
    meant and is not there: fragments, packets that were cut when they were captured, link
    types that are not known, packets without a time, and the end of a file that is cut short.

    Raises ValueError for what is no capture or a damaged one, OSError if the file cannot be
    read.
    """
    trace = Trace()
    datagrams, trace.skipped = read_capture(source, ports)
    for datagram in datagrams:
        trace.add(datagram)
    return trace
