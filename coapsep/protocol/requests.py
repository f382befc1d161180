"""Our own requests (RFC 7252 section 5.3): what answers them, and how they end.

When it leaves is up to turns.py. Its token finds a request again when the response comes. It is
over with the response, a failure, or ``cancel``: then its token is nobody's, and the next one in
the queue leaves at once. A ping is a request without a token that RST answers. What is kept up
to date goes on after its first response: observations.py has the rules.
"""

from __future__ import annotations

import math
import random

from coapsep.address import Session
from coapsep.message.codec import Codec, empty
from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import (
    Event,
    Failure,
    RequestFailed,
    ResponseBodyReceived,
    ResponseReceived,
)
from coapsep.protocol.fetches import Fetches
from coapsep.protocol.observations import REGISTER, Observation, Observations
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import ClientExchange, Outcome, Peer, Stage
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timers
from coapsep.protocol.transfer_state import WHOLE, Handling
from coapsep.protocol.transfers import Ending, Transfers, may_go_on
from coapsep.protocol.transmission import Transmissions
from coapsep.protocol.turns import Turns, asked_of

#: Critical options of a response on which this version acts (section 5.4.1).
UNDERSTOOD: frozenset[OptionNumber] = frozenset({OptionNumber.BLOCK1, OptionNumber.BLOCK2})

