"""The protocol, without a clock and without a socket.

It is handed datagrams and the time (a float in seconds, on any monotonic scale) and hands
back datagrams, events, and when it wants to be called next::

    datagram -> messaging -> incoming or requests -> events     (receive_datagram)
    response -> responses -> transmission -> datagrams          (send_response)
    request  -> requests  -> transmission -> datagrams          (send_request)

It draws its random numbers from the generator it is given, and keeps no other state than
its own. Nothing that arrives from the network makes it raise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable

import attrs

from coapsep.address import Session
from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.amplification import Amplification
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event
from coapsep.protocol.groups import Groups
from coapsep.protocol.held import Body, Observer, Upload
from coapsep.protocol.messaging import MessageLayer
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import ClientExchange, Exchange, GroupExchange, Peer
from coapsep.protocol.requests import Requests
from coapsep.protocol.serving import Serving
from coapsep.protocol.statistics import Counters, Statistics
from coapsep.protocol.timers import Timer, Timers
from coapsep.protocol.transfer_state import WHOLE, Handling
from coapsep.protocol.transmission import Transmissions


class Core:
    """One endpoint's protocol state, for any number of sessions.

    One that does not serve rejects every request: there is nobody to handle it.
    """

    def __init__(
        self, tuning: Tuning, limits: Limits, rng: random.Random, *, serves: bool = True
    ) -> None:
        self.counters: Counters = Counters()
        #: Datagrams to send and events to handle, oldest first; the shell empties both.
        self.outgoing: list[tuple[bytes, Session]] = []
        self.events: list[Event] = []
        self._serves = serves
        self._datagram_size = limits.datagram_size
        self._timers = Timers()
        codec = Codec(limits.options)
        self._peers = Peers(tuning, limits, self._timers, rng)
        self._dedup = Dedup(tuning, limits, self._timers, self._peers, self.counters)
        amplification = Amplification(limits, self.counters, rng)
        counters, outgoing = self.counters, self.outgoing
        transmissions = Transmissions(
            tuning, codec, self._timers, self._peers, amplification, counters, rng, outgoing
        )
        self._messages = MessageLayer(
            limits, codec, self._peers, transmissions, amplification, counters, outgoing
        )
        serving = Serving(
            tuning,
            limits,
            codec,
            self._timers,
            self._peers,
            self._dedup,
            transmissions,
            self._messages,
            amplification,
            self.counters,
            rng,
            self.events,
            self.outgoing,
        )
        self._exchanges = serving.exchanges
        self._storage = serving.storage
        self._bodies = serving.bodies
        self._uploads = serving.uploads
        self._observers = serving.observers
        self._responses = serving.responses
        self._incoming = serving.incoming
        self._requests = Requests(
            tuning,
            limits,
            codec,
            self._timers,
            self._peers,
            self._dedup,
            transmissions,
            self.counters,
            rng,
            self.events,
            self.outgoing,
        )
        self._groups = Groups(
            tuning,
            codec,
            self._peers,
            self._dedup,
            self.counters,
            rng,
            self.events,
            self.outgoing,
        )

    # -- from below: the network and the clock ---------------------------------------

    def receive_datagram(self, data: bytes, session: Session, now: float) -> None:
        """A datagram arrived. Never raises."""
        by_group = session.group is not None
        if by_group:
            session = session.unicast
        peer = self._peers.find(session)
        message = self._messages.receive(data, session, peer, now, by_group=by_group)
        if message is None:
            return
        is_whole = len(data) <= self._datagram_size
        if not (self._serves and 0 < message.code < 32):
            if not self._is_answer(message, session, peer, is_whole, now):
                self._messages.reject(message, session)
        elif is_whole:
            self._incoming.receive(message, session, peer, len(data), now, by_group=by_group)
        else:
            self._messages.refuse_size(message, session)

    def _is_answer(
        self, message: Message, session: Session, peer: Peer | None, is_whole: bool, now: float
    ) -> bool:
        """Whether it belongs to a request of ours, and was taken for it."""
        if message.code.is_request:
            return False
        if message.type is Type.RST:
            return peer is not None and (
                self._observers.reset(peer, message.mid, now)
                or self._requests.reset(peer, message.mid, now)
            )
        if not is_whole:
            if peer is not None:
                self._requests.too_large(peer, message, now)
            return False  # it is rejected all the same
        if peer is not None and self._requests.receive(peer, message, now):
            return True
        return self._groups.receive(message, session, now)

    def session_lost(self, session: Session, now: float) -> None:
        """A connection transport says that this session has gone."""
        peer = self._peers.find(session)
        if peer is not None:
            self._requests.session_lost(peer, now)
            self._incoming.session_lost(peer, now)

    def refused(self, quoted: bytes, session: Session, now: float) -> None:
        """The network says that nobody is at the port this datagram of ours was sent to.

        ``quoted`` is its beginning, as far as the network quotes it. Never raises.
        """
        self.counters.refusals += 1
        self._requests.refused(quoted, session, now)

    def unsent(self, data: bytes, session: Session, detail: str, now: float) -> None:
        """The system refused to send this datagram; ``detail`` is its word for it."""
        self._requests.unsent(data, session, detail, now)
        self._groups.unsent(data, session, detail)

    @property
    def wake_at(self) -> float:
        """``next_deadline`` as it was last, or something earlier that has come since."""
        return self._timers.wake_at

    def next_deadline(self) -> float:
        """When to call ``handle_timers``; ``inf`` for not at all."""
        self._timers.wake_at = min(
            self._timers.next_deadline(),
            self._exchanges.next_deadline(),
            self._dedup.next_deadline(),
        )
        return self._timers.wake_at

    def handle_timers(self, now: float) -> None:
        """Do what is due."""
        self._exchanges.handle_timers(now)
        self._timers.run(now)
        self._dedup.expire(now)

    def call_at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Have ``handle_timers`` call ``action(now)`` when it is that late."""
        return self._timers.set(when, action)

    def cancel_call(self, timer: Timer) -> None:
        """Do not call it; one that was called is over."""
        self._timers.cancel(timer)

    # -- from above: the application -------------------------------------------------

    def send_response(self, exchange: Exchange, response: Response, now: float) -> None:
        """Answer a request: in its ACK while that is owed, else separately.

        Raises LocalProtocolError if it has an answer already.
        """
        self._responses.respond(exchange, response, now)

    def refuse(self, exchange: Exchange, response: Response, now: float) -> None:
        """Answer a request for which nothing was run."""
        self._responses.refuse(exchange, response, now)

    def refuse_options(self, exchange: Exchange, names: str, now: float) -> None:
        """Refuse a request for its critical options, as far as it may be answered."""
        self._responses.refuse_options(exchange, names, now)

    def defer(self, exchange: Exchange, now: float) -> None:
        """Acknowledge a request whose answer comes later; until ``resume``, nothing runs."""
        self._exchanges.defer(exchange, now)

    def resume(self, exchange: Exchange) -> None:
        """The handler of a deferred request runs again."""
        self._exchanges.resume(exchange)

    def close(self, exchange: Exchange, now: float) -> None:
        """Give up a request without a response."""
        self._responses.close(exchange, now)

    def finish(self, exchange: Exchange, response: Response, now: float) -> None:
        """Close a request with one last message that nobody will repeat."""
        self._responses.finish(exchange, response, now)

    # -- bodies that take more than one message (RFC 7959) ---------------------------

    def accept_body(self, exchange: Exchange, now: float) -> None:
        """Collect the body of which this request has the first block; ``RequestReceived`` comes
        again when it is whole."""
        self._uploads.accept(exchange, now)

    def stream_body(self, exchange: Exchange, attachment: object, now: float) -> Upload | None:
        """Have that body block by block instead: the first one is in the request, the others
        are BlockReceived. None if the request was refused instead."""
        return self._uploads.stream(exchange, attachment, now)

    def next_block(self, upload: Upload, now: float) -> None:
        """A streamed block was taken: ask for the next one."""
        self._uploads.next_block(upload, now)

    def decide(self, upload: Upload, response: Response, now: float) -> None:
        """The response to a request whose streamed body is not whole yet."""
        self._uploads.decide(upload, response, now)

    def begin_stream(
        self,
        exchange: Exchange,
        response: Response,
        size: int | None,
        attachment: object,
        now: float,
    ) -> Body | None:
        """Respond with a body that ``supply`` produces as it is asked for, in BodyWanted.

        None if the request was refused instead. ``response`` has the code and the options.
        """
        return self._bodies.begin(exchange, response, size, attachment, now)

    def supply(self, body: Body, data: bytes, *, last: bool, now: float) -> None:
        """Produce more of a body."""
        self._bodies.supply(body, data, last=last, now=now)

    def fail_stream(self, body: Body, failure: Response, now: float) -> None:
        """The rest of a body cannot be produced: whoever asks for it gets this."""
        self._bodies.fail(body, failure, now)

    def wants_more(self, body: Body) -> bool:
        """Whether more of a body should be produced now."""
        return self._bodies.wants_more(body)

    # -- observers (RFC 7641) --------------------------------------------------------

    def observers_of(self, key: Hashable) -> tuple[Observer, ...]:
        """Whoever observes what has this key; see ``Exchange.topic``."""
        return self._observers.of(key)

    def open_notification(self, observers: tuple[Observer, ...]) -> Exchange:
        """An exchange whose response goes to all of these, of whom one request stands for all."""
        return self._exchanges.open_for_observers(observers)

    def notify(
        self,
        observers: tuple[Observer, ...],
        response: Response,
        now: float,
        *,
        last: bool = False,
    ) -> None:
        """Send these the newest state; an error, or the ``last`` one, ends their observation."""
        self._observers.notify(observers, response, now, last=last)

    def dismiss_observers(self, response: Response, now: float) -> None:
        """Tell all observers once that it is over."""
        self._observers.dismiss(response, now)

    # -- requests of our own ---------------------------------------------------------

    def send_request(
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
        """Ask a peer, as soon as NSTART lets it. ResponseReceived or RequestFailed will say
        how it ended, unless it is cancelled first. A body that does not fit into one message
        goes in blocks; ``handling`` says whether it streams (RFC 7959).

        If it is to ``observe`` (RFC 7641), each new state is a NotificationReceived before
        that, and a peer that knows of it is told the end.

        Raises ValueError if it cannot be written, LocalProtocolError if the table of peers is
        full.
        """
        return self._requests.send(
            session,
            kind,
            code,
            options,
            payload,
            attachment,
            now,
            handling=handling,
            observe=observe,
        )

    def supply_request(
        self, exchange: ClientExchange, data: bytes, *, last: bool, now: float
    ) -> None:
        """Produce more of the body of a request, once for each RequestBodyWanted."""
        self._requests.supply(exchange, data, last=last, now=now)

    def consumed(self, exchange: ClientExchange, now: float) -> None:
        """What ResponseBodyReceived has brought was taken: ask for more."""
        self._requests.consumed(exchange, now)

    def ping(self, session: Session, attachment: object, now: float) -> ClientExchange:
        """See whether a peer is there. It ends, and raises, as ``send_request`` does."""
        return self._requests.ping(session, attachment, now)

    def cancel(self, exchange: ClientExchange, now: float) -> None:
        """Give up a request or a ping: no event comes any more."""
        self._requests.cancel(exchange, now)

    def hurry(self, now: float) -> None:
        """Nothing will be sent any more after this: send what servers must be told, once."""
        self._requests.hurry(now)

    def send_group_request(
        self,
        session: Session,
        code: Code,
        options: Options,
        payload: bytes,
        attachment: object,
        now: float,
    ) -> GroupExchange:
        """Ask a group, once. Each response is a GroupResponse, until ``end_group_request``;
        GroupRequestFailed says that it did not leave, and is over.
        """
        return self._groups.send(session, code, options, payload, attachment, now)

    def end_group_request(self, exchange: GroupExchange) -> None:
        """Listen no more."""
        self._groups.end(exchange)

    def open_exchanges(self) -> list[Exchange]:
        """Every request that holds its token."""
        return [exchange for peer in self._peers for exchange in peer.exchanges.values()]

    def find(self, session: Session, token: bytes) -> Exchange | None:
        """The open request with this token."""
        return self._exchanges.find(session, token)

    @property
    def open_requests(self) -> int:
        """Requests for which something is still owed, unacknowledged responses included."""
        return self._exchanges.open

    def statistics(self) -> Statistics:
        """All counters, and what is held at this moment."""
        return Statistics(
            **attrs.asdict(self.counters),
            peers=len(self._peers),
            open_requests=self._exchanges.open,
            own_requests=self._requests.open + len(self._groups),
            dedup_entries=self._dedup.entries,
            dedup_bytes=self._dedup.bytes,
            observers=len(self._observers),
            body_bytes=self._storage.bytes + self._requests.body_bytes,
            timers=len(self._timers),
        )
