"""What must hold of a core that asks, whatever is answered, and whatever the application does.

It may serve the same peers meanwhile. ``Scenario.check`` compares the tables at every step.
"""

from __future__ import annotations

from collections import Counter

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from coapsep.address import Address, Session
from coapsep.errors import LocalProtocolError
from coapsep.message.codec import decode, encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    Event,
    Failure,
    GroupResponse,
    RequestFailed,
    ResponseReceived,
)
from coapsep.protocol.records import ClientExchange, GroupExchange, Stage
from tests.unit.scenario import CLIENT, Scenario, Sent, separate
from tests.unit.test_core_properties import (
    SESSIONS,
    STEPS,
    TIGHT,
    Conversation,
    sessions,
)

GROUP = Session(CLIENT.local, Address("224.0.1.187", 5683))

kinds = st.sampled_from([Type.CON, Type.CON, Type.NON])
payloads = st.sampled_from([b"", b"p", b"x" * 40])
options = st.sampled_from(
    [
        Options(),
        Options(),
        Options.build(max_age=9, extra=[(65000, b"elective")]),
        Options([(65001, b"critical")]),
    ]
)
responses = st.builds(
    Message,
    code=st.sampled_from([Code.CONTENT, Code.CONTENT, Code.NOT_FOUND, Code.GET, Code(0x21)]),
    type=st.sampled_from([Type.ACK, Type.ACK, Type.CON, Type.NON, Type.RST]),
    mid=st.integers(0, 6),
    options=options,
    payload=st.sampled_from([b"", b"ok", b"x" * 70]),
)
#: Which bytes of a datagram become what; mostly none.
damages: st.SearchStrategy[list[tuple[int, bytes]]] = st.one_of(
    st.just([]), st.just([]), st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=1)))
)


def damaged(data: bytes, damage: list[tuple[int, bytes]]) -> bytes:
    """A datagram of which some bytes have changed, or are gone."""
    changed = bytearray(data)
    for at, byte in damage:
        changed[at : at + 1] = byte
    return bytes(changed)


