"""Where and how far a socket sends what is addressed to a group."""

from __future__ import annotations

import socket
import struct
import sys

#: struct ip_mreqn: group, local address, interface.
IP_MREQN = struct.Struct("=4s4si")


def send_groups_by(sock: socket.socket, index: int) -> None:
    """Let what goes to a group leave by this interface, whatever the routes say."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    elif sys.platform == "win32":
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("!I", index))
    else:
        option = IP_MREQN.pack(bytes(4), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, option)


def limit_groups_to(sock: socket.socket, hops: int) -> None:
    """Let what goes to a group pass this number of links; 1 keeps it on the link."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
