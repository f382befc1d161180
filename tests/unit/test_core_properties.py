"""What must hold whatever arrives and whatever the application does.

``Scenario.check`` compares the core's tables after every single step.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as HypothesisPhase
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from coapsep.address import Session
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import IDEMPOTENT, Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Event, RequestEnded, RequestReceived, ResponseUndelivered
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import (
    CLIENT,
    CLIENT_ELSEWHERE,
    OTHER,
    Scenario,
    Sent,
    ack,
    rst,
)

SESSIONS = [CLIENT, OTHER, CLIENT_ELSEWHERE]
TIGHT = Limits(
    datagram_size=64,
    peers=2,
    requests=5,
    requests_per_session=3,
    dedup_entries=4,
    dedup_entries_per_session=3,
    dedup_bytes=60,
)

sessions = st.sampled_from(SESSIONS)
requests = st.builds(
    Message,
    code=st.sampled_from([Code.GET, Code.POST, Code.PUT]),
    type=st.sampled_from([Type.CON, Type.CON, Type.NON]),
    mid=st.integers(0, 6),
    token=st.sampled_from([b"", b"a", b"12345678"]),
    options=st.sampled_from(
        [
            Options(),
            Options.build(uri_path=["a"]),
            Options.build(observe=0),
            Options.build(uri_path=["a"], extra=[(65000, b"elective")]),
        ]
    ),
    payload=st.sampled_from([b"", b"", b"p"]),
)
odd_messages = st.builds(
    Message,
    code=st.sampled_from([Code.EMPTY, Code.GET, Code.CONTENT, Code(0x21), Code(0xE0)]),
    type=st.sampled_from(Type),
    mid=st.integers(0, 6),
    token=st.sampled_from([b"", b"a"]),
    options=st.sampled_from([Options(), Options([(OptionNumber.BLOCK1, b"")])]),
    payload=st.sampled_from([b"", b"x" * 70]),
)
responses = st.builds(
    Response,
    st.sampled_from([Code.CONTENT, Code.NOT_FOUND]),
    st.sampled_from([b"", b"ok", b"x" * 40]),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid datagram with a few bytes changed, taken out or put in."""
    data = bytearray(encode(draw(st.one_of(requests, odd_messages))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(data)


datagrams = st.one_of(
    st.binary(max_size=40),
    st.binary(max_size=80).map(lambda rest: b"\x40\x01\x00" + rest),
    mutated(),
)


class Conversation(RuleBasedStateMachine):
    """Clients and an application that do whatever they like."""

    limits = Limits()
    tuning = Tuning(response_window=2)
    serves = True

    def __init__(self) -> None:
        super().__init__()
        self.s = Scenario(self.tuning, self.limits, random.Random(0), serves=self.serves)
        self.open: list[Exchange] = []
        self.started: dict[tuple[Session, int], list[tuple[float, Message]]] = {}
        self.ended: Counter[object] = Counter()
        self.cons: list[tuple[Session, int]] = []
        self.replies: dict[tuple[Session, int], float] = {}
        self.owed: list[tuple[float, Session, int]] = []
        self.lost = False

    # -- the clients ---------------------------------------------------------------------

    @rule(request=requests, session=sessions, copies=st.integers(1, 2))
    def request(self, request: Message, session: Session, copies: int) -> None:
        for _ in range(copies):
            self.arrives(encode(request), session)

    @rule(data=datagrams, session=sessions)
    def anything(self, data: bytes, session: Session) -> None:
        self.arrives(data, session)

    @rule(number=st.integers(0, 9), reset=st.booleans())
    def acknowledge(self, number: int, reset: bool) -> None:
        if self.cons:
            session, mid = self.cons[-1 - number % len(self.cons)]
            self.arrives(encode(rst(mid) if reset else ack(mid)), session)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.1, 3.0, 30.0, 100.0, 145.2, 247.2]))
    def wait(self, seconds: float) -> None:
        self.s.at(self.s.now + seconds)
        self.collect()

    @rule(session=sessions)
    def lose(self, session: Session) -> None:
        self.s.lose(session)
        self.lost = True
        self.owed = [owed for owed in self.owed if owed[1] != session]
        self.started = {key: v for key, v in self.started.items() if key[0] != session}
        self.collect()

    # -- the application -----------------------------------------------------------------

    @precondition(lambda self: self.open)
    @rule(
        number=st.integers(0, 99),
        act=st.sampled_from(["respond", "respond", "defer", "resume", "close", "finish"]),
        response=responses,
    )
    def act(self, number: int, act: str, response: Response) -> None:
        exchange = self.open[number % len(self.open)]
        pending = exchange.phase in (Phase.RUNNING, Phase.DEFERRED)
        if act == "respond" and pending:
            self.s.respond(exchange, response)
        elif act == "defer" and exchange.phase is Phase.RUNNING:
            self.s.defer(exchange)
        elif act == "resume" and exchange.phase is Phase.DEFERRED:
            self.s.core.resume(exchange)
        elif act == "close" and pending:
            self.s.close(exchange)
        elif act == "finish":
            self.s.finish(exchange, response)
        self.collect()

    # -- what is noted -------------------------------------------------------------------

    def arrives(self, data: bytes, session: Session) -> None:
        if len(data) >= 4 and data[0] >> 4 == 4:  # version 1, CON
            mid = data[2] << 8 | data[3]
            # One that uses the message ID of a NON passes for a copy of it.
            if all(run.type is Type.CON for _, run in self.started.get((session, mid), ())):
                self.owed.append((self.s.now, session, mid))
        self.s.receive(data, session)
        self.collect()

    def collect(self) -> None:
        for sent in self.s.drain():
            self.note_sent(sent)
        for event in self.s.events():
            if isinstance(event, RequestReceived):
                exchange = event.exchange
                exchange.attachment = exchange
                self.open.append(exchange)
                key = (exchange.session, exchange.request.mid)
                self.started.setdefault(key, []).append((self.s.now, exchange.request))
            else:
                self.note_end(event)
        self.open = [exchange for exchange in self.open if exchange.phase is not Phase.CLOSED]

    def note_sent(self, sent: Sent) -> None:
        message = sent.message
        assert message.code.is_response or message == attrs.evolve(
            ack(0), mid=message.mid, type=message.type
        )
        assert message.code is not Code.EMPTY or message.type in (Type.ACK, Type.RST)
        assert message.type is not Type.RST or message.code is Code.EMPTY
        if message.type is Type.CON:
            self.cons.append((sent.session, message.mid))
        elif message.type is not Type.NON:
            self.replies[sent.session, message.mid] = sent.at

    def note_end(self, event: Event) -> None:
        assert isinstance(event, RequestEnded | ResponseUndelivered)
        ended = event.exchange if isinstance(event, ResponseUndelivered) else event.attachment
        assert isinstance(ended, Exchange)
        self.ended[ended] += 1

    # -- what must hold ------------------------------------------------------------------

    @invariant()
    def the_open_requests_are_those_that_the_application_knows(self) -> None:
        assert self.s.core.open_requests == len(self.open)
        if not self.lost:
            assert self.s.core.open_requests == sum(peer.open for peer in self.s.core._peers)

    @invariant()
    def a_request_runs_once_in_its_lifetime(self) -> None:
        """Section 4.5; where room is scarce, that is kept for what is not idempotent."""
        for runs in self.started.values():
            if self.limits != Limits():
                runs = [r for r in runs if r[1].type is Type.CON and r[1].code not in IDEMPOTENT]
            times = [time for time, _ in runs]
            lifetime = self.tuning.exchange_lifetime
            if any(request.type is Type.NON for _, request in runs):
                lifetime = self.tuning.non_lifetime
            assert all(b - a >= lifetime for a, b in itertools.pairwise(times))

    @invariant()
    def every_con_has_its_reply_before_the_client_repeats_it(self) -> None:
        """Section 4.2: an ACK or an RST, for whatever was in it."""
        delay = self.tuning.empty_ack_delay + 1e-9
        owed, self.owed = self.owed, []
        for arrived, session, mid in owed:
            replied = self.replies.get((session, mid), -1.0)
            if replied < arrived:  # nothing yet, or to an earlier one
                assert self.s.now < arrived + delay
                self.owed.append((arrived, session, mid))
            else:
                assert replied <= arrived + delay

    @invariant()
    def a_request_ends_once(self) -> None:
        assert max(self.ended.values(), default=0) <= 1

    def teardown(self) -> None:
        for exchange in list(self.open):
            if exchange.phase in (Phase.RUNNING, Phase.DEFERRED):
                self.s.respond(exchange)
        self.s.at(self.s.now + 2000.0)
        self.collect()
        assert self.open == []
        assert self.s.nothing_left()