# To look up a member of an enum costs more than to compare it.
_CON, _ACK = Type.CON, Type.ACK
_QUEUED, _PAUSED = Stage.QUEUED, Stage.PAUSED


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
        self._limits = limits
        self._codec = codec
        self._peers = peers
        self._dedup = dedup
        self._counters = counters
        self._events = events
        self._outgoing = outgoing
        self._turns = Turns(
            tuning,
            codec,
            timers,
            peers,
            dedup,
            transmissions,
            counters,
            rng,
            outgoing,
            self._transmission_ended,
            self._too_late,
        )
        self._transfers = Transfers(
            tuning, limits, self._turns, events, self._end, self._fail, self._stop_observing
        )
        self._fetches = Fetches(
            codec, self._turns, self._transfers, events, self._finish, self._fail
        )
        self._observations = Observations(
            tuning,
            codec,
            timers,
            self._turns,
            counters,
            rng,
            outgoing,
            self._fetches.show,
            self._fail,
        )

    @property
    def open(self) -> int:
        """Requests and pings that are not over."""
        return self._turns.open

    @property
    def body_bytes(self) -> int:
        """Bytes of responses that are not whole yet."""
        return self._transfers.bytes

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
        *,
        handling: Handling = WHOLE,
        observe: bool = False,
    ) -> ClientExchange:
        """Send a request as soon as it is its turn, in as many messages as it takes; perhaps
        to be kept up to date (RFC 7641 section 3.1).

        Raises ValueError if it cannot be written, LocalProtocolError if the table of peers is
        full; nothing has changed then.
        """
        if observe:
            options = options.replace(OptionNumber.OBSERVE, REGISTER)
        peer, asked = self._turns.obtain(session, now)
        token = self._turns.draw_token(asked)
        transfer = self._transfers.plan(options, payload, handling)
        request = Message(code, kind, 0, token, options, payload if transfer is None else b"")
        try:
            data = self._codec.encode(request)
        except Exception:
            self._peers.release(peer, now)  # it may be new
            raise
        observation = Observation() if observe else None
        exchange = ClientExchange(peer, token, request, data, attachment, observation=observation)
        if transfer is not None:
            exchange.transfer, exchange.stage = transfer, Stage.PAUSED
        self._turns.enter(exchange, now)
        if transfer is not None:
            self._transfers.start(exchange, now)
        return exchange

    def supply(self, exchange: ClientExchange, data: bytes, *, last: bool, now: float) -> None:
        """More of a body that streams, after RequestBodyWanted."""
        self._transfers.supply(exchange, data, last=last, now=now)

    def consumed(self, exchange: ClientExchange, now: float) -> None:
        """What ResponseBodyReceived has brought was taken."""
        self._transfers.consumed(exchange, now)

    def ping(self, session: Session, attachment: object, now: float) -> ClientExchange:
        """Send an Empty CON as soon as it is its turn (section 4.3). Raises as ``send`` does."""
        peer, asked = self._turns.obtain(session, now)
        request = Message(Code.EMPTY, Type.CON, 0)
        data = empty(Type.CON, 0)
        token = self._turns.draw_token(asked)
        exchange = ClientExchange(peer, token, request, data, attachment)
        self._turns.enter(exchange, now)
        return exchange

    def cancel(self, exchange: ClientExchange, now: float) -> None:
        """Give it up: nothing more is sent for it, and nothing that comes is for it.

        Its message ID stays in use until its lifetime is over (section 4.4).
        """
        if exchange.stage is not Stage.OVER:
            self._counters.requests_cancelled += 1
            self._observations.deregister(exchange, now)
            self._finish(exchange, now)

    def hurry(self, now: float) -> None:
        """This endpoint closes: send each deregistration that still waits for its turn, once."""
        for peer in self._peers:
            for exchange in () if peer.asked is None else tuple(peer.asked.queue):
                if self._observations.is_farewell(exchange):
                    self._turns.hurry(exchange, now)

    # -- from the network ------------------------------------------------------------

    def receive(self, peer: Peer, response: Message, now: float) -> bool:
        """A response came; False if nothing was asked that it answers (section 5.3.2)."""
        exchange = self._match(peer, response)
        if exchange is None:
            self._turns.heard(peer, now)
            return False
        # Heard in the very moment of the last probe, perhaps, which times alone do not tell.
        asked_of(exchange).paid_at = -math.inf
        observes = exchange.observation is not None
        if observes and self._observations.repels(exchange, response):
            return True
        options = response.options
        if options.faulty or not options.critical <= UNDERSTOOD:
            self._reject(exchange, response, now)
            return True
        if response.type is _CON:
            self._acknowledge(peer, response, now)
        self._counters.responses += 1
        if observes and self._observations.receive(exchange, response, now):
            return True
        if exchange.transfer is None and not may_go_on(response):
            self._end(ResponseReceived(exchange, response), now)
        else:
            self._transfers.receive(exchange, response, now)
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
        if exchange is None or exchange.message.type is not Type.NON:
            self._turns.heard(peer, now)
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
                if exchange.stage is not Stage.OVER:  # one may end with another
                    self._fail(exchange, Failure.SESSION_LOST, "", now)

    # -- how it goes on --------------------------------------------------------------

    def _transmission_ended(self, exchange: ClientExchange, outcome: Outcome, now: float) -> None:
        exchange.transmission = None
        if exchange.is_ping and outcome in (Outcome.RESET, Outcome.ACKNOWLEDGED):
            # RST is the right answer; an ACK is a wrong one, and a sign of life all the same.
            pong = Message(Code.EMPTY, Type.RST, exchange.mid)
            self._end(ResponseReceived(exchange, pong), now)
        elif outcome is Outcome.ACKNOWLEDGED:
            self._turns.acknowledged(exchange, now)
        elif outcome is Outcome.RESET:
            self._fail(exchange, Failure.RESET, "", now)
        else:
            self._fail(exchange, Failure.TIMED_OUT, "", now)

    def _too_late(self, exchange: ClientExchange, now: float) -> None:
        self._fail(exchange, Failure.TOO_LATE, "", now)

    def _match(self, peer: Peer, response: Message) -> ClientExchange | None:
        """The request that a response answers: its token, from its endpoint (section 5.3.2)."""
        exchange = None if peer.asked is None else peer.asked.tokens.get(response.token)
        if exchange is None or exchange.is_ping or exchange.stage is _PAUSED:
            return None
        is_ack = response.type is _ACK
        if exchange.stage is _QUEUED and (is_ack or exchange.observation is None):
            return None  # a notification may come while we register again
        # A piggybacked one must be in the ACK of that request, and no other.
        if is_ack and (exchange.mid != response.mid or exchange.message.type is not _CON):
            return None
        return exchange

    def _acknowledge(self, peer: Peer, response: Message, now: float) -> None:
        """Acknowledge a separate response, and its copies to come: they are never reset."""
        ack = empty(Type.ACK, response.mid)
        self._outgoing.append((ack, peer.session))
        entry = self._dedup.admit(peer, response.mid, confirmable=True, now=now)
        if entry is not None:
            self._dedup.store(peer, entry, ack, now)
            self._dedup.complete(peer, entry)

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
        self._counters.requests_failed += exchange.on_end is None
        self._end(RequestFailed(exchange, failure, detail), now)

    def _end(self, event: Ending, now: float) -> None:
        """It is over in this way."""
        exchange = event.exchange
        self._finish(exchange, now)
        if exchange.on_end is None or isinstance(event, ResponseBodyReceived):
            self._events.append(event)
        else:
            exchange.on_end(event, now)

    def _stop_observing(self, exchange: ClientExchange) -> None:
        """It is over but for the rest of its last response."""
        self._observations.stop(exchange)
        exchange.observation = None

    def _finish(self, exchange: ClientExchange, now: float) -> None:
        """It is over: stop what is sent for it, and let the next one go."""
        if exchange.observation is not None:
            self._observations.stop(exchange)
            self._fetches.drop(exchange, now)
        if exchange.transfer is not None:
            self._transfers.forget(exchange)
        self._turns.leave(exchange, now)
