"""Who has not shown that it gets what it is sent: RFC 7252 section 11.3, RFC 9175 section 2.4."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits
from coapsep.protocol.held import Topic
from tests.unit.scenario import CLIENT, OTHER, Scenario, ack, con, non, rst, session

LARGE = Response(Code.CONTENT, bytes(1000))
STRICT = Limits(amplification="strict")
HEADERS = 62


def with_echo(request: Message, mid: int, echo: bytes) -> Message:
    options = Options([*request.options, *Options.build(echo=echo)])
    return attrs.evolve(request, mid=mid, options=options)


def challenged(s: Scenario, request: Message, response: Response = LARGE) -> bytes:
    """The Echo value that a request gets in place of its response."""
    s.respond(s.open(request), response)
    [answer] = s.sent()
    assert answer.code is Code.UNAUTHORIZED
    assert answer.token == request.token
    assert answer.payload == b""
    assert answer.options.echo is not None
    return answer.options.echo


def served(s: Scenario, request: Message, response: Response = LARGE) -> bool:
    """Whether a request gets its response at once."""
    s.respond(s.open(request), response)
    [answer] = s.sent()
    return answer.code is response.code and answer.payload == response.payload


def test_strict_asks_for_an_echo_in_the_ack_and_then_serves() -> None:
    s = Scenario(limits=STRICT)
    echo = challenged(s, con(1))
    assert served(s, with_echo(con(1), 2, echo))
    assert served(s, con(3))  # once is enough
    assert s.core.statistics().echo_challenges == 1


def test_a_non_is_challenged_with_a_non() -> None:
    s = Scenario(limits=STRICT)
    s.respond(s.open(non(1)), LARGE)
    [answer] = s.sent()
    assert (answer.type, answer.code) == (Type.NON, Code.UNAUTHORIZED)


def test_an_answer_that_is_harmless_needs_no_echo() -> None:
    s = Scenario(limits=STRICT)
    for mid in range(1, 50):
        assert served(s, con(mid), Response(Code.CONTENT, bytes(100)))
    assert s.core.statistics().echo_challenges == 0


def test_what_a_client_has_sent_pays_for_what_it_gets() -> None:
    s = Scenario(limits=STRICT)
    assert served(s, con(1, Code.FETCH, payload=bytes(400)))


@pytest.mark.parametrize("forged", [b"x", bytes(12), bytes(40)])
def test_a_made_up_echo_proves_nothing(forged: bytes) -> None:
    s = Scenario(limits=STRICT)
    challenged(s, with_echo(con(1), 1, forged))


def test_an_echo_of_somebody_else_proves_nothing() -> None:
    s = Scenario(limits=STRICT)
    echo = challenged(s, con(1))
    s.receive(with_echo(con(1), 1, echo), OTHER)
    s.respond(s.request(), LARGE)
    [answer] = s.sent()
    assert answer.code is Code.UNAUTHORIZED


@pytest.mark.parametrize(("seconds", "proves"), [(119, True), (122, False)])
def test_an_echo_is_good_for_two_minutes(seconds: float, proves: bool) -> None:
    s = Scenario(limits=STRICT)
    echo = challenged(s, con(1))
    s.at(seconds)
    assert served(s, with_echo(con(1), 2, echo)) == proves


def test_nothing_is_kept_of_a_challenge() -> None:
    s = Scenario(limits=STRICT)
    for number in range(100):
        s.receive(con(1), session(number))
        s.respond(s.request(), LARGE)
    assert s.nothing_left()


def test_a_request_that_changes_something_is_not_asked_for_again() -> None:
    """It has been executed: its client gets the beginning, and asks for the rest."""
    s = Scenario(limits=STRICT)
    s.respond(s.open(con(1, Code.POST)), LARGE)
    [answer] = s.sent()
    assert answer.code is Code.CONTENT
    block = answer.options.block2
    assert block is not None
    assert (block.number, block.more, block.size) == (0, True, 64)
    s.receive(con(2, Code.POST, options=Options.build(block2=attrs.evolve(block, number=1))))
    assert s.events() == []
    [rest] = s.sent()
    assert rest.payload == bytes(64)


def test_an_acknowledged_message_id_proves_as_much() -> None:
    s = Scenario(limits=STRICT)
    _, response = s.answered(con(1))
    s.receive(ack(response.mid))
    assert served(s, con(2))


def test_so_does_an_rst() -> None:
    s = Scenario(limits=STRICT)
    _, response = s.answered(con(1))
    s.receive(rst(response.mid))
    s.events()
    assert served(s, con(2))


@pytest.mark.parametrize(("guesses", "proves"), [(7, True), (8, False)])
def test_after_some_wrong_guesses_a_right_one_proves_nothing(guesses: int, proves: bool) -> None:
    s = Scenario(limits=STRICT)
    _, response = s.answered(con(1))
    for guess in range(guesses):
        s.receive(ack(response.mid - 1 - guess & 0xFFFF))
    s.receive(ack(response.mid))
    assert s.core.statistics().delivered == 1
    peer = s.core._peers.find(CLIENT)
    assert peer is not None
    assert peer.verified == proves


def test_a_separate_response_is_not_challenged_and_sent_twice_at_most() -> None:
    s = Scenario(limits=STRICT)
    exchange = s.deferred(con(1))
    s.respond(exchange, LARGE)
    s.at(100)
    copies = s.drain()
    assert [copy.message.code for copy in copies] == [Code.CONTENT, Code.CONTENT]
    assert len({copy.data for copy in copies}) == 1
    held = s.core.statistics()
    assert (held.timed_out, held.retransmissions, held.amplification_withheld) == (1, 1, 3)


def test_a_copy_of_a_small_answer_is_paid_for_by_the_copy() -> None:
    s = Scenario(limits=STRICT)
    s.respond(s.open(con(1)))
    for _ in range(5):
        s.receive(con(1))
    assert len(s.drain()) == 6


def test_copies_draw_no_more_than_three_times_what_they_are() -> None:
    s = Scenario(limits=Limits(amplification_burst=1000, amplification_rate=0.001))
    request = con(1)
    assert served(s, request)  # the bucket pays
    for _ in range(20):
        s.receive(request)
    held = s.core.statistics()
    assert held.copies_answered < 20
    assert held.copies_answered + held.amplification_withheld == 20


def test_adaptive_serves_everybody_while_the_bucket_holds() -> None:
    s = Scenario()
    for number in range(1000):
        s.receive(con(1), session(number))
        s.respond(s.request(), LARGE)
    assert all(answer.code is Code.CONTENT for answer in s.sent())


def test_adaptive_is_strict_while_the_bucket_is_empty_and_it_fills_again() -> None:
    s = Scenario(limits=Limits(amplification_burst=5000, amplification_rate=100.0))

    def codes(first: int) -> list[Code]:
        for number in range(first, first + 20):
            s.receive(con(1), session(number))
            s.respond(s.request(), LARGE)
        return [answer.code for answer in s.sent()]

    before = codes(0)
    assert before[:3] == [Code.CONTENT] * 3
    assert before[-10:] == [Code.UNAUTHORIZED] * 10
    s.at(60)
    assert codes(20)[:3] == [Code.CONTENT] * 3


def test_off_asks_nobody() -> None:
    s = Scenario(limits=Limits(amplification="off"))
    assert served(s, con(1), Response(Code.CONTENT, bytes(1000)))
    exchange = s.deferred(con(2))
    s.respond(exchange, LARGE)
    s.at(100)
    assert len(s.drain()) == 5


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("size", [0, 60, 100, 137, 500, 1024, 5000])
def test_a_spoofed_flood_draws_three_times_its_bytes_at_most(kind: Type, size: int) -> None:
    s = Scenario(limits=STRICT, checked=False)
    came = 0
    for number in range(200):
        request = attrs.evolve(con(1, path="a"), type=kind)
        s.receive(request, session(number))
        came += HEADERS + 4 + 1 + 2
        s.respond(s.request(), Response(Code.CONTENT, bytes(size)))
    left = sum(HEADERS + len(sent.data) for sent in s.drain())
    assert left <= 3 * came


def test_an_observer_that_is_not_verified_gets_one_notification() -> None:
    s = Scenario(limits=STRICT)
    exchange = s.open(con(1, options=Options.build(observe=0)))
    exchange.topic = Topic("t", None)
    s.respond(exchange)
    s.drain()
    for _ in range(3):
        s.core.notify(s.core.observers_of("t"), Response(Code.CONTENT, b"new"), s.now)
    s.at(200)
    assert len(s.core.observers_of("t")) == 0
    assert CLIENT in {sent.session for sent in s.drain()}
