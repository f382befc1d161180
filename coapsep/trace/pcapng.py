"""Capture files: pcapng is written and read, the older pcap is read too.

The formats are those of draft-ietf-opsawg-pcapng and draft-ietf-opsawg-pcap. What the packets
hold is the business of packets.py.

Why no library: only a few blocks are needed, and none reads them well. dpkt and python-pcapng
had their last releases in 2022; dpkt takes each packet for one of the first interface, and
python-pcapng raises whatever it stumbles over and knows no pcap. pypcapkit writes no pcapng,
and the licence of Scapy is not ours.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import attrs

_SECTION, _INTERFACE, _PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_ORDER = b"\x1a\x2b\x3c\x4d"
_END, _COMMENT, _RESOLUTION, _OFFSET = 0, 1, 9, 14
_NANOSECONDS = 9
_LATEST = (1 << 64) // 10**_NANOSECONDS
#: Ticks of a second in a pcap file, by its first four bytes.
_PCAP = {b"\xa1\xb2\xc3\xd4": 10**6, b"\xa1\xb2\x3c\x4d": 10**9}
#: Bytes. No tool writes larger blocks, and a file that has one would only take memory.
_LARGEST = 16 * 1024 * 1024


@attrs.frozen
class Packet:
    """One packet of a capture."""

    time: float | None
    """Seconds since 1970; None where the file has none."""

    link_type: int
    """What ``data`` begins with: a LINKTYPE of the registry that the drafts set up."""

    data: bytes
    """As much of the packet as was captured."""


class CutShort(Exception):
    """The file ends in the middle, as one does when the program that wrote it was killed."""


# -- writing -----------------------------------------------------------------------------


def write_packets(
    file: BinaryIO, link_type: int, packets: Iterable[tuple[float, bytes, str]]
) -> None:
    """Write a pcapng file of packets: seconds since 1970, bytes, and a comment or "".

    Raises ValueError for a time that the format cannot hold.
    """
    section = _ORDER[::-1] + struct.pack("<HHq", 1, 0, -1)
    resolution = _option(_RESOLUTION, bytes([_NANOSECONDS]))
    interface = struct.pack("<HHI", link_type, 0, 0) + resolution + _option(_END, b"")
    file.write(_block(_SECTION, section) + _block(_INTERFACE, interface))
    for time, data, comment in packets:
        if not 0 <= time < _LATEST:
            raise ValueError(f"a capture holds times from 1970 to 2554, not {time} s after 1970")
        # Whole seconds apart: as nanoseconds, no float holds today's time.
        ticks = int(time) * 10**_NANOSECONDS + round(time % 1 * 10**_NANOSECONDS)
        head = struct.pack("<5I", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        note = _option(_COMMENT, comment.encode()) + _option(_END, b"") if comment else b""
        file.write(_block(_ENHANCED, head + _padded(data) + note))


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


# -- reading -----------------------------------------------------------------------------


def read_packets(file: BinaryIO) -> Iterator[Packet]:
    """The packets of a pcapng or pcap file.

    Raises ValueError for what is none, and CutShort where it ends too early.
    """
    magic = file.read(4)
    if magic == _SECTION.to_bytes(4, "big"):
        yield from _read_pcapng(file)
        return
    for order, first in (("<", magic[::-1]), (">", magic)):
        if first in _PCAP:
            yield from _read_pcap(file, order, _PCAP[first])
            return
    if magic[:2] == b"\x1f\x8b":
        raise ValueError("the capture is compressed: unpack it with gunzip")
    raise ValueError(f"this is no capture file: it begins with {magic.hex() or 'nothing'}")


def _read_pcap(file: BinaryIO, order: str, ticks: int) -> Iterator[Packet]:
    header = struct.Struct(order + "HHiIII")
    *_, network = header.unpack(_read(file, header.size))
    record = struct.Struct(order + "IIII")
    while head := file.read(record.size):
        if len(head) < record.size:
            raise CutShort
        seconds, fraction, size, _ = record.unpack(head)
        if size > _LARGEST:
            raise ValueError(f"the capture is damaged: a packet of {size} bytes")
        # The upper half of the field says how long the frame check sequence is.
        yield Packet(seconds + fraction / ticks, network & 0xFFFF, _read(file, size))


@attrs.frozen
class _Interface:
    link_type: int
    ticks: int
    offset: int


def _read_pcapng(file: BinaryIO) -> Iterator[Packet]:
    order = ""
    interfaces: list[_Interface] = []
    kind = _SECTION.to_bytes(4, "big")  # it was read already, and is the same in both orders
    while kind:
        if len(kind) < 4:
            raise CutShort
        number = _SECTION if kind == _SECTION.to_bytes(4, "big") else _u32(order, kind)
        length = _read(file, 4)
        if number == _SECTION:
            magic = _read(file, 4)
            if magic not in (_ORDER, _ORDER[::-1]):
                raise ValueError(f"the capture is damaged: {magic.hex()} for a byte order")
            order = ">" if magic == _ORDER else "<"
            version = struct.unpack(order + "HH", _read_rest(file, order, length, 4)[:4])
            if version[0] != 1:
                raise ValueError(f"this is pcapng of version {version[0]}, which is not known")
            interfaces = []
        else:
            body = _read_rest(file, order, length, 0)
            if number == _INTERFACE:
                interfaces.append(_read_interface(order, body))
            elif number in (_PACKET, _ENHANCED, _SIMPLE):
                yield _read_packet(number, order, body, interfaces)
        kind = file.read(4)


def _read_rest(file: BinaryIO, order: str, length: bytes, already: int) -> bytes:
    """The body of a block, without the bytes of it that were read already."""
    size = _u32(order, length)
    if size % 4 or not 12 + already <= size <= _LARGEST:
        raise ValueError(f"the capture is damaged: a block of {size} bytes")
    body = _read(file, size - 12 - already)
    if _read(file, 4) != length:
        raise ValueError("the capture is damaged: a block has two lengths")
    return body


def _read_interface(order: str, body: bytes) -> _Interface:
    _check_size(body, 8)
    link_type: int = struct.unpack_from(order + "H", body)[0]
    ticks, offset = 10**6, 0
    at = 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == _END:
            break
        if code == _RESOLUTION and len(value) == 1:
            power = value[0] & 0x7F
            ticks = 2**power if value[0] & 0x80 else 10**power
        elif code == _OFFSET and len(value) == 8:
            offset = struct.unpack(order + "q", value)[0]
        at += 4 + size + -size % 4
    return _Interface(link_type, ticks, offset)


def _read_packet(kind: int, order: str, body: bytes, interfaces: list[_Interface]) -> Packet:
    if kind == _SIMPLE:
        _check_size(body, 4)
        data = body[4 : 4 + _u32(order, body[:4])]
        return Packet(None, _interface(interfaces, 0).link_type, data)
    _check_size(body, 20)
    number, high, low, size, _ = struct.unpack_from(order + "5I", body)
    if kind == _PACKET:  # older: half of the first field counts drops
        number = struct.unpack_from(order + "H", body)[0]
    _check_size(body, 20 + size)
    interface = _interface(interfaces, number)
    time = interface.offset + (high << 32 | low) / interface.ticks
    return Packet(time, interface.link_type, body[20 : 20 + size])


def _interface(interfaces: list[_Interface], number: int) -> _Interface:
    if number >= len(interfaces):
        raise ValueError(f"the capture is damaged: it says nothing of its interface {number}")
    return interfaces[number]


def _check_size(body: bytes, size: int) -> None:
    if len(body) < size:
        raise ValueError(f"the capture is damaged: {len(body)} bytes where {size} are needed")


def _u32(order: str, data: bytes) -> int:
    return int.from_bytes(data, "big" if order == ">" else "little")


def _read(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise CutShort
    return data
