"""Room for bodies: what all of them, and those of one peer, may take, and how long they stay.

The body of a request is counted until that is closed, and for as long as it observes.

A response's body that is whole may leave early: it can be asked for again, or its client is
told. A request's body and a stream stay until they are over or nobody has cared for body_age.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from coapsep.params import Limits
from coapsep.protocol.held import Body, Held, Upload
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Peer
from coapsep.protocol.timers import Timers

#: A shorter body counts as this many bytes: it needs a record, too.
LEAST = 1024
#: What is counted for one that is streamed: some blocks in store, and the task at their end.
WINDOW = 8192

_Kept = TypeVar("_Kept", Upload, Body)


class Storage:
    """Counts the bytes of all bodies, and makes room for new ones."""

    def __init__(self, limits: Limits, timers: Timers, peers: Peers) -> None:
        self._limits = limits
        self._timers = timers
        self._peers = peers
        #: Those that may leave early; the one that was asked for longest ago first.
        self._evictable: OrderedDict[Body, None] = OrderedDict()
        self._evictable_bytes = 0
        self.bytes: int = 0

    def held(self, peer: Peer) -> Held:
        """What is kept for a peer; made if there is nothing yet. ``release`` ends it."""
        if peer.held is None:
            peer.held = Held()
        return peer.held

    def release(self, peer: Peer, now: float) -> None:
        """Forget what is kept for a peer if it has become nothing, and perhaps the peer."""
        if peer.held is not None and not peer.held:
            peer.held = None
            self._peers.release(peer, now)

    # -- bytes -----------------------------------------------------------------------

    def reserve(self, peer: Peer, count: int, now: float) -> bool:
        """Count more bytes; False, and nothing has changed, if there is no room for them."""
        limits, held = self._limits, self.held(peer)
        if not count:
            return True
        most, own_most = limits.body_bytes, limits.body_bytes_per_session
        own: list[Body] = []
        if held.counted + count > own_most:
            own = [body for body in held.bodies.values() if body in self._evictable]
        own_spare = sum(body.counted for body in own)
        if (
            held.counted - own_spare + count > own_most
            or self.bytes - self._evictable_bytes + count > most
        ):
            return False
        for body in own:  # the oldest first
            if held.counted + count > own_most:
                self._evict(body, now, keep=peer)
        while self.bytes + count > most:
            self._evict(next(iter(self._evictable)), now, keep=peer)
        held.counted += count
        self.bytes += count
        return True

    def give_back(self, peer: Peer, count: int) -> None:
        """These bytes are free again."""
        if peer.held is not None:
            peer.held.counted -= count
        self.bytes -= count

    def may_leave(self, body: Body) -> None:
        """This one may leave early; it has just been asked for."""
        if body not in self._evictable:
            self._evictable_bytes += body.counted
            self._evictable[body] = None
        self._evictable.move_to_end(body)

    def forget(self, body: Body) -> None:
        """It is over, and takes no room."""
        if body in self._evictable:
            del self._evictable[body]
            self._evictable_bytes -= body.counted
        body.over = True
        self.no_longer_ages(body)
        held = body.peer.held
        if held is not None and held.bodies.get(body.key) is body:
            del held.bodies[body.key]
        self.give_back(body.peer, body.counted)
        body.counted = 0

    def _evict(self, body: Body, now: float, keep: Peer) -> None:
        self.forget(body)
        if body.peer is not keep:  # which is about to get something
            self.release(body.peer, now)

    # -- age -------------------------------------------------------------------------

    def age(self, kept: _Kept, expire: Callable[[_Kept, float], None]) -> None:
        """Call ``expire(kept, now)`` once it was not used for body_age."""
        # A function that sets itself again would be a cycle, which holds the body.
        look = functools.partial(self._look, kept, expire)
        kept.timer = self._timers.set(kept.used + self._limits.body_age, look)

    def _look(self, kept: _Kept, expire: Callable[[_Kept, float], None], now: float) -> None:
        if kept.used + self._limits.body_age > now:
            self.age(kept, expire)
        else:
            expire(kept, now)

    def no_longer_ages(self, kept: Upload | Body) -> None:
        """It is over."""
        if kept.timer is not None:
            self._timers.cancel(kept.timer)
