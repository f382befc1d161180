"""Deduplication (RFC 7252 section 4.5): which message IDs arrived, and what was replied.

The table is bounded in entries and in bytes, with a quota for each peer. When it is full,
the oldest entry leaves whose repetition would do least harm: that of a NON or of an
idempotent request that is done, of the peer that holds most of them. An entry in progress
never leaves: running its request again is what the table is for.

Most entries are done, and there may be millions: of those nothing is kept but the message ID
and the reply. An Entry is made for the time in which something is under way.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Iterable

from coapsep.address import Session
from coapsep.errors import LocalProtocolError
from coapsep.params import Limits, Tuning
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Entry, Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers

#: Peers looked at for one that may be forgotten. Those that may not go to the end of the row.
_LOOK_AT = 16
#: Entries that share one expiry record, seconds. An entry lives up to this much too long.
_GRAIN = 0.125


class _Ranking:
    """Peers by how many entries they have that may leave.

    It is made when the table is full for the first time, and kept up to date from then on;
    as long as there is room, it costs nothing. An item may say too much, never too little.
    """

    def __init__(self, peers: Iterable[Peer]) -> None:
        self._sequence = itertools.count()
        self._heap = [(-len(peer.done), next(self._sequence), peer) for peer in peers if peer.done]
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)

    def grown(self, peer: Peer) -> None:
        heapq.heappush(self._heap, (-len(peer.done), next(self._sequence), peer))

    def first(self) -> Peer | None:
        heap = self._heap
        while heap:
            count, _, peer = heap[0]
            if len(peer.done) == -count:
                return peer
            heapq.heappop(heap)
            if peer.done and len(peer.done) < -count:
                self.grown(peer)
        return None


class Dedup:
    """All entries, their order of expiry, and the bounds."""

    def __init__(
        self, tuning: Tuning, limits: Limits, timers: Timers, peers: Peers, counters: Counters
    ) -> None:
        self._limits = limits
        self._timers = timers
        self._peers = peers
        self._counters = counters
        self._lifetimes = (tuning.non_lifetime, tuning.exchange_lifetime)
        # One queue a lifetime: within each, what came first expires first.
        self._queues: tuple[deque[_Expiry], ...] = (deque(), deque())
        self._ranking: _Ranking | None = None
        self._done_bytes = 0  # of entries that may leave
        self._ghosts = 0  # entries that left early, and are still in a queue
        self.entries: int = 0
        self.bytes: int = 0

    def admit(self, peer: Peer, mid: int, *, confirmable: bool, now: float) -> Entry | None:
        """Remember one more message ID; None if there is no room and nothing may leave."""
        limits = self._limits
        if self.bytes - self._done_bytes >= limits.dedup_bytes:
            return None
        if len(peer.kept) + len(peer.done) >= limits.dedup_entries_per_session and not self._evict(
            peer, peer, now
        ):
            return None
        while self.entries >= limits.dedup_entries or self.bytes >= limits.dedup_bytes:
            heaviest = self._heaviest()
            if heaviest is None or not self._evict(heaviest, peer, now):
                return None
        entry = peer.kept[mid] = Entry(mid)
        self.entries += 1
        expires = now + self._lifetimes[confirmable]
        queue = self._queues[confirmable]
        if not queue or queue[-1].when < expires:
            queue.append(_Expiry(expires + _GRAIN))
            self._timers.wake_by(expires + _GRAIN)
        last = queue[-1]
        last.peers.append(peer)
        last.mids.append(mid)
        return entry

    def store(self, peer: Peer, entry: Entry, reply: bytes, now: float) -> None:
        """What a copy gets from now on. Others leave if the bytes are too many."""
        if peer.kept.get(entry.mid) is entry:
            self.bytes += len(reply) - len(entry.reply)
            entry.reply = reply
            while self.bytes > self._limits.dedup_bytes and self._done_bytes:
                heaviest = self._heaviest()
                if heaviest is None or not self._evict(heaviest, peer, now):
                    break

    def complete(self, peer: Peer, entry: Entry) -> None:
        """The request is done, and may be forgotten early if room is needed."""
        mid = entry.mid
        if peer.kept.get(mid) is entry:
            del peer.kept[mid]
            peer.done[mid] = entry.reply
            self._done_bytes += len(entry.reply)
            if self._ranking is not None:
                self._ranking.grown(peer)
                # It is made anew, when it is needed, before items that say too much are many.
                if len(self._ranking) > 2 * len(self._peers) + 64:
                    self._ranking = None

    def next_deadline(self) -> float:
        """When the next entry expires; ``inf`` if there is none."""
        non, con = self._queues
        return min(non[0].when if non else math.inf, con[0].when if con else math.inf)

    def expire(self, now: float) -> None:
        """Forget what is older than its lifetime."""
        for queue in self._queues:
            while queue and queue[0].when <= now:
                for peer, mid in queue.popleft().entries():
                    if _laid_ghost(peer, mid):
                        self._ghosts -= 1
                    elif self._remove(peer, mid):
                        self._peers.release(peer, now)
        if self.entries < self._limits.dedup_entries // 2:
            self._ranking = None

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        for mid in (*peer.kept, *peer.done):
            self._remove(peer, mid)
            self._haunt(peer, mid)
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
            if not peer.kept and peer.is_idle(now):
                self._counters.dedup_evicted += len(peer.done)
                self.forget(peer, now)
                self._peers.forget(peer)
                return True
        return False

    def _heaviest(self) -> Peer | None:
        """The peer that has most entries that may leave."""
        if self._ranking is None:
            self._ranking = _Ranking(self._peers)
        return self._ranking.first()

    def _evict(self, peer: Peer, admitted: Peer, now: float) -> bool:
        if not peer.done:
            return False
        mid = self._oldest_done(peer)
        self._remove(peer, mid)
        self._haunt(peer, mid)
        self._sweep()
        self._counters.dedup_evicted += 1
        if peer is not admitted:  # whose new request is not in it yet
            self._peers.release(peer, now)
        return True

    def _oldest_done(self, peer: Peer) -> int:
        """The message ID that was done first, of a peer that has any.

        A dict is slow at its front once much has been deleted there, so its order is written
        down now and then.
        """
        while True:
            if not peer.leaving:
                peer.leaving = deque(peer.done)
            mid = peer.leaving.popleft()
            if mid in peer.done:
                return mid

    def _haunt(self, peer: Peer, mid: int) -> None:
        """It has left early, and is still in a queue: what comes up there is nobody's."""
        self._ghosts += 1
        if peer.ghosts is None:
            peer.ghosts = {}
        peer.ghosts[mid] = peer.ghosts.get(mid, 0) + 1

    def _sweep(self) -> None:
        # Out of the middle of a queue would cost a search; see Timers.cancel.
        if self._ghosts > 64 and self._ghosts > self.entries:
            self._ghosts = 0
            for queue in self._queues:
                for expiry in queue:
                    expiry.keep([e for e in expiry.entries() if not _laid_ghost(*e)])
                kept = [expiry for expiry in queue if expiry.mids]
                queue.clear()
                queue.extend(kept)

    def _remove(self, peer: Peer, mid: int) -> bool:
        reply = peer.done.pop(mid, None)
        if reply is not None:
            self._done_bytes -= len(reply)
        else:
            entry = peer.kept.pop(mid, None)
            if entry is None:
                return False
            reply = entry.reply
        self.entries -= 1
        self.bytes -= len(reply)
        return True


class _Expiry:
    """Message IDs that are to be forgotten together."""

    __slots__ = ("mids", "peers", "when")

    def __init__(self, when: float) -> None:
        self.when = when
        self.peers: list[Peer] = []
        self.mids: list[int] = []

    def entries(self) -> Iterable[tuple[Peer, int]]:
        return zip(self.peers, self.mids, strict=True)

    def keep(self, entries: list[tuple[Peer, int]]) -> None:
        self.peers = [peer for peer, _ in entries]
        self.mids = [mid for _, mid in entries]


def _laid_ghost(peer: Peer, mid: int) -> bool:
    """Whether this is one that left early; the oldest of a message ID comes up first."""
    ghosts = peer.ghosts
    if ghosts is None or mid not in ghosts:
        return False
    ghosts[mid] -= 1
    if not ghosts[mid]:
        del ghosts[mid]
    return True
