"""CoAP's bytes over UDP, IPv4 and IPv6, on any number of local addresses at once.

A reply must leave from the address that was asked. A socket bound to one address does that
by itself; one bound to a wildcard has to be told each time (IP_PKTINFO, IPV6_PKTINFO).
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import trio

from coapsep.address import Address, Session
from coapsep.transport.base import Batch, Transport

_logger = logging.getLogger("coapsep.transport")

_SockAddr: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
_Ancillary: TypeAlias = list[tuple[int, int, bytes]]

#: Linux has had it since 2.2; Python names it only from 3.14 on.
_IP_PKTINFO: int | None = getattr(socket, "IP_PKTINFO", 8 if sys.platform == "linux" else None)
_IN_PKTINFO = struct.Struct("=I4s4s")  # interface, local address, destination of the header
_IN6_PKTINFO = struct.Struct("=16sI")  # address, interface

#: Datagrams taken from a socket before the handlers get their turn.
_BATCH = 64
#: Asked for; the system gives at most net.core.rmem_max. When many requests fall due at
#: once, the clients' ACKs wait here.
_RECEIVE_BUFFER = 4 * 1024 * 1024
#: Sessions whose addresses are kept in the form that the socket wants.
_KNOWN = 8192
#: What an ICMP message does to a socket on some systems. It is nobody's word but the
#: network's, and ends nothing.
_ICMP = (ConnectionRefusedError, ConnectionResetError)
#: A port that was given as 0 must be free on all addresses.
_PORT_ATTEMPTS = 8
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


class _Socket:
    """One bound socket."""

    def __init__(self, sock: socket.socket, datagram_size: int) -> None:
        self.raw = sock
        name = sock.getsockname()
        self.family = sock.family
        self.address = _address(name)
        self.wildcard = self.address.host in ("0.0.0.0", "::")
        # One byte more than is allowed shows that a datagram is too long.
        self._size = datagram_size + 1
        #: Datagrams to a group, or to all: nobody may be answered for one.
        self.dropped = 0
        self._sessions: dict[tuple[_SockAddr, bytes], Session] = {}
        self._tells_destination = self.wildcard and self._ask_for_destination()

    def _ask_for_destination(self) -> bool:
        if not hasattr(self.raw, "recvmsg"):
            return False  # Windows
        if self.family == socket.AF_INET6:
            self.raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif _IP_PKTINFO is not None:
            self.raw.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        else:
            return False
        return True

    def receive(self, batch: Batch) -> None:
        """Add what has arrived, up to the size of a batch."""
        read = self._read_with_destination if self._tells_destination else self._read
        for _ in range(_BATCH - len(batch)):
            try:
                datagram = read()
            except BlockingIOError:
                return
            except _ICMP:
                continue
            except OSError as exc:
                _logger.warning("receiving on %s: %s", self.address, exc)
                return
            if datagram is None:
                self.dropped += 1
            else:
                batch.append(datagram)

    def _read(self) -> tuple[bytes, Session]:
        data, source = self.raw.recvfrom(self._size)
        session = self._sessions.get((source, b""))
        if session is None:
            session = self._learn((source, b""), Session(self.address, _address(source)))
        return data, session

    def _read_with_destination(self) -> tuple[bytes, Session] | None:
        data, ancillary, _, source = self.raw.recvmsg(self._size, 128)
        info = ancillary[0][2] if ancillary else b""
        session = self._sessions.get((source, info))
        if session is None:
            local = self._destination(info)
            if local is None:
                return None
            session = self._learn((source, info), Session(local, _address(source)))
        return data, session

    def _destination(self, info: bytes) -> Address | None:
        """The local address a datagram was sent to; None if that was not one of ours."""
        port = self.address.port
        if self.family == socket.AF_INET6 and len(info) == _IN6_PKTINFO.size:
            packed, interface = _IN6_PKTINFO.unpack(info)
            host = socket.inet_ntop(socket.AF_INET6, packed)
            if host.startswith("ff"):
                return None
            return Address(host, port, interface if _is_link_local(host) else 0)
        if self.family == socket.AF_INET and len(info) == _IN_PKTINFO.size:
            _, ours, destination = _IN_PKTINFO.unpack(info)
            # They differ for a broadcast and for a group. Nobody may be answered for one.
            return Address(socket.inet_ntoa(ours), port) if ours == destination else None
        return self.address

    def _learn(self, key: tuple[_SockAddr, bytes], session: Session) -> Session:
        if len(self._sessions) >= _KNOWN:
            self._sessions.clear()
        self._sessions[key] = session
        return session

    def ancillary(self, local: Address) -> _Ancillary:
        """What makes a datagram leave from this local address."""
        if not self._tells_destination or local.host == self.address.host:
            return []
        if self.family == socket.AF_INET6:
            packed = socket.inet_pton(socket.AF_INET6, local.host)
            info = _IN6_PKTINFO.pack(packed, local.scope_id)
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        assert _IP_PKTINFO is not None  # else it would not tell the destination
        info = _IN_PKTINFO.pack(0, socket.inet_aton(local.host), b"\0\0\0\0")
        return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]


class UdpTransport(Transport):
    """UDP sockets, one for each local address. ``open_udp`` makes one."""

    def __init__(self, sockets: Sequence[socket.socket], datagram_size: int = 2048) -> None:
        if not sockets:
            raise ValueError("a UdpTransport needs at least one bound socket")
        for sock in sockets:
            sock.setblocking(False)
        self._sockets = tuple(_Socket(sock, datagram_size) for sock in sockets)
        self._routes: dict[Session, tuple[_Socket, _SockAddr, _Ancillary]] = {}
        self._closed = False

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(sock.address for sock in self._sockets)

    async def run(self, deliver: Callable[[Batch], None], lost: Callable[[Session], None]) -> None:
        async with trio.open_nursery() as nursery:
            for sock in self._sockets:
                nursery.start_soon(self._receive, sock, deliver)
        raise trio.ClosedResourceError("this transport is closed")

    async def _receive(self, sock: _Socket, deliver: Callable[[Batch], None]) -> None:
        while not self._closed:
            try:
                await trio.lowlevel.wait_readable(sock.raw)
            except trio.ClosedResourceError:
                return
            batch: Batch = []
            sock.receive(batch)
            if batch:
                deliver(batch)

    @property
    def dropped(self) -> int:  # type: ignore[override]  # here it is a sum, and read only
        return sum(sock.dropped for sock in self._sockets)

    def poll(self) -> Batch:
        batch: Batch = []
        for sock in self._sockets:
            sock.receive(batch)
        return batch

    def send(self, data: bytes, session: Session) -> bool:
        route = self._routes.get(session) or self._route(session)
        sock, destination, ancillary = route
        for last in (False, True):
            try:
                if ancillary:
                    sock.raw.sendmsg([data], ancillary, 0, destination)
                else:
                    sock.raw.sendto(data, destination)
            except BlockingIOError:
                return False
            except _ICMP:
                # It was about an earlier datagram, perhaps to somebody else; this one was
                # not sent. Reading the error has cleared it.
                if last:
                    raise
            else:
                break
        return True

    async def wait_writable(self, session: Session) -> None:
        await trio.lowlevel.wait_writable(self._route(session)[0].raw)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for sock in self._sockets:
            trio.lowlevel.notify_closing(sock.raw)
            sock.raw.close()

    def _route(self, session: Session) -> tuple[_Socket, _SockAddr, _Ancillary]:
        if self._closed:
            raise trio.ClosedResourceError("this transport is closed")
        local, peer = session.local, session.peer
        family = socket.AF_INET6 if peer.is_ipv6 else socket.AF_INET
        candidates = [sock for sock in self._sockets if sock.family == family]
        sock = next((s for s in candidates if s.address == local), None) or next(
            (s for s in candidates if s.wildcard), None
        )
        if sock is None:
            raise OSError(errno.EADDRNOTAVAIL, f"no socket is bound to {local}")
        route = (sock, _sockaddr(peer), sock.ancillary(local))
        if len(self._routes) >= _KNOWN:
            self._routes.clear()
        self._routes[session] = route
        return route


async def open_udp(
    host: str | Sequence[str] | None = None, port: int = 5683, *, datagram_size: int = 2048
) -> UdpTransport:
    """Bind UDP sockets and return the transport.

    ``host`` is a name or an address, or several; None is every address of the machine. A
    machine without IPv6 does without, unless ``host`` is an IPv6 address. Port 0 picks a
    free one, the same for all. ``datagram_size`` is in bytes; what is longer arrives cut to
    one byte more.

    Raises OSError if an address cannot be had; its text says which.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port}")
    hosts = ("0.0.0.0", "::") if host is None else (host,) if isinstance(host, str) else host
    targets: dict[Address, bool] = {}  # and whether it was asked for by its number
    for name in hosts:
        if not isinstance(name, str):
            raise TypeError(f"a host is a name or an address, not {name!r}")
        for address in await _resolve(name, port):
            literal = host is not None and address.host == name.partition("%")[0]
            targets[address] = targets.get(address, False) or literal
    if not targets:
        raise ValueError("host must name at least one address")
    for attempt in range(_PORT_ATTEMPTS):
        try:
            return UdpTransport(_bind_all(targets), datagram_size)
        except OSError as exc:
            # A port that is free on one address may be taken on another: try the next one.
            if port != 0 or exc.errno != errno.EADDRINUSE or attempt == _PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("the loop returns or raises")