class TightConversation(Conversation):
    """The same where every limit is reached at once."""

    limits = TIGHT


class RefusingConversation(Conversation):
    """The same where a token in use is refused."""

    limits = attrs.evolve(TIGHT, requests=50, requests_per_session=50, token_reuse="refuse")


# Some six seconds of every run.
STEPS = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    phases=[
        HypothesisPhase.explicit,
        HypothesisPhase.reuse,
        HypothesisPhase.generate,
        HypothesisPhase.shrink,
    ],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestConversation = Conversation.TestCase
TestConversation.settings = STEPS
TestTightConversation = TightConversation.TestCase
TestTightConversation.settings = STEPS
TestRefusingConversation = RefusingConversation.TestCase
TestRefusingConversation.settings = STEPS


@given(st.lists(st.tuples(st.binary(max_size=100), sessions), max_size=30))
@settings(max_examples=300, deadline=None)
def test_no_datagram_makes_it_raise_or_remember_what_is_no_request(
    arriving: list[tuple[bytes, Session]],
) -> None:
    s = Scenario(limits=TIGHT)
    for data, session in arriving:
        s.receive(data, session)
    received = [event for event in s.events() if isinstance(event, RequestReceived)]
    assert s.core.statistics().datagrams_received == len(arriving)
    assert s.core.open_requests <= len(received)
    for event in received:
        s.close(event.exchange)
    assert s.nothing_left()


@given(requests, st.lists(st.floats(0, 300), max_size=8), st.floats(0, 50), responses)
@settings(max_examples=200, deadline=None)
def test_copies_of_a_con_draw_one_reply_only(
    request: Message, times: list[float], answered_at: float, response: Response
) -> None:
    """Sections 4.2 and 4.5: whenever they come, and whenever the response does."""
    s = Scenario()
    request = attrs.evolve(request, type=Type.CON)
    exchange = s.open(request)
    within = sorted(time for time in times if time < s.tuning.exchange_lifetime)
    for time in [t for t in within if t < answered_at]:
        s.at(time)
        s.receive(request)
    s.at(answered_at)
    s.respond(exchange, response)
    for time in [t for t in within if t >= answered_at]:
        s.at(time)
        s.receive(request)
    s.at(s.tuning.exchange_lifetime)
    sent = s.drain()
    acks = {one.data for one in sent if one.message.type is Type.ACK}
    assert len(acks) == 1
    separate = {one.data for one in sent if one.message.type is Type.CON}
    assert len(separate) == (answered_at >= s.tuning.empty_ack_delay)
    assert not any(isinstance(event, RequestReceived) for event in s.events())
    assert s.core.statistics().requests == 1
