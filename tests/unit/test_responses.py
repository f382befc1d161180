"""Which response answers which request: RFC 7252 sections 4.2, 5.2 and 5.3.2."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from coapsep.address import Address, Session
from coapsep.message.codec import encode
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.records import Stage
from tests.unit.scenario import (
    CLIENT,
    OTHER_PEER,
    PEER,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    rst,
    separate,
)

MID = 0x44CB
V6 = Session(Address("fe80::1", 50007, 2), Address("fe80::2", 5683, 2))


def client(tuning: Tuning | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, serves=False)


def is_quiet(s: Scenario, seconds: float = 100_000.0) -> bool:
    """Whether nothing is sent, and nothing is told, for so long."""
    s.at(s.now + seconds)
    return s.sent() == [] and s.events() == []


# -- the three ways to respond: section 5.2 ----------------------------------------------------


def test_section_5_2_1_a_piggybacked_response() -> None:
    s = client()
    exchange, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(exchange) == piggybacked(request)
    assert is_quiet(s)
    assert s.core.statistics().responses == 1
    assert s.nothing_left()


def test_section_5_2_2_a_separate_response_is_acknowledged() -> None:
    s = client()
    exchange, request = s.acknowledged()
    s.at(5.0)
    s.receive(separate(request, MID))
    assert s.response(exchange) == separate(request, MID)
    assert s.sent() == [ack(MID)]
    assert is_quiet(s)
    assert s.nothing_left()


def test_section_5_2_2_a_separate_response_may_be_non_confirmable() -> None:
    s = client()
    exchange, request = s.acknowledged()
    s.receive(separate(request, MID, Type.NON))
    assert s.response(exchange).type is Type.NON
    assert is_quiet(s)
    assert s.nothing_left()


@pytest.mark.parametrize("kind", [Type.NON, Type.CON])
def test_section_5_2_3_a_non_request_is_answered_by_a_non_or_a_con(kind: Type) -> None:
    s = client()
    exchange, request = s.asked(Type.NON)
    s.receive(separate(request, MID, kind))
    assert s.response(exchange).type is kind
    assert s.sent() == ([ack(MID)] if kind is Type.CON else [])
    assert is_quiet(s)
    assert s.nothing_left()


@pytest.mark.parametrize(
    "code",
    [Code.CREATED, Code.CONTENT, Code(0x5E), Code(0x60), Code.NOT_FOUND, Code(0xBF)],
    ids=str,
)
def test_section_5_9_every_response_code_is_a_response(code: Code) -> None:
    """One that is not known is for the application to read as its class."""
    s = client()
    exchange, request = s.asked()
    s.receive(piggybacked(request, code))
    assert s.response(exchange).code == code


@pytest.mark.parametrize("session", [PEER, V6], ids=["IPv4", "IPv6"])
def test_the_response_has_all_that_was_sent(session: Session) -> None:
    s = client()
    exchange, request = s.asked(Type.CON, session)
    s.receive(piggybacked(request, payload=b"\xff" * 1000), session)
    response = s.response(exchange)
    assert response.payload == b"\xff" * 1000
    assert response.token == request.token
    assert exchange.peer.session == session


def test_whoever_waits_is_known_by_the_attachment() -> None:
    s = client()
    exchange = s.ask(attachment="somebody")
    assert exchange.attachment == "somebody"
    assert s.core.open_requests == 0  # those are the requests of others
    assert s.core.statistics().own_requests == 1


# -- matching: section 5.3.2 --------------------------------------------------------------------


@pytest.mark.parametrize("off_by", [1, -1, 0x8000])
def test_a_piggybacked_response_must_have_the_message_id(off_by: int) -> None:
    s = client()
    exchange, request = s.asked()
    wrong = attrs.evolve(piggybacked(request), mid=(request.mid + off_by) & 0xFFFF)
    s.receive(wrong)
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    assert s.core.statistics().ignored == 1
    s.at(3.0)
    assert s.sent() == [request]  # it goes on
    s.receive(piggybacked(request))
    assert s.response(exchange)


WRONG_TOKENS: dict[str, Callable[[bytes], bytes]] = {
    "another": lambda token: bytes(b ^ 0xFF for b in token),
    "none": lambda token: b"",
    "the beginning": lambda token: token[:-1],
    "the end": lambda token: token[1:],
    "one bit off": lambda token: token[:-1] + bytes([token[-1] ^ 1]),
    "in reverse": lambda token: token[::-1],
}


@pytest.mark.parametrize("name", WRONG_TOKENS)
@pytest.mark.parametrize("kind", [Type.ACK, Type.CON, Type.NON])
def test_the_token_must_match(kind: Type, name: str) -> None:
    """Section 5.3.2: a CON is rejected with RST, the rest is ignored (section 4.2)."""
    s = client()
    exchange, request = s.asked()
    response = attrs.evolve(piggybacked(request), type=kind)
    s.receive(attrs.evolve(response, token=WRONG_TOKENS[name](request.token)))
    assert s.sent() == ([rst(request.mid)] if kind is Type.CON else [])
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    s.at(3.0)
    assert s.sent() == [request]
    s.receive(piggybacked(request))
    assert s.response(exchange)


def test_a_longer_token_that_begins_alike_does_not_match() -> None:
    s = client(Tuning(token_bytes=4))
    exchange, request = s.asked()
    s.receive(attrs.evolve(piggybacked(request), token=request.token + b"\0"))
    assert s.events() == []
    assert exchange.stage is Stage.SENT


WRONG_ENDPOINTS: dict[str, tuple[Session, Session]] = {
    "another port": (PEER, attrs.evolve(PEER, peer=attrs.evolve(PEER.peer, port=5684))),
    "another host": (PEER, OTHER_PEER),
    "at another address of ours": (
        PEER,
        attrs.evolve(PEER, local=attrs.evolve(PEER.local, host="198.51.100.8")),
    ),
    "at another port of ours": (
        PEER,
        attrs.evolve(PEER, local=attrs.evolve(PEER.local, port=50008)),
    ),
    "another transport": (PEER, attrs.evolve(PEER, transport="dtls")),
    "another link": (V6, attrs.evolve(V6, peer=attrs.evolve(V6.peer, scope_id=3))),
}


@pytest.mark.parametrize("name", WRONG_ENDPOINTS)
@pytest.mark.parametrize("kind", [Type.ACK, Type.CON, Type.NON])
@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known"])
def test_the_endpoint_must_match(kind: Type, name: str, known: bool) -> None:
    """Section 5.3.2: where the request went to, and where it came from."""
    s = client()
    right, wrong = WRONG_ENDPOINTS[name]
    if known:  # one that was asked, too, is no better
        s.acknowledged(wrong)
    exchange, request = s.asked(Type.CON, right)
    s.receive(attrs.evolve(piggybacked(request), type=kind), wrong)
    sent = s.drain()
    assert [(one.message, one.session) for one in sent] == (
        [(rst(request.mid), wrong)] if kind is Type.CON else []
    )
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    s.receive(piggybacked(request), right)
    assert s.response(exchange)


def test_an_empty_ack_or_rst_from_another_endpoint_is_ignored() -> None:
    s = client()
    s.acknowledged(OTHER_PEER)
    exchange, request = s.asked()
    for empty in (ack(request.mid), rst(request.mid)):
        s.receive(empty, OTHER_PEER)
    assert exchange.stage is Stage.SENT
    assert s.events() == []
    s.at(3.0)
    assert s.sent() == [request]


def test_a_response_in_the_ack_of_another_request_answers_neither() -> None:
    """Section 5.3.2: message ID and token must be those of one request."""
    s = client(Tuning(nstart=2))
    (first, one), (second, two) = s.asked(), s.asked()
    s.receive(attrs.evolve(piggybacked(two), token=one.token))
    s.receive(attrs.evolve(piggybacked(one), token=two.token))
    assert s.events() == []
    assert first.stage is second.stage is Stage.SENT
    s.at(3.0)
    assert sorted(m.mid for m in s.sent()) == [one.mid, two.mid]  # both go on
    s.receive(piggybacked(two, payload=b"two"))
    assert s.response(second).payload == b"two"
    s.receive(piggybacked(one, payload=b"one"))
    assert s.response(first).payload == b"one"
    assert is_quiet(s)


def test_a_response_in_an_ack_does_not_answer_a_non_request() -> None:
    """Section 4.3: a NON is never acknowledged."""
    s = client()
    exchange, request = s.asked(Type.NON)
    s.receive(piggybacked(request))
    s.receive(ack(request.mid))
    assert s.sent() == []
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    assert s.core.statistics().ignored == 2
    s.receive(separate(request, MID, Type.NON))
    assert s.response(exchange)


def test_a_response_to_a_request_that_has_not_left_is_none() -> None:
    """Whoever has its token has guessed it."""
    s = client()
    s.asked()
    waiting = s.ask()
    s.receive(con(MID, Code.CONTENT, token=waiting.token))
    assert s.sent() == [rst(MID)]
    s.receive(non(MID, Code.CONTENT, token=waiting.token))
    s.receive(piggybacked(attrs.evolve(waiting.request, token=waiting.token)))
    assert s.sent() == []
    assert s.events() == []
    assert waiting.stage is Stage.QUEUED


def test_responses_come_in_any_order() -> None:
    s = client()
    exchanges = [s.acknowledged() for _ in range(5)]
    for exchange, request in exchanges[::-1]:
        s.receive(separate(request, request.mid ^ 0x5555))
        assert s.response(exchange).token == request.token
    assert len(s.sent()) == 5


def test_the_token_of_one_that_asks_us_is_not_one_of_ours() -> None:
    """Section 5.3.1: tokens are the client's, so both sides may use the same one."""
    s = Scenario()
    exchange, request = s.asked()
    theirs = s.open(con(MID, token=request.token))
    s.respond(theirs)
    assert s.sent() == [piggybacked(theirs.request)]
    assert exchange.stage is Stage.SENT
    s.receive(piggybacked(request))
    assert s.response(exchange)
    assert exchange.peer.session == theirs.session == CLIENT
    assert s.nothing_left()


