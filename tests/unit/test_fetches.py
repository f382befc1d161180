"""Notifications that take more than one block: RFC 7959 sections 2.6 and 3.4."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.protocol.events import Failure, NotificationReceived
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import Scenario, ack, noted, rst
from tests.unit.test_transfers import BODY, client, part, reply, sent


def notification(request: Message, number: int, mid: int, etag: bytes = b"1") -> Message:
    """The first block of a new state."""
    options = Options.build(observe=number, block2=Block(0, True, 1024), etags=[etag])
    return Message(Code.CONTENT, Type.CON, mid, request.token, options, BODY[:1024])


def begun(s: Scenario) -> tuple[ClientExchange, Message, Message]:
    """An observation, its registration, and the first request for the rest of a new state."""
    exchange, registration = s.observing()
    s.receive(notification(registration, 2, 0x7001))
    acknowledged, request = s.sent()
    assert acknowledged == ack(0x7001)
    assert request.token != registration.token
    assert request.options == Options.build(block2=Block(1, False, 1024))
    assert exchange.stage is Stage.OBSERVING
    return exchange, registration, request


def test_a_state_is_shown_when_it_is_whole() -> None:
    s = client()
    exchange, _, request = begun(s)
    s.receive(part(request, 1, 1024))
    assert s.events() == []
    s.receive(part(sent(s), 2, 1024))
    [event] = s.events()
    assert isinstance(event, NotificationReceived)
    assert event.exchange is exchange
    assert event.message.payload == BODY
    assert event.message.options.observe == 2
    assert OptionNumber.BLOCK2 not in event.message.options
    assert exchange.stage is Stage.OBSERVING
    s.cancel(exchange)
    farewell = sent(s)
    assert farewell.options.observe == 1
    s.receive(reply(farewell))
    assert s.nothing_left()


def test_the_response_to_the_registration_may_be_long() -> None:
    s = client()
    exchange = s.ask(observe=True)
    registration = sent(s)
    first = attrs.evolve(notification(registration, 5, registration.mid), type=Type.ACK)
    s.receive(first)
    s.receive(part(sent(s), 1, 1024))
    s.receive(part(sent(s), 2, 1024))
    assert s.state(exchange) == BODY


def test_a_newer_state_takes_the_place_of_one_that_is_not_whole() -> None:
    s = client()
    exchange, registration, request = begun(s)
    s.receive(noted(registration, 3, b"new", mid=0x7002))
    assert s.state(exchange) == b"new"
    assert s.sent() == [ack(0x7002)]
    s.receive(part(request, 1, 1024))
    assert s.sent() == []
    assert s.events() == []


def test_an_older_one_does_not() -> None:
    s = client()
    exchange, registration, request = begun(s)
    s.receive(noted(registration, 1, b"old", mid=0x7002))
    s.sent()
    s.receive(part(request, 1, 1024))
    s.receive(part(sent(s), 2, 1024))
    assert s.state(exchange) == BODY


def test_a_state_that_changes_meanwhile_is_fetched_anew() -> None:
    s = client()
    exchange, _, request = begun(s)
    s.receive(part(request, 1, 1024, etag=b"2"))
    request = sent(s)
    assert request.options.observe is None
    for number in range(3):
        s.receive(part(request, number, 1024, etag=b"2"))
        if number < 2:
            request = sent(s)
    assert s.state(exchange) == BODY


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.BAD_REQUEST])
def test_what_cannot_be_fetched_is_not_shown(code: Code) -> None:
    s = client()
    exchange, registration, request = begun(s)
    s.receive(reply(request, code))
    assert s.events() == []
    s.receive(noted(registration, 3, b"new", mid=0x7002))
    assert s.state(exchange) == b"new"


def test_a_server_that_is_silent_ends_the_observation() -> None:
    s = client()
    exchange, _, _ = begun(s)
    s.at(100.0)
    assert s.failure(exchange) is Failure.TIMED_OUT


def test_it_may_be_given_up_meanwhile() -> None:
    s = client()
    exchange, _, request = begun(s)
    s.cancel(exchange)
    assert sent(s).options.observe == 1
    s.receive(attrs.evolve(part(request, 1, 1024), type=Type.CON, mid=9))
    assert s.sent() == [rst(9)]


def test_the_session_may_be_lost_meanwhile() -> None:
    s = client()
    exchange, _, _ = begun(s)
    s.lose()
    assert s.failure(exchange) is Failure.SESSION_LOST
    assert s.nothing_left()


def test_the_last_state_may_be_long() -> None:
    """A success without Observe is the last one (RFC 7641 section 3.2)."""
    s = client()
    exchange, registration = s.observing(max_age=0)
    first = notification(registration, 2, 0x7001)
    options = first.options.without(OptionNumber.OBSERVE)
    s.receive(attrs.evolve(first, options=options))
    _, request = s.sent()
    assert request.options == Options.build(block2=Block(1, False, 1024))
    s.receive(ack(request.mid))
    s.at(s.now + 100.0)  # the state before it was out of date long ago
    assert s.sent() == []
    s.receive(attrs.evolve(part(request, 1, 1024), type=Type.CON, mid=0x7002))
    _, request = s.sent()
    s.receive(part(request, 2, 1024))
    assert s.response(exchange).payload == BODY
    assert s.nothing_left()


def test_an_echo_is_sent_back_with_the_registration() -> None:
    s = client()
    exchange = s.ask(observe=True)
    s.receive(reply(sent(s), Code.UNAUTHORIZED, echo=b"abc"))
    registration = sent(s)
    assert (registration.options.observe, registration.options.echo) == (0, b"abc")
    s.receive(noted(registration, 1, b"x", kind=Type.ACK, mid=registration.mid))
    assert s.state(exchange) == b"x"
    assert exchange.stage is Stage.OBSERVING
