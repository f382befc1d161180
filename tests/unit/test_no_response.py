"""No-Response, RFC 7967: responses that nobody wants are not sent, and all the rest goes on."""

from __future__ import annotations

import pytest

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Tuning
from coapsep.protocol.held import Topic
from coapsep.protocol.records import Phase
from tests.unit.scenario import Scenario, ack

#: The classes of responses, and their bits (section 2.1).
CLASSES = [(Code.CHANGED, 2), (Code.NOT_FOUND, 8), (Code.INTERNAL_SERVER_ERROR, 16)]
VALUES = [0, 2, 8, 16, 2 | 8, 2 | 16, 8 | 16, 26, 127, 255, 1, 4, 32]


def put(unwanted: int | None, kind: Type = Type.CON, **options: object) -> Message:
    built = Options.build(
        uri_path=["light"],
        no_response=unwanted,
        **options,  # type: ignore[arg-type]  # names of options, as build has them
    )
    return Message(Code.PUT, kind, 1, b"t", built, b"on")


@pytest.mark.parametrize(("code", "bit"), CLASSES)
@pytest.mark.parametrize("unwanted", VALUES)
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_bits(code: Code, bit: int, unwanted: int, kind: Type) -> None:
    """A CON has its ACK all the same (section 2.1)."""
    s = Scenario()
    exchange = s.open(put(unwanted, kind))
    s.respond(exchange, Response(code))
    sent = s.sent()
    if unwanted & bit:
        assert sent == ([ack(1)] if kind is Type.CON else [])
        assert exchange.phase is Phase.CLOSED
    else:
        assert [message.code for message in sent] == [code]
    assert s.core.statistics().suppressed == bool(unwanted & bit)
    assert s.nothing_left()


@pytest.mark.parametrize("unwanted", [None, 0])
def test_everything_is_wanted(unwanted: int | None) -> None:
    s = Scenario()
    s.respond(s.open(put(unwanted)), Response(Code.CHANGED))
    assert [message.code for message in s.sent()] == [Code.CHANGED]


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_separate_response_that_nobody_wants(kind: Type) -> None:
    s = Scenario()
    exchange = s.deferred(put(2, kind))
    s.at(1000.0)
    s.respond(exchange, Response(Code.CHANGED))
    assert s.sent() == []
    assert exchange.phase is Phase.CLOSED
    assert s.nothing_left()


def test_a_copy_is_acknowledged_and_not_run() -> None:
    s = Scenario()
    s.respond(s.open(put(2)), Response(Code.CHANGED))
    s.receive(put(2))
    assert s.sent() == [ack(1)] * 2
    assert s.events() == []


def test_a_body_in_blocks_needs_its_2_31() -> None:
    """The client could not go on without it; the response at the end is another matter."""
    s = Scenario()
    body = bytes(32)

    def part(number: int, more: bool) -> Message:
        options = Options.build(no_response=26, block1=Block(number, more, 16))
        return Message(Code.PUT, Type.CON, number + 1, b"t", options, body[:16])

    s.accept(s.open(part(0, True)))
    [answer] = s.sent()
    assert answer.code is Code.CONTINUE
    whole = s.open(part(1, False))
    assert whole.request.payload == body
    s.respond(whole, Response(Code.CHANGED))
    assert s.sent() == [ack(2)]
    assert s.nothing_left()


def test_a_body_that_is_refused_at_its_first_block() -> None:
    s = Scenario()
    s.receive(put(26, block1=Block(0, True, 16)))
    assert s.sent() == [ack(1)]  # that it is not full is not wanted either
    assert s.events() == []
    assert s.nothing_left()


def test_nothing_is_kept_of_a_long_response_that_nobody_wants() -> None:
    s = Scenario(Tuning(block_size=16))
    s.respond(s.open(put(2)), Response(Code.CHANGED, bytes(100)))
    assert s.sent() == [ack(1)]
    assert s.core.statistics().body_bytes == 0


def test_whoever_wants_no_response_does_not_observe() -> None:
    s = Scenario()
    options = Options.build(no_response=2, observe=0)
    exchange = s.open(Message(Code.GET, Type.NON, 1, b"t", options))
    exchange.topic = Topic("topic", None)
    s.respond(exchange)
    assert s.sent() == []
    assert s.core.observers_of("topic") == ()


def test_a_stream_that_nobody_wants() -> None:
    s = Scenario()
    body = s.produce(s.open(put(2)))
    assert body is not None
    s.supply(body, b"x", last=True)
    assert s.sent() == [ack(1)]
    s.events()
    assert s.nothing_left()