class BothSides(Conversation):
    """Clients that are asked as well, by an application that does whatever it likes."""

    tuning = Tuning(response_window=2, nstart=2, probing_rate=5.0)

    def __init__(self) -> None:
        super().__init__()
        self.mine: list[ClientExchange] = []
        self.over: set[ClientExchange] = set()
        self.groups: list[GroupExchange] = []
        self.listened: set[GroupExchange] = set()
        self.transmissions: Counter[tuple[Session, bytes]] = Counter()
        self.last: dict[Session, tuple[float, int]] = {}
        self.arrival: tuple[bytes, Session] | None = None
        self.quote: tuple[bytes, Session] | None = None

    # -- the application asks ------------------------------------------------------------

    @rule(kind=kinds, session=sessions, payload=payloads, is_ping=st.booleans())
    def ask(self, kind: Type, session: Session, payload: bytes, is_ping: bool) -> None:
        before = self.s.core.statistics()
        try:
            if is_ping:
                exchange = self.s.ping(session)
            else:
                exchange = self.s.ask(kind, session, payload=payload)
        except LocalProtocolError:
            assert before.peers == self.limits.peers
            assert self.s.core.statistics() == before
        else:
            self.mine.append(exchange)
        self.collect()

    @precondition(lambda self: self.mine)
    @rule(number=st.integers(0, 99))
    def cancel(self, number: int) -> None:
        exchange = self.mine[-1 - number % len(self.mine)]
        self.s.cancel(exchange)
        self.over.add(exchange)
        self.collect()

    @rule()
    def ask_group(self) -> None:
        try:
            exchange = self.s.ask_group(GROUP)
        except LocalProtocolError:
            assert len(self.s.core._peers) == self.limits.peers
        else:
            self.groups.append(exchange)
            self.listened.add(exchange)
        self.collect()

    @precondition(lambda self: self.groups)
    @rule(number=st.integers(0, 99))
    def end_group(self, number: int) -> None:
        exchange = self.groups[-1 - number % len(self.groups)]
        self.s.core.end_group_request(exchange)
        self.listened.discard(exchange)

    # -- the peers answer, and others do ---------------------------------------------------

    @precondition(lambda self: self.mine)
    @rule(
        number=st.integers(0, 9),
        response=responses,
        wrong=st.sampled_from(["", "", "", "", "token", "mid", "session"]),
        damage=damages,
        copies=st.integers(1, 2),
    )
    def answer(
        self,
        number: int,
        response: Message,
        wrong: str,
        damage: list[tuple[int, bytes]],
        copies: int,
    ) -> None:
        exchange = self.mine[-1 - number % len(self.mine)]
        session = exchange.peer.session
        mid = response.mid if response.type < Type.ACK else exchange.request.mid
        response = attrs.evolve(response, token=exchange.token, mid=mid)
        if wrong == "token":
            response = attrs.evolve(response, token=exchange.token[::-1])
        elif wrong == "mid":
            response = attrs.evolve(response, mid=mid ^ 1)
        elif wrong == "session":
            session = SESSIONS[SESSIONS.index(session) - 1]
        for _ in range(copies):
            self.arrives(damaged(encode(response), damage), session)

    @precondition(lambda self: self.groups)
    @rule(number=st.integers(0, 9), response=responses, session=sessions, damage=damages)
    def answer_group(
        self, number: int, response: Message, session: Session, damage: list[tuple[int, bytes]]
    ) -> None:
        token = self.groups[-1 - number % len(self.groups)].request.token
        self.arrives(damaged(encode(attrs.evolve(response, token=token)), damage), session)

    @precondition(lambda self: self.mine)
    @rule(
        number=st.integers(0, 9),
        end=st.sampled_from([11, 12, 99]),
        session=st.one_of(st.none(), sessions),
        damage=damages,
        unsent=st.booleans(),
    )
    def unreachable(
        self,
        number: int,
        end: int,
        session: Session | None,
        damage: list[tuple[int, bytes]],
        unsent: bool,
    ) -> None:
        exchange = self.mine[-1 - number % len(self.mine)]
        data = damaged(exchange.data[:end], damage)
        tell = self.s.unsent if unsent else self.s.refused
        self.quote = data, session or exchange.peer.session
        tell(*self.quote)
        self.collect()
        self.quote = None

    # -- what is noted ---------------------------------------------------------------------

    def arrives(self, data: bytes, session: Session) -> None:
        self.arrival = data, session
        super().arrives(data, session)
        self.arrival = None

    def lose(self, session: Session) -> None:
        super().lose(session)
        self.last.pop(session, None)

    def note_sent(self, sent: Sent) -> None:
        message = sent.message
        if message.type in (Type.CON, Type.NON):
            self.note_transmission(sent, message)
        if message.code.is_response or message.type in (Type.ACK, Type.RST):
            super().note_sent(sent)
            return
        if message.type is Type.CON:
            self.cons.append((sent.session, message.mid))
        if sent.session == GROUP:
            assert message.type is Type.NON
            return
        # One that leaves at once leaves before ``mine`` knows it.
        assert not any(one.data == sent.data for one in self.over), "sent after its end"

    def note_transmission(self, sent: Sent, message: Message) -> None:
        """Sections 4.2 and 4.4: how often, and with which message ID."""
        key = sent.session, sent.data
        if key not in self.transmissions:
            at, mid = self.last.get(sent.session, (-1000.0, 0))
            if sent.at < at + self.tuning.exchange_lifetime:
                assert message.mid == (mid + 1) & 0xFFFF
            self.last[sent.session] = sent.at, message.mid
        self.transmissions[key] += 1
        often = 1 + self.tuning.max_retransmit if message.type is Type.CON else 1
        assert self.transmissions[key] <= often

    def note_end(self, event: Event) -> None:
        if isinstance(event, ResponseReceived):
            self.note_over(event.exchange)
            self.note_response(event)
        elif isinstance(event, RequestFailed):
            self.note_over(event.exchange)
            assert event.failure is not Failure.TOO_LATE or self.tuning.response_timeout
            if event.failure is Failure.UNREACHABLE:
                self.note_quote(event.exchange)
        elif isinstance(event, GroupResponse):
            assert event.exchange in self.listened
            assert self.arrival is not None
            assert event.session == self.arrival[1]
            assert event.message == decode(self.arrival[0])
            assert event.message.token == event.exchange.request.token
            assert event.message.type is not Type.ACK
            self.note_taken(event.message, event.session)
        else:
            super().note_end(event)

    def note_over(self, exchange: ClientExchange) -> None:
        assert exchange in self.mine
        assert exchange not in self.over, "a second outcome"
        self.over.add(exchange)

    def note_quote(self, exchange: ClientExchange) -> None:
        """Section 4.2: it had the message ID and the token, and came from where they went."""
        assert self.quote is not None
        data, session = self.quote
        head = 4 if exchange.is_ping else 4 + len(exchange.token)
        assert data[:head] == exchange.data[:head]
        assert session == exchange.peer.session
        assert (session, exchange.data) in self.transmissions

    def note_response(self, event: ResponseReceived) -> None:
        """Section 5.3.2: the message ID, token and endpoint are those of its request."""
        request, message = event.exchange.request, event.message
        assert self.arrival is not None
        data, session = self.arrival
        assert session == event.exchange.peer.session
        assert (session, event.exchange.data) in self.transmissions
        if event.exchange.is_ping:
            assert data in (encode(message), encode(attrs.evolve(message, type=Type.ACK)))
            assert message == Message(Code.EMPTY, Type.RST, request.mid)
            return
        assert message == decode(data)
        assert len(data) <= self.limits.datagram_size
        assert message.code.is_response
        assert message.token == request.token != b""
        assert not message.options.critical
        if message.type is Type.ACK:
            assert request.type is Type.CON
            assert message.mid == request.mid
        elif message.type is Type.CON:
            self.note_taken(message, session)

    def note_taken(self, message: Message, session: Session) -> None:
        """Its message ID is remembered, as a request's is; where there is room, that is."""
        if self.limits == Limits() or message.type is Type.NON:
            self.started.setdefault((session, message.mid), []).append((self.s.now, message))

    def teardown(self) -> None:
        if self.tuning.response_timeout is None:
            for number in range(len(self.mine)):
                self.cancel(number)
        self.s.at(self.s.now + 10_000.0)
        self.collect()
        assert self.over == set(self.mine), "every request has an outcome"
        assert all(exchange.stage is Stage.OVER for exchange in self.mine)
        assert self.s.core.statistics().own_requests == len(self.listened)
        for group in self.listened:
            self.s.core.end_group_request(group)
        super().teardown()