def _bind_all(targets: Mapping[Address, bool]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for address, required in targets.items():
            if sockets and address.port == 0:
                address = attrs.evolve(address, port=sockets[0].getsockname()[1])
            try:
                sockets.append(_bind(address))
            except OSError as exc:
                if address.is_ipv6 and sockets and not required and exc.errno in _NO_IPV6:
                    _logger.info("no IPv6 on this host: not listening on %s", address)
                    continue
                raise OSError(exc.errno, f"cannot listen on {address}: {exc.strerror}") from exc
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if address.is_ipv6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if address.is_ipv6:
            # IPv4 has its own socket: mapped addresses would be a second form of each peer.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind(_sockaddr(address))
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolve(host: str, port: int) -> list[Address]:
    try:
        infos = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (socket.gaierror, UnicodeError) as exc:
        # A name that cannot be one (an empty label, one of 64 letters) is not even looked up.
        reason = exc.strerror if isinstance(exc, socket.gaierror) else "not a host name"
        raise OSError(errno.EADDRNOTAVAIL, f"no address for host {host!r}: {reason}") from exc
    return [
        _address(info[4])
        for info in sorted(infos, key=lambda info: info[0] == socket.AF_INET6)
        if info[0] in (socket.AF_INET, socket.AF_INET6)
    ]


def _sockaddr(address: Address) -> _SockAddr:
    if address.is_ipv6:
        return (address.host, address.port, 0, address.scope_id)
    return (address.host, address.port)


def _address(name: tuple[Any, ...]) -> Address:
    """The Address of a socket address; Python adds the zone to the host of some."""
    return Address(name[0].partition("%")[0], name[1], name[3] if len(name) == 4 else 0)


def _is_link_local(host: str) -> bool:
    return host[:3] in ("fe8", "fe9", "fea", "feb")
