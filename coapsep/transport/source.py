"""The address of this machine from which it would reach a peer."""

from __future__ import annotations

import socket

from coapsep.address import Address
from coapsep.transport.sockaddr import family_of, from_sockaddr, to_sockaddr


def source_address(peer: Address) -> Address:
    """The local address the system would choose, with a port that means nothing.

    Nothing is sent: connecting a UDP socket only looks up the route. Raises OSError if there
    is none.
    """
    with socket.socket(family_of(peer), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(to_sockaddr(peer))
        except OSError as exc:
            raise OSError(exc.errno, f"no way to {peer}: {exc.strerror}") from exc
        return from_sockaddr(sock.getsockname())