# -- before, instead of, twice, after: sections 4.2, 4.5 and 5.2.2 -----------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_response_before_the_empty_ack_stands_for_it(kind: Type) -> None:
    """Section 5.2.2: it "may arrive before the Acknowledgement"; nothing is sent again."""
    s = client()
    exchange, request = s.asked()
    s.receive(separate(request, MID, kind))
    assert s.response(exchange)
    assert s.sent() == ([ack(MID)] if kind is Type.CON else [])
    s.receive(ack(request.mid))  # late
    assert is_quiet(s)
    assert s.core.statistics().ignored == 1
    assert s.nothing_left()


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("after", [1, 4])
def test_a_response_instead_of_a_lost_ack_ends_the_retransmission(after: int, kind: Type) -> None:
    s = client(Tuning(ack_random_factor=1.0))
    exchange, request = s.asked()
    s.at({1: 2.5, 4: 40.0}[after])
    assert s.sent() == [request] * after
    s.receive(separate(request, MID, kind))
    assert s.response(exchange)
    s.drain()
    assert is_quiet(s)


def test_every_copy_of_a_separate_con_is_acknowledged_and_never_reset() -> None:
    """Sections 4.2 and 4.5: byte for byte the same, for as long as its message ID lives."""
    s = client()
    exchange, request = s.acknowledged()
    s.receive(separate(request, MID))
    s.response(exchange)
    for seconds in (0.0, 0.1, 3.0, 45.0, 100.0, s.tuning.exchange_lifetime - 149):
        s.at(s.now + seconds)
        s.receive(separate(request, MID))
    replies = s.drain()
    assert len(replies) == 7
    assert {one.data for one in replies} == {encode(ack(MID))}
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.responses, counted.copies_answered) == (1, 6)
    assert s.nothing_left()


