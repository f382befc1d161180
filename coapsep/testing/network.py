"""A virtual network: hosts, and the links between them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import asynccontextmanager

import trio

from coapsep.address import Address
from coapsep.background import open_background
from coapsep.numbers import Code, Type
from coapsep.testing.carrier import Carrier
from coapsep.testing.conditions import Conditions
from coapsep.testing.filters import Drop
from coapsep.testing.hosts import parse_address, parse_any, parse_host
from coapsep.testing.nat import Nat
from coapsep.testing.parcel import Refusal
from coapsep.testing.partition import Partition
from coapsep.testing.virtual_transport import VirtualTransport
from coapsep.trace.trace import Trace


class Network:
    """Hosts that are known by their IP addresses; ``open_network`` makes one.

    Repeatable: how long a datagram takes, and whether it is lost, doubled or held back, is a
    function of the seed, the addresses it goes from and to, and its number among those that
    went there. Two things depend on more: the wait for bandwidth, on all that goes between
    the two hosts, and arrival, on whether anybody is there. Datagrams that arrive at the same
    time are delivered by one task, in the order in which they were sent.

    A host comes into being when it is first named. All methods that take one take an IP
    address, and raise ValueError for anything else.
    """

    def __init__(self, carrier: Carrier) -> None:
        self._carrier = carrier

    @property
    def trace(self) -> Trace:
        """Everything that was sent, in order, with its fate.

        ``lost`` is "loss", "queue" or "mtu" (the conditions of the link), "filter",
        "partition", "nat" (an address that leads nowhere, or no more), or "nobody there",
        which shows only on arrival. Addresses are those outside of a NAT. What is sent to a
        group is in it once, with the arrivals at all its members.
        """
        return self._carrier.trace

    # -- hosts -----------------------------------------------------------------------

    def bind(
        self, host: str, port: int = 5683, *, groups: str | Iterable[str] = ()
    ) -> VirtualTransport:
        """A transport at this address, to be handed to a server or client, or driven by a test.

        Port 0 picks a free one, from 49152 up. What arrives before the transport runs is
        kept. ``groups`` are those to join. Raises OSError if the address is taken
        (EADDRINUSE), or is a NAT's, and ValueError for a group that it cannot be in.
        """
        places = self._carrier.places
        transport = VirtualTransport(self._carrier, places.bind(parse_host(host), port))
        try:
            for group in (groups,) if isinstance(groups, str) else groups:
                transport.join(group)
        except BaseException:
            transport.close()
            raise
        return transport

    def add_host(self, host: str) -> None:
        """Let a host be up with nothing bound; with ICMP, it refuses what it is sent.

        A host that something was bound on is up anyway.
        """
        self._carrier.places.hosts.add(parse_host(host))

    def nat(self, host: str, outer_host: str) -> Nat:
        """Put a NAT in front of a host, which others then know by addresses of ``outer_host``.

        They reach a port of the host at ``Nat.outer(port)``. Links and partitions know the
        host by its own name. Raises ValueError if it has a NAT, or ``outer_host`` is in use.
        """
        return self._carrier.places.add_nat(parse_host(host), parse_host(outer_host))

    # -- links -----------------------------------------------------------------------

    def link(self, source: str, destination: str, conditions: Conditions) -> None:
        """Set the conditions from one host to another, in this direction, from now on.

        To a group, those of the links to its members hold.
        """
        self._carrier.link(parse_host(source), parse_host(destination)).conditions = conditions

    def partition(self, *sides: str | Iterable[str]) -> None:
        """Lose whatever is sent from one of these sets of hosts to another, until ``heal``.

        A single set is cut off from all other hosts; with more, a host that is in none of
        them reaches all. It takes the place of an earlier partition. What flies when it
        opens arrives. Raises ValueError if a host is in two sets.
        """
        self._carrier.partition = Partition(sides)

    def heal(self) -> None:
        """End the partition. What it lost stays lost."""
        self._carrier.partition = None

    def fail_sends(self, source: str, destination: str, error: OSError | None) -> None:
        """Let ``send`` from one host to another, or to a group, raise this; None ends it."""
        self._carrier.link(parse_host(source), parse_any(destination)).error = error

    # -- filters ---------------------------------------------------------------------

    def drop(
        self,
        *,
        source: str | Address | None = None,
        destination: str | Address | None = None,
        kind: Type | None = None,
        code: Code | None = None,
        mid: int | None = None,
        token: bytes | None = None,
        matching: Callable[[Address, Address, bytes], bool] | None = None,
        nth: int | Collection[int] | None = None,
    ) -> Drop:
        """Lose the datagrams that match all that is given, and count them.

        ``source`` and ``destination`` are hosts or addresses, as in the trace. ``kind``,
        ``code``, ``mid`` and ``token`` are those of the message; what is malformed has no code
        and no token. ``matching`` is called with source, destination and bytes of what
        matches all the rest. ``nth`` is which of those that match to lose, counted from 1:
        one number, or several; None loses all. So the second ACK from a to b is
        ``drop(source=a, destination=b, kind=Type.ACK, nth=2)``.

        Each drop counts every datagram that is sent, whether or not another one loses it.
        Raises ValueError if ``nth`` is not such a number.
        """
        drop = Drop(
            source=source,
            destination=destination,
            kind=kind,
            code=code,
            mid=mid,
            token=token,
            matching=matching,
            nth=nth,
            remove=self._remove,
        )
        self._carrier.drops.append(drop)
        return drop

    def _remove(self, drop: Drop) -> None:
        if drop in self._carrier.drops:
            self._carrier.drops.remove(drop)

    # -- ICMP ------------------------------------------------------------------------

    def refuse(self, quote: bytes, source: Address, destination: Address) -> None:
        """Forge an ICMP port unreachable message, which arrives at once.

        It claims that a datagram from ``source`` to ``destination``, which began with
        ``quote``, found nobody. Whether there was one is not asked, as with an attacker's;
        the transport at ``source`` is told, if there is one.
        """
        refusal = Refusal(quote, parse_address(source), parse_address(destination))
        self._carrier.refuse(refusal, trio.current_time())


@asynccontextmanager
async def open_network(
    *,
    seed: int = 0,
    conditions: Conditions | None = None,
    trace_limit: int | None = None,
    icmp: bool = False,
) -> AsyncGenerator[Network, None]:
    """A network for the length of a block.

    ``conditions`` hold for all links not set apart. ``trace_limit`` is the number of
    datagrams to keep in the trace: None keeps all, 0 none, which is for long simulations.
    With ``icmp``, a host that is up answers a datagram to a port that nobody is at with a
    port unreachable message, which takes its way back and quotes up to 520 bytes (IPv4) or
    1184 (IPv6) of it; without, it is silent, as most hosts behind a firewall are.
    """
    carrier = Carrier(seed, conditions or Conditions(), trace_limit=trace_limit, icmp=icmp)
    async with open_background(carrier.run):
        yield Network(carrier)
