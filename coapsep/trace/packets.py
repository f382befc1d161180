"""From a packet of a capture to the UDP datagram in it, and back: link layer, IP, UDP.

Checksums are written but not looked at: where the sender's network card computes them, a
capture has the wrong ones.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import ip_address

import attrs

from coapsep.address import Address

#: LINKTYPE_RAW: a packet begins with its IP header.
RAW = 101

_UDP = 17
_TTL = 64
_UDP_HEADER = struct.Struct("!HHHH")
_IPV4_HEADER = struct.Struct("!BBHHHBBH4s4s")
_IPV6_HEADER = struct.Struct("!IHBB16s16s")

#: Bytes before the IP header where no type has to be looked at: BSD loopback, raw IP. The
#: loopback's own family numbers differ from system to system; the IP version does not.
_FIXED = {0: 4, 12: 0, 14: 0, RAW: 0, 108: 4, 228: 0, 229: 0}
#: Where the EtherType is, and where what it tells of begins: Ethernet, Linux cooked 1 and 2.
_TYPED = {1: (12, 14), 113: (14, 16), 276: (0, 20)}
_ETHERTYPES = frozenset({0x0800, 0x86DD})
_VLAN_TAGS = frozenset({0x8100, 0x88A8, 0x9100})

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION = 0, 43, 44, 51, 60
_LATER_FRAGMENT = 0xFFF8  # the offset; the lowest bit says that more follow
_MORE_FRAGMENTS = 1


@attrs.frozen
class Udp:
    """A UDP datagram."""

    source: Address
    destination: Address
    data: bytes


def unwrap(link_type: int, packet: bytes) -> Udp | str | None:
    """The UDP datagram in a packet, or why it cannot be had; None if there is none."""
    start = _ip_start(link_type, packet)
    if start is None or isinstance(start, str):
        return start
    ip = packet[start:]
    version = ip[0] >> 4 if ip else 0
    if version == 4:
        return _unwrap_ipv4(ip)
    return _unwrap_ipv6(ip) if version == 6 else None


def _ip_start(link_type: int, packet: bytes) -> int | str | None:
    if link_type in _FIXED:
        return _FIXED[link_type]
    if link_type not in _TYPED:
        return f"link type {link_type}"
    type_at, start = _TYPED[link_type]
    kind = int.from_bytes(packet[type_at : type_at + 2], "big")
    while kind in _VLAN_TAGS:  # 802.1Q: the tag, and then the type of what is tagged
        kind = int.from_bytes(packet[start + 2 : start + 4], "big")
        start += 4
    return start if kind in _ETHERTYPES else None


def _unwrap_ipv4(ip: bytes) -> Udp | str | None:
    if len(ip) < _IPV4_HEADER.size:
        return "cut short"
    first, _, total, _, fragment, _, protocol, _, source, destination = _IPV4_HEADER.unpack_from(ip)
    if protocol != _UDP:
        return None
    if fragment & 0x3FFF:  # an offset, or more to come
        return "fragment"
    header = (first & 15) * 4
    if header < _IPV4_HEADER.size:
        return "damaged header"
    # No length: the network card was to cut it into pieces and fill that in.
    rest = ip[header : total or len(ip)]
    return _unwrap_udp(rest, socket.AF_INET, source, destination)


def _unwrap_ipv6(ip: bytes) -> Udp | str | None:
    if len(ip) < _IPV6_HEADER.size:
        return "cut short"
    _, length, header, _, source, destination = _IPV6_HEADER.unpack_from(ip)
    at = _IPV6_HEADER.size
    end = at + length if length else len(ip)
    while header in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _DESTINATION):
        if at + 8 > len(ip):
            return "cut short"
        if header == _FRAGMENT:
            if int.from_bytes(ip[at + 2 : at + 4], "big") & (_LATER_FRAGMENT | _MORE_FRAGMENTS):
                # What is fragmented may begin with other headers, and is UDP only perhaps.
                return "fragment"
            size = 8
        else:
            size = (ip[at + 1] + 2) * 4 if header == _AUTHENTICATION else (ip[at + 1] + 1) * 8
        header = ip[at]
        at += size
    if header != _UDP:
        return None
    return _unwrap_udp(ip[at:end], socket.AF_INET6, source, destination)


def _unwrap_udp(udp: bytes, family: int, source: bytes, destination: bytes) -> Udp | str:
    if len(udp) < _UDP_HEADER.size:
        return "cut short"
    source_port, destination_port, length, _ = _UDP_HEADER.unpack_from(udp)
    if not _UDP_HEADER.size <= length <= len(udp):
        return "cut short"
    # Hosts are written as sockets write them.
    return Udp(
        Address(socket.inet_ntop(family, source), source_port),
        Address(socket.inet_ntop(family, destination), destination_port),
        udp[_UDP_HEADER.size : length],
    )


# -- the other way ------------------------------------------------------------------------


def wrap_raw(udp: Udp) -> bytes:
    """The IP packet of a UDP datagram, for RAW.

    Between an IPv4 and an IPv6 address it is IPv6, with the first as a mapped address.
    Raises ValueError for a host that is no IP address, and for too much data.
    """
    source, destination = _packed(udp.source), _packed(udp.destination)
    if len(source) != len(destination):
        source, destination = _mapped(source), _mapped(destination)
    size = _UDP_HEADER.size + len(udp.data)
    if size > 0xFFFF - (_IPV4_HEADER.size if len(source) == 4 else 0):
        raise ValueError(f"{len(udp.data)} bytes do not fit into a UDP datagram")
    ports = udp.source.port, udp.destination.port
    pseudo = source + destination + struct.pack("!II", size, _UDP)  # RFC 768, RFC 8200 8.1
    unchecked = _UDP_HEADER.pack(*ports, size, 0) + udp.data
    # A checksum of zero says that there is none.
    checked = _UDP_HEADER.pack(*ports, size, _checksum(pseudo + unchecked) or 0xFFFF) + udp.data
    if len(source) == 16:
        return _IPV6_HEADER.pack(6 << 28, size, _UDP, _TTL, source, destination) + checked
    total = _IPV4_HEADER.size + size
    fields = (0x45, 0, total, 0, 0x4000, _TTL, _UDP)  # no options; not to be fragmented
    header = _IPV4_HEADER.pack(*fields, 0, source, destination)
    return _IPV4_HEADER.pack(*fields, _checksum(header), source, destination) + checked


def _packed(address: Address) -> bytes:
    try:
        return ip_address(address.host).packed
    except ValueError:
        raise ValueError(f"{address.host!r} is no IP address: a capture cannot hold it") from None


def _mapped(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
