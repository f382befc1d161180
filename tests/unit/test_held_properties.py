"""What must hold of bodies in blocks and of observers, whatever arrives and whatever is done.

``Scenario.check`` compares the core's tables after every single step; in the end, nothing may
be left.
"""

from __future__ import annotations

import itertools
import random

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coapsep.address import Session
from coapsep.message.block import Block
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    BlockReceived,
    BodyEnded,
    ObserverEnded,
    RequestReceived,
    UploadEnded,
)
from coapsep.protocol.held import Body, Held, Observer, Topic, Upload
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import CLIENT, OTHER, Scenario, ack, rst
from tests.unit.test_core_properties import STEPS

TIGHT = Limits(
    requests_per_session=6,
    requests=8,
    body_size=80,
    body_bytes=12_000,
    body_bytes_per_session=10_000,
    body_age=20.0,
    observers=3,
    observers_per_session=2,
)
BODY = bytes(range(200))
TOPICS = ("a", "b")

sessions = st.sampled_from([CLIENT, CLIENT, OTHER])
numbers = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 70_000, (1 << 20) - 1])
sizes = st.sampled_from([16, 16, 16, 32, 1024, 2048])
blocks = st.one_of(st.none(), st.builds(Block, numbers, st.booleans(), sizes))
responses = st.builds(
    Response,
    st.sampled_from([Code.CONTENT, Code.CONTENT, Code.NOT_FOUND]),
    st.sampled_from([b"", b"ok", BODY[:17], BODY]),
    content_format=st.sampled_from([None, None, None, 0]),
)


@st.composite
def requests(draw: st.DrawFn) -> Message:
    """A request that is one of several blocks, or begins or ends an observation."""
    block1, block2 = draw(blocks), draw(blocks)
    payload = b""
    if block1 is not None:
        payload = BODY[block1.start % 64 :][: block1.size]
        payload = draw(st.sampled_from([payload, payload, payload, b"", b"x"]))
    return Message(
        draw(st.sampled_from([Code.GET, Code.FETCH, Code.POST])),
        draw(st.sampled_from([Type.CON, Type.CON, Type.NON])),
        0,
        draw(st.sampled_from([b"", b"a", b"b"])),
        Options.build(
            uri_path=draw(st.sampled_from([[], [], ["a"]])),
            observe=draw(st.sampled_from([None, None, 0, 0, 1])),
            block1=block1,
            block2=block2,
            no_response=draw(st.sampled_from([None, None, None, None, 26])),
        ),
        payload,
    )


