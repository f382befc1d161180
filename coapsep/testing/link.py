"""The ways between hosts, and what becomes of a datagram on one.

A ``Link`` is one direction between two hosts. Conditions are set for it, and all that goes
there shares its bandwidth. A ``Flow`` is what goes from one address to another over a link,
and has fates of its own: with those of two sockets on one host independent of each other, it
does not matter in which order Trio runs the two tasks that send at the same instant.
"""

from __future__ import annotations

import math
import struct
from hashlib import blake2s

from coapsep.address import Address
from coapsep.testing.conditions import Conditions

#: Bytes of IP (without options) and UDP.
IPV4_HEADERS, IPV6_HEADERS = 20 + 8, 40 + 8

#: Drawn for each datagram, whatever the conditions: loss, duplication, and for each of two
#: copies whether it is held back, and its jitter.
_DRAWS = struct.Struct("<6I")
_DRAW_RANGE = 1 << 32


class Link:
    """One direction between two hosts."""

    __slots__ = ("_conditions", "_free_at", "destination", "error", "is_random", "source")

    def __init__(self, source: str, destination: str, conditions: Conditions) -> None:
        self.source: str = source
        self.destination: str = destination
        #: What sending on this link raises, if anything.
        self.error: OSError | None = None
        #: Whether anything is left to chance.
        self.is_random: bool = False
        self._free_at = -math.inf
        self.conditions = conditions

    @property
    def conditions(self) -> Conditions:
        """What holds for whatever is sent from now on."""
        return self._conditions

    @conditions.setter
    def conditions(self, conditions: Conditions) -> None:
        self._conditions = conditions
        self.is_random = bool(
            conditions.loss or conditions.duplication or conditions.jitter or conditions.reordering
        )

    def transmit(self, size: int, now: float) -> float | None:
        """When the last byte of a packet has been sent; None if the queue has no room for it."""
        bandwidth = self._conditions.bandwidth
        start = max(now, self._free_at)
        # Half a byte makes up for rounding.
        if (start - now) * bandwidth > self._conditions.queue + 0.5:
            return None
        self._free_at = start + size / bandwidth
        return self._free_at


class Flow:
    """The datagrams from one address to another."""

    __slots__ = ("_headers", "_name", "count", "destination", "link", "source", "to_group")

    def __init__(
        self, seed: int, source: Address, destination: Address, link: Link, *, to_group: bool
    ) -> None:
        self.source: Address = source
        self.destination: Address = destination
        self.link: Link = link
        self.to_group: bool = to_group
        #: Datagrams sent so far, whatever became of them.
        self.count: int = 0
        self._headers = IPV6_HEADERS if source.is_ipv6 else IPV4_HEADERS
        self._name = f"{seed} {source} {destination}".encode()

    def fate(self, size: int, now: float) -> tuple[tuple[float, ...], str]:
        """When the last counted datagram arrives, and in a word why it does not.

        What is random is a function of the seed, the two addresses, and ``count``.
        """
        link = self.link
        conditions = link.conditions
        size += self._headers
        if size > conditions.mtu:
            return (), "mtu"
        start = now
        if conditions.bandwidth != math.inf:
            sent = link.transmit(size, now)
            if sent is None:
                return (), "queue"
            start = sent
        start += conditions.delay
        if not link.is_random:
            return (start,), ""
        loss, duplication, held, jitter, held_copy, jitter_copy = self._draws()
        if loss < conditions.loss:
            return (), "loss"
        arrival = start + _late(conditions, held, jitter)
        if duplication >= conditions.duplication:
            return (arrival,), ""
        copy = start + _late(conditions, held_copy, jitter_copy)
        return (min(arrival, copy), max(arrival, copy)), ""

    def _draws(self) -> list[float]:
        # A generator would have to draw for all that came before, or keep 2.5 kB a flow; a
        # hash finds those of any one at once. Unlike hash(), it is the same in every process.
        digest = blake2s(b"%d %b" % (self.count, self._name), digest_size=_DRAWS.size).digest()
        return [number / _DRAW_RANGE for number in _DRAWS.unpack(digest)]


def _late(conditions: Conditions, held: float, jitter: float) -> float:
    late = conditions.jitter * jitter
    return late + conditions.reordering_delay if held < conditions.reordering else late