def test_a_copy_is_acknowledged_while_the_next_request_is_open() -> None:
    s = client()
    _, first = s.acknowledged()
    s.receive(separate(first, MID))
    s.drain()
    s.events()
    second, request = s.acknowledged()
    s.receive(separate(first, MID))
    assert s.sent() == [ack(MID)]
    assert s.events() == []
    s.receive(separate(request, MID + 1))
    assert s.response(second)


def test_after_its_lifetime_a_copy_is_a_response_that_nobody_expects() -> None:
    s = client()
    _, request = s.acknowledged()
    s.receive(separate(request, MID))
    s.drain()
    s.events()
    s.exchange_lifetime_later()
    s.receive(separate(request, MID))
    assert s.sent() == [rst(MID)]
    assert s.events() == []


def test_of_more_responses_than_there_is_room_for_the_latest_are_remembered() -> None:
    """None is owed anything more, so the oldest leaves first; see Limits.dedup_entries."""
    s = Scenario(limits=Limits(dedup_entries=2), serves=False)
    for mid in range(6):
        exchange, request = s.acknowledged()
        s.receive(separate(request, mid))
        assert s.response(exchange)
        s.receive(separate(request, mid))
        assert s.sent() == [ack(mid)] * 2
    assert s.core.statistics().dedup_evicted == 4


