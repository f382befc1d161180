"""Requests of others (RFC 7252 section 5.2): the one table of those that are open.

An exchange is RUNNING while its handler runs, DEFERRED while a pending async request waits
for its time, ANSWERED while its separate response is unacknowledged. This file decides what
may open one, and what a request with a token that is in use does to the one that has it.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

from coapsep.address import Session
from coapsep.errors import LocalProtocolError
from coapsep.message.abbreviation import expand_path
from coapsep.message.codec import empty
from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import IDEMPOTENT, Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import (
    EndReason,
    Event,
    RequestEnded,
    ResponseUndelivered,
    Undelivered,
)
from coapsep.protocol.held import Observer
from coapsep.protocol.messaging import MessageLayer
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Entry, Exchange, Peer, Phase
from coapsep.protocol.statistics import Counters
from coapsep.protocol.storage import Storage
from coapsep.protocol.timers import Timers
from coapsep.protocol.transmission import Transmissions

#: Critical options of a request on which this version acts (section 5.4.1).
UNDERSTOOD = frozenset(
    {
        OptionNumber.URI_HOST,
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_PATH_ABBREV,
        OptionNumber.URI_QUERY,
        OptionNumber.ACCEPT,
        OptionNumber.IF_MATCH,
        OptionNumber.IF_NONE_MATCH,
        OptionNumber.BLOCK1,
        OptionNumber.BLOCK2,
        OptionNumber.PROXY_URI,
        OptionNumber.PROXY_SCHEME,
    }
)

# To look up a member of an enum costs more than to compare it.
_RUNNING, _DEFERRED, _CLOSED = Phase.RUNNING, Phase.DEFERRED, Phase.CLOSED
_CON, _ACK = Type.CON, Type.ACK


class Exchanges:
    """Every open request."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        timers: Timers,
        peers: Peers,
        dedup: Dedup,
        transmissions: Transmissions,
        messages: MessageLayer,
        storage: Storage,
        counters: Counters,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._limits = limits
        self._timers = timers
        self._peers = peers
        self._dedup = dedup
        self._transmissions = transmissions
        self._messages = messages
        self._storage = storage
        self._counters = counters
        self._events = events
        self._outgoing = outgoing
        # The wait before an empty ACK is the same for all, so a queue is in order.
        self._owed_acks: deque[tuple[float, Exchange]] = deque()
        self.open: int = 0

    # -- from the network ------------------------------------------------------------

    def open_for(
        self, request: Message, session: Session, peer: Peer | None, now: float
    ) -> Exchange | None:
        """Open an exchange for a new request; None if it was refused, or is not new."""
        if not request.options.is_plain:
            understood = self._understood(request, session)
            if understood is None:
                return None
            request = understood
        if peer is None:
            peer = self._dedup.obtain_peer(session, now)
            if peer is None:
                self._refuse(request, session)
                return None
        holder = peer.exchanges.get(request.token)
        if holder is not None and self._is_repeat(holder, request):
            self._acknowledge_repeat(peer, request, now)
            return None
        if (
            peer.open >= self._limits.requests_per_session
            or self.open >= self._limits.requests
            or (holder is not None and self._limits.token_reuse == "refuse" and _in_use(holder))
        ):
            self._refuse(request, session)
            self._peers.release(peer, now)
            return None
        confirmable = request.type is _CON
        entry = self._dedup.admit(peer, request.mid, confirmable=confirmable, now=now)
        if entry is None:
            self._refuse(request, session)
            self._peers.release(peer, now)
            return None
        if holder is not None:
            self._replace(holder, now)
        exchange = Exchange(
            peer,
            request,
            entry,
            acknowledged=not confirmable,
            repeatable=not confirmable or request.code in IDEMPOTENT,
        )
        peer.exchanges[request.token] = exchange
        peer.open += 1
        self.open += 1
        self._counters.requests += 1
        if confirmable:
            due = now + self._tuning.empty_ack_delay
            self._owed_acks.append((due, exchange))
            self._timers.wake_by(due)
        return exchange

    def open_for_observers(self, observers: tuple[Observer, ...]) -> Exchange:
        """Ask the application what it would have asked if they had: see ``Exchange.notifies``."""
        peer, request = observers[0].peer, observers[0].request
        exchange = Exchange(
            peer,
            request,
            Entry(request.mid),
            acknowledged=True,
            repeatable=True,
            notifies=observers,
        )
        peer.open += 1
        self.open += 1
        return exchange

    def session_lost(self, peer: Peer, now: float) -> None:
        """A connection has gone, and with it whoever waited at its other end."""
        self._transmissions.forget(peer)
        for exchange in list(peer.exchanges.values()):
            self._counters.session_lost += 1
            self._end(exchange, EndReason.SESSION_LOST, now)
        self._dedup.forget(peer, now)
        self._peers.forget(peer)

    # -- from the application --------------------------------------------------------

    def find(self, session: Session, token: bytes) -> Exchange | None:
        """The open request with this token."""
        peer = self._peers.find(session)
        return None if peer is None else peer.exchanges.get(token)

    def defer(self, exchange: Exchange, now: float) -> None:
        """The response takes its time: acknowledge the request now."""
        if exchange.phase is not _RUNNING:
            raise LocalProtocolError(f"only a request that runs is deferred: {exchange!r}")
        self.acknowledge(exchange, now)
        exchange.phase = _DEFERRED

    def resume(self, exchange: Exchange) -> None:
        """The handler of a deferred request runs again."""
        if exchange.phase is not _DEFERRED:
            raise LocalProtocolError(f"only a request that is deferred is resumed: {exchange!r}")
        exchange.phase = _RUNNING

    def close(self, exchange: Exchange, now: float) -> None:
        """Nothing more is sent for this request but the ACK it is owed."""
        if exchange.phase is _CLOSED:
            return
        if not exchange.acknowledged:
            self.acknowledge(exchange, now)
        exchange.phase = _CLOSED
        if exchange.transmission is not None:
            self._transmissions.cancel(exchange.transmission, now)
        if exchange.leisure is not None:
            self._timers.cancel(exchange.leisure)
        exchange.attachment = None
        if exchange.observer is None:
            exchange.topic = None
        peer, request = exchange.peer, exchange.request
        if peer.exchanges.get(request.token) is exchange:
            del peer.exchanges[request.token]
        peer.open -= 1
        self.open -= 1
        if exchange.repeatable:
            self._dedup.complete(peer, exchange.entry)
        if exchange.counted:
            self._storage.give_back(peer, exchange.counted)
            self._storage.release(peer, now)
        self._peers.release(peer, now)

    # -- time ------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When the next empty ACK is due; ``inf`` if none is owed."""
        owed = self._owed_acks
        while owed and owed[0][1].acknowledged:
            owed.popleft()
        return owed[0][0] if owed else math.inf

    def handle_timers(self, now: float) -> None:
        """Send the empty ACKs that are due (section 5.2.2)."""
        while self.next_deadline() <= now:
            self.acknowledge(self._owed_acks.popleft()[1], now)

    # -- inside ----------------------------------------------------------------------

    def _understood(self, request: Message, session: Session) -> Message | None:
        """The request, its path written out; None if it was refused for critical options."""
        unknown = _not_understood(request.options)
        if OptionNumber.URI_PATH_ABBREV in request.options.critical and not unknown:
            expanded = expand_path(request.options)
            if expanded is not None:
                return attrs.evolve(request, options=expanded)
            unknown = [OptionNumber.URI_PATH_ABBREV]
        if unknown:
            self._refuse_options(request, session, unknown)
            return None
        return request

    def _is_repeat(self, holder: Exchange, request: Message) -> bool:
        """The same request once more, while nothing runs for it: nothing new to do."""
        old = holder.last_block or holder.request
        return (
            holder.phase is Phase.DEFERRED
            and old.code == request.code
            and old.options == request.options
            and old.payload == request.payload
            and OptionNumber.OBSERVE not in request.options
        )

    def _acknowledge_repeat(self, peer: Peer, request: Message, now: float) -> None:
        self._counters.repeats += 1
        confirmable = request.type is Type.CON
        entry = self._dedup.admit(peer, request.mid, confirmable=confirmable, now=now)
        if confirmable:
            ack = empty(Type.ACK, request.mid)
            self._outgoing.append((ack, peer.session))
            if entry is not None:
                self._dedup.store(peer, entry, ack, now)
        if entry is not None and (not confirmable or request.code in IDEMPOTENT):
            self._dedup.complete(peer, entry)

    def _replace(self, holder: Exchange, now: float) -> None:
        self._counters.replaced += 1
        self._end(holder, EndReason.REPLACED, now)

    def _end(self, exchange: Exchange, reason: EndReason, now: float) -> None:
        """Whoever asked does not wait any more; see RequestEnded."""
        if exchange.phase is Phase.RUNNING:
            exchange.abandoned = True
            if reason is EndReason.SESSION_LOST:
                exchange.acknowledged = True  # there is nobody to acknowledge it to
            del exchange.peer.exchanges[exchange.request.token]
            self._events.append(RequestEnded(exchange.attachment, reason))
        elif exchange.phase is Phase.DEFERRED:
            exchange.abandoned = True
            self._events.append(RequestEnded(exchange.attachment, reason))
            self.close(exchange, now)
        elif exchange.leisure is not None:
            self.close(exchange, now)
        elif exchange.transmission is not None:
            # Its client has the response, or has given it up. Another copy of it would be
            # taken for the response to the request that has the token now.
            self._transmissions.cancel(exchange.transmission, now)
            if reason is EndReason.SESSION_LOST:
                response = exchange.transmission.sent
                undelivered = ResponseUndelivered(exchange, response, Undelivered.SESSION_LOST)
                self._events.append(undelivered)
            self.close(exchange, now)

    def acknowledge(self, exchange: Exchange, now: float) -> None:
        """Send the empty ACK, unless it has left, or none is owed (section 5.2.2)."""
        if not exchange.acknowledged:
            exchange.acknowledged = True
            self._counters.empty_acks += 1
            ack = empty(_ACK, exchange.request.mid)
            self._dedup.store(exchange.peer, exchange.entry, ack, now)
            self._outgoing.append((ack, exchange.peer.session))

    def _refuse(self, request: Message, session: Session) -> None:
        self._counters.refused += 1
        options = Options.build(max_age=self._limits.retry_after)
        self._messages.refuse(request, session, Code.SERVICE_UNAVAILABLE, "", options)

    def _refuse_options(self, request: Message, session: Session, unknown: list[int]) -> None:
        if request.type is Type.CON:
            self._counters.bad_options += 1
        else:
            self._counters.rejected += 1
        names = ", ".join(option_name(number) for number in unknown[:4])
        self._messages.refuse(
            request, session, Code.BAD_OPTION, f"not understood: {names}", Options()
        )


def _in_use(holder: Exchange) -> bool:
    """Whether somebody still waits for the request that has this token."""
    return holder.phase is not Phase.ANSWERED


def _not_understood(options: Options) -> list[int]:
    """The critical options for which a request must be refused (section 5.4.1)."""
    if not options.faulty and options.critical <= UNDERSTOOD:
        return []
    return sorted({*options.faulty, *(options.critical - UNDERSTOOD)})
