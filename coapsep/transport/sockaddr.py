"""Addresses as the socket module has them, and what an address says about itself."""

from __future__ import annotations

import errno
import socket
from typing import Any, TypeAlias

from coapsep.address import Address

SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]

#: What an IPv4-mapped IPv6 address starts with (RFC 4291 section 2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"


def family_of(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if address.is_ipv6 else socket.AF_INET


def to_sockaddr(address: Address) -> SockAddr:
    if address.is_ipv6:
        return (address.host, address.port, 0, address.scope_id)
    return (address.host, address.port)


def from_sockaddr(name: tuple[Any, ...]) -> Address:
    """The Address of a socket address; Python adds the zone to the host of some."""
    return Address(name[0].partition("%")[0], name[1], name[3] if len(name) == 4 else 0)


def is_link_local(packed: bytes) -> bool:
    """Whether this is an IPv6 address of one link, fe80::/10 (RFC 4291 section 2.5.6)."""
    return len(packed) == 16 and packed[0] == 0xFE and packed[1] & 0xC0 == 0x80


def is_group(packed: bytes) -> bool:
    """Whether this is a multicast address (RFC 4291 section 2.7, RFC 5771 section 3)."""
    return packed[0] == 0xFF if len(packed) == 16 else packed[0] & 0xF0 == 0xE0


def needs_scope(packed: bytes) -> bool:
    """Whether this means something only together with an interface: a host of one link, or a
    group of one interface or link (RFC 4291 sections 2.5.6 and 2.7)."""
    is_near = len(packed) == 16 and is_group(packed) and packed[1] & 0x0F in (1, 2)
    return is_near or is_link_local(packed)


def pack(host: str) -> bytes:
    """The 4 or 16 bytes of a numeric address. Raises OSError if it is not one."""
    try:
        return socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except (OSError, ValueError):
        raise OSError(
            errno.EINVAL, f"{host!r} is not a numeric address; a name must be resolved first"
        ) from None


def as_received(peer: Address) -> Address:
    """The form in which this address comes out of a socket when the peer answers.

    That is the short one in lower case (RFC 5952), for an IPv4-mapped address the IPv4
    address in it, and an interface where it means something. Raises OSError if there is no
    such peer.
    """
    packed = pack(peer.host)
    if packed.startswith(_MAPPED):
        packed = packed[len(_MAPPED) :]
    if not any(packed):
        raise OSError(errno.EADDRNOTAVAIL, f"{peer.host} stands for any address: it is no peer")
    if len(packed) == 4:
        return Address(socket.inet_ntop(socket.AF_INET, packed), peer.port)
    host = socket.inet_ntop(socket.AF_INET6, packed)
    if is_link_local(packed) and not peer.scope_id:
        raise OSError(
            errno.EINVAL, f"{host} is an address of one link: add its interface, as in {host}%eth0"
        )
    scoped = is_link_local(packed) or is_group(packed)
    return Address(host, peer.port, peer.scope_id if scoped else 0)
