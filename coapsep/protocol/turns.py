"""Whose turn it is among our own requests to one peer, and how they leave (RFC 7252 section 4.7).

A request waits in its peer's queue until fewer than NSTART are outstanding there. It is SENT
until an acknowledgement or a response comes; an empty ACK makes it ACKNOWLEDGED, and from
then on nothing is sent for it. One that needs several messages goes to the end of the queue
for each of them: the others have their turn in between.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable

from coapsep.address import Session
from coapsep.errors import MessageIdsExhausted
from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Type
from coapsep.params import Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Asked, ClientExchange, Outcome, Peer, Stage
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers
from coapsep.protocol.tokens import draw_token
from coapsep.protocol.transmission import Transmissions

#: Bytes of NON requests that a peer may leave unanswered before PROBING_RATE holds back the
#: next one: a message of the largest size that section 4.6 expects.
_PROBING_BURST = 1152

# To look up a member of an enum costs more than to compare it.
_CON, _NON = Type.CON, Type.NON
_QUEUED, _SENT, _OVER = Stage.QUEUED, Stage.SENT, Stage.OVER


class Turns:
    """The queue of each peer that was asked something, and what is outstanding there.

    ``on_end`` is told how a transmission ended without a response, ``on_late`` that
    Tuning.response_timeout is over.
    """

    def __init__(
        self,
        tuning: Tuning,
        codec: Codec,
        timers: Timers,
        peers: Peers,
        dedup: Dedup,
        transmissions: Transmissions,
        counters: Counters,
        rng: random.Random,
        outgoing: list[tuple[bytes, Session]],
        on_end: Callable[[ClientExchange, Outcome, float], None],
        on_late: Callable[[ClientExchange, float], None],
    ) -> None:
        self._tuning = tuning
        self._codec = codec
        self._timers = timers
        self._peers = peers
        self._dedup = dedup
        self._transmissions = transmissions
        self._counters = counters
        self._rng = rng
        self._outgoing = outgoing
        self._on_end = on_end
        self._on_late = on_late
        self.open: int = 0

    # -- in and out ------------------------------------------------------------------

    def obtain(self, session: Session, now: float) -> tuple[Peer, Asked]:
        """The peer, and what is asked of it. Raises LocalProtocolError if there is no room."""
        peer = self._dedup.obtain_peer_to_ask(session, now)
        if peer.asked is None:
            peer.asked = Asked()
        return peer, peer.asked

    def draw_token(self, asked: Asked) -> bytes:
        """A token that no request to that peer has."""
        return draw_token(self._rng, self._tuning.token_bytes, asked.tokens)

    def enter(self, exchange: ClientExchange, now: float) -> None:
        """A new one: it leaves as soon as it is its turn, unless it is PAUSED."""
        asked = asked_of(exchange)
        asked.tokens[exchange.token] = exchange
        self.open += 1
        if exchange.stage is _QUEUED:
            asked.queue[exchange] = None
            self._send_next(exchange.peer, asked, now)

    def again(
        self,
        exchange: ClientExchange,
        options: Options,
        payload: bytes,
        now: float,
        *,
        same_token: bool = False,
    ) -> None:
        """Another message for the same exchange, as soon as it is its turn."""
        asked, old = asked_of(exchange), exchange.message
        token = exchange.token if same_token else self.draw_token(asked)
        request = Message(old.code, old.type, 0, token, options, payload)
        data = self._codec.encode(request)
        self._stop(exchange, asked, now)
        del asked.tokens[exchange.token]
        exchange.token, exchange.message, exchange.data, exchange.mid = token, request, data, 0
        exchange.stage = _QUEUED
        asked.tokens[token] = exchange
        asked.queue[exchange] = None
        self._move_on(exchange, asked, now)

    def rest(self, exchange: ClientExchange, stage: Stage, now: float) -> None:
        """Nothing is under way for it, and yet it is not over."""
        asked = asked_of(exchange)
        self._stop(exchange, asked, now)
        exchange.stage = stage
        self._move_on(exchange, asked, now)

    def leave(self, exchange: ClientExchange, now: float) -> None:
        """It is over: stop what is sent for it, and let the next one go."""
        asked = asked_of(exchange)
        self._stop(exchange, asked, now)
        exchange.stage = _OVER
        self.open -= 1
        if asked.tokens.get(exchange.token) is exchange:  # else another one has taken it over
            del asked.tokens[exchange.token]
        self._move_on(exchange, asked, now)
        if not asked.tokens:
            self._peers.release(exchange.peer, now)

    def acknowledged(self, exchange: ClientExchange, now: float) -> None:
        """It is not outstanding any more: the response comes separately."""
        exchange.stage = Stage.ACKNOWLEDGED
        self._set_limit(exchange, now)
        self._give_up_place(exchange, now)

    def heard(self, peer: Peer, now: float) -> None:
        """It is there: a NON request that PROBING_RATE held back need not wait any more."""
        if peer.asked is not None and peer.asked.stalled is not None:
            self._go_on(peer, peer.asked, now)

    def hurry(self, exchange: ClientExchange, now: float) -> None:
        """Send it out of turn, once, if it is still in the queue: this endpoint closes."""
        if exchange.stage is _QUEUED:
            try:
                mid = self._peers.message_ids(exchange.peer).allocate(now)
            except MessageIdsExhausted:
                return
            data = exchange.data
            data = data[:2] + mid.to_bytes(2, "big") + data[4:]
            self._outgoing.append((data, exchange.peer.session))

    # -- inside ----------------------------------------------------------------------

    def _stop(self, exchange: ClientExchange, asked: Asked, now: float) -> None:
        """Whatever is under way for it is not wanted any more. Its place is still taken."""
        if exchange.stage is _QUEUED:
            asked.queue.pop(exchange, None)
            return
        if asked.mids.get(exchange.mid) is exchange:
            del asked.mids[exchange.mid]
        if exchange.place is not None:
            self._timers.cancel(exchange.place)
            exchange.place = None
        if exchange.limit is not None:
            self._timers.cancel(exchange.limit)
            exchange.limit = None
        if exchange.transmission is not None:
            # A response stands for an acknowledgement that was lost (section 5.2.2).
            self._transmissions.cancel(exchange.transmission, now)
            exchange.transmission = None

    def _move_on(self, exchange: ClientExchange, asked: Asked, now: float) -> None:
        """Its place is free, and perhaps the peer was heard: whose turn is it now?"""
        if exchange.outstanding:
            exchange.outstanding = False
            asked.outstanding -= 1
        if asked.stalled is not None:
            self._go_on(exchange.peer, asked, now)  # it may have waited for this one
        else:
            self._send_next(exchange.peer, asked, now)

    def _send_next(self, peer: Peer, asked: Asked, now: float) -> None:
        while asked.queue and asked.outstanding < self._tuning.nstart and asked.stalled is None:
            exchange = next(iter(asked.queue))
            if exchange.message.type is _NON:
                until = self._may_probe_at(peer, asked)
                if until > now:
                    self._stall(peer, asked, until)
                    return
            ids = self._peers.message_ids(peer)
            try:
                mid = ids.allocate(now)
            except MessageIdsExhausted:
                self._stall(peer, asked, ids.free_at())
                return
            del asked.queue[exchange]
            self._transmit(exchange, asked, mid, now)

    def _stall(self, peer: Peer, asked: Asked, until: float) -> None:
        asked.stalled = self._timers.set(until, lambda now: self._go_on(peer, asked, now))

    def _go_on(self, peer: Peer, asked: Asked, now: float) -> None:
        if asked.stalled is not None:
            self._timers.cancel(asked.stalled)
            asked.stalled = None
        self._send_next(peer, asked, now)

    def _transmit(self, exchange: ClientExchange, asked: Asked, mid: int, now: float) -> None:
        peer, request, draft = exchange.peer, exchange.message, exchange.data
        exchange.mid = mid
        exchange.stage = _SENT
        exchange.outstanding = True
        asked.outstanding += 1
        asked.mids[mid] = exchange
        if exchange.is_ping:
            self._counters.pings_sent += 1
        else:
            self._counters.requests_sent += 1
        if request.type is _CON:
            on_end = functools.partial(self._on_end, exchange)
            transmission = self._transmissions.send_request(peer, request, draft, mid, on_end, now)
            exchange.transmission, exchange.data = transmission, transmission.data
            return
        exchange.data = draft[:2] + mid.to_bytes(2, "big") + draft[4:]
        self._outgoing.append((exchange.data, peer.session))
        # Nobody acknowledges a NON: it gives up its place when PROBING_RATE has paid for it.
        seconds = len(exchange.data) / self._tuning.probing_rate
        free_at = now + seconds
        asked.probed_at = now
        asked.paid_at = max(asked.paid_at, now) + seconds
        exchange.place = self._timers.set(free_at, lambda now: self._give_up_place(exchange, now))
        self._set_limit(exchange, now)

    def _may_probe_at(self, peer: Peer, asked: Asked) -> float:
        """When a peer may be sent another NON request; one that is heard, now (section 4.7)."""
        if peer.last_heard > asked.probed_at:
            asked.paid_at = -math.inf
        return asked.paid_at - _PROBING_BURST / self._tuning.probing_rate

    def _give_up_place(self, exchange: ClientExchange, now: float) -> None:
        if exchange.outstanding:
            exchange.outstanding = False
            asked = asked_of(exchange)
            asked.outstanding -= 1
            self._send_next(exchange.peer, asked, now)

    def _set_limit(self, exchange: ClientExchange, now: float) -> None:
        limit = self._tuning.response_timeout
        if limit is not None:
            exchange.limit = self._timers.set(now + limit, lambda now: self._on_late(exchange, now))


def asked_of(exchange: ClientExchange) -> Asked:
    """All that is asked of the peer of this one."""
    asked = exchange.peer.asked
    assert asked is not None, "a peer that was asked remembers it"
    return asked
