"""What is remembered of one session, and the bounded table of all of them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from coapsep.address import Session
from coapsep.params import Limits, Tuning
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.timers import Timers

if TYPE_CHECKING:  # a peer holds them, and they hold their peer
    from coapsep.protocol.dedup import Entry
    from coapsep.protocol.exchange import Exchange
    from coapsep.protocol.transmission import Transmission


class Peer:
    """The state of one session. The core passes it around instead of the Session itself."""

    __slots__ = (
        "evictable",
        "exchanges",
        "in_flight",
        "last_heard",
        "lingering",
        "message_ids",
        "open",
        "seen",
        "session",
        "stalled",
        "waiting",
    )

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.last_heard = now
        #: Requests that are not closed, those whose token was taken over included.
        self.open = 0
        #: The open request of each token.
        self.exchanges: dict[bytes, Exchange] = {}
        #: Message IDs that arrived, and those of them that may be forgotten early.
        self.seen: dict[int, Entry] = {}
        self.evictable: dict[int, Entry] = {}
        #: CONs of ours by message ID, and those that wait for their turn.
        self.in_flight: dict[int, Transmission] = {}
        self.waiting: deque[Transmission] | None = None
        self.message_ids: MessageIds | None = None
        #: A timer is set: to go on when message IDs are free again, or to be forgotten then.
        self.stalled = False
        self.lingering = False


class Peers:
    """Every session of which something is remembered; it is forgotten with the last of it."""

    def __init__(self, tuning: Tuning, limits: Limits, timers: Timers, rng: random.Random) -> None:
        self._tuning = tuning
        self._limits = limits
        self._timers = timers
        self._rng = rng
        self._peers: dict[Session, Peer] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def find(self, session: Session) -> Peer | None:
        """The peer, if anything is remembered of it."""
        return self._peers.get(session)

    def obtain(self, session: Session, now: float) -> Peer | None:
        """The peer, made if it is new; None when the table is full."""
        peer = self._peers.get(session)
        if peer is None and len(self._peers) < self._limits.peers:
            peer = self._peers[session] = Peer(session, now)
        return peer

    def message_ids(self, peer: Peer) -> MessageIds:
        """The peer's message IDs; the first one is random (section 4.4)."""
        if peer.message_ids is None:
            # With a small MAX_LATENCY the retransmissions outlast the lifetime.
            lifetime = max(self._tuning.exchange_lifetime, self._tuning.max_transmit_wait)
            peer.message_ids = MessageIds(self._rng.getrandbits(16), lifetime)
        return peer.message_ids

    def release(self, peer: Peer, now: float) -> None:
        """Forget the peer if nothing is left of it. Called wherever something ends."""
        if peer.seen or peer.open or peer.in_flight or peer.waiting:
            return
        if self._peers.get(peer.session) is not peer:
            return
        ids = peer.message_ids
        if ids is not None:
            ids.expire(now)
            if ids.in_use:
                if not peer.lingering:
                    peer.lingering = True
                    self._timers.set(ids.free_at(), lambda now: self._release_later(peer, now))
                return
        del self._peers[peer.session]

    def _release_later(self, peer: Peer, now: float) -> None:
        peer.lingering = False
        self.release(peer, now)

    def forget(self, peer: Peer) -> None:
        """Forget a peer whose session has gone."""
        self._peers.pop(peer.session, None)
