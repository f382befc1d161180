"""Who is where: the ports that are open, the groups they are in, and the hosts behind NATs."""

from __future__ import annotations

import errno
from collections.abc import Callable

from coapsep.address import Address
from coapsep.testing.hosts import Ports, parse_group
from coapsep.testing.nat import Nat
from coapsep.testing.port import Port


class Places:
    """``moved`` is called when a host has got an address that others may know already."""

    def __init__(self, moved: Callable[[], None]) -> None:
        #: Hosts that are up, for ICMP.
        self.hosts: set[str] = set()
        #: NATs, by the host behind each.
        self.nats: dict[str, Nat] = {}
        self._moved = moved
        self._ports: dict[Address, Port] = {}
        self._free_ports: dict[str, Ports] = {}
        self._groups: dict[Address, dict[Port, None]] = {}  # an ordered set
        self._outside: dict[str, Nat] = {}  # by each of their addresses, past ones as well

    # -- ports -----------------------------------------------------------------------

    def bind(self, host: str, number: int) -> Port:
        """Open a port; 0 picks a free one. Raises OSError if there is none, or it is taken."""
        if host in self._outside:
            raise OSError(errno.EADDRNOTAVAIL, f"{host} belongs to a NAT")
        if number == 0:
            address = self._free_ports.setdefault(host, Ports()).free(self._ports, host)
        else:
            address = Address(host, number)
            if address in self._ports:
                raise OSError(errno.EADDRINUSE, f"{address} is taken")
        port = self._ports[address] = Port(address)
        self.hosts.add(host)
        return port

    def release(self, port: Port) -> None:
        """Close a port, and leave its groups."""
        port.close()
        if self._ports.get(port.address) is port:
            del self._ports[port.address]
        for members in self._groups.values():
            members.pop(port, None)

    def find(self, address: Address) -> Port | None:
        """Who is reached at an address, just now."""
        port = self._ports.get(address)
        if port is None and address.host in self._outside:
            inner = self._outside[address.host].inner(address)
            return None if inner is None else self._ports.get(inner)
        return port

    # -- groups ----------------------------------------------------------------------

    def join(self, port: Port, group: str) -> None:
        """Let a port receive what is sent to its number in a group."""
        self._groups.setdefault(_group_for(port, group), {})[port] = None

    def leave(self, port: Port, group: str) -> None:
        """Let it do so no more."""
        self._groups.get(_group_for(port, group), {}).pop(port, None)

    def is_member(self, port: Port, group: Address) -> bool:
        """Whether a port is in a group."""
        return port in self._groups.get(group, ())

    def reached_in(self, group: Address, sender: Address) -> list[Address]:
        """The members of a group that a sender reaches: not itself, and none through a NAT."""
        if sender.host in self.nats:
            return []
        return [
            member.address
            for member in self._groups.get(group, ())
            if member.address != sender and member.address.host not in self.nats
        ]

    # -- NATs ------------------------------------------------------------------------

    def add_nat(self, host: str, outer_host: str) -> Nat:
        """Put a NAT in front of a host."""
        if host in self.nats or host in self._outside:
            raise ValueError(f"{host} has a NAT, or belongs to one")
        nat = self.nats[host] = Nat(host, outer_host, self._claim)
        return nat

    def _claim(self, nat: Nat, outer_host: str) -> str:
        if self._outside.get(outer_host, nat) is not nat:
            raise ValueError(f"{outer_host} belongs to another NAT")
        if outer_host == nat.host or any(outer_host == port.host for port in self._ports):
            raise ValueError(f"{outer_host} is a host: a NAT needs an address of its own")
        self._outside[outer_host] = nat
        self._moved()
        return outer_host

    def inside(self, host: str) -> str:
        """The host behind a NAT, if this is an address of one; else itself."""
        nat = self._outside.get(host)
        return host if nat is None else nat.host

    def leads_nowhere(self, address: Address) -> bool:
        """Whether this is an address of a NAT that stands for nothing, or no more."""
        nat = self._outside.get(address.host)
        return nat is not None and nat.inner(address) is None

    def seen_from(self, destination: Address, source: Address) -> Address:
        """The source of a datagram as its receiver sees it."""
        nat = self.nats.get(source.host)
        if nat is None or destination.host == nat.host:
            return source
        return nat.outer(source.port)


def _group_for(port: Port, group: str) -> Address:
    """The address of a group for a port."""
    address = Address(parse_group(group), port.address.port)
    if address.is_ipv6 != port.address.is_ipv6:
        raise ValueError(f"{port.address} cannot be in {group}: that is another family")
    return address
