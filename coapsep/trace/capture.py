"""Datagrams to a capture file that Wireshark opens, and back from a capture of the field."""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import BinaryIO, TypeAlias

from coapsep.trace.datagram import Datagram
from coapsep.trace.packets import RAW, Udp, unwrap, wrap_raw
from coapsep.trace.pcapng import CutShort, read_packets, write_packets
from coapsep.trace.rows import note_of
from coapsep.trace.wrapping import cut

_Path: TypeAlias = str | os.PathLike[str]

#: Characters. The format has room for more, but a group may have any number of members.
_LONGEST_COMMENT = 1000


def write_capture(target: _Path | BinaryIO, datagrams: Iterable[Datagram], epoch: float) -> None:
    """Write each datagram once, where it was sent; its fate stands in the packet's comment."""
    buffer = io.BytesIO()  # a file is written whole, or left as it is
    packets = (
        (epoch + d.time, wrap_raw(Udp(d.source, d.destination, d.data)), _fate(d))
        for d in datagrams
    )
    write_packets(buffer, RAW, packets)
    if isinstance(target, str | os.PathLike):
        with open(target, "wb") as file:
            file.write(buffer.getvalue())
    else:
        target.write(buffer.getvalue())


def _fate(datagram: Datagram) -> str:
    notes = [f"arrived after {when - datagram.time:.6f} s" for when in datagram.arrivals or ()]
    loss = note_of(datagram, 1)
    return cut(", ".join([loss, *notes] if loss else notes), _LONGEST_COMMENT)


def read_capture(
    source: _Path | BinaryIO, ports: Collection[int]
) -> tuple[list[Datagram], Counter[str]]:
    """The datagrams from or to these ports, in order of time, and what was left out and why."""
    skipped: Counter[str] = Counter()
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            datagrams = list(_read(file, ports, skipped))
    else:
        datagrams = list(_read(source, ports, skipped))
    datagrams.sort(key=lambda datagram: datagram.time)
    return datagrams, skipped


def _read(file: BinaryIO, ports: Collection[int], skipped: Counter[str]) -> Iterator[Datagram]:
    try:
        for packet in read_packets(file):
            udp = unwrap(packet.link_type, packet.data)
            if udp is None:
                continue
            if isinstance(udp, str):
                skipped[udp] += 1
            elif udp.source.port not in ports and udp.destination.port not in ports:
                continue
            elif packet.time is None:
                skipped["no time"] += 1
            else:
                yield Datagram(packet.time, udp.source, udp.destination, udp.data)
    except CutShort:
        skipped["end of the file"] += 1
