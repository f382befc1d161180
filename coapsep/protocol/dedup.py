"""Deduplication (RFC 7252 section 4.5): which message IDs arrived, and what was replied.

The table is bounded in entries and in bytes, with a quota for each peer. When it is full,
the oldest entry leaves whose repetition would do least harm: that of a NON or of an
idempotent request that is done, of the peer that holds most of them. An entry in progress
never leaves: running its request again is what the table is for.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

from coapsep.address import Session
from coapsep.errors import LocalProtocolError
from coapsep.params import Limits, Tuning
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Entry, Peer
from coapsep.protocol.statistics import Counters

#: Peers looked at for one that may be forgotten. Those that may not go to the end of the row.
_LOOK_AT = 16
#: Entries that share one expiry record, seconds. An entry lives up to this much too long.
_GRAIN = 0.125


class _Ranking:
    """Peers by how many evictable entries they have; the one with most in O(1)."""

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[Peer, None]] = {}
        self._most = 0

    def move(self, peer: Peer, old: int, new: int) -> None:
        levels = self._levels
        if old and new and new not in levels and len(levels[old]) == 1:
            levels[new] = levels.pop(old)  # alone on its level, it takes the level along
        else:
            if old:
                level = levels[old]
                del level[peer]
                if not level:
                    del levels[old]
            if new:
                if new not in levels:
                    levels[new] = OrderedDict()
                levels[new][peer] = None
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
        self._evictable_bytes = 0
        self._ghosts = 0  # entries that left early, and are still in a queue
        self.entries: int = 0
        self.bytes: int = 0

    def admit(self, peer: Peer, mid: int, *, confirmable: bool, now: float) -> Entry | None:
        """Remember one more message ID; None if there is no room and nothing may leave."""
        limits = self._limits
        if self.bytes - self._evictable_bytes >= limits.dedup_bytes:
            return None
        if len(peer.seen) >= limits.dedup_entries_per_session and not self._evict(peer, peer, now):
            return None
        while self.entries >= limits.dedup_entries or self.bytes >= limits.dedup_bytes:
            heaviest = self._ranking.first()
            if heaviest is None or not self._evict(heaviest, peer, now):
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

    def store(self, entry: Entry, reply: bytes, now: float) -> None:
        """What a copy gets from now on. Others leave if the bytes are too many."""
        if entry.peer.seen.get(entry.mid) is entry:
            self.bytes += len(reply) - len(entry.reply or b"")
            entry.reply = reply
            while self.bytes > self._limits.dedup_bytes and self._evictable_bytes:
                heaviest = self._ranking.first()
                if heaviest is None or not self._evict(heaviest, entry.peer, now):
                    break

    def complete(self, entry: Entry) -> None:
        """The request is done, and may be forgotten early if room is needed."""
        peer = entry.peer
        if peer.seen.get(entry.mid) is entry and entry.mid not in peer.evictable:
            count = len(peer.evictable)
            peer.evictable[entry.mid] = entry
            self._evictable_bytes += len(entry.reply or b"")
            self._ranking.move(peer, count, count + 1)

    def next_deadline(self) -> float:
        """When the next entry expires; ``inf`` if there is none."""
        non, con = self._queues
        return min(non[0][0] if non else math.inf, con[0][0] if con else math.inf)

    def expire(self, now: float) -> None:
        """Forget what is older than its lifetime."""
        for queue in self._queues:
            while queue and queue[0][0] <= now:
                for entry in queue.popleft()[1]:
                    if self._remove(entry):
                        self._peers.release(entry.peer, now)
                    else:
                        self._ghosts -= 1

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        for entry in list(peer.seen.values()):
            self._remove(entry)
            self._ghosts += 1
        self._sweep()

    def obtain_peer(self, session: Session, now: float, *, heard: bool = True) -> Peer | None:
        """The peer, made if it is new. If the table of peers is full, one that may be
        forgotten early leaves; None if there is none."""
        # A peer of which nothing was ever heard was not heard just now.
        last_heard = now if heard else -math.inf
        peer = self._peers.obtain(session, last_heard)
        if peer is None and self._forget_a_peer(now):
            peer = self._peers.obtain(session, last_heard)
        return peer

    def obtain_peer_to_ask(self, session: Session, now: float) -> Peer:
        """The same for a request of ours. Raises LocalProtocolError if there is no room."""
        peer = self.obtain_peer(session, now, heard=False)
        if peer is None:
            raise LocalProtocolError(
                f"{self._limits.peers} peers are remembered already: raise Limits.peers"
            )
        return peer

    def _forget_a_peer(self, now: float) -> bool:
        """Forget all of one peer that may be forgotten early; False if none was found.

        Else a few hundred forged addresses a second would keep every newcomer out.
        """
        for peer in self._peers.oldest(_LOOK_AT):
            if len(peer.evictable) == len(peer.seen) and peer.is_idle(now):
                self._counters.dedup_evicted += len(peer.seen)
                self.forget(peer, now)
                self._peers.forget(peer)
                return True
        return False

    def _evict(self, peer: Peer, admitted: Peer, now: float) -> bool:
        if not peer.evictable:
            return False
        self._remove(next(iter(peer.evictable.values())))
        self._ghosts += 1
        self._sweep()
        self._counters.dedup_evicted += 1
        if peer is not admitted:  # whose new request is not in it yet
            self._peers.release(peer, now)
        return True

    def _sweep(self) -> None:
        # Out of the middle of a queue would cost a search; see Timers.cancel.
        if self._ghosts > 64 and self._ghosts > self.entries:
            self._ghosts = 0
            for queue in self._queues:
                kept = [(when, [e for e in batch if _alive(e)]) for when, batch in queue]
                queue.clear()
                queue.extend(item for item in kept if item[1])

    def _remove(self, entry: Entry) -> bool:
        peer = entry.peer
        if not _alive(entry):
            return False  # evicted before, and the message ID perhaps used again
        del peer.seen[entry.mid]
        self.entries -= 1
        self.bytes -= len(entry.reply or b"")
        count = len(peer.evictable)
        if peer.evictable.pop(entry.mid, None) is not None:
            self._evictable_bytes -= len(entry.reply or b"")
            self._ranking.move(peer, count, count - 1)
        return True


def _alive(entry: Entry) -> bool:
    return entry.peer.seen.get(entry.mid) is entry
