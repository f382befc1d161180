"""CoAP's bytes over UDP, IPv4 and IPv6, on any number of local addresses at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

import attrs
import trio

from coapsep.address import Address, Session
from coapsep.transport.base import Batch, Refused, Transport
from coapsep.transport.bind import bind
from coapsep.transport.interfaces import interface_index
from coapsep.transport.lookout import Lookout
from coapsep.transport.membership import (
    Memberships,
    join_groups,
    read_groups,
    read_interfaces,
)
from coapsep.transport.multicast import limit_groups_to, send_groups_by
from coapsep.transport.sockaddr import (
    SockAddr,
    as_received,
    family_of,
    is_group,
    pack,
    to_sockaddr,
)
from coapsep.transport.source import source_address
from coapsep.transport.udp_socket import Ancillary, UdpSocket

#: Peers, and sessions, whose way is remembered.
_KNOWN = 32768


class UdpTransport(Transport):
    """UDP sockets, one for each local address. ``open_udp`` and ``open_udp_client`` make one.

    ``client`` is for sockets that ask rather than answer: the system picks the address that
    a datagram leaves from, and on Linux they hear from the network that nobody is at a port.
    ``datagram_size`` is in bytes. ``memberships`` are the groups that sockets are in, among
    them sockets beside the others, which are bound to a group.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        datagram_size: int = 2048,
        *,
        client: bool = False,
        memberships: Memberships | None = None,
    ) -> None:
        if not sockets:
            raise ValueError("a UdpTransport needs at least one bound socket")
        if not 1 <= datagram_size <= 65535:
            raise ValueError(f"datagram_size is from 1 to 65535 bytes, not {datagram_size}")
        memberships = memberships or {}
        beside = [sock for sock in memberships if sock not in sockets]
        for sock in (*sockets, *beside):
            sock.setblocking(False)
        self._sockets = tuple(
            UdpSocket(sock, datagram_size, client=client, groups=memberships.get(sock, ()))
            for sock in sockets
        )
        #: Those that only hear.
        self._beside = tuple(
            UdpSocket(
                sock,
                datagram_size,
                client=False,
                groups=memberships[sock],
                homes=[own.address for own in self._sockets if own.family == sock.family],
            )
            for sock in beside
        )
        self._routes: dict[Session, tuple[UdpSocket, SockAddr, Ancillary]] = {}
        self._sessions: dict[Address, Session] = {}
        self._closed = False

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(sock.address for sock in self._sockets)

    @property
    def dropped(self) -> int:  # type: ignore[override]  # here it is a sum, and read only
        return sum(sock.dropped for sock in self._all)

    @property
    def ignored_errors(self) -> int:
        """What the network said of a client's datagrams, but for ports that nobody is at.

        A host or a network that cannot be reached may come back: such a message is no reason
        to give up (RFC 1122 section 3.2.2.1).
        """
        return sum(sock.ignored_errors for sock in self._sockets)

    @property
    def _all(self) -> tuple[UdpSocket, ...]:
        return self._sockets + self._beside

    # -- sessions --------------------------------------------------------------------

    def session_to(self, peer: Address) -> Session:
        session = self._sessions.get(peer)
        if session is None:
            self._check_open()
            session = self._find_session(as_received(peer))
            for sock in self._of_family(session.peer):
                session = sock.expect(session)
            if len(self._sessions) >= _KNOWN:
                self._sessions.clear()
            self._sessions[peer] = session
        return session

    def _find_session(self, peer: Address) -> Session:
        candidates = self._of_family(peer)
        if not candidates:
            kind = "IPv6" if peer.is_ipv6 else "IPv4"
            raise OSError(errno.EAFNOSUPPORT, f"no way to {peer}: there is no {kind} socket here")
        general = next((sock for sock in candidates if sock.wildcard), candidates[0])
        if is_group(pack(peer.host)):
            # Its members answer in sessions of their own. There need be no route to a group.
            return Session(general.address, peer)
        if len(candidates) == 1 and not general.tells_destination:
            return Session(general.address, peer)
        source = source_address(peer)
        for sock in candidates:
            if sock.address == attrs.evolve(source, port=sock.address.port):
                return Session(sock.address, peer)
        if not general.tells_destination:
            return Session(general.address, peer)
        return Session(attrs.evolve(source, port=general.address.port), peer)

    def _route(self, session: Session) -> tuple[UdpSocket, SockAddr, Ancillary]:
        self._check_open()
        local = session.local
        candidates = self._of_family(session.peer)
        sock = next((s for s in candidates if s.address == local), None) or next(
            (s for s in candidates if s.wildcard), None
        )
        if sock is None:
            raise OSError(errno.EADDRNOTAVAIL, f"no socket is bound to {local}")
        route = (sock, to_sockaddr(session.peer), sock.ancillary(session))
        if len(self._routes) >= _KNOWN:
            self._routes.clear()
        self._routes[session] = route
        return route

    def _of_family(self, peer: Address) -> list[UdpSocket]:
        family = family_of(peer)
        return [sock for sock in self._sockets if sock.family == family]

    # -- receiving -------------------------------------------------------------------

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        async with trio.open_nursery() as nursery:
            for sock in self._all:
                nursery.start_soon(self._receive, sock, deliver, refused)
        raise trio.ClosedResourceError("this transport is closed")

    async def _receive(
        self, sock: UdpSocket, deliver: Callable[[Batch], None], refused: Refused | None
    ) -> None:
        lookout = Lookout()
        while not self._closed:
            batch: Batch = []
            try:
                await self._take_batch(sock, lookout, batch)
            except trio.ClosedResourceError:
                return
            if batch:
                deliver(batch)
            # An error alone makes the socket readable too, and keeps it so until it is read.
            if sock.tells_errors and (sock.errors_wait or not batch):
                for quoted, session in sock.take_refused():
                    if refused is not None:
                        refused(quoted, session)

    async def _take_batch(self, sock: UdpSocket, lookout: Lookout, batch: Batch) -> None:
        """Wait until something has arrived; there may be an error instead."""
        for _ in range(lookout.looks()):
            await trio.lowlevel.checkpoint()
            self._check_open()
            sock.receive(batch)
            if batch or sock.errors_wait:
                lookout.found()
                return
        await trio.lowlevel.wait_readable(sock.raw)
        sock.receive(batch)

    def poll(self) -> Batch:
        batch: Batch = []
        if not self._closed:
            for sock in self._all:
                sock.receive(batch)
        return batch

    # -- sending ---------------------------------------------------------------------

    def send(self, data: bytes, session: Session) -> bool:
        sock, destination, ancillary = self._routes.get(session) or self._route(session)
        try:
            return sock.send(data, destination, ancillary)
        except OSError:
            # The addresses of this machine may have changed.
            self._sessions.clear()
            for each in self._all:
                each.forget()
            raise

    async def wait_writable(self, session: Session) -> None:
        await trio.lowlevel.wait_writable(self._route(session)[0].raw)

    # -- closing ---------------------------------------------------------------------

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._sessions.clear()
        self._routes.clear()
        for sock in self._all:
            trio.lowlevel.notify_closing(sock.raw)
            sock.raw.close()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this transport is closed")


