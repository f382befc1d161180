"""Sending Confirmable messages reliably (RFC 7252 section 4.2), a window of them per peer."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import attrs

from coapsep.address import Session
from coapsep.errors import MessageIdsExhausted
from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.params import Tuning
from coapsep.protocol.amplification import Amplification
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Outcome, Peer, Transmission
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers


class Transmissions:
    """Every CON of ours to every peer."""

    def __init__(
        self,
        tuning: Tuning,
        codec: Codec,
        timers: Timers,
        peers: Peers,
        amplification: Amplification,
        counters: Counters,
        rng: random.Random,
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._codec = codec
        self._timers = timers
        self._peers = peers
        self._amplification = amplification
        self._counters = counters
        self._rng = rng
        self._outgoing = outgoing

    def send(
        self, peer: Peer, message: Message, on_end: Callable[[Outcome, float], None], now: float
    ) -> Transmission:
        """Send a response, now or when the window has room. It gets its message ID on leaving.

        Raises ValueError, and changes nothing, if the message cannot be written.
        """
        draft = self._codec.encode(message)
        transmission = Transmission(peer, message, draft, is_response=True, on_end=on_end)
        if peer.waiting is not None or not self._leaves_at_once(transmission, now):
            if peer.waiting is None:
                peer.waiting = deque()
            peer.waiting.append(transmission)
            self._fill_window(peer, now)
        return transmission

    def send_non(self, peer: Peer, message: Message, now: float) -> int | None:
        """Send a NON response, once; returns its message ID, None if there is none left."""
        try:
            mid = self._peers.message_ids(peer).allocate(now)
        except MessageIdsExhausted:
            return None
        data = self._codec.encode(attrs.evolve(message, mid=mid))
        self._outgoing.append((data, peer.session))
        return mid

    def send_request(
        self,
        peer: Peer,
        message: Message,
        draft: bytes,
        mid: int,
        on_end: Callable[[Outcome, float], None],
        now: float,
    ) -> Transmission:
        """Send a request, or a ping, with this message ID; whose turn it is, the caller says."""
        transmission = Transmission(peer, message, draft, False, on_end, mid)
        self._transmit(transmission, now)
        return transmission

    def acknowledged(self, peer: Peer, mid: int, now: float) -> bool:
        """An Empty ACK arrived; False if it matches nothing."""
        return self._end_in_flight(peer, mid, Outcome.ACKNOWLEDGED, now)

    def reset(self, peer: Peer, mid: int, now: float) -> bool:
        """An RST arrived; False if it matches nothing."""
        return self._end_in_flight(peer, mid, Outcome.RESET, now)

    def cancel(self, transmission: Transmission, now: float) -> None:
        """Stop without a word. Its message ID stays in use until its lifetime is over."""
        if transmission.on_end is None:
            return
        transmission.on_end = None
        # One that waits stays in its queue, as a ghost: to find it there would cost a search.
        if transmission.data:
            self._take_out(transmission)
            if transmission.is_response:
                self._fill_window(transmission.peer, now)

    def forget(self, peer: Peer) -> None:
        """Stop everything to a peer whose session has gone; nothing moves up."""
        for transmission in (*peer.in_flight.values(), *(peer.waiting or ())):
            transmission.on_end = None
            if transmission.timer is not None:
                self._timers.cancel(transmission.timer)
        peer.in_flight.clear()
        peer.in_window = 0
        peer.waiting = None

    def _leaves_at_once(self, transmission: Transmission, now: float) -> bool:
        """A response leaves if the window has room, and there is a message ID for it."""
        peer = transmission.peer
        if peer.in_window >= self._tuning.response_window:
            return False
        ids = self._peers.message_ids(peer)
        try:
            transmission.mid = ids.allocate(now)
        except MessageIdsExhausted:
            # An acknowledged request is never dropped for this: its response waits.
            if not peer.stalled:
                peer.stalled = True
                self._timers.set(ids.free_at(), lambda now: self._go_on(peer, now))
            return False
        peer.in_window += 1
        self._transmit(transmission, now)
        return True

    def _fill_window(self, peer: Peer, now: float) -> None:
        waiting = peer.waiting
        if waiting is None:
            return
        while waiting:
            if waiting[0].on_end is not None and not self._leaves_at_once(waiting[0], now):
                return
            waiting.popleft()
        if not waiting:
            peer.waiting = None
            self._peers.release(peer, now)

    def _go_on(self, peer: Peer, now: float) -> None:
        peer.stalled = False
        self._fill_window(peer, now)

    def _transmit(self, transmission: Transmission, now: float) -> None:
        tuning = self._tuning
        mid = transmission.mid
        draft = transmission.draft
        transmission.data = draft[:2] + mid.to_bytes(2, "big") + draft[4:]
        transmission.first_sent = now
        shortest = tuning.ack_timeout
        transmission.timeout = self._rng.uniform(shortest, shortest * tuning.ack_random_factor)
        transmission.peer.in_flight[mid] = transmission
        self._outgoing.append((transmission.data, transmission.peer.session))
        self._wait(transmission, now)

    def _wait(self, transmission: Transmission, now: float) -> None:
        transmission.timer = self._timers.set(
            now + transmission.timeout, lambda now: self._timed_out(transmission, now)
        )

    def _timed_out(self, transmission: Transmission, now: float) -> None:
        if transmission.attempts < self._tuning.max_retransmit:
            transmission.attempts += 1
            transmission.timeout *= 2
            if transmission.successor is not None:
                self._renew(transmission, transmission.successor, now)
            if self._may_repeat(transmission, now):
                self._counters.retransmissions += 1
                self._outgoing.append((transmission.data, transmission.peer.session))
            self._wait(transmission, now)
            return
        peer = transmission.peer
        if peer.last_heard <= transmission.first_sent and peer.waiting:
            # The peer has said nothing for the whole of MAX_TRANSMIT_WAIT. To send it the
            # rest, a window at a time, would take hours and help nobody.
            silent, peer.waiting = peer.waiting, None
            for waiting in silent:
                self._end(waiting, Outcome.DROPPED, now)
        self._end_in_flight(peer, transmission.mid, Outcome.TIMED_OUT, now)

    def _may_repeat(self, transmission: Transmission, now: float) -> bool:
        """A response goes twice to anybody, and more often to whom it is sure to be for."""
        if not transmission.is_response:
            return True
        peer, size = transmission.peer, len(transmission.data)
        if transmission.attempts == 1:
            if not self._amplification.permits(peer, size, now):
                self._amplification.pay(peer, size)
            return True
        return self._amplification.permits_copy(peer, size, now)

    def _renew(self, transmission: Transmission, message: Message, now: float) -> None:
        """What it says is out of date: the newest goes in its place (RFC 7641 section 4.5.2)."""
        peer = transmission.peer
        try:
            mid = self._peers.message_ids(peer).allocate(now)
        except MessageIdsExhausted:
            return  # better the old one than none
        del peer.in_flight[transmission.mid]
        peer.in_flight[mid] = transmission
        transmission.mid = mid
        transmission.message, transmission.successor = message, None
        transmission.data = self._codec.encode(transmission.sent)

    def _end_in_flight(self, peer: Peer, mid: int, outcome: Outcome, now: float) -> bool:
        transmission = peer.in_flight.get(mid)
        if transmission is None:
            return False
        self._take_out(transmission)
        self._end(transmission, outcome, now)
        if transmission.is_response:
            self._fill_window(peer, now)
        return True

    def _take_out(self, transmission: Transmission) -> None:
        peer = transmission.peer
        del peer.in_flight[transmission.mid]
        peer.in_window -= transmission.is_response
        if transmission.timer is not None:
            self._timers.cancel(transmission.timer)

    def _end(self, transmission: Transmission, outcome: Outcome, now: float) -> None:
        on_end, transmission.on_end = transmission.on_end, None
        if on_end is not None:
            on_end(outcome, now)
