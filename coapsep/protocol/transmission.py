"""Sending Confirmable messages reliably (RFC 7252 section 4.2), a window of them per peer."""

from __future__ import annotations

import enum
import random
from collections import deque
from collections.abc import Callable

import attrs

from coapsep.address import Session
from coapsep.errors import MessageIdsExhausted
from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.params import Tuning
from coapsep.protocol.peers import Peer, Peers
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timer, Timers


class Outcome(enum.Enum):
    """How the transmission of a CON ended."""

    ACKNOWLEDGED = enum.auto()
    RESET = enum.auto()
    TIMED_OUT = enum.auto()
    DROPPED = enum.auto()
    """Never sent: it waited behind one that timed out to a silent peer."""


class Transmission:
    """One CON of ours: waiting for its turn, in flight, or ended."""

    __slots__ = ("attempts", "data", "first_sent", "message", "on_end", "peer", "timeout", "timer")

    def __init__(
        self, peer: Peer, message: Message, on_end: Callable[[Outcome, float], None]
    ) -> None:
        self.peer = peer
        self.message = message
        #: Told once how it ended; None from then on.
        self.on_end: Callable[[Outcome, float], None] | None = on_end
        #: The bytes, kept so that every copy is the same; b"" while it waits.
        self.data = b""
        self.attempts = 0
        self.timeout = 0.0
        self.first_sent = 0.0
        self.timer: Timer | None = None


class Transmissions:
    """Every CON of ours to every peer."""

    def __init__(
        self,
        tuning: Tuning,
        codec: Codec,
        timers: Timers,
        peers: Peers,
        counters: Counters,
        rng: random.Random,
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._codec = codec
        self._timers = timers
        self._peers = peers
        self._counters = counters
        self._rng = rng
        self._outgoing = outgoing

    def send(
        self, peer: Peer, message: Message, on_end: Callable[[Outcome, float], None], now: float
    ) -> Transmission:
        """Send a CON, now or when the window has room. It gets its message ID on leaving."""
        transmission = Transmission(peer, message, on_end)
        if peer.waiting is None:
            peer.waiting = deque()
        peer.waiting.append(transmission)
        self._fill_window(peer, now)
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
        peer = transmission.peer
        if not transmission.data:
            if peer.waiting is not None:
                peer.waiting.remove(transmission)
        else:
            self._take_out(transmission)
            self._fill_window(peer, now)

    def _fill_window(self, peer: Peer, now: float) -> None:
        waiting = peer.waiting
        while waiting and len(peer.in_flight) < self._tuning.response_window:
            ids = self._peers.message_ids(peer)
            try:
                mid = ids.allocate(now)
            except MessageIdsExhausted:
                # An acknowledged request is never dropped for this: its response waits.
                if not peer.stalled:
                    peer.stalled = True
                    self._timers.set(ids.free_at(), lambda now: self._go_on(peer, now))
                return
            self._transmit(waiting.popleft(), mid, now)
        if not waiting:
            peer.waiting = None

    def _go_on(self, peer: Peer, now: float) -> None:
        peer.stalled = False
        self._fill_window(peer, now)

    def _transmit(self, transmission: Transmission, mid: int, now: float) -> None:
        tuning = self._tuning
        transmission.message = attrs.evolve(transmission.message, mid=mid)
        transmission.data = self._codec.encode(transmission.message)
        transmission.first_sent = now
        transmission.timeout = self._rng.uniform(
            tuning.ack_timeout, tuning.ack_timeout * tuning.ack_random_factor
        )
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
            self._counters.retransmissions += 1
            self._outgoing.append((transmission.data, transmission.peer.session))
            self._wait(transmission, now)
            return
        peer = transmission.peer
        if peer.last_heard < transmission.first_sent and peer.waiting:
            # The peer has said nothing for the whole of MAX_TRANSMIT_WAIT. To send it the
            # rest, a window at a time, would take hours and help nobody.
            silent, peer.waiting = peer.waiting, None
            for waiting in silent:
                self._end(waiting, Outcome.DROPPED, now)
        self._end_in_flight(peer, transmission.message.mid, Outcome.TIMED_OUT, now)

    def _end_in_flight(self, peer: Peer, mid: int, outcome: Outcome, now: float) -> bool:
        transmission = peer.in_flight.get(mid)
        if transmission is None:
            return False
        self._take_out(transmission)
        self._end(transmission, outcome, now)
        self._fill_window(peer, now)
        return True

    def _take_out(self, transmission: Transmission) -> None:
        del transmission.peer.in_flight[transmission.message.mid]
        if transmission.timer is not None:
            self._timers.cancel(transmission.timer)

    def _end(self, transmission: Transmission, outcome: Outcome, now: float) -> None:
        on_end, transmission.on_end = transmission.on_end, None
        if on_end is not None:
            on_end(outcome, now)
