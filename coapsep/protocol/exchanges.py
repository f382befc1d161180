"""Requests and their responses (RFC 7252 section 5.2): the one table of open requests.

An exchange is RUNNING while its handler runs, DEFERRED while a pending async request waits
for its time, ANSWERED while its separate response is unacknowledged. This file decides what
a request with a token that is in use does to the one that has it, and how a response leaves:
in the ACK while that is still owed, else as a message of its own.
"""

from __future__ import annotations

import functools
import math
from collections import deque

from coapsep.address import Session
from coapsep.errors import LocalProtocolError, MessageIdsExhausted
from coapsep.message.codec import Codec, empty
from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import IDEMPOTENT, Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import (
    EndReason,
    Event,
    RequestEnded,
    RequestReceived,
    ResponseUndelivered,
    Undelivered,
)
from coapsep.protocol.messaging import MessageLayer
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Exchange, Outcome, Peer, Phase
from coapsep.protocol.statistics import Counters
from coapsep.protocol.transmission import Transmissions

#: Critical options of a request on which this version acts (section 5.4.1).
UNDERSTOOD = frozenset(
    {
        OptionNumber.URI_HOST,
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,
        OptionNumber.ACCEPT,
        OptionNumber.PROXY_URI,
        OptionNumber.PROXY_SCHEME,
    }
)

_UNDELIVERED = {
    Outcome.RESET: Undelivered.RESET,
    Outcome.TIMED_OUT: Undelivered.TIMED_OUT,
    Outcome.DROPPED: Undelivered.DROPPED,
}


