"""Carries datagrams: what stands in the way, what flies, and where it lands.

What becomes of a datagram is settled when it is sent: from then on nothing stops it, not
even a partition that opens while it flies. Only whether anybody is there shows on arrival.
"""

from __future__ import annotations

import errno
from typing import TypeAlias

import attrs
import trio

from coapsep.address import Address
from coapsep.testing.conditions import Conditions
from coapsep.testing.filters import Drop
from coapsep.testing.hosts import is_group, parse_address
from coapsep.testing.link import IPV4_HEADERS, IPV6_HEADERS, Flow, Link
from coapsep.testing.parcel import Parcel, Refusal
from coapsep.testing.partition import Partition
from coapsep.testing.places import Places
from coapsep.testing.port import Port
from coapsep.testing.schedule import Schedule
from coapsep.trace.datagram import Datagram
from coapsep.trace.trace import Trace
from coapsep.transport.base import Batch

#: How much of a datagram an ICMP message quotes. On IPv4 it has at most 576 bytes (RFC 1812
#: section 4.3.2.3), on IPv6 at most 1280 (RFC 4443 section 2.4), with two pairs of headers.
_IPV4_QUOTE = 576 - 20 - 8 - IPV4_HEADERS
_IPV6_QUOTE = 1280 - 40 - 8 - IPV6_HEADERS

_Flight: TypeAlias = tuple[float, int, "tuple[Flow, Parcel] | Refusal"]


class Carrier:
    """The inside of a network; ``Network`` is its face."""

    def __init__(
        self, seed: int, conditions: Conditions, *, trace_limit: int | None, icmp: bool
    ) -> None:
        self.places: Places = Places(self._find_links)
        self.trace: Trace = Trace(trace_limit)
        self.partition: Partition | None = None
        self.drops: list[Drop] = []
        self._seed = seed
        self._default = conditions
        self._records = trace_limit != 0
        self._icmp = icmp
        self._links: dict[tuple[str, str], Link] = {}
        self._flows: dict[tuple[Address, Address], Flow] = {}
        self._schedule = Schedule(self._land)

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Let what flies land, until cancelled."""
        await self._schedule.run(task_status=task_status)

    # -- ways ------------------------------------------------------------------------

    def link(self, source: str, destination: str) -> Link:
        """The way from one host to another."""
        link = self._links.get((source, destination))
        if link is None:
            link = Link(source, destination, self._default)
            self._links[source, destination] = link
        return link

    def flow(self, source: Address, destination: Address) -> Flow:
        """What goes from one address to another.

        Raises OSError if they are of two families, ValueError for a host that cannot be one.
        """
        destination = parse_address(destination)
        flow = self._flows.get((source, destination))
        if flow is None:
            if source.is_ipv6 != destination.is_ipv6:
                raise OSError(errno.EAFNOSUPPORT, f"no way from {source} to {destination}")
            link = self._link_of(source, destination)
            flow = Flow(self._seed, source, destination, link, to_group=is_group(destination.host))
            self._flows[source, destination] = flow
        return flow

    def _link_of(self, source: Address, destination: Address) -> Link:
        return self.link(self.places.inside(source.host), self.places.inside(destination.host))

    def _find_links(self) -> None:
        for flow in self._flows.values():
            flow.link = self._link_of(flow.source, flow.destination)

    # -- sending ---------------------------------------------------------------------

    def carry(self, flow: Flow, data: bytes) -> None:
        """Send a datagram. Raises OSError if that was asked for."""
        if flow.link.error is not None:
            error = flow.link.error
            raise type(error)(*error.args)  # a new one: it will get a traceback
        now = trio.current_time()
        source, destination = flow.source, flow.destination
        group = None
        ways = [flow]
        if flow.to_group:
            group = destination
            ways = [self.flow(source, member) for member in self.places.reached_in(group, source)]
        elif self.places.nats:
            source = self.places.seen_from(destination, source)
        filtered = False
        for drop in tuple(self.drops):  # each one counts, whatever the others do
            filtered |= drop.drops(source, destination, data)
        landings: list[tuple[float, Flow]] = []
        lost = "" if ways else "nobody there"
        for way in ways:
            way.count += 1
            reason = "filter" if filtered else self._obstacle(way)
            if not reason:
                arrivals, reason = way.fate(len(data), now)
                landings += [(when, way) for when in arrivals]
            lost = reason or lost
        record = None
        if self._records:
            times = tuple([when for when, _ in landings])
            record = Datagram(now, source, destination, data, times, lost)
            self.trace.add(record)
        parcel = Parcel(source, group, data, record)
        for when, way in landings:
            self._schedule.add(when, (way, parcel))

    def _obstacle(self, flow: Flow) -> str:
        """What a datagram cannot pass, if there is anything."""
        link = flow.link
        if flow.destination.host in self.places.nats and link.source != link.destination:
            return "nat"  # an inner address means nothing outside
        if self.partition is not None and self.partition.separates(link.source, link.destination):
            return "partition"
        return ""

    # -- landing ---------------------------------------------------------------------

    def refuse(self, refusal: Refusal, when: float) -> None:
        """Let an ICMP message arrive at this time."""
        self._schedule.add(when, refusal)

    def _land(self, due: list[_Flight]) -> None:
        batches: dict[Port, Batch] = {}
        refusals: list[Refusal] = []
        for when, _, flight in due:
            if isinstance(flight, Refusal):
                refusals.append(flight)
                continue
            flow, parcel = flight
            group = parcel.group
            port = self.places.find(flow.destination)
            if port is None or (group is not None and not self.places.is_member(port, group)):
                self._lose(flow, parcel, when)
                continue
            session = port.session_with(parcel.source)
            if group is not None:
                session = attrs.evolve(session, group=group)
            batches.setdefault(port, []).append((parcel.data, session))
        for port, batch in batches.items():
            port.receive(batch)
        for refusal in refusals:
            told = self.places.find(refusal.source)
            if told is not None:
                told.refuse(refusal.quote, told.session_with(refusal.destination))

    def _lose(self, flow: Flow, parcel: Parcel, when: float) -> None:
        """Nobody took this copy."""
        unmapped = self.places.leads_nowhere(flow.destination)
        record = parcel.record
        if record is not None and record.arrivals is not None:
            arrivals = list(record.arrivals)
            arrivals.remove(when)
            lost = "nat" if unmapped else "nobody there"
            parcel.record = attrs.evolve(record, arrivals=tuple(arrivals), lost=lost)
            self.trace.replace(record, parcel.record)
        is_up = not unmapped and flow.link.destination in self.places.hosts
        if self._icmp and is_up and parcel.group is None:  # RFC 1122 section 3.2.2
            self._answer_for_nobody(flow, parcel)

    def _answer_for_nobody(self, flow: Flow, parcel: Parcel) -> None:
        back = self.flow(flow.destination, parcel.source)
        back.count += 1
        quote = parcel.data[: _IPV6_QUOTE if flow.source.is_ipv6 else _IPV4_QUOTE]
        if not self._obstacle(back):
            for when in back.fate(len(quote), trio.current_time())[0]:
                self.refuse(Refusal(quote, parcel.source, flow.destination), when)
