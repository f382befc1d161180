"""What the network says of datagrams of ours that did not arrive: Linux's error queue.

A UDP socket that is not connected hears of no ICMP error, for it could not tell which of its
peers is meant. On Linux it can ask (ip(7), ipv6(7)): then each error waits in a queue, with
the address it is about and what the ICMP message quotes of our datagram. Elsewhere there is
no such thing.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

import attrs

from coapsep.address import Address
from coapsep.transport.sockaddr import from_sockaddr

#: Level and option (IP_RECVERR, IPV6_RECVERR) for each family. Python names them only from
#: 3.14 on.
_OPTIONS: dict[int, tuple[int, int]] = (
    {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
    if sys.platform == "linux"
    else {}
)
_MSG_ERRQUEUE: int = getattr(socket, "MSG_ERRQUEUE", 0)
#: struct sock_extended_err: errno, origin, type, code, padding, info, data. The address of
#: whoever complains follows.
_EXTENDED = struct.Struct("=IBBBBII")
_ANCILLARY_SIZE = socket.CMSG_SPACE(_EXTENDED.size + 28) if hasattr(socket, "CMSG_SPACE") else 0
_LOCAL = 1  # SO_EE_ORIGIN_LOCAL
#: Origin, type and code: ICMP (RFC 792), ICMPv6 (RFC 4443 section 3.1).
_PORT_UNREACHABLE = ((2, 3, 3), (3, 1, 4))


@attrs.frozen
class NetworkError:
    """An ICMP message about one datagram of ours."""

    destination: Address
    """Where the datagram was sent to."""
    quoted: bytes
    """The datagram, from its first byte, as far as the message quotes it: perhaps nothing."""
    port_unreachable: bool
    """Nobody is at that port. All else may pass by itself (RFC 1122 section 3.2.2.1)."""


def ask_for_errors(sock: socket.socket) -> bool:
    """Whether this socket hears of errors from now on."""
    option = _OPTIONS.get(sock.family)
    if option is None:
        return False
    try:
        sock.setsockopt(*option, 1)
    except OSError:
        return False  # something that only looks like Linux
    return True


def read_error(sock: socket.socket, size: int) -> NetworkError | None:
    """The next error, with at most ``size`` bytes of what it quotes.

    None for one that is not of the network, such as a datagram too long to send: whoever sent
    it knows already. Raises BlockingIOError when there is none.
    """
    quoted, ancillary, _, destination = sock.recvmsg(size, _ANCILLARY_SIZE, _MSG_ERRQUEUE)
    return parse_error(quoted, ancillary, destination, _OPTIONS[sock.family])


def parse_error(
    quoted: bytes,
    ancillary: list[tuple[int, int, bytes]],
    destination: tuple[Any, ...] | None,
    option: tuple[int, int],
) -> NetworkError | None:
    """What ``recvmsg`` has returned, taken apart."""
    for level, kind, data in ancillary:
        if (level, kind) == option and len(data) >= _EXTENDED.size and destination:
            _, origin, icmp_type, code, *_ = _EXTENDED.unpack_from(data)
            if origin != _LOCAL:
                unreachable = (origin, icmp_type, code) in _PORT_UNREACHABLE
                return NetworkError(from_sockaddr(destination), quoted, unreachable)
    return None
