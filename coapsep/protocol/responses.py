"""How a response leaves (RFC 7252 section 5.2): in the ACK while that is still owed, else as a
message of its own; in blocks if it is long; not at all if nobody wants it.
"""

from __future__ import annotations

import functools
import random

from coapsep.address import Session
from coapsep.errors import LocalProtocolError
from coapsep.message.block import Block
from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import SAFE, Code, OptionNumber, Type
from coapsep.params import Tuning
from coapsep.protocol.amplification import HARMLESS, Amplification
from coapsep.protocol.bodies import Bodies
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event, ResponseUndelivered, Undelivered
from coapsep.protocol.exchanges import Exchanges
from coapsep.protocol.observers import Observers
from coapsep.protocol.records import Exchange, Outcome, Phase
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers
from coapsep.protocol.transmission import Transmissions
from coapsep.protocol.uploads import Uploads

#: Of a response that must stay small, bytes.
_SMALL_BLOCK = 64

# To look up a member of an enum costs more than to compare it.
_CON, _ACK = Type.CON, Type.ACK
_RUNNING, _DEFERRED, _ANSWERED = Phase.RUNNING, Phase.DEFERRED, Phase.ANSWERED
_ACKNOWLEDGED = Outcome.ACKNOWLEDGED

_UNDELIVERED = {
    Outcome.RESET: Undelivered.RESET,
    Outcome.TIMED_OUT: Undelivered.TIMED_OUT,
    Outcome.DROPPED: Undelivered.DROPPED,
}


