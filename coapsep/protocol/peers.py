"""The bounded table of peers: every session of which something is remembered."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator

from coapsep.address import Session
from coapsep.params import Limits, Tuning
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.records import Peer
from coapsep.protocol.timers import Timers


class Peers:
    """Every session of which something is remembered; it is forgotten with the last of it."""

    def __init__(self, tuning: Tuning, limits: Limits, timers: Timers, rng: random.Random) -> None:
        self._tuning = tuning
        self._limits = limits
        self._timers = timers
        self._rng = rng
        # A plain dict is slow at its front once much has been deleted there.
        self._peers: OrderedDict[Session, Peer] = OrderedDict()

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

    def oldest(self, count: int) -> Iterator[Peer]:
        """The peers that have been looked at least recently, up to ``count`` of them."""
        for _ in range(min(count, len(self._peers))):
            session, peer = next(iter(self._peers.items()))
            self._peers.move_to_end(session)
            yield peer

    def message_ids(self, peer: Peer) -> MessageIds:
        """The peer's message IDs; the first one is random (section 4.4)."""
        if peer.message_ids is None:
            # With a small MAX_LATENCY the retransmissions outlast the lifetime.
            lifetime = max(self._tuning.exchange_lifetime, self._tuning.max_transmit_wait)
            peer.message_ids = MessageIds(self._rng.getrandbits(16), lifetime)
        return peer.message_ids

    def release(self, peer: Peer, now: float) -> None:
        """Forget the peer if nothing is left of it. Called wherever something ends."""
        if peer.kept or peer.done or self._peers.get(peer.session) is not peer:
            return
        if peer.is_idle(now):
            del self._peers[peer.session]
        elif not (peer.is_busy or peer.lingering):
            # By the time the last message ID is free, more may have been given out; to look
            # once a lifetime is enough.
            peer.lingering = True
            self._timers.set(peer.spent_until(), lambda now: self._release_later(peer, now))

    def _release_later(self, peer: Peer, now: float) -> None:
        peer.lingering = False
        self.release(peer, now)

    def forget(self, peer: Peer) -> None:
        """Forget a peer whose session has gone."""
        self._peers.pop(peer.session, None)
