"""Deduplication (RFC 7252 section 4.5): which message IDs arrived, and what was replied.

The table is bounded in entries and in bytes, with a quota for each peer. When it is full,
the oldest entry leaves whose repetition would do least harm: that of a NON or of an
idempotent request that is done, of the peer that holds most of them. An entry in progress
never leaves: running its request again is what the table is for.
"""

from __future__ import annotations

import math
from collections import deque

from coapsep.params import Limits, Tuning
from coapsep.protocol.peers import Peer, Peers
from coapsep.protocol.statistics import Counters

#: Entries that share one expiry record, seconds. An entry lives up to this much too long.
_GRAIN = 0.125


class Entry:
    """One message ID of one peer. ``reply`` is what a copy gets; None is nothing."""

    __slots__ = ("mid", "peer", "reply")

    def __init__(self, peer: Peer, mid: int) -> None:
        self.peer = peer
        self.mid = mid
        self.reply: bytes | None = None


class _Ranking:
    """Peers by how many evictable entries they have; the one with most in O(1)."""

    def __init__(self) -> None:
        self._levels: dict[int, dict[Peer, None]] = {}
        self._most = 0

    def move(self, peer: Peer, old: int, new: int) -> None:
        levels = self._levels
        if old:
            level = levels[old]
            del level[peer]
            if not level:
                del levels[old]
        if new:
            levels.setdefault(new, {})[peer] = None
            self._most = max(self._most, new)
        while self._most and self._most not in levels:
            self._most -= 1

    def first(self) -> Peer | None:
        return next(iter(self._levels[self._most])) if self._most else None


class Dedup:
    """All entries, their order of expiry, and the bounds."""

    def __init__(self, tuning: Tuning, limits: Limits, peers: Peers, counters: Counters) -> None:
        self._limits = limits
        self._peers = peers
        self._counters = counters
        self._lifetimes = (tuning.non_lifetime, tuning.exchange_lifetime)
        # One queue a lifetime: within each, what came first expires first.
        self._queues: tuple[deque[tuple[float, list[Entry]]], ...] = (deque(), deque())
        self._ranking = _Ranking()
        self.entries = 0
        self.bytes = 0

    def admit(self, peer: Peer, mid: int, *, confirmable: bool, now: float) -> Entry | None:
        """Remember one more message ID; None if there is no room and nothing may leave."""
        limits = self._limits
        if len(peer.seen) >= limits.dedup_entries_per_session and not self._evict(peer, now):
            return None
        while self.entries >= limits.dedup_entries or self.bytes >= limits.dedup_bytes:
            heaviest = self._ranking.first()
            if heaviest is None or not self._evict(heaviest, now):
                return None
        entry = peer.seen[mid] = Entry(peer, mid)
        self.entries += 1
        expires = now + self._lifetimes[confirmable]
        queue = self._queues[confirmable]
        if queue and queue[-1][0] >= expires:
            queue[-1][1].append(entry)
        else:
            queue.append((expires + _GRAIN, [entry]))
        return entry

    def store(self, entry: Entry, reply: bytes) -> None:
        """What a copy gets from now on."""
        if entry.peer.seen.get(entry.mid) is entry:
            self.bytes += len(reply) - len(entry.reply or b"")
            entry.reply = reply

    def complete(self, entry: Entry) -> None:
        """The request is done, and may be forgotten early if room is needed."""
        peer = entry.peer
        if peer.seen.get(entry.mid) is entry and entry.mid not in peer.evictable:
            count = len(peer.evictable)
            peer.evictable[entry.mid] = entry
            self._ranking.move(peer, count, count + 1)

    def next_deadline(self) -> float:
        """When the next entry expires; ``inf`` if there is none."""
        return min((queue[0][0] for queue in self._queues if queue), default=math.inf)

    def expire(self, now: float) -> None:
        """Forget what is older than its lifetime."""
        for queue in self._queues:
            while queue and queue[0][0] <= now:
                for entry in queue.popleft()[1]:
                    self._remove(entry, now)

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        for entry in list(peer.seen.values()):
            self._remove(entry, now)

    def _evict(self, peer: Peer, now: float) -> bool:
        if not peer.evictable:
            return False
        self._remove(next(iter(peer.evictable.values())), now)
        self._counters.dedup_evicted += 1
        return True

    def _remove(self, entry: Entry, now: float) -> None:
        peer = entry.peer
        if peer.seen.get(entry.mid) is not entry:
            return  # evicted before, and the message ID perhaps used again
        del peer.seen[entry.mid]
        self.entries -= 1
        self.bytes -= len(entry.reply or b"")
        count = len(peer.evictable)
        if peer.evictable.pop(entry.mid, None) is not None:
            self._ranking.move(peer, count, count - 1)
        self._peers.release(peer, now)