class Responses:
    """Every response to a request of others."""

    def __init__(
        self,
        tuning: Tuning,
        amplification: Amplification,
        codec: Codec,
        timers: Timers,
        dedup: Dedup,
        transmissions: Transmissions,
        exchanges: Exchanges,
        bodies: Bodies,
        uploads: Uploads,
        observers: Observers,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._amplification = amplification
        self._codec = codec
        self._timers = timers
        self._dedup = dedup
        self._transmissions = transmissions
        self._exchanges = exchanges
        self._bodies = bodies
        self._uploads = uploads
        self._observers = observers
        self._counters = counters
        self._rng = rng
        self._events = events
        self._outgoing = outgoing

    def respond(self, exchange: Exchange, response: Response, now: float) -> None:
        """Send the response, in the ACK if that is still owed (sections 5.2.1 to 5.2.3).

        Raises LocalProtocolError if it has one already.
        """
        if exchange.phase is not _RUNNING and exchange.phase is not _DEFERRED:
            raise LocalProtocolError(f"this request has its response already: {exchange.request}")
        request, peer, counters = exchange.request, exchange.peer, self._counters
        if exchange.upload is not None:
            self._uploads.answered(exchange, now)
        if exchange.abandoned:
            counters.responses_abandoned += 1
            self._exchanges.close(exchange, now)
            return
        if exchange.notifies:
            self._observers.notify(exchange.notifies, response, now)
            self._exchanges.close(exchange, now)
            return
        if not peer.verified:
            response = self._restrained(exchange, response, now)
        if (
            not request.options.is_plain
            or exchange.by_group
            or exchange.block1 is not None
            or exchange.block_size is not None
            or self._bodies.is_long(response)
        ):
            if _is_unwanted(exchange, response):
                counters.suppressed += 1
                self._exchanges.close(exchange, now)
                return
            response = self._dressed(exchange, response, now)
        code, options, payload = response.code, response.options, response.payload
        if not exchange.acknowledged:
            reply = self._codec.write(code, _ACK, request.mid, request.token, options, payload)
            self._dedup.store(peer, exchange.entry, reply, now)
            self._outgoing.append((reply, peer.session))
            exchange.acknowledged = True
            counters.piggybacked += 1
            self._exchanges.close(exchange, now)
        elif request.type is _CON:
            message = Message(code, _CON, 0, request.token, options, payload)
            on_end = functools.partial(self._transmission_ended, exchange)
            exchange.transmission = self._transmissions.send(peer, message, on_end, now)
            exchange.phase = _ANSWERED
            counters.separate += 1
            if exchange.observer is not None:
                exchange.observer.transmission = exchange.transmission
        elif exchange.by_group:
            self._at_leisure(exchange, response, now)
        else:
            self._send_non(exchange, response, now)
            self._exchanges.close(exchange, now)

    def refuse(self, exchange: Exchange, response: Response, now: float) -> None:
        """Respond to a request for which nothing was run: it may come again without harm."""
        exchange.repeatable = True
        self.respond(exchange, response, now)

    def refuse_options(self, exchange: Exchange, names: str, now: float) -> None:
        """Its handler does not understand these critical options (section 5.4.1)."""
        if exchange.request.type is Type.CON:
            self._counters.bad_options += 1
            self.refuse(exchange, Response(Code.BAD_OPTION, f"not understood: {names}"), now)
        else:
            self._counters.rejected += 1
            exchange.repeatable = True
            self.close(exchange, now)

    def close(self, exchange: Exchange, now: float) -> None:
        """Give up a request without a response."""
        if exchange.upload is not None:
            self._uploads.answered(exchange, now)
        self._exchanges.close(exchange, now)

    def finish(self, exchange: Exchange, response: Response, now: float) -> None:
        """Close a request with one last message that nobody will repeat.

        A response that still waits for its turn goes out itself; one that was sent once is
        left at that. Whoever has no response gets the one given here.
        """
        if exchange.phase is Phase.CLOSED:
            return
        if exchange.phase is not Phase.ANSWERED:
            if exchange.acknowledged and not (exchange.abandoned or exchange.by_group):
                self._send_non(exchange, response, now)
            else:
                self.respond(exchange, response, now)
        elif exchange.transmission is not None:
            if not exchange.transmission.data:
                own = exchange.transmission.message
                own_response = Response(own.code, own.payload, options=own.options)
                self._send_non(exchange, own_response, now)
            self._transmissions.cancel(exchange.transmission, now)
        if exchange.observer is not None:
            self._observers.remove(exchange.observer, now)
        self._exchanges.close(exchange, now)

    # -- inside ----------------------------------------------------------------------

    def _restrained(self, exchange: Exchange, response: Response, now: float) -> Response:
        """What may be said to a client whose address may be forged; see amplification.py."""
        payload = min(len(response.payload), self._tuning.block_size)
        size = 13 + payload
        if response.options is not EMPTY:
            size += sum(3 + len(value) for _, value in response.options)
        peer, request = exchange.peer, exchange.request
        if self._amplification.permits(peer, size, now):
            return response
        self._amplification.pay(peer, size)
        if size <= HARMLESS:
            return response
        if exchange.acknowledged and request.type is Type.CON:
            return response  # too late to ask; it is not repeated without end
        if request.code not in SAFE:
            # It has been executed, and must not be again: the client asks for the rest.
            exchange.block_size = _SMALL_BLOCK
            return response
        self._counters.echo_challenges += 1
        exchange.topic = None
        echo = self._amplification.echo(exchange.session, now)
        return Response(Code.UNAUTHORIZED, options=Options.build(echo=echo))

    def _dressed(self, exchange: Exchange, response: Response, now: float) -> Response:
        """The response with what its request asks for beside it: Observe, and blocks."""
        peer, request = exchange.peer, exchange.request
        number = None
        if exchange.topic is not None and response.code.is_success:
            number = self._observers.register(exchange, response, now)
        if response.code is not Code.CONTINUE and response.options.block2 is None:
            response = self._bodies.cut(peer, request, response, now, exchange.block_size)
        options = response.options
        if number is not None:
            options = options.replace(OptionNumber.OBSERVE, number)
        if exchange.block1 is not None:
            # The first one may bring the size down to ours (RFC 7959 section 2.3).
            block, size = exchange.block1, self._tuning.block_size
            more = response.code is Code.CONTINUE
            size = min(block.size, size) if not block.number else block.size
            if more is not block.more or size != block.size:
                block = Block(block.number, more, size)
            options = options.with_blocks(block, options.block2)
        return Response.of(response.code, response.payload, options)

    def _send_non(self, exchange: Exchange, response: Response, now: float) -> None:
        """A response as a NON: unreliable, with a message ID of ours (section 5.2.3)."""
        message = Message(
            response.code,
            Type.NON,
            0,
            exchange.request.token,
            response.options,
            response.payload,
        )
        mid = self._transmissions.send_non(exchange.peer, message, now)
        if mid is None:
            self._counters.dropped += 1
            return
        self._counters.non_responses += 1
        if exchange.observer is not None:
            self._observers.sent_non(exchange.observer, mid, now)

    def _at_leisure(self, exchange: Exchange, response: Response, now: float) -> None:
        """Many others answer the same request: not all at once (section 8.2)."""
        exchange.phase = Phase.ANSWERED

        def send(now: float) -> None:
            exchange.leisure = None
            self._send_non(exchange, response, now)
            self._exchanges.close(exchange, now)

        wait = self._rng.uniform(0, self._tuning.default_leisure)
        exchange.leisure = self._timers.set(now + wait, send)

    def _transmission_ended(self, exchange: Exchange, outcome: Outcome, now: float) -> None:
        counters = self._counters
        if outcome is _ACKNOWLEDGED:
            counters.delivered += 1
        else:
            counters.reset += outcome is Outcome.RESET
            counters.timed_out += outcome is Outcome.TIMED_OUT
            counters.dropped += outcome is Outcome.DROPPED
            if exchange.transmission is not None:
                sent, reason = exchange.transmission.sent, _UNDELIVERED[outcome]
                self._events.append(ResponseUndelivered(exchange, sent, reason))
        if exchange.observer is not None:
            self._observers.ended(exchange.observer, outcome, now)
        self._exchanges.close(exchange, now)


def _is_unwanted(exchange: Exchange, response: Response) -> bool:
    """Whether the client is not interested (RFC 7967 section 2.1), or must not be answered.

    To a request that came by multicast no error is told unless it asks for it (RFC 7252
    section 8.2; RFC 7967 section 2.1).
    """
    unwanted = exchange.request.options.no_response
    if unwanted is None or response.code is Code.CONTINUE:
        return exchange.by_group and not response.code.is_success
    return bool(unwanted >> ((response.code >> 5) - 1) & 1)