def test_where_there_is_no_room_to_remember_it_a_response_is_taken_all_the_same() -> None:
    s = Scenario(limits=Limits(dedup_entries=1))
    s.open(con(1, Code.POST))  # in progress, so it does not leave the table
    s.at(1.0)
    s.drain()
    exchange, request = s.acknowledged()
    s.receive(separate(request, MID))
    assert s.response(exchange)
    assert s.sent() == [ack(MID)]


def test_copies_of_a_non_response_are_ignored() -> None:
    s = client()
    exchange, request = s.acknowledged()
    for _ in range(3):
        s.receive(separate(request, MID, Type.NON))
    assert s.response(exchange)
    assert is_quiet(s)
    assert s.core.statistics().ignored == 2


def test_copies_of_a_piggybacked_response_are_ignored() -> None:
    s = client()
    exchange, request = s.asked()
    for _ in range(3):
        s.receive(piggybacked(request))
    assert s.response(exchange)
    assert is_quiet(s)
    assert s.core.statistics().ignored == 2


def test_a_second_empty_ack_is_ignored() -> None:
    s = client()
    exchange, request = s.acknowledged()
    s.receive(ack(request.mid))
    assert exchange.stage is Stage.ACKNOWLEDGED
    assert s.events() == []
    assert s.core.statistics().ignored == 1


def test_the_response_in_an_ack_may_come_after_the_empty_one() -> None:
    """A server that has forgotten that it acknowledged the request. It is its answer still."""
    s = client()
    exchange, request = s.acknowledged()
    s.receive(piggybacked(request))
    assert s.response(exchange)
    assert is_quiet(s)


def test_section_4_2_an_rst_ends_the_request() -> None:
    s = client()
    exchange, request = s.asked()
    s.receive(rst(request.mid))
    assert s.failure(exchange).name == "RESET"
    assert is_quiet(s)
    assert s.core.statistics().requests_failed == 1
    assert s.nothing_left()


def test_section_4_3_an_rst_ends_a_non_request() -> None:
    s = client()
    exchange, request = s.asked(Type.NON)
    s.receive(rst(request.mid + 1))
    assert s.events() == []
    s.receive(rst(request.mid))
    assert s.failure(exchange).name == "RESET"
    assert is_quiet(s)
    assert s.core.statistics().ignored == 1


@pytest.mark.parametrize("asked", [Type.CON, Type.NON])
def test_a_response_after_an_rst_answers_nothing(asked: Type) -> None:
    s = client()
    exchange, request = s.asked(asked)
    s.receive(rst(request.mid))
    s.failure(exchange)
    s.receive(separate(request, MID, Type.NON))
    s.receive(piggybacked(request))
    assert s.sent() == []
    s.receive(separate(request, MID))
    assert s.sent() == [rst(MID)]
    assert is_quiet(s)


def test_an_rst_after_the_empty_ack_is_ignored() -> None:
    """An RST rejects a message, and that one was acknowledged already (section 4.2)."""
    s = client()
    exchange, request = s.acknowledged()
    s.receive(rst(request.mid))
    assert s.events() == []
    s.receive(separate(request, MID))
    assert s.response(exchange)


def test_an_rst_after_the_response_is_ignored() -> None:
    s = client()
    exchange, request = s.asked()
    s.receive(piggybacked(request))
    s.response(exchange)
    s.receive(rst(request.mid))
    assert is_quiet(s)
