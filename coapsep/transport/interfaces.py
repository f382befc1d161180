"""The network interfaces of this machine: their numbers, and which of them a group is for."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from pathlib import Path

from coapsep.transport.sockaddr import pack

#: SIOCGIFFLAGS, and struct ifreq as far as it matters (netdevice(7)).
_GET_FLAGS = 0x8913
_IFREQ = struct.Struct("=16sH22x")
_UP, _LOOPBACK, _MULTICAST = 0x1, 0x8, 0x1000
_IPV6_ADDRESSES = Path("/proc/net/if_inet6")


def interface_index(interface: str | int) -> int:
    """The index of an interface that is given by its name or by that.

    Raises OSError, with those that exist in its text.
    """
    try:
        if isinstance(interface, int):
            socket.if_indextoname(interface)
            return interface
        return socket.if_nametoindex(interface)
    except (OSError, ValueError, OverflowError):  # ValueError: a null character
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise OSError(
            errno.ENODEV, f"no network interface {interface!r}; this machine has {names}"
        ) from None


def interface_name(index: int) -> str:
    """Its name, for people; its number if it has gone meanwhile."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)


def group_interfaces() -> list[int]:
    """The interfaces on which a group may be joined: those that are up and know of groups, and
    loopback, which says that it does not. Where the system does not tell, all there are."""
    found = socket.if_nameindex()
    if sys.platform == "linux":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            found = [(index, name) for index, name in found if _is_for_groups(sock, name)]
    return [index for index, _ in found]


def _is_for_groups(sock: socket.socket, name: str) -> bool:
    import fcntl  # there is none on Windows

    try:
        answer = fcntl.ioctl(sock, _GET_FLAGS, _IFREQ.pack(name.encode(), 0))
    except OSError:
        return False  # it has gone meanwhile
    flags: int = _IFREQ.unpack(answer)[1]
    return bool(flags & _UP and flags & (_MULTICAST | _LOOPBACK))


def interface_of(host: str) -> int:
    """The interface that has this IPv6 address. Raises OSError if that cannot be told."""
    packed = pack(host).hex()
    table = _IPV6_ADDRESSES.read_text() if _IPV6_ADDRESSES.exists() else ""
    for line in table.splitlines():
        address, index, *_ = line.split()
        if address == packed:
            return int(index, 16)
    raise OSError(errno.ENODEV, f"cannot tell which interface has {host}: name it in interfaces")
