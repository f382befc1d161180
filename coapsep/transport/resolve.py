"""Names to addresses."""

from __future__ import annotations

import errno
import socket

import trio

from coapsep.address import Address
from coapsep.transport.sockaddr import from_sockaddr


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of a host, IPv6 and IPv4, the one to try first in front (RFC 6724).

    ``host`` is a name or a numeric address, without brackets, with a zone where it needs one
    (``fe80::1%eth0``). Can be cancelled. Raises OSError, with the host in its text, if there
    is no address.
    """
    if not 0 <= port <= 65535:
        # Some systems take it, modulo 65536.
        raise ValueError(f"a port is a number from 0 to 65535, not {port}")
    try:
        infos = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (socket.gaierror, ValueError) as exc:
        # A name that cannot be one (an empty label, one of 64 letters) is not even looked up:
        # that is a UnicodeError.
        reason = exc.strerror if isinstance(exc, socket.gaierror) else "not a host name"
        raise OSError(errno.EADDRNOTAVAIL, f"no address for host {host!r}: {reason}") from exc
    families = (socket.AF_INET, socket.AF_INET6)
    # /etc/hosts may name one twice.
    found = dict.fromkeys(from_sockaddr(info[4]) for info in infos if info[0] in families)
    return list(found)
