"""Bound sockets for a host: which addresses, and which of them may be missing."""

from __future__ import annotations

import errno
import itertools
import logging
import socket
import sys
from collections.abc import Mapping, Sequence

import attrs

from coapsep.address import Address
from coapsep.transport.resolve import resolve
from coapsep.transport.sockaddr import family_of, from_sockaddr, to_sockaddr

_logger = logging.getLogger("coapsep.transport")

#: Asked for; the system gives at most net.core.rmem_max. When many requests fall due at
#: once, the clients' ACKs wait here.
_RECEIVE_BUFFER = 4 * 1024 * 1024
#: A port that was given as 0 and must be the same for all has to be free on all addresses.
_PORT_ATTEMPTS = 8
_NO_FAMILY = (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


async def bind(
    host: str | Sequence[str] | None, port: int, *, same_port: bool, reuse_port: bool = False
) -> list[socket.socket]:
    """UDP sockets for a host or several, or for every address of the machine.

    What was not asked for by its number is left out where the machine has not got its
    family. ``reuse_port`` lets others bind the same who say so, too. Raises OSError if another
    address, or the last one, cannot be had, or if this system cannot share a port.
    """
    if reuse_port:
        _check_sharing()
    hosts = ("0.0.0.0", "::") if host is None else (host,) if isinstance(host, str) else host
    targets: dict[Address, bool] = {}  # and whether it was asked for by its number
    for name in hosts:
        if not isinstance(name, str):
            raise TypeError(f"a host is a name or an address, not {name!r}")
        # IPv4 first: a name for both is listened on in an order that does not change.
        for address in sorted(await resolve(name, port), key=lambda address: address.is_ipv6):
            literal = host is not None and address.host == name.partition("%")[0]
            targets[address] = targets.get(address, False) or literal
    if not targets:
        raise ValueError("host must name at least one address")
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return _bind_all(targets, same_port, reuse_port)
        except OSError as exc:
            # A port that is free on one address may be taken on another: try the next one.
            if port != 0 or exc.errno != errno.EADDRINUSE or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


async def bind_sets(
    host: str | Sequence[str] | None, port: int, count: int
) -> list[list[socket.socket]]:
    """So many sets of sockets with the same addresses, one for each worker process.

    The first set is bound like that of any other server, so that the ports are nobody else's.
    Only then is the port opened, for as long as the others need. Raises OSError as ``bind``.
    """
    _check_sharing()
    sets = [await bind(host, port, same_port=True)]
    try:
        for sock in sets[0]:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        for _ in range(count - 1):
            sets.append([])
            for sock in sets[0]:
                address = from_sockaddr(sock.getsockname())
                sets[-1].append(bind_socket(address, reuse_port=True))
    except BaseException:
        for sock in itertools.chain(*sets):
            sock.close()
        raise
    return sets


def _check_sharing() -> None:
    # Elsewhere the option exists, but one of the sockets gets everything.
    if sys.platform != "linux":
        raise OSError(errno.ENOTSUP, "only Linux spreads peers over several sockets of a port")


def _bind_all(
    targets: Mapping[Address, bool], same_port: bool, reuse_port: bool
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        for address, required in targets.items():
            if same_port and sockets and address.port == 0:
                address = attrs.evolve(address, port=sockets[0].getsockname()[1])
            try:
                sockets.append(bind_socket(address, reuse_port=reuse_port))
            except OSError as exc:
                error = OSError(exc.errno, f"cannot listen on {address}: {exc.strerror}")
                if required or not _is_without_family(address, exc):
                    raise error from exc
                missing = missing or error
                _logger.info("%s: left out", error.strerror)
        if missing is not None and not sockets:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _is_without_family(address: Address, exc: OSError) -> bool:
    # IPv6 that is built in but switched off has sockets, and no addresses.
    off = address.is_ipv6 and exc.errno == errno.EADDRNOTAVAIL
    return off or exc.errno in _NO_FAMILY


def bind_socket(
    address: Address, *, shared: bool = False, reuse_port: bool = False
) -> socket.socket:
    """A UDP socket bound to this address, which others may bind, too, if they say so likewise.

    What is sent to a group reaches each socket that is ``shared``. With ``reuse_port`` each
    peer's datagrams reach one of the sockets.
    """
    sock = socket.socket(family_of(address), socket.SOCK_DGRAM)
    try:
        if address.is_ipv6:
            # IPv4 has its own socket: mapped addresses would be a second form of each peer.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port and address.port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(to_sockaddr(address))
        if reuse_port:  # only now, as a port that others share would count as free
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        sock.close()
        raise
    return sock
