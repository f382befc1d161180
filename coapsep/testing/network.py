"""Virtual hosts and the links between them.

Repeatable: what happens to a datagram is a function of the seed, its link, and its number
on that link. Datagrams that arrive at the same time are delivered by one task, in the order
in which they were sent, so that Trio's shuffling of tasks does not matter here.
"""

from __future__ import annotations

import errno
import heapq
import math
import random
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager

import attrs
import trio

from coapsep.address import Address, Session
from coapsep.background import open_background
from coapsep.transport.base import Batch, Transport


def _probability(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} is a probability from 0 to 1, not {value!r}")


def _seconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{attribute.name} is zero or more seconds, not {value!r}")


@attrs.frozen(kw_only=True)
class Conditions:
    """What one direction of a link does to datagrams."""

    delay: float = attrs.field(default=0.01, validator=_seconds)
    """Seconds from sending to arrival."""

    jitter: float = attrs.field(default=0.0, validator=_seconds)
    """Up to this many seconds more, drawn for each datagram: they overtake one another."""

    loss: float = attrs.field(default=0.0, validator=_probability)
    """Probability that a datagram is lost."""

    duplication: float = attrs.field(default=0.0, validator=_probability)
    """Probability that it arrives twice, each time after a delay of its own."""


@attrs.frozen
class Sent:
    """A datagram that was sent, and its fate: when it arrives, () for never."""

    time: float
    source: Address
    destination: Address
    data: bytes
    arrivals: tuple[float, ...]


class Network:
    """Hosts that are known by their addresses; ``open_network`` makes one.

    ``filter``, if set, sees every datagram first; the link loses those for which it returns
    False.
    """

    def __init__(self, seed: int, conditions: Conditions) -> None:
        self._seed = seed
        self._default = conditions
        self._conditions: dict[tuple[str, str], Conditions] = {}
        self._counts: dict[tuple[Address, Address], int] = {}
        self._apart: tuple[frozenset[str], ...] = ()
        self._transports: dict[Address, VirtualTransport] = {}
        self._flying: list[tuple[float, int, Address, Address, bytes]] = []
        self._sequence = 0
        self._alarm = trio.CancelScope()
        self.filter: Callable[[Address, Address, bytes], bool] | None = None
        #: Everything that was sent, in order.
        self.log: list[Sent] = []

    def bind(self, host: str, port: int = 5683) -> VirtualTransport:
        """A transport at this address, to be handed to a server or driven by a test.

        Raises OSError (EADDRINUSE) if the address is taken.
        """
        address = Address(host, port)
        if address in self._transports:
            raise OSError(errno.EADDRINUSE, f"{address} is taken")
        transport = self._transports[address] = VirtualTransport(self, address)
        return transport

    def link(self, source: str, destination: str, conditions: Conditions) -> None:
        """Set the conditions from one host to another, in this direction."""
        self._conditions[source, destination] = conditions

    def partition(self, *sides: Iterable[str]) -> None:
        """Lose everything between these sets of hosts, until ``heal``."""
        self._apart = tuple(frozenset(side) for side in sides)

    def heal(self) -> None:
        """End the partition. What it lost stays lost."""
        self._apart = ()

    # -- for transports --------------------------------------------------------------

    def _send(self, source: Address, destination: Address, data: bytes) -> None:
        now = trio.current_time()
        arrivals = tuple(now + delay for delay in self._delays(source, destination, data))
        self.log.append(Sent(now, source, destination, data, arrivals))
        for when in arrivals:
            self._sequence += 1
            heapq.heappush(self._flying, (when, self._sequence, source, destination, data))
            self._alarm.deadline = min(self._alarm.deadline, when)

    def _delays(self, source: Address, destination: Address, data: bytes) -> list[float]:
        count = self._counts[source, destination] = self._counts.get((source, destination), 0) + 1
        if self.filter is not None and not self.filter(source, destination, data):
            return []
        sides = [side for side in self._apart if source.host in side or destination.host in side]
        if len(sides) > 1:
            return []
        conditions = self._conditions.get((source.host, destination.host), self._default)
        fate = random.Random(f"{self._seed} {source} {destination} {count}")
        lost, twice = fate.random() < conditions.loss, fate.random() < conditions.duplication
        copies = 0 if lost else 2 if twice else 1
        return [conditions.delay + fate.uniform(0, conditions.jitter) for _ in range(copies)]

    def _unbind(self, transport: VirtualTransport) -> None:
        if self._transports.get(transport.address) is transport:
            del self._transports[transport.address]

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        while True:
            deadline = self._flying[0][0] if self._flying else math.inf
            with trio.CancelScope(deadline=deadline) as self._alarm:
                await trio.sleep_forever()
            now = trio.current_time()
            while self._flying and self._flying[0][0] <= now:
                _, _, source, destination, data = heapq.heappop(self._flying)
                transport = self._transports.get(destination)
                if transport is not None:
                    transport._arrive(data, source)


class VirtualTransport(Transport):
    """One address of a virtual network."""

    def __init__(self, network: Network, address: Address) -> None:
        self._network = network
        self.address = address
        self._deliver: Callable[[Batch], None] | None = None
        self._early: Batch = []
        self._over = trio.Event()
        self._failure: BaseException | None = None

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self.address,)

    async def run(self, deliver: Callable[[Batch], None], lost: Callable[[Session], None]) -> None:
        self._deliver = deliver
        try:
            early = self.poll()
            if early:
                deliver(early)
            await self._over.wait()
        finally:
            self._deliver = None
        if self._failure is not None:
            raise self._failure
        raise trio.ClosedResourceError("this transport is closed")

    def poll(self) -> Batch:
        early, self._early = self._early, []
        return early

    def send(self, data: bytes, session: Session) -> bool:
        if self._over.is_set():
            raise trio.ClosedResourceError("this transport is closed")
        self._network._send(self.address, session.peer, data)
        return True

    async def wait_writable(self, session: Session) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._over.set()
        self._network._unbind(self)

    def _arrive(self, data: bytes, source: Address) -> None:
        batch = [(data, Session(self.address, source, "virtual"))]
        if self._deliver is None:
            self._early += batch
            return
        try:
            self._deliver(batch)
        except BaseException as exc:
            # It happened in the network's task, and belongs to the one that called ``run``.
            self._failure = exc
            self._over.set()


@asynccontextmanager
async def open_network(
    *, seed: int = 0, conditions: Conditions | None = None
) -> AsyncGenerator[Network, None]:
    """A network for the length of a block. ``conditions`` hold for all links not set apart."""
    network = Network(seed, conditions or Conditions())
    async with open_background(network._run):
        yield network