class ClientOnly(BothSides):
    """The same where nobody serves, and no request waits for ever."""

    tuning = Tuning(nstart=1, probing_rate=5.0, response_timeout=60.0)
    serves = False


class TightBothSides(BothSides):
    """The same where every limit is reached at once."""

    limits = attrs.evolve(TIGHT, peers=3)
    tuning = attrs.evolve(BothSides.tuning, response_timeout=60.0)


TestBothSides = BothSides.TestCase
TestBothSides.settings = STEPS
TestClientOnly = ClientOnly.TestCase
TestClientOnly.settings = STEPS
TestTightBothSides = TightBothSides.TestCase
TestTightBothSides.settings = STEPS


@given(
    st.lists(
        st.tuples(
            st.one_of(st.binary(max_size=40), responses, st.just(None)),
            st.sampled_from(["token", "no token"]),
            damages,
            sessions,
        ),
        max_size=20,
    )
)
@settings(max_examples=300, deadline=None)
def test_no_datagram_makes_a_core_with_open_requests_raise(
    arriving: list[tuple[bytes | Message | None, str, list[tuple[int, bytes]], Session]],
) -> None:
    """And what it does not end has its response still."""
    s = Scenario(Tuning(nstart=3), serves=False)
    exchanges = [
        ask
        for session in SESSIONS
        for ask in (s.ask(session=session), s.ask(Type.NON, session), s.ping(session))
    ]
    group = s.ask_group(GROUP)
    for number, (what, token, damage, session) in enumerate(arriving):
        exchange = exchanges[number % len(exchanges)]
        if what is None:
            what = exchange.data
        elif isinstance(what, Message):
            mid = exchange.request.mid if what.type >= Type.ACK else what.mid
            mine = exchange.token if token == "token" else group.request.token
            what = encode(attrs.evolve(what, token=mine, mid=mid))
        s.receive(damaged(what, damage), session)
    s.drain()
    ended = [e.exchange for e in s.events() if isinstance(e, ResponseReceived | RequestFailed)]
    assert set(ended) == {exchange for exchange in exchanges if exchange.stage is Stage.OVER}
    assert len(ended) == len(set(ended))
    assert s.core.statistics().datagrams_received == len(arriving)
    for exchange in exchanges:
        if exchange.stage is not Stage.OVER:
            request, session = exchange.request, exchange.peer.session
            pong = Message(Code.EMPTY, Type.RST, request.mid)
            answer = pong if exchange.is_ping else separate(request, 0x6000, Type.NON)
            s.receive(answer, session)
            assert s.response(exchange) == answer
    s.core.end_group_request(group)
    assert s.nothing_left()