class Exchanges:
    """Every open request."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        codec: Codec,
        peers: Peers,
        dedup: Dedup,
        transmissions: Transmissions,
        messages: MessageLayer,
        counters: Counters,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._limits = limits
        self._codec = codec
        self._peers = peers
        self._dedup = dedup
        self._transmissions = transmissions
        self._messages = messages
        self._counters = counters
        self._events = events
        self._outgoing = outgoing
        # The wait before an empty ACK is the same for all, so a queue is in order.
        self._owed_acks: deque[tuple[float, Exchange]] = deque()
        self.open: int = 0

    # -- from the network ------------------------------------------------------------

    def receive(self, request: Message, session: Session, now: float) -> None:
        """Open an exchange for a new request, or refuse it."""
        unknown = _not_understood(request.options)
        if unknown:
            self._refuse_options(request, session, unknown)
            return
        peer = self._dedup.obtain_peer(session, now)
        if peer is None:
            self._refuse(request, session)
            return
        holder = peer.exchanges.get(request.token)
        if holder is not None and self._is_repeat(holder, request):
            self._acknowledge_repeat(peer, request, now)
            return
        if (
            peer.open >= self._limits.requests_per_session
            or self.open >= self._limits.requests
            or (holder is not None and self._limits.token_reuse == "refuse" and _in_use(holder))
        ):
            self._refuse(request, session)
            self._peers.release(peer, now)
            return
        entry = self._dedup.admit(peer, request.mid, confirmable=request.type is Type.CON, now=now)
        if entry is None:
            self._refuse(request, session)
            self._peers.release(peer, now)
            return
        if holder is not None:
            self._replace(holder, now)
        exchange = peer.exchanges[request.token] = Exchange(peer, request, entry)
        peer.open += 1
        self.open += 1
        self._counters.requests += 1
        if not exchange.acknowledged:
            self._owed_acks.append((now + self._tuning.empty_ack_delay, exchange))
        self._events.append(RequestReceived(exchange))

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

    def respond(self, exchange: Exchange, response: Response, now: float) -> None:
        """Send the response, in the ACK if that is still owed (sections 5.2.1 to 5.2.3)."""
        if exchange.phase is not Phase.RUNNING and exchange.phase is not Phase.DEFERRED:
            raise LocalProtocolError(f"this request has its response already: {exchange.request}")
        request, peer, counters = exchange.request, exchange.peer, self._counters
        if exchange.abandoned:
            counters.responses_abandoned += 1
            self.close(exchange, now)
            return
        code, options, payload = response.code, response.options, response.payload
        if not exchange.acknowledged:
            message = Message(code, Type.ACK, request.mid, request.token, options, payload)
            reply = self._codec.encode(message)
            self._dedup.store(exchange.entry, reply, now)
            self._outgoing.append((reply, peer.session))
            exchange.acknowledged = True
            counters.piggybacked += 1
            self.close(exchange, now)
        elif request.type is Type.CON:
            message = Message(code, Type.CON, 0, request.token, options, payload)
            on_end = functools.partial(self._transmission_ended, exchange)
            exchange.transmission = self._transmissions.send(peer, message, on_end, now)
            exchange.phase = Phase.ANSWERED
            counters.separate += 1
        else:
            self._send_non(exchange, response, now)
            self.close(exchange, now)

    def refuse(self, exchange: Exchange, response: Response, now: float) -> None:
        """Respond to a request for which nothing was run: it may come again without harm."""
        exchange.repeatable = True
        self.respond(exchange, response, now)

    def finish(self, exchange: Exchange, response: Response, now: float) -> None:
        """Close a request with one last message that nobody will repeat.

        A response that still waits for its turn goes out itself; one that was sent once is
        left at that. Whoever has no response gets the one given here.
        """
        if exchange.phase is Phase.CLOSED:
            return
        if exchange.phase is not Phase.ANSWERED:
            if exchange.acknowledged and not exchange.abandoned:
                self._send_non(exchange, response, now)
            else:
                self.respond(exchange, response, now)
        elif exchange.transmission is not None:
            if not exchange.transmission.data:
                own = exchange.transmission.message
                own_response = Response(own.code, own.payload, options=own.options)
                self._send_non(exchange, own_response, now)
            self._transmissions.cancel(exchange.transmission, now)
        self.close(exchange, now)

    def defer(self, exchange: Exchange, now: float) -> None:
        """The response takes its time: acknowledge the request now."""
        if exchange.phase is not Phase.RUNNING:
            raise LocalProtocolError(f"only a request that runs is deferred: {exchange!r}")
        self._acknowledge(exchange, now)
        exchange.phase = Phase.DEFERRED

    def resume(self, exchange: Exchange) -> None:
        """The handler of a deferred request runs again."""
        if exchange.phase is not Phase.DEFERRED:
            raise LocalProtocolError(f"only a request that is deferred is resumed: {exchange!r}")
        exchange.phase = Phase.RUNNING

    def close(self, exchange: Exchange, now: float) -> None:
        """Nothing more is sent for this request but the ACK it is owed."""
        if exchange.phase is Phase.CLOSED:
            return
        self._acknowledge(exchange, now)
        exchange.phase = Phase.CLOSED
        if exchange.transmission is not None:
            self._transmissions.cancel(exchange.transmission, now)
        exchange.attachment = None
        peer, request = exchange.peer, exchange.request
        if peer.exchanges.get(request.token) is exchange:
            del peer.exchanges[request.token]
        peer.open -= 1
        self.open -= 1
        if exchange.repeatable:
            self._dedup.complete(exchange.entry)
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
            self._acknowledge(self._owed_acks.popleft()[1], now)

    # -- inside ----------------------------------------------------------------------

    def _send_non(self, exchange: Exchange, response: Response, now: float) -> None:
        """A response as a NON: unreliable, with a message ID of ours (section 5.2.3)."""
        peer = exchange.peer
        try:
            mid = self._peers.message_ids(peer).allocate(now)
        except MessageIdsExhausted:
            self._counters.dropped += 1
            return
        message = Message(
            response.code,
            Type.NON,
            mid,
            exchange.request.token,
            response.options,
            response.payload,
        )
        self._outgoing.append((self._codec.encode(message), peer.session))
        self._counters.non_responses += 1

    def _is_repeat(self, holder: Exchange, request: Message) -> bool:
        """The same request once more, while nothing runs for it: nothing new to do."""
        old = holder.request
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
                self._dedup.store(entry, ack, now)
        if entry is not None and (not confirmable or request.code in IDEMPOTENT):
            self._dedup.complete(entry)

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
        elif exchange.transmission is not None:
            # Its client has the response, or has given it up. Another copy of it would be
            # taken for the response to the request that has the token now.
            self._transmissions.cancel(exchange.transmission, now)
            if reason is EndReason.SESSION_LOST:
                response = exchange.transmission.message
                undelivered = ResponseUndelivered(exchange, response, Undelivered.SESSION_LOST)
                self._events.append(undelivered)
            self.close(exchange, now)

    def _transmission_ended(self, exchange: Exchange, outcome: Outcome, now: float) -> None:
        undelivered = _UNDELIVERED.get(outcome)
        counters = self._counters
        counters.delivered += outcome is Outcome.ACKNOWLEDGED
        counters.reset += outcome is Outcome.RESET
        counters.timed_out += outcome is Outcome.TIMED_OUT
        counters.dropped += outcome is Outcome.DROPPED
        if undelivered is not None and exchange.transmission is not None:
            response = exchange.transmission.message
            self._events.append(ResponseUndelivered(exchange, response, undelivered))
        self.close(exchange, now)

    def _acknowledge(self, exchange: Exchange, now: float) -> None:
        if not exchange.acknowledged:
            exchange.acknowledged = True
            self._counters.empty_acks += 1
            ack = empty(Type.ACK, exchange.request.mid)
            self._dedup.store(exchange.entry, ack, now)
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
