"""What becomes of a request of others before anybody handles it: it may be one of many blocks,
or the end of an observation.
"""

from __future__ import annotations

from coapsep.address import Session
from coapsep.message.message import Message
from coapsep.message.response import Response
from coapsep.numbers import SAFE, Code
from coapsep.protocol.amplification import Amplification
from coapsep.protocol.bodies import Bodies
from coapsep.protocol.events import Event, RequestReceived
from coapsep.protocol.exchanges import Exchanges
from coapsep.protocol.observers import Observers
from coapsep.protocol.records import Exchange, Peer
from coapsep.protocol.responses import Responses
from coapsep.protocol.uploads import Uploads


class Incoming:
    """The way of a request from the message layer to whoever handles it."""

    def __init__(
        self,
        amplification: Amplification,
        exchanges: Exchanges,
        responses: Responses,
        uploads: Uploads,
        bodies: Bodies,
        observers: Observers,
        events: list[Event],
    ) -> None:
        self._amplification = amplification
        self._exchanges = exchanges
        self._responses = responses
        self._uploads = uploads
        self._bodies = bodies
        self._observers = observers
        self._events = events

    def receive(
        self,
        request: Message,
        session: Session,
        peer: Peer | None,
        size: int,
        now: float,
        *,
        by_group: bool = False,
    ) -> None:
        """A new request has arrived, in a datagram of this many bytes."""
        exchange = self._exchanges.open_for(request, session, peer, now)
        if exchange is None:
            return
        if peer is not None and peer.held is not None and peer.held.observers:
            self._tell_observer(peer, request, now)
        if peer is None:  # else it has been counted
            self._amplification.heard(exchange.peer, size)
        exchange.by_group = by_group
        if request.options.is_plain:
            self._events.append(RequestReceived(exchange))
            return
        echo = request.options.echo
        if echo is not None:
            self._amplification.echoed(exchange.peer, echo, now)
        self._hand_up(exchange, now)

    def session_lost(self, peer: Peer, now: float) -> None:
        """A connection has gone, and with it whoever waited at its other end."""
        self._exchanges.session_lost(peer, now)
        self._uploads.forget(peer, now)
        self._bodies.forget(peer, now)
        self._observers.forget(peer, now)

    # -- inside ----------------------------------------------------------------------

    def _tell_observer(self, peer: Peer, request: Message, now: float) -> None:
        """A request with the token of an observer: what does it mean for that one?"""
        observer = self._observers.find(peer, request.token)
        if observer is None:
            return
        block2 = request.options.block2
        if block2 is not None and block2.number:
            self._observers.seen(observer, now)
        else:
            # It deregisters (RFC 7641 section 3.6), has given its token to another request, or
            # registers again, and is entered anew with the response (section 4.1).
            self._observers.remove(observer, now)

    def _hand_up(self, exchange: Exchange, now: float) -> None:
        options = exchange.request.options
        block1, block2 = options.block1, options.block2
        if (block1 is not None and not block1.is_valid) or (
            block2 is not None and not block2.is_valid
        ):
            reserved = Response(Code.BAD_REQUEST, "size exponent 7 is reserved")
            self._responses.refuse(exchange, reserved, now)
        elif block1 is not None:
            self._uploads.receive(exchange, block1, now)
        elif block2 is not None and block2.number:
            self._later_block(exchange, now)
        else:
            self._events.append(RequestReceived(exchange))

    def _later_block(self, exchange: Exchange, now: float) -> None:
        """It wants what an earlier response has left (RFC 7959 section 2.4)."""
        request = exchange.request
        body = self._bodies.find(exchange.peer, request)
        if body is not None:
            exchange.repeatable = True
            self._bodies.serve(body, exchange, now)
        elif request.code is Code.GET or (request.code in SAFE and request.payload):
            self._events.append(RequestReceived(exchange))  # made once more, and cut there
        else:
            gone = Response(Code.REQUEST_ENTITY_INCOMPLETE, "the response is not kept any more")
            self._responses.refuse(exchange, gone, now)