class Keeping(RuleBasedStateMachine):
    """Clients and an application that do whatever they like."""

    limits = Limits()
    tuning = Tuning(response_window=2, block_size=16)

    def __init__(self) -> None:
        super().__init__()
        self.s = Scenario(self.tuning, self.limits, random.Random(0))
        self.mids = itertools.count(1)
        self.came: list[tuple[Message, Session]] = []
        self.left: list[tuple[int, Session]] = []
        self.open: list[Exchange] = []
        self.uploads: dict[Upload, Exchange] = {}
        self.bodies: list[Body] = []
        self.observers: set[Observer] = set()
        self.lost = 0

    # -- the clients ---------------------------------------------------------------------

    @rule(request=requests(), session=sessions)
    def anything(self, request: Message, session: Session) -> None:
        self.ask(request, session)

    def ask(self, request: Message, session: Session) -> None:
        request = attrs.evolve(request, mid=next(self.mids))
        self.came.append((request, session))
        self.s.receive(encode(request), session)
        self.collect()

    @precondition(lambda self: self.came)
    @rule(number=st.integers(0, 5), is_copy=st.booleans())
    def ask_again(self, number: int, is_copy: bool) -> None:
        """The same bytes, or the same request in another message."""
        request, session = self.came[-1 - number % len(self.came)]
        if not is_copy:
            request = attrs.evolve(request, mid=next(self.mids))
            self.came.append((request, session))
        self.s.receive(encode(request), session)
        self.collect()

    @rule(session=sessions, path=st.booleans(), token=st.sampled_from([b"a", b"b", b"c"]))
    def begin_upload(self, session: Session, path: bool, token: bytes) -> None:
        options = Options.build(uri_path=["a"] if path else [], block1=Block(0, True, 16))
        self.ask(Message(Code.PUT, Type.CON, 0, token, options, BODY[:16]), session)

    @rule(number=st.integers(0, 9), more=st.sampled_from([True, True, False]))
    def go_on_with_upload(self, number: int, more: bool) -> None:
        """The block that is due."""
        uploads = [one for held in self.held() for one in held.uploads.values()]
        if not uploads:
            return
        upload = uploads[number % len(uploads)]
        code, matchable = upload.key
        if upload.received % 16:
            return
        options = Options(matchable).replace(
            OptionNumber.BLOCK1, Block(upload.received // 16, more, 16).value
        )
        payload = BODY[upload.received % 64 :][:16]
        self.ask(Message(code, Type.CON, 0, b"u", options, payload), upload.peer.session)

    @rule(number=st.integers(0, 9), back=st.sampled_from([0, 0, 0, 1]))
    def go_on_with_body(self, number: int, back: int) -> None:
        """The block that is due, or the one before."""
        bodies = [one for held in self.held() for one in held.bodies.values()]
        if not bodies:
            return
        body = bodies[number % len(bodies)]
        code, matchable = body.key
        due = max(1, body.asked // 16 - back)
        options = Options(matchable).replace(OptionNumber.BLOCK2, Block(due, False, 16).value)
        self.ask(Message(code, Type.CON, 0, b"d", options), body.peer.session)

    @rule(
        session=sessions,
        topic=st.sampled_from(TOPICS),
        token=st.sampled_from([b"a", b"b", b"c"]),
        kind=st.sampled_from([Type.CON, Type.NON]),
        separate=st.booleans(),
        response=responses,
    )
    def observe(
        self,
        session: Session,
        topic: str,
        token: bytes,
        kind: Type,
        separate: bool,
        response: Response,
    ) -> None:
        before = len(self.open)
        self.ask(Message(Code.GET, kind, 0, token, Options.build(observe=0)), session)
        if len(self.open) > before:
            exchange = self.open[-1]
            if separate:
                self.s.defer(exchange)
            exchange.topic = Topic(topic, None)
            self.s.respond(exchange, response)
            self.collect()

    @rule(session=sessions, token=st.sampled_from([b"a", b"b", b"c"]), path=st.booleans())
    def begin_stream(self, session: Session, token: bytes, path: bool) -> None:
        before = len(self.open)
        options = Options.build(uri_path=["a"] if path else [])
        self.ask(Message(Code.GET, Type.CON, 0, token, options), session)
        if len(self.open) > before:
            body = self.s.produce(self.open.pop())
            self.bodies += [body] if body is not None else []
            self.collect()

    def held(self) -> list[Held]:
        return [peer.held for peer in self.s.core._peers if peer.held is not None]

    @precondition(lambda self: self.left)
    @rule(number=st.integers(0, 5), reset=st.sampled_from([False, False, True]))
    def answer(self, number: int, reset: bool) -> None:
        mid, session = self.left[-1 - number % len(self.left)]
        self.s.receive(rst(mid) if reset else ack(mid), session)
        self.collect()

    @rule(seconds=st.sampled_from([0.01, 0.1, 3.0, 3.0, 30.0, 100.0, 247.0]))
    def wait(self, seconds: float) -> None:
        self.s.at(self.s.now + seconds)
        self.collect()

    @rule(session=sessions)
    def lose(self, session: Session) -> None:
        self.s.lose(session)
        self.lost += 1
        self.collect()

    # -- the application -----------------------------------------------------------------

    @precondition(lambda self: self.open)
    @rule(
        number=st.integers(0, 99),
        act=st.sampled_from(["respond", "observe", "observe", "produce", "defer", "close"]),
        topic=st.sampled_from(TOPICS),
        response=responses,
    )
    def act(self, number: int, act: str, topic: str, response: Response) -> None:
        exchange = self.open[number % len(self.open)]
        if exchange.phase is Phase.DEFERRED:
            self.s.core.resume(exchange)
        if act == "observe" and exchange.request.options.observe == 0:
            exchange.topic = Topic(topic, None)
        if act in ("respond", "observe"):
            self.s.respond(exchange, response)
        elif act == "defer":
            self.s.defer(exchange)
        elif act == "close":
            self.s.close(exchange)
        elif act == "produce" and not exchange.notifies:
            self.open.remove(exchange)  # the body answers it
            body = self.s.produce(exchange, Response(response.code))
            self.bodies += [body] if body is not None else []
        self.collect()

    @precondition(lambda self: self.uploads)
    @rule(
        number=st.integers(0, 9),
        act=st.sampled_from(["take", "take", "take", "decide", "close"]),
        response=responses,
    )
    def read(self, number: int, act: str, response: Response) -> None:
        upload = list(self.uploads)[number % len(self.uploads)]
        exchange = self.uploads[upload]
        if act == "take":
            self.s.take(upload)
        elif act == "decide" and not upload.over:
            self.s.decide(upload, response)
            del self.uploads[upload]
        elif exchange.phase is Phase.RUNNING:
            self.s.close(exchange)
            del self.uploads[upload]
        self.collect()

    @precondition(lambda self: self.bodies)
    @rule(
        number=st.integers(0, 9),
        data=st.sampled_from([b"", b"x", bytes(16), bytes(16), bytes(100)]),
        end=st.sampled_from([False, False, True]),
        fails=st.sampled_from([False, False, False, True]),
    )
    def write(self, number: int, data: bytes, end: bool, fails: bool) -> None:
        body = self.bodies[number % len(self.bodies)]
        if body.complete or body.failure is not None:
            return
        if fails:
            self.s.fail(body, Response(Code.INTERNAL_SERVER_ERROR))
        elif self.s.core.wants_more(body) or end:
            self.s.supply(body, data, last=end)
        self.collect()

    @rule(
        topic=st.sampled_from(TOPICS),
        response=responses,
        last=st.sampled_from([False] * 5 + [True]),
    )
    def notify(self, topic: str, response: Response, last: bool) -> None:
        self.s.notify(topic, response, last=last)
        self.collect()

    @rule(topic=st.sampled_from(TOPICS))
    def ask_for_all(self, topic: str) -> None:
        observers = self.s.core.observers_of(topic)
        # How many there are at a time is not bounded by Limits.requests, but by the observers.
        if observers and self.s.core.open_requests < 4:
            exchange = self.s.core.open_notification(observers)
            self.open.append(exchange)
            self.collect()

    # -- what is noted -------------------------------------------------------------------

    def collect(self) -> None:
        for sent in self.s.drain():
            if sent.message.type in (Type.CON, Type.NON):
                self.left.append((sent.message.mid, sent.session))
        for event in self.s.events():
            if isinstance(event, RequestReceived):
                self.receive(event.exchange)
            elif isinstance(event, BlockReceived):
                assert not event.last or event.upload.over
                if event.upload not in self.uploads:
                    self.open.append(event.exchange)  # its reader has gone
                elif event.last:
                    del self.uploads[event.upload]
                    self.open.append(event.exchange)
                else:
                    self.uploads[event.upload] = event.exchange
            elif isinstance(event, UploadEnded):
                exchange = self.uploads.pop(event.upload, None)
                if exchange is not None and exchange.phase is Phase.RUNNING:
                    self.open.append(exchange)
            elif isinstance(event, BodyEnded):
                assert event.body.over
            elif isinstance(event, ObserverEnded):
                assert event.observer not in self.observers, "it ends once"
                self.observers.add(event.observer)
        self.open = [e for e in self.open if e.phase in (Phase.RUNNING, Phase.DEFERRED)]
        for sent in self.s.drain():
            if sent.message.type in (Type.CON, Type.NON):
                self.left.append((sent.message.mid, sent.session))

    def receive(self, exchange: Exchange) -> None:
        """By its path, a body is collected or streamed."""
        if exchange.upload is None:
            self.open.append(exchange)
        elif exchange.request.options.uri_path:
            upload = self.s.stream(exchange)
            if upload is not None and not upload.over:
                self.uploads[upload] = exchange
            elif exchange.phase is Phase.RUNNING:
                self.open.append(exchange)
        else:
            self.s.accept(exchange)

    # -- what must hold ------------------------------------------------------------------

    @invariant()
    def a_stream_is_a_window(self) -> None:
        assert all(len(body.data) < 500 for body in self.bodies)

    def teardown(self) -> None:
        for exchange in list(self.open):
            self.s.respond(exchange)
        for exchange in self.uploads.values():
            if exchange.phase is Phase.RUNNING:
                self.s.close(exchange)
        for body in self.bodies:
            if not body.over:
                self.s.fail(body, Response(Code.INTERNAL_SERVER_ERROR))
        self.collect()
        # As the server does it when its time is up.
        goodbye = Response(Code.SERVICE_UNAVAILABLE)
        self.s.core.dismiss_observers(goodbye, self.s.now)
        for exchange in self.s.core.open_exchanges():
            self.s.finish(exchange, goodbye)
        self.s.at(self.s.now + 2000.0)
        self.collect()
        assert self.s.core.open_requests == 0
        assert self.s.nothing_left()


class TightKeeping(Keeping):
    """The same where every limit is reached at once, and with NONs."""

    limits = TIGHT
    tuning = Tuning(response_window=1, block_size=16, confirm_every=3)


FEWER = settings(STEPS, max_examples=100)
TestKeeping = Keeping.TestCase
TestKeeping.settings = FEWER
TestTightKeeping = TightKeeping.TestCase
TestTightKeeping.settings = FEWER