async def open_udp(
    host: str | Sequence[str] | None = None,
    port: int = 5683,
    *,
    datagram_size: int = 2048,
    groups: str | Sequence[str] = (),
    interfaces: str | int | Sequence[str | int] | None = None,
    reuse_port: bool = False,
) -> UdpTransport:
    """Bind UDP sockets for a server and return the transport.

    ``host`` is a name or an address, or several; None is every address of the machine. A
    machine without IPv6, or without IPv4, does without, unless ``host`` is such an address.
    Port 0 picks a free one, the same for all. ``datagram_size`` is in bytes; what is longer
    arrives cut to one byte more, on Windows whole.

    ``groups`` are multicast addresses to listen to at this port, such as ``ALL_COAP_NODES``
    (RFC 7252 section 8); what arrives has a session with ``group`` set. They are joined on
    ``interfaces``, by name (``"eth0"``) or index; None stands for those that have the
    addresses of ``host``, or, if it is None, for all that are up and can multicast, and the
    loopback. An interface that comes later is not joined. What cannot be joined, or is of a
    family that there is no socket of, is left out and logged, unless nothing is left. This is
    for Linux, and for IPv6 on other systems but Windows: the others do not say what was sent
    to a group.

    A port at an address, or at all of them, is one server's alone. Servers with different
    addresses may listen to the same groups at the same port. With ``reuse_port``, processes of
    one user share the port, if all of them say so: Linux alone, by SO_REUSEPORT. The kernel
    picks the socket by a hash of both addresses and ports, so a peer stays with one of them
    until a socket is bound or closed: then others may inherit it, who know nothing of its
    requests. A datagram to a group would reach all of them, so there can be no groups.
    ``open_workers`` does better: it keeps the sockets of a process that ends.

    Raises OSError if an address cannot be had, if there is no such interface, or if no group
    can be joined; its text says which. Raises ValueError for a group that is none.
    """
    wanted = read_groups(groups)
    if wanted and reuse_port:
        raise ValueError("each process that shares the port would answer what a group is asked")
    if interfaces is not None and not wanted:
        raise ValueError("interfaces are for groups: there are no groups")
    indexes = read_interfaces(interfaces)
    sockets = await bind(host, port, same_port=True, reuse_port=reuse_port)
    beside: list[socket.socket] = []
    try:
        memberships = join_groups(sockets, wanted, indexes) if wanted else {}
        beside += memberships
        return UdpTransport(sockets, datagram_size, memberships=memberships)
    except BaseException:
        _close_all([*sockets, *beside])
        raise


async def open_udp_client(
    host: str | Sequence[str] | None = None,
    port: int = 0,
    *,
    datagram_size: int = 2048,
    multicast_interface: str | None = None,
    multicast_hops: int = 1,
) -> UdpTransport:
    """Open UDP sockets for a client and return the transport.

    By default there is one for IPv4 and one for IPv6, as far as the machine has them, each
    with a free port, and the system picks the address that a datagram leaves from. ``host``
    and ``port`` bind them, as in ``open_udp``.

    What is sent to a group leaves by ``multicast_interface`` (``"eth0"``), or else by what
    the system picks, and passes at most ``multicast_hops`` links, from 0 to 255; 0 keeps it
    on this machine.

    Raises OSError if an address cannot be had, or if there is no such interface.
    """
    if not 0 <= multicast_hops <= 255:
        raise ValueError(f"multicast_hops is from 0 to 255, not {multicast_hops}")
    index = None if multicast_interface is None else interface_index(multicast_interface)
    sockets = await bind(host, port, same_port=False)
    try:
        for sock in sockets:
            limit_groups_to(sock, multicast_hops)
            if index is not None:
                send_groups_by(sock, index)
        return UdpTransport(sockets, datagram_size, client=True)
    except BaseException:
        _close_all(sockets)
        raise


def _close_all(sockets: Sequence[socket.socket]) -> None:
    for sock in sockets:
        sock.close()
