"""Our own requests (RFC 7252 sections 4.7 and 5.3): whose turn it is, and what answers them.

A request waits in its peer's queue until fewer than NSTART are outstanding there. It is SENT
until an acknowledgement or a response comes; an empty ACK makes it ACKNOWLEDGED, and from
then on nothing is sent for it. Its token finds it again when the response comes. It is over
with the response, a failure, or ``cancel``: then its token is nobody's, and the next one in
the queue leaves at once. A ping is a request without a token that RST answers.
"""

from __future__ import annotations

import functools
import math
import random

from coapsep.address import Session
from coapsep.errors import MessageIdsExhausted
from coapsep.message.codec import Codec, empty
from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event, Failure, RequestFailed, ResponseReceived
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Asked, ClientExchange, Outcome, Peer, Stage
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers
from coapsep.protocol.tokens import draw_token
from coapsep.protocol.transmission import Transmissions

#: Critical options of a response on which this version acts (section 5.4.1).
UNDERSTOOD: frozenset[OptionNumber] = frozenset()

#: Bytes of NON requests that a peer may leave unanswered before PROBING_RATE holds back the
#: next one: a message of the largest size that section 4.6 expects.
_PROBING_BURST = 1152


class Requests:
    """Every request of ours that is not over."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        codec: Codec,
        timers: Timers,
        peers: Peers,
        dedup: Dedup,
        transmissions: Transmissions,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._limits = limits
        self._codec = codec
        self._timers = timers
        self._peers = peers
        self._dedup = dedup
        self._transmissions = transmissions
        self._counters = counters
        self._rng = rng
        self._events = events
        self._outgoing = outgoing
        self.open: int = 0

    # -- from the application --------------------------------------------------------

    def send(
        self,
        session: Session,
        kind: Type,
        code: Code,
        options: Options,
        payload: bytes,
        attachment: object,
        now: float,
    ) -> ClientExchange:
        """Send a request as soon as it is its turn.

        Raises ValueError if it cannot be written, LocalProtocolError if the table of peers is
        full; nothing has changed then.
        """
        peer, asked = self._obtain(session, now)
        token = draw_token(self._rng, self._tuning.token_bytes, asked.tokens)
        request = Message(code, kind, 0, token, options, payload)
        try:
            data = self._codec.encode(request)
        except Exception:
            self._peers.release(peer, now)  # it may be new
            raise
        return self._enqueue(ClientExchange(peer, token, request, data, attachment), now)

    def ping(self, session: Session, attachment: object, now: float) -> ClientExchange:
        """Send an Empty CON as soon as it is its turn (section 4.3). Raises as ``send`` does."""
        peer, asked = self._obtain(session, now)
        request = Message(Code.EMPTY, Type.CON, 0)
        data = empty(Type.CON, 0)
        token = draw_token(self._rng, self._tuning.token_bytes, asked.tokens)
        return self._enqueue(ClientExchange(peer, token, request, data, attachment), now)

    def cancel(self, exchange: ClientExchange, now: float) -> None:
        """Give it up: nothing more is sent for it, and nothing that comes is for it.

        Its message ID stays in use until its lifetime is over (section 4.4).
        """
        if exchange.stage is not Stage.OVER:
            self._counters.requests_cancelled += 1
            self._finish(exchange, now)

    # -- from the network ------------------------------------------------------------

    def receive(self, peer: Peer, response: Message, now: float) -> bool:
        """A response came; False if nothing was asked that it answers (section 5.3.2)."""
        exchange = self._match(peer, response)
        if exchange is None:
            self._heard(peer, now)
            return False
        # Heard in the very moment of the last probe, perhaps, which times alone do not tell.
        _asked(exchange).paid_at = -math.inf
        options = response.options
        if options.faulty or not options.critical <= UNDERSTOOD:
            self._reject(exchange, response, now)
            return True
        if response.type is Type.CON:
            self._acknowledge(peer, response, now)
        self._counters.responses += 1
        self._finish(exchange, now)
        self._events.append(ResponseReceived(exchange, response))
        return True

    def too_large(self, peer: Peer, head: Message, now: float) -> bool:
        """The response of which this is the beginning cannot be read; False as ``receive``."""
        exchange = self._match(peer, head)
        if exchange is None:
            return False
        detail = f"it has more than {self._limits.datagram_size} bytes"
        self._fail(exchange, Failure.TOO_LARGE, detail, now)
        return True

    def reset(self, peer: Peer, mid: int, now: float) -> bool:
        """An RST for a NON of ours; False if it matches nothing (section 4.3)."""
        exchange = None if peer.asked is None else peer.asked.mids.get(mid)
        if exchange is None or exchange.request.type is not Type.NON:
            self._heard(peer, now)
            return False
        self._fail(exchange, Failure.RESET, "", now)
        return True

    def unsent(self, data: bytes, session: Session, detail: str, now: float) -> None:
        """The system refused to send this datagram.

        If it is a retransmission, the request goes on: the next one may do better, and by the
        time the socket has refused this one, an acknowledgement may have come.
        """
        exchange = self._find_sent(data, session)
        if exchange is not None and exchange.stage is Stage.SENT:
            transmission = exchange.transmission
            if transmission is None or transmission.attempts == 0:
                self._fail(exchange, Failure.UNREACHABLE, detail, now)

    def refused(self, quoted: bytes, session: Session, now: float) -> None:
        """The network says that nobody is at the port this datagram was for.

        Anybody could say so. Whoever has not seen the request cannot quote its token and
        message ID (section 4.2).
        """
        exchange = self._find_sent(quoted, session)
        if exchange is not None and exchange.stage is Stage.SENT:
            self._fail(exchange, Failure.UNREACHABLE, "nobody is at that port", now)

    def session_lost(self, peer: Peer, now: float) -> None:
        """The session has gone, and with it whoever could answer."""
        if peer.asked is not None:
            peer.asked.queue.clear()  # before the first one leaves its place to the next
            for exchange in list(peer.asked.tokens.values()):
                self._fail(exchange, Failure.SESSION_LOST, "", now)

    # -- whose turn it is ------------------------------------------------------------

    def _obtain(self, session: Session, now: float) -> tuple[Peer, Asked]:
        peer = self._dedup.obtain_peer_to_ask(session, now)
        if peer.asked is None:
            peer.asked = Asked()
        return peer, peer.asked

    def _enqueue(self, exchange: ClientExchange, now: float) -> ClientExchange:
        asked = _asked(exchange)
        asked.tokens[exchange.token] = exchange
        asked.queue[exchange] = None
        self.open += 1
        self._send_next(exchange.peer, asked, now)
        return exchange

    def _send_next(self, peer: Peer, asked: Asked, now: float) -> None:
        while asked.queue and asked.outstanding < self._tuning.nstart and asked.stalled is None:
            exchange = next(iter(asked.queue))
            if exchange.request.type is Type.NON:
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

    def _heard(self, peer: Peer, now: float) -> None:
        """It is there: a NON request that PROBING_RATE held back need not wait any more."""
        if peer.asked is not None and peer.asked.stalled is not None:
            self._go_on(peer, peer.asked, now)

    def _transmit(self, exchange: ClientExchange, asked: Asked, mid: int, now: float) -> None:
        peer, asked_for, draft = exchange.peer, exchange.request, exchange.data
        request = Message(
            asked_for.code,
            asked_for.type,
            mid,
            asked_for.token,
            asked_for.options,
            asked_for.payload,
        )
        exchange.request = request
        exchange.data = draft[:2] + mid.to_bytes(2, "big") + draft[4:]
        exchange.stage = Stage.SENT
        exchange.outstanding = True
        asked.outstanding += 1
        asked.mids[mid] = exchange
        if exchange.is_ping:
            self._counters.pings_sent += 1
        else:
            self._counters.requests_sent += 1
        if request.type is Type.CON:
            on_end = functools.partial(self._transmission_ended, exchange)
            exchange.transmission = self._transmissions.send_request(
                peer, request, draft, on_end, now
            )
            return
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
            asked = _asked(exchange)
            asked.outstanding -= 1
            self._send_next(exchange.peer, asked, now)

    # -- how it goes on --------------------------------------------------------------

    def _transmission_ended(self, exchange: ClientExchange, outcome: Outcome, now: float) -> None:
        exchange.transmission = None
        if exchange.is_ping and outcome in (Outcome.RESET, Outcome.ACKNOWLEDGED):
            # RST is the right answer; an ACK is a wrong one, and a sign of life all the same.
            pong = Message(Code.EMPTY, Type.RST, exchange.request.mid)
            self._finish(exchange, now)
            self._events.append(ResponseReceived(exchange, pong))
        elif outcome is Outcome.ACKNOWLEDGED:
            exchange.stage = Stage.ACKNOWLEDGED
            self._set_limit(exchange, now)
            self._give_up_place(exchange, now)
        elif outcome is Outcome.RESET:
            self._fail(exchange, Failure.RESET, "", now)
        else:
            self._fail(exchange, Failure.TIMED_OUT, "", now)

    def _set_limit(self, exchange: ClientExchange, now: float) -> None:
        limit = self._tuning.response_timeout
        if limit is not None:
            exchange.limit = self._timers.set(
                now + limit, lambda now: self._fail(exchange, Failure.TOO_LATE, "", now)
            )

    def _match(self, peer: Peer, response: Message) -> ClientExchange | None:
        """The request that a response answers: its token, from its endpoint (section 5.3.2)."""
        exchange = None if peer.asked is None else peer.asked.tokens.get(response.token)
        if exchange is None or exchange.is_ping or exchange.stage is Stage.QUEUED:
            return None
        if response.type is Type.ACK:
            # A piggybacked one must be in the ACK of that request, and no other.
            request = exchange.request
            if request.type is not Type.CON or request.mid != response.mid:
                return None
        return exchange

    def _acknowledge(self, peer: Peer, response: Message, now: float) -> None:
        """Acknowledge a separate response, and its copies to come: they are never reset."""
        ack = empty(Type.ACK, response.mid)
        self._outgoing.append((ack, peer.session))
        entry = self._dedup.admit(peer, response.mid, confirmable=True, now=now)
        if entry is not None:
            self._dedup.store(entry, ack, now)
            self._dedup.complete(entry)

    def _find_sent(self, data: bytes, session: Session) -> ClientExchange | None:
        """The request of which these are the first bytes: at least its header and token."""
        if len(data) < 4:
            return None
        peer = self._peers.find(session)
        if peer is None or peer.asked is None:
            return None
        exchange = peer.asked.mids.get(data[2] << 8 | data[3])
        if exchange is None:
            return None
        head = 4 + (exchange.data[0] & 15)
        return exchange if data[:head] == exchange.data[:head] else None

    def _reject(self, exchange: ClientExchange, response: Message, now: float) -> None:
        """It has critical options that are not understood (sections 5.4.1, 4.2 and 4.3).

        Nothing better will come: whoever waits is told.
        """
        if response.type is Type.CON:
            self._outgoing.append((empty(Type.RST, response.mid), exchange.peer.session))
        self._counters.rejected += 1
        unknown = sorted({*response.options.faulty, *(response.options.critical - UNDERSTOOD)})
        names = ", ".join(option_name(number) for number in unknown[:4])
        self._fail(exchange, Failure.BAD_OPTION, names, now)

    def _fail(self, exchange: ClientExchange, failure: Failure, detail: str, now: float) -> None:
        self._counters.requests_failed += 1
        self._finish(exchange, now)
        self._events.append(RequestFailed(exchange, failure, detail))

    def _finish(self, exchange: ClientExchange, now: float) -> None:
        """It is over: stop what is sent for it, and let the next one go."""
        asked = _asked(exchange)
        exchange.stage = Stage.OVER
        self.open -= 1
        del asked.tokens[exchange.token]
        asked.queue.pop(exchange, None)
        if asked.mids.get(exchange.request.mid) is exchange:
            del asked.mids[exchange.request.mid]
        for timer in (exchange.place, exchange.limit):
            if timer is not None:
                self._timers.cancel(timer)
        if exchange.transmission is not None:
            # A response stands for an acknowledgement that was lost (section 5.2.2).
            self._transmissions.cancel(exchange.transmission, now)
            exchange.transmission = None
        self._give_up_place(exchange, now)
        if asked.stalled is not None:
            self._go_on(exchange.peer, asked, now)  # it may have waited for this one
        self._peers.release(exchange.peer, now)


def _asked(exchange: ClientExchange) -> Asked:
    asked = exchange.peer.asked
    assert asked is not None, "a peer that was asked remembers it"
    return asked
