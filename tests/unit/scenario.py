"""A core on a workbench: messages go in, time is moved by hand, messages and events come out.

A test reads like the message sequence it is about::

    s = Scenario()
    s.receive(con(0x1CF5, path="slow"))
    exchange = s.request()
    s.at(0.1)
    assert s.sent() == [ack(0x1CF5)]

and from the client's side, where the other end is ``PEER``::

    s = Scenario(serves=False)
    exchange, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(exchange).payload == b"ok"

``invariants.check`` looks into the core's private tables after every step.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable

import attrs

from coapsep.address import Address, Session
from coapsep.message.codec import decode, encode
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.core import Core
from coapsep.protocol.events import (
    Event,
    Failure,
    NotificationReceived,
    ObserverEnded,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from coapsep.protocol.held import Body, Topic, Upload
from coapsep.protocol.records import ClientExchange, Exchange, GroupExchange, Stage
from coapsep.protocol.transfer_state import WHOLE, Handling
from tests.unit import invariants

SERVER = Address("192.0.2.1", 5683)
OTHER_SERVER = Address("192.0.2.2", 5683)
CLIENT = Session(SERVER, Address("198.51.100.1", 40001))
OTHER = Session(SERVER, Address("198.51.100.2", 40001))
#: The same client, which asked at another address of the same host.
CLIENT_ELSEWHERE = Session(OTHER_SERVER, CLIENT.peer)

#: Whom we ask, from a port of ours; and another one, from the same port.
PEER = Session(Address("198.51.100.7", 50007), SERVER)
OTHER_PEER = Session(PEER.local, OTHER_SERVER)

TOKEN = b"\x2a"
OK = Response(Code.CONTENT, b"ok")


def con(
    mid: int,
    code: Code = Code.GET,
    *,
    token: bytes = TOKEN,
    path: str = "",
    payload: bytes = b"",
    options: Options = EMPTY,
) -> Message:
    """A Confirmable message, a request unless ``code`` says otherwise."""
    if path:
        options = Options([*options, *Options.build(uri_path=path.split("/"))])
    return Message(code, Type.CON, mid, token, options, payload)


def non(
    mid: int,
    code: Code = Code.GET,
    *,
    token: bytes = TOKEN,
    path: str = "",
    payload: bytes = b"",
    options: Options = EMPTY,
) -> Message:
    """The same as a NON."""
    made = con(mid, code, token=token, path=path, payload=payload, options=options)
    return attrs.evolve(made, type=Type.NON)


def ack(mid: int) -> Message:
    """An Empty ACK."""
    return Message(Code.EMPTY, Type.ACK, mid)


def rst(mid: int) -> Message:
    """An RST."""
    return Message(Code.EMPTY, Type.RST, mid)


def ping(mid: int) -> Message:
    """An Empty CON (section 4.3)."""
    return Message(Code.EMPTY, Type.CON, mid)


def piggybacked(request: Message, code: Code = Code.CONTENT, payload: bytes = b"ok") -> Message:
    """The response to ``request`` in its ACK."""
    return Message(code, Type.ACK, request.mid, request.token, EMPTY, payload)


def session(number: int) -> Session:
    """A client of its own for every number."""
    return Session(SERVER, Address(f"203.0.113.{number >> 16}", number & 0xFFFF))


def separate(request: Message, mid: int, kind: Type = Type.CON) -> Message:
    """The response to ``request`` in a message of its own."""
    return Message(Code.CONTENT, kind, mid, request.token, EMPTY, b"ok")


def noted(
    request: Message,
    number: int | None,
    payload: bytes = b"ok",
    *,
    kind: Type = Type.CON,
    mid: int = 0x7000,
    code: Code = Code.CONTENT,
    max_age: int | None = None,
) -> Message:
    """A notification for whoever has sent ``request`` to register."""
    options = Options.build(observe=number, max_age=max_age)
    return Message(code, kind, mid, request.token, options, payload)


class Longest(random.Random):
    """Draws the longest wait, ``first`` as the first message ID, and tokens like any other."""

    def __init__(self, first: int = 0) -> None:
        super().__init__(0)
        self._first = first

    def uniform(self, a: float, b: float) -> float:
        return b

    def getrandbits(self, k: int, /) -> int:
        return self._first if k == 16 else super().getrandbits(k)


@attrs.frozen
class Sent:
    """A datagram that left."""

    at: float
    data: bytes
    session: Session

    @property
    def message(self) -> Message:
        """What the other side reads in it."""
        message = decode(self.data)
        assert not isinstance(message, Malformed), message
        return message


class Scenario:
    """One core, the time, and what came out of it and was not looked at yet."""

    def __init__(
        self,
        tuning: Tuning | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        *,
        checked: bool = True,
        serves: bool = True,
    ) -> None:
        self.tuning = tuning or Tuning()
        self.limits = limits or Limits()
        self.core = Core(self.tuning, self.limits, rng or random.Random(1), serves=serves)
        self.peer = CLIENT if serves else PEER
        self.now = 0.0
        self._wire: list[Sent] = []
        self._checked = checked

    # -- in --------------------------------------------------------------------------

    def receive(self, what: Message | bytes, session: Session | None = None) -> None:
        """A datagram arrives."""
        data = what if isinstance(what, bytes) else encode(what)
        self.core.receive_datagram(data, session or self.peer, self.now)
        self._after()

    def at(self, time: float) -> None:
        """It becomes ``time``; what is due until then happens at its own time."""
        assert time >= self.now, "time does not run backwards"
        last = -math.inf
        while (due := self.core.next_deadline()) <= time:
            assert due > last, f"the deadline {due} stays due"
            last, self.now = due, max(self.now, due)
            self.core.handle_timers(self.now)
            self._after()
        self.now = time

    def respond(self, exchange: Exchange, response: Response = OK) -> None:
        """The handler of a request has its response."""
        self.core.send_response(exchange, response, self.now)
        self._after()

    def defer(self, exchange: Exchange) -> None:
        """The response of a request will take its time."""
        self.core.defer(exchange, self.now)
        self._after()

    def close(self, exchange: Exchange) -> None:
        """A request is given up."""
        self.core.close(exchange, self.now)
        self._after()

    def finish(self, exchange: Exchange, response: Response = OK) -> None:
        """A request gets one last message."""
        self.core.finish(exchange, response, self.now)
        self._after()

    def accept(self, exchange: Exchange) -> None:
        """The body that begins with this request is to be collected."""
        self.core.accept_body(exchange, self.now)
        self._after()

    def stream(self, exchange: Exchange, attachment: object = "a reader") -> Upload | None:
        """The body that begins with this request is to come block by block."""
        upload = self.core.stream_body(exchange, attachment, self.now)
        self._after()
        return upload

    def take(self, upload: Upload) -> None:
        """A block was taken; the next one is wanted."""
        self.core.next_block(upload, self.now)
        self._after()

    def decide(self, upload: Upload, response: Response = OK) -> None:
        """The response to a body that is not whole."""
        self.core.decide(upload, response, self.now)
        self._after()

    def produce(
        self,
        exchange: Exchange,
        response: Response | None = None,
        *,
        size: int | None = None,
        attachment: object = "a producer",
    ) -> Body | None:
        """The response is a body that will be produced as it is asked for."""
        response = response or Response(Code.CONTENT)
        body = self.core.begin_stream(exchange, response, size, attachment, self.now)
        self._after()
        return body

    def supply(self, body: Body, data: bytes = b"", *, last: bool = False) -> None:
        """More of it was produced."""
        self.core.supply(body, data, last=last, now=self.now)
        self._after()

    def fail(self, body: Body, failure: Response) -> None:
        """It cannot be produced to its end."""
        self.core.fail_stream(body, failure, self.now)
        self._after()

    def notify(self, key: Hashable, response: Response = OK, *, last: bool = False) -> None:
        """All who observe this are to be told."""
        self.core.notify(self.core.observers_of(key), response, self.now, last=last)
        self._after()

    def lose(self, session: Session | None = None) -> None:
        """The session has gone."""
        self.core.session_lost(session or self.peer, self.now)
        self._after()

    def ask(
        self,
        kind: Type = Type.CON,
        session: Session | None = None,
        *,
        code: Code = Code.GET,
        options: Options = EMPTY,
        payload: bytes = b"",
        attachment: object = None,
        observe: bool = False,
        handling: Handling = WHOLE,
    ) -> ClientExchange:
        """The application asks somebody."""
        session = session or self.peer
        exchange = self.core.send_request(
            session,
            kind,
            code,
            options,
            payload,
            attachment,
            self.now,
            handling=handling,
            observe=observe,
        )
        self._after()
        return exchange

    def ping(self, session: Session | None = None) -> ClientExchange:
        """The application pings somebody."""
        exchange = self.core.ping(session or self.peer, None, self.now)
        self._after()
        return exchange

    def cancel(self, exchange: ClientExchange) -> None:
        """The application gives a request or a ping up."""
        self.core.cancel(exchange, self.now)
        self._after()

    def supply_request(self, exchange: ClientExchange, data: bytes, *, last: bool = False) -> None:
        """The application produces more of the body of a request."""
        self.core.supply_request(exchange, data, last=last, now=self.now)
        self._after()

    def consumed(self, exchange: ClientExchange) -> None:
        """The application has taken a part of a response."""
        self.core.consumed(exchange, self.now)
        self._after()

    def ask_group(
        self, session: Session, *, options: Options = EMPTY, payload: bytes = b""
    ) -> GroupExchange:
        """The application asks a group."""
        exchange = self.core.send_group_request(session, Code.GET, options, payload, None, self.now)
        self._after()
        return exchange

    def refused(self, quoted: bytes, session: Session | None = None) -> None:
        """The network quotes a datagram for which there was nobody."""
        self.core.refused(quoted, session or self.peer, self.now)
        self._after()

    def unsent(self, data: bytes, session: Session | None = None, detail: str = "no way") -> None:
        """The system did not send a datagram."""
        self.core.unsent(data, session or self.peer, detail, self.now)
        self._after()

    # -- out -------------------------------------------------------------------------

    def drain(self) -> list[Sent]:
        """The datagrams since the last look, with their times."""
        wire, self._wire = self._wire, []
        return wire

    def sent(self) -> list[Message]:
        """The messages since the last look."""
        return [sent.message for sent in self.drain()]

    def events(self) -> list[Event]:
        """The events since the last look."""
        events = self.core.events[:]
        self.core.events.clear()
        return events

    def request(self) -> Exchange:
        """The request that was the one event since the last look."""
        [event] = self.events()
        assert isinstance(event, RequestReceived)
        return event.exchange

    def response(self, exchange: ClientExchange) -> Message:
        """The response to this request, which was the one event since the last look."""
        [event] = self.events()
        assert isinstance(event, ResponseReceived), event
        assert event.exchange is exchange
        assert exchange.stage is Stage.OVER
        assert exchange.transmission is None
        return event.message

    def failure(self, exchange: ClientExchange) -> Failure:
        """Why this request failed, which was the one event since the last look."""
        [event] = self.events()
        assert isinstance(event, RequestFailed), event
        assert event.exchange is exchange
        assert exchange.stage is Stage.OVER
        assert exchange.transmission is None
        return event.failure

    # -- several steps ---------------------------------------------------------------

    def open(self, request: Message, session: Session | None = None) -> Exchange:
        """A request arrives; its handler runs."""
        self.receive(request, session)
        return self.request()

    def open_after_end(self, request: Message) -> Exchange:
        """A request arrives that ends the observation with its token; its handler runs."""
        self.receive(request)
        ended, received = self.events()
        assert isinstance(ended, ObserverEnded)
        assert isinstance(received, RequestReceived)
        return received.exchange

    def deferred(self, request: Message, session: Session | None = None) -> Exchange:
        """A request arrives and is deferred at once; its ACK, if any, is looked at."""
        exchange = self.open(request, session)
        self.defer(exchange)
        assert self.sent() == ([ack(request.mid)] if request.type is Type.CON else [])
        return exchange

    def answered(
        self, request: Message, session: Session | None = None
    ) -> tuple[Exchange, Message]:
        """A CON request and its separate response, which is not acknowledged yet."""
        exchange = self.deferred(request, session)
        self.respond(exchange)
        [response] = self.sent()
        assert response.type is Type.CON
        return exchange, response

    def asked(
        self, kind: Type = Type.CON, session: Session | None = None
    ) -> tuple[ClientExchange, Message]:
        """A request of ours, which leaves at once."""
        exchange = self.ask(kind, session)
        [request] = self.sent()
        assert request == exchange.request
        return exchange, request

    def observing(
        self, number: int = 1, max_age: int | None = None
    ) -> tuple[ClientExchange, Message]:
        """A registration of ours, which the peer has entered; its first state is looked at."""
        exchange = self.ask(observe=True)
        [request] = self.sent()
        assert request.options.observe == 0
        self.receive(noted(request, number, kind=Type.ACK, mid=request.mid, max_age=max_age))
        self.state(exchange)
        return exchange, request

    def state(self, exchange: ClientExchange) -> bytes:
        """The new state, which was the one event since the last look."""
        [event] = self.events()
        assert isinstance(event, NotificationReceived), event
        assert event.exchange is exchange
        return event.message.payload

    def observed(
        self,
        request: Message,
        session: Session | None = None,
        *,
        key: Hashable = "topic",
        response: Response = OK,
    ) -> Message:
        """A request to observe, which is answered at once; returns the answer."""
        self.receive(request, session)
        *ended, received = self.events()
        assert all(isinstance(event, ObserverEnded) for event in ended)  # it registers again
        assert isinstance(received, RequestReceived)
        exchange = received.exchange
        exchange.topic = Topic(key, None)
        self.respond(exchange, response)
        [answer] = self.sent()
        return answer

    def acknowledged(self, session: Session | None = None) -> tuple[ClientExchange, Message]:
        """A request of ours that has its empty ACK, and waits for a separate response."""
        exchange, request = self.asked(Type.CON, session)
        self.receive(ack(request.mid), session)
        assert exchange.stage is Stage.ACKNOWLEDGED
        return exchange, request

    def exchange_lifetime_later(self) -> None:
        """All that was received or sent until now is out of date."""
        self.at(self.now + self.tuning.exchange_lifetime + 2)

    # -- within ----------------------------------------------------------------------

    def _after(self) -> None:
        self._wire += (Sent(self.now, *sent) for sent in self.core.outgoing)
        self.core.outgoing.clear()
        if self._checked:
            self.check()

    def check(self) -> None:
        """What must be true of the tables after every step."""
        invariants.check(self.core, self.tuning, self.limits)

    def nothing_left(self) -> bool:
        """Whether the core, once all lifetimes are over, has forgotten everything."""
        self.exchange_lifetime_later()
        self.exchange_lifetime_later()
        self.at(self.now + 2 * 1152 / self.tuning.probing_rate)
        held = self.core.statistics()
        left = {
            "peers": held.peers,
            "open_requests": held.open_requests,
            "own_requests": held.own_requests,
            "dedup_entries": held.dedup_entries,
            "dedup_bytes": held.dedup_bytes,
            "timers": held.timers,
            "observers": held.observers,
            "body_bytes": held.body_bytes,
        }
        assert left == dict.fromkeys(left, 0)
        assert self.core.next_deadline() == math.inf
        assert self.core.open_exchanges() == []
        return True
