"""Clients that are kept up to date (RFC 7641 section 4): one row each, no task.

Each has at most one notification under way, and at most one state that waits for it: the
newest. What waits goes out when the one before is acknowledged, or in its place when that one
would be repeated, with the count and the timeout of it (section 4.5.2).
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Hashable

from coapsep.message.message import Message
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.bodies import Bodies, tagged
from coapsep.protocol.events import Event, ObserverEnded
from coapsep.protocol.held import Observer, Waiting
from coapsep.protocol.records import Exchange, Outcome, Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.storage import Storage
from coapsep.protocol.timers import Timers
from coapsep.protocol.transmission import Transmissions

#: Seconds within which at least one notification must be a CON (section 4.5).
_CONFIRM_WITHIN = 24 * 60 * 60
_MODULUS = 1 << 24
#: Observers that are told in one go; the next ones have to wait until others had their turn.
_AT_ONCE = 256
#: NONs of one observer that may be answered with RST.
_MIDS = 4
#: What ends an observation whose resource now comes in another format (section 4.2).
_OTHER_FORMAT = Waiting(Response(Code.NOT_ACCEPTABLE), last=True)


class Observers:
    """Every observer of every resource."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        timers: Timers,
        transmissions: Transmissions,
        storage: Storage,
        bodies: Bodies,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
    ) -> None:
        self._tuning = tuning
        self._limits = limits
        self._timers = timers
        self._transmissions = transmissions
        self._storage = storage
        self._bodies = bodies
        self._counters = counters
        self._events = events
        self._topics: dict[Hashable, dict[Observer, None]] = {}
        self._count = 0
        # One sequence for all: it must only be in order for each of them (section 4.4).
        self._number: int | None = None
        self._rng = rng

    def __len__(self) -> int:
        return self._count

    def of(self, key: Hashable) -> tuple[Observer, ...]:
        """Those of one topic, in the order in which they came."""
        return tuple(self._topics.get(key, ()))

    def find(self, peer: Peer, token: bytes) -> Observer | None:
        """The one that this client knows by this token."""
        return None if peer.held is None else peer.held.observers.get(token)

    # -- who observes ----------------------------------------------------------------

    def register(self, exchange: Exchange, response: Response, now: float) -> int | None:
        """Enter whoever asked; returns the number for the response, None if there is no room."""
        peer, limits, topic = exchange.peer, self._limits, exchange.topic
        assert topic is not None, "whoever is entered observes something"
        held, size = self._storage.held(peer), len(exchange.request.payload)
        if (
            self._count >= limits.observers
            or len(held.observers) >= limits.observers_per_session
            or not self._storage.reserve(peer, size, now)
        ):
            self._counters.observers_refused += 1
            self._storage.release(peer, now)
            return None
        observer = Observer(peer, exchange.request, topic, confirmed_at=now, counted=size)
        self._keeps_format(observer, response)
        held.observers[observer.token] = observer
        self._topics.setdefault(topic.key, {})[observer] = None
        self._count += 1
        exchange.observer = observer
        return self._next_number()

    def remove(self, observer: Observer, now: float) -> None:
        """It is not kept up to date any more: whatever is under way for it stops."""
        if self.find(observer.peer, observer.token) is not observer:
            return
        if observer.transmission is not None:
            self._transmissions.cancel(observer.transmission, now)
            observer.transmission = None
        observer.waiting = None
        self._close(observer)
        observer.topic.attachment = None  # it may hold the observer in its turn
        self._count -= 1
        held = self._storage.held(observer.peer)
        del held.observers[observer.token]
        for mid in observer.mids:
            if held.notified.get(mid) is observer:
                del held.notified[mid]
        self._storage.give_back(observer.peer, observer.counted)
        self._storage.release(observer.peer, now)

    def reset(self, peer: Peer, mid: int, now: float) -> bool:
        """An RST for a NON notification: its client has no interest (section 3.6)."""
        observer = None if peer.held is None else peer.held.notified.get(mid)
        if observer is None:
            return False
        self._counters.notifications_reset += 1
        self.remove(observer, now)
        return True

    def seen(self, observer: Observer, now: float) -> None:
        """Its client asks for the rest of a notification: it has the beginning."""
        transmission = observer.transmission
        if transmission is not None:
            self._transmissions.cancel(transmission, now)
            self.ended(observer, Outcome.ACKNOWLEDGED, now)

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        if peer.held is not None:
            for observer in list(peer.held.observers.values()):
                self.remove(observer, now)

    # -- what they are sent ----------------------------------------------------------

    def notify(
        self,
        observers: tuple[Observer, ...],
        response: Response,
        now: float,
        *,
        last: bool = False,
    ) -> None:
        """Send them the newest state, each as soon as it may be sent.

        An error is the last they hear (section 4.2), and so is the ``last`` one.
        """
        if self._bodies.is_long(response):
            response = tagged(response)  # once for all of them
        if last or not response.code.is_success:
            waiting = Waiting(response, last=True, options=response.options)
        else:
            number = self._next_number()
            options = response.options.replace(OptionNumber.OBSERVE, number)
            waiting = Waiting(response, number=number, options=options)
        self._notify_some(observers, 0, waiting, now)

    def sent_non(self, observer: Observer, mid: int, now: float) -> None:
        """This NON may be answered with RST, and the next one must wait a while."""
        if observer.over:
            return
        notified = self._storage.held(observer.peer).notified
        for old in observer.mids[: 1 - _MIDS]:
            notified.pop(old, None)
        observer.mids = (*observer.mids[1 - _MIDS :], mid)
        notified[mid] = observer
        gap = self._tuning.non_notification_gap
        if gap:
            observer.gap = self._timers.set(now + gap, lambda now: self._gap_over(observer, now))

    def ended(self, observer: Observer, outcome: Outcome, now: float) -> None:
        """The notification that was under way has arrived, or will not."""
        transmission, observer.transmission = observer.transmission, None
        waiting, observer.waiting = observer.waiting, None
        counters = self._counters
        if outcome is not Outcome.ACKNOWLEDGED:
            counters.notifications_reset += outcome is Outcome.RESET
            counters.observers_lost += outcome is not Outcome.RESET
            self.remove(observer, now)
        elif waiting is not None and transmission is not None and transmission.successor:
            self._send(observer, waiting, now)
        elif observer.over:
            self.remove(observer, now)

    def dismiss(self, response: Response, now: float) -> None:
        """It is over for all: one NON each, which nobody will repeat."""
        for observer in [observer for rows in self._topics.values() for observer in rows]:
            message = Message(
                response.code, Type.NON, 0, observer.token, response.options, response.payload
            )
            self._transmissions.send_non(observer.peer, message, now)
            self.remove(observer, now)

    # -- inside ----------------------------------------------------------------------

    def _notify_some(
        self, observers: tuple[Observer, ...], start: int, waiting: Waiting, now: float
    ) -> None:
        end = start + _AT_ONCE
        for observer in observers[start:end]:
            if not observer.over:
                self._notify(observer, waiting, now)
        if end < len(observers):
            # At once, but not in the same go.
            soon = math.nextafter(now, math.inf)
            self._timers.set(soon, lambda now: self._notify_some(observers, end, waiting, now))

    def _notify(self, observer: Observer, waiting: Waiting, now: float) -> None:
        if not self._keeps_format(observer, waiting.response):
            waiting = _OTHER_FORMAT
        transmission = observer.transmission
        if transmission is not None:
            observer.waiting = waiting
            transmission.successor = self._message(observer, waiting, Type.CON, now)
        elif observer.gap is not None and not waiting.last:
            observer.waiting = waiting
        else:
            self._send(observer, waiting, now)
        if waiting.last:
            self._close(observer)

    def _send(self, observer: Observer, waiting: Waiting, now: float) -> None:
        tuning, peer = self._tuning, observer.peer
        is_due = observer.unconfirmed + 1 >= tuning.confirm_every
        # Whoever does not acknowledge the first one is not sent a second one.
        confirmable = waiting.last or is_due or not peer.verified
        self._counters.notifications += 1
        if confirmable or now - observer.confirmed_at >= _CONFIRM_WITHIN:
            observer.unconfirmed = 0
            observer.confirmed_at = now
            message = self._message(observer, waiting, Type.CON, now)
            on_end = functools.partial(self.ended, observer)
            observer.transmission = self._transmissions.send(peer, message, on_end, now)
            return
        observer.unconfirmed += 1
        message = self._message(observer, waiting, Type.NON, now)
        mid = self._transmissions.send_non(peer, message, now)
        if mid is None:
            self._counters.dropped += 1
        else:
            self.sent_non(observer, mid, now)

    def _message(self, observer: Observer, waiting: Waiting, kind: Type, now: float) -> Message:
        response = self._bodies.cut(observer.peer, observer.request, waiting.response, now)
        options = waiting.options
        if response is not waiting.response:
            options = response.options
            if not waiting.last:
                options = options.replace(OptionNumber.OBSERVE, waiting.number)
        return Message(response.code, kind, 0, observer.token, options, response.payload)

    def _next_number(self) -> int:
        if self._number is None:
            self._number = self._rng.getrandbits(24)
        self._number = (self._number + 1) % _MODULUS
        return self._number

    def _gap_over(self, observer: Observer, now: float) -> None:
        observer.gap = None
        waiting, observer.waiting = observer.waiting, None
        if waiting is not None:
            self._send(observer, waiting, now)

    def _keeps_format(self, observer: Observer, response: Response) -> bool:
        """Whether a state is in the format of the ones before; the first one sets it
        (section 4.2)."""
        if response.code is not Code.CONTENT:
            return True
        content_format = response.options.content_format
        if not observer.has_format:
            observer.has_format, observer.content_format = True, content_format
        return observer.content_format == content_format

    def _close(self, observer: Observer) -> None:
        """It is told nothing new. Its last notification may still be under way."""
        if observer.over:
            return
        observer.over = True
        rows = self._topics[observer.topic.key]
        del rows[observer]
        if not rows:
            del self._topics[observer.topic.key]
        if observer.gap is not None:
            self._timers.cancel(observer.gap)
            observer.gap = None
        self._events.append(ObserverEnded(observer))
