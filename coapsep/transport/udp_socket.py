"""One bound UDP socket, read and written without waiting.

A reply must leave from the address that was asked. A socket bound to one address does that
by itself; one bound to a wildcard has to be told each time (IP_PKTINFO, IPV6_PKTINFO), and
asks of each datagram where it was sent to. So does one that is in a group: what was sent to
a group is answered from another address. A client's socket does without: the system picks
the address it sends from. Instead, it asks for the errors of the network.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections.abc import Collection, Sequence
from typing import TypeAlias

import attrs

from coapsep.address import Address, Session
from coapsep.transport.base import Batch
from coapsep.transport.error_queue import ask_for_errors, read_error
from coapsep.transport.sockaddr import (
    SockAddr,
    from_sockaddr,
    is_group,
    needs_scope,
    pack,
    to_sockaddr,
)
from coapsep.transport.source import source_address

Ancillary: TypeAlias = list[tuple[int, int, bytes]]
#: A group, packed, and the index of the interface that it was joined on; 0 if the system
#: knows better.
Membership: TypeAlias = tuple[bytes, int]

_logger = logging.getLogger("coapsep.transport")

#: Linux has had it since 2.2; Python names it only from 3.14 on.
_IP_PKTINFO: int | None = getattr(socket, "IP_PKTINFO", 8 if sys.platform == "linux" else None)
_IN_PKTINFO = struct.Struct("=I4s4s")  # interface, local address, destination of the header
_IN6_PKTINFO = struct.Struct("=16sI")  # address, interface

#: Datagrams, and errors, taken from a socket before the handlers get their turn.
_BATCH = 64
#: Sessions whose addresses are kept in the form that the socket has.
_KNOWN = 32768
#: Windows does not cut a datagram that is too long for the buffer, it throws it away.
_SYSTEM_CUTS = sys.platform != "win32"
_LONGEST = 65536
#: What an ICMP message does to a socket on some systems. It is nobody's word but the
#: network's, and ends nothing.
_ICMP = (ConnectionRefusedError, ConnectionResetError)
#: Attempts to send a datagram; True is the last. When many peers have gone at once, the next
#: error is often there before the second one.
_ATTEMPTS = (False, False, False, False, True)


def ask_for_destination(sock: socket.socket) -> bool:
    """Whether this socket says from now on where each datagram was sent to."""
    if not hasattr(sock, "recvmsg"):
        return False  # Windows
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    elif _IP_PKTINFO is not None:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    else:
        return False
    return True


class UdpSocket:
    """One bound socket.

    ``groups`` are those it is in. One that is bound to a group sends nothing: what it hears
    is answered from one of ``homes``, bound to an address each.
    """

    def __init__(
        self,
        sock: socket.socket,
        datagram_size: int,
        *,
        client: bool,
        groups: Collection[Membership] = (),
        homes: Sequence[Address] = (),
    ) -> None:
        self.raw: socket.socket = sock
        self.family: int = sock.family
        self.address: Address = from_sockaddr(sock.getsockname())
        self.wildcard: bool = self.address.host in ("0.0.0.0", "::")
        self._groups = frozenset(groups)
        self._homes = tuple(homes)
        # One byte more than is allowed shows that a datagram is too long.
        self._size = datagram_size + 1 if _SYSTEM_CUTS else _LONGEST
        #: Datagrams to a group that it is not in, or to all: nobody may be answered for one.
        self.dropped: int = 0
        #: Errors of the network that are no reason to give up.
        self.ignored_errors: int = 0
        self._sessions: dict[tuple[SockAddr, bytes], Session] = {}
        asks = not client and (self.wildcard or bool(groups))
        self.tells_destination: bool = asks and ask_for_destination(sock)
        self.tells_errors: bool = client and ask_for_errors(sock)
        #: A call has failed with the last error of the queue; the queue still has it.
        self.errors_wait: bool = False

    def forget(self) -> None:
        """The addresses of this machine may have changed."""
        self._sessions.clear()

    def expect(self, session: Session) -> Session:
        """Have what arrives in a session like this one be in the very same one.

        To compare equal ones, as tables would for each datagram, costs more than to find them.
        """
        if self.tells_destination or session.local != self.address:
            return session
        key = to_sockaddr(session.peer), b""
        return self._sessions.get(key) or self._learn(key, session)

    # -- what arrives ----------------------------------------------------------------

    def receive(self, batch: Batch) -> None:
        """Add what has arrived, up to the size of a batch."""
        read = self._read_with_destination if self.tells_destination else self._read
        for _ in range(_BATCH - len(batch)):
            try:
                datagram = read()
            except BlockingIOError:
                return
            except OSError as exc:
                # It is about a datagram of ours, and told once.
                self.errors_wait = self.tells_errors
                _logger.debug("receiving on %s: %s", self.address, exc)
                continue
            if datagram is None:
                self.dropped += 1
            else:
                batch.append(datagram)

    def _read(self) -> tuple[bytes, Session]:
        data, source = self.raw.recvfrom(self._size)
        session = self._sessions.get((source, b""))
        if session is None:
            session = self._learn((source, b""), Session(self.address, from_sockaddr(source)))
        return data, session

    def _read_with_destination(self) -> tuple[bytes, Session] | None:
        data, ancillary, _, source = self.raw.recvmsg(self._size, 128)
        info = ancillary[0][2] if ancillary else b""
        session = self._sessions.get((source, info))
        if session is None:
            found = self._session(from_sockaddr(source), info)
            if found is None:
                return None
            session = self._learn((source, info), found)
        return data, session

    def _session(self, peer: Address, info: bytes) -> Session | None:
        """The session of a datagram; None if that was not for us."""
        ours = b""
        if self.family == socket.AF_INET6 and len(info) == _IN6_PKTINFO.size:
            destination, interface = _IN6_PKTINFO.unpack(info)
            is_ours = not is_group(destination)
        elif self.family == socket.AF_INET and len(info) == _IN_PKTINFO.size:
            interface, ours, destination = _IN_PKTINFO.unpack(info)
            is_ours = ours == destination  # they differ for a broadcast and for a group
        else:
            return Session(self.address, peer)
        scope = interface if needs_scope(destination) else 0
        host = socket.inet_ntop(self.family, destination)
        asked = Address(host, self.address.port, scope)
        if is_ours:
            return Session(asked, peer)
        if not {(destination, interface), (destination, 0)} & self._groups:
            return None  # nobody may be answered for one
        return Session(self._answering_address(peer, ours), peer, group=asked)

    def _answering_address(self, peer: Address, ours: bytes) -> Address:
        """Where the answer to a peer that asked a group leaves from.

        ``ours`` is what IPv4 says of it; there may be no address on the interface.
        """
        port = self.address.port
        if ours:
            source = Address(socket.inet_ntoa(ours), port)
        else:
            try:
                source = attrs.evolve(source_address(peer), port=port)
            except OSError:
                source = self.address
        if not self._homes:
            return source
        near = (home for home in self._homes if home.scope_id == peer.scope_id)
        return source if source in self._homes else next(near, self._homes[0])

    def _learn(self, key: tuple[SockAddr, bytes], session: Session) -> Session:
        if len(self._sessions) >= _KNOWN:
            self._sessions.clear()
        self._sessions[key] = session
        return session

    # -- what did not arrive ---------------------------------------------------------

    def take_refused(self) -> Batch:
        """Empty the error queue, a bounded number at a time.

        Returns what is quoted of the datagrams that found nobody at their port, each with
        the session it was sent in.
        """
        refused: Batch = []
        self.errors_wait = False
        for _ in range(_BATCH):
            try:
                error = read_error(self.raw, self._size)
            except OSError:
                return refused
            if error is None:
                continue
            if error.port_unreachable:
                refused.append((error.quoted, Session(self.address, error.destination)))
            else:
                self.ignored_errors += 1
        # The rest makes the socket readable at once.
        return refused

    # -- what leaves -----------------------------------------------------------------

    def send(self, data: bytes, destination: SockAddr, ancillary: Ancillary) -> bool:
        """Send a datagram; False if that would block. Raises OSError if it is refused."""
        for last in _ATTEMPTS:
            try:
                if ancillary:
                    self.raw.sendmsg([data], ancillary, 0, destination)
                else:
                    self.raw.sendto(data, destination)
            except BlockingIOError:
                return False
            except OSError as exc:
                if exc.errno == errno.ENOBUFS:
                    # It was lost before it reached the wire. Linux says so only to a socket
                    # that asks for errors; to others it is a loss like any.
                    return True
                # It may be about an earlier datagram, perhaps to somebody else; this one
                # was not sent. The failing call has cleared it, but not the queue.
                self.errors_wait = self.tells_errors
                if last or not (self.tells_errors or isinstance(exc, _ICMP)):
                    raise
            else:
                return True
        raise AssertionError("the last attempt returns or raises")

    def ancillary(self, session: Session) -> Ancillary:
        """What makes a datagram leave from the session's local address, or by the interface
        of its group: the system heeds the zone of a link's groups only."""
        local, peer = session.local, session.peer
        if peer.scope_id and hasattr(self.raw, "sendmsg") and is_group(pack(peer.host)):
            info = _IN6_PKTINFO.pack(bytes(16), peer.scope_id)
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        if not self.tells_destination or local.host == self.address.host:
            return []
        if self.family == socket.AF_INET6:
            info = _IN6_PKTINFO.pack(pack(local.host), local.scope_id)
            return [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info)]
        assert _IP_PKTINFO is not None  # else it would not tell the destination
        info = _IN_PKTINFO.pack(0, pack(local.host), b"\0\0\0\0")
        return [(socket.IPPROTO_IP, _IP_PKTINFO, info)]
