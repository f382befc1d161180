"""Groups that the sockets of a server are in, and on which interfaces.

A socket bound to a wildcard joins a group itself. One bound to an address would not hear
it, so each group gets a socket beside it, bound to the group. Several servers of a machine
can bind that one, each with an address of its own (SO_REUSEADDR); what is sent to a host is
for one of them only.
"""

from __future__ import annotations

import errno
import logging
import socket
import struct
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeAlias

from coapsep.address import Address
from coapsep.transport.bind import bind_socket
from coapsep.transport.interfaces import (
    group_interfaces,
    interface_index,
    interface_name,
    interface_of,
)
from coapsep.transport.multicast import IP_MREQN
from coapsep.transport.sockaddr import from_sockaddr, is_group, needs_scope, pack
from coapsep.transport.udp_socket import Membership, ask_for_destination

#: What each socket is in.
Memberships: TypeAlias = Mapping[socket.socket, Collection[Membership]]

_logger = logging.getLogger("coapsep.transport")

#: Level, IP_MULTICAST_ALL and IPV6_MULTICAST_ALL: whether a socket hears the groups that
#: others of this machine have joined. Python does not name them.
_HEARS_ALL: dict[int, tuple[int, int]] = (
    {socket.AF_INET: (socket.IPPROTO_IP, 49), socket.AF_INET6: (socket.IPPROTO_IPV6, 29)}
    if sys.platform == "linux"
    else {}
)


def read_groups(groups: str | Sequence[str]) -> tuple[bytes, ...]:
    """The packed addresses of groups, each once. Raises ValueError if one is not of a group."""
    names = (groups,) if isinstance(groups, str) else groups
    return tuple(dict.fromkeys([_read_group(name) for name in names]))


def _read_group(text: str) -> bytes:
    if not isinstance(text, str):
        raise TypeError(f"a group is a multicast address, not {text!r}")
    if "%" in text:
        raise ValueError(f"{text!r} names an interface: those of groups are in `interfaces`")
    try:
        packed = pack(text)
    except OSError:
        packed = bytes(4)
    if not is_group(packed):
        raise ValueError(
            f"{text!r} is not the address of a group, such as '224.0.1.187' or 'ff02::fd'"
        )
    return packed


def read_interfaces(interfaces: str | int | Sequence[str | int] | None) -> tuple[int, ...] | None:
    """The indexes of interfaces, each once; None leaves them to ``join_groups``.

    Raises OSError if there is no such interface, ValueError if none is named.
    """
    if interfaces is None:
        return None
    named = (interfaces,) if isinstance(interfaces, str | int) else interfaces
    if not named:
        raise ValueError("interfaces must name at least one, or be None")
    return tuple(dict.fromkeys([interface_index(interface) for interface in named]))


def join_groups(
    bound: Sequence[socket.socket], groups: Sequence[bytes], interfaces: Sequence[int] | None
) -> Memberships:
    """Join groups on these interfaces, or else on those that the sockets are for.

    Returns which socket is in what; those that are not in ``bound`` are new. What cannot be
    joined is left out and logged. Raises OSError if nothing can, with the first reason.
    """
    joining = _Joining(bound, interfaces)
    try:
        for group in groups:
            joining.join(group)
        return joining.finish()
    except BaseException:
        joining.close()
        raise


class _Joining:
    """What has been joined so far, and what has not."""

    def __init__(self, bound: Sequence[socket.socket], interfaces: Sequence[int] | None) -> None:
        self._bound = bound
        self._interfaces = interfaces
        self._joined: dict[socket.socket, set[Membership]] = {}
        self._beside: dict[Membership, socket.socket] = {}
        self._reasons: list[OSError] = []

    def join(self, group: bytes) -> None:
        """Join a group wherever it is wanted."""
        family = _family(group)
        addresses = [
            (sock, from_sockaddr(sock.getsockname()))
            for sock in self._bound
            if sock.family == family
        ]
        if not addresses:
            kind = "IPv6" if family == socket.AF_INET6 else "IPv4"
            why = OSError(errno.EAFNOSUPPORT, f"there is no {kind} socket here")
            self._leave_out(logging.INFO, group, "", why)
        for sock, address in addresses:
            is_general = not any(pack(address.host))
            for index, host in self._places(group, address, is_general):
                place = f" on {interface_name(index)}" if index else f" where {host} is"
                try:
                    member = sock if is_general else self._socket_beside(group, index, address)
                    _join(member, group, index, host)
                except OSError as exc:
                    level = logging.INFO if self._interfaces is None else logging.WARNING
                    self._leave_out(level, group, place, exc)
                else:
                    self._joined.setdefault(member, set()).add((group, index))

    def _places(
        self, group: bytes, address: Address, is_general: bool
    ) -> Iterator[tuple[int, str]]:
        """The interfaces for a socket; or 0, and the address by which the system finds it."""
        if self._interfaces is not None:
            indexes = list(self._interfaces)
        elif is_general:
            indexes = group_interfaces()
        elif not address.is_ipv6:
            yield 0, address.host
            return
        else:
            try:
                indexes = [address.scope_id or interface_of(address.host)]
            except OSError as exc:
                self._leave_out(logging.INFO, group, "", exc)
                return
        for index in indexes:
            yield index, "0.0.0.0"

    def _socket_beside(self, group: bytes, index: int, address: Address) -> socket.socket:
        # What is of one link only can be bound on one link only.
        scope = index if needs_scope(group) else 0
        if (group, scope) not in self._beside:
            beside = Address(_name(group), address.port, scope)
            self._beside[group, scope] = bind_socket(beside, shared=True)
        return self._beside[group, scope]

    def _leave_out(self, level: int, group: bytes, place: str, why: OSError) -> None:
        error = OSError(why.errno, f"cannot join {_name(group)}{place}: {why.strerror}")
        _logger.log(level, "%s: left out", error.strerror)
        self._reasons.append(error)

    def finish(self) -> Memberships:
        """What has been joined. Raises OSError if that is nothing."""
        if not self._joined:
            none = OSError(errno.ENODEV, "cannot join groups: no interface that is up knows of any")
            raise self._reasons[0] if self._reasons else none
        for sock in self._beside.values():
            if sock not in self._joined:
                sock.close()
        return self._joined

    def close(self) -> None:
        """Close what was opened."""
        for sock in self._beside.values():
            sock.close()


def _join(sock: socket.socket, group: bytes, index: int, host: str) -> None:
    if not ask_for_destination(sock):
        # Whoever is asked by a group must know it (RFC 7252 section 8.2).
        raise OSError(errno.EOPNOTSUPP, "this system does not say what was sent to a group")
    if sock.family in _HEARS_ALL:
        try:
            sock.setsockopt(*_HEARS_ALL[sock.family], 0)
        except OSError as exc:  # IPv6 has had it since Linux 4.20; we look at each one anyway
            _logger.debug("hears groups of others as well: %s", exc)
    try:
        if sock.family == socket.AF_INET6:
            option = group + struct.pack("=I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, option)
        else:
            option = IP_MREQN.pack(group, pack(host), index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, option)
    except OSError as exc:
        if exc.errno != errno.EADDRINUSE:  # two addresses on one interface
            raise


def _family(group: bytes) -> socket.AddressFamily:
    return socket.AF_INET6 if len(group) == 16 else socket.AF_INET


def _name(group: bytes) -> str:
    return socket.inet_ntop(_family(group), group)
