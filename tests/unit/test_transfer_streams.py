"""Bodies that are produced as they go, and taken as they come: RFC 7959, without a whole."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.block import Block
from coapsep.numbers import Code, OptionNumber
from coapsep.params import Limits
from coapsep.protocol.events import (
    Failure,
    RequestBodyWanted,
    RequestFailed,
    ResponseBodyReceived,
)
from coapsep.protocol.records import ClientExchange, Stage
from coapsep.protocol.transfer_state import Handling
from tests.unit.scenario import Scenario
from tests.unit.test_transfers import BODY, acked, client, detail, part, reply, sent

UP = Handling(upload_streams=True)
DOWN = Handling(download_streams=True)


def wanted(s: Scenario, exchange: ClientExchange) -> bool:
    """Whether the one event is that more of the body is needed."""
    return s.events() == [RequestBodyWanted(exchange)]


def shown(s: Scenario, exchange: ClientExchange) -> ResponseBodyReceived:
    """The part of a response that was the one event."""
    [event] = s.events()
    assert isinstance(event, ResponseBodyReceived)
    assert event.exchange is exchange
    return event


# -- up ------------------------------------------------------------------------------------------


def test_a_body_is_produced_as_it_goes() -> None:
    s = client(64)
    exchange = s.ask(code=Code.PUT, handling=UP)
    assert s.sent() == []
    assert wanted(s, exchange)
    s.supply_request(exchange, BODY[:64])
    assert s.sent() == []  # whether more blocks follow is not known yet
    assert wanted(s, exchange)
    s.supply_request(exchange, BODY[64:140])
    request = sent(s)
    assert (request.options.block1, request.payload) == (Block(0, True, 64), BODY[:64])
    assert request.options.size1 is None
    s.receive(acked(request))
    request = sent(s)
    assert (request.options.block1, request.payload) == (Block(1, True, 64), BODY[64:128])
    s.receive(acked(request))
    assert s.sent() == []
    assert exchange.stage is Stage.PAUSED
    assert wanted(s, exchange)
    s.supply_request(exchange, b"", last=True)
    request = sent(s)
    assert (request.options.block1, request.payload) == (Block(2, False, 64), BODY[128:140])
    s.receive(acked(request, Code.CHANGED))
    assert s.response(exchange).code is Code.CHANGED
    assert s.nothing_left()


@pytest.mark.parametrize("length", [0, 10, 64])
def test_one_that_turns_out_to_be_short_has_no_blocks(length: int) -> None:
    s = client(64)
    exchange = s.ask(code=Code.PUT, handling=UP)
    assert wanted(s, exchange)
    s.supply_request(exchange, BODY[:length], last=True)
    request = sent(s)
    assert (request.options.block1, request.payload) == (None, BODY[:length])
    s.receive(reply(request, Code.CHANGED))
    assert s.response(exchange).code is Code.CHANGED


def test_while_it_is_produced_others_have_their_turn() -> None:
    s = client()
    streamed = s.ask(code=Code.PUT, handling=UP)
    other = s.ask()
    assert sent(s) == other.request
    s.cancel(streamed)
    assert exchange_is_over(s, streamed)


def exchange_is_over(s: Scenario, exchange: ClientExchange) -> bool:
    """What still is produced for it goes nowhere."""
    s.supply_request(exchange, BODY)
    s.consumed(exchange)
    return s.sent() == [] and exchange.stage is Stage.OVER


def test_what_nobody_asked_for_is_not_taken() -> None:
    s = client()
    exchange = s.ask(code=Code.PUT, handling=UP)
    s.supply_request(exchange, BODY[:1030])
    request = sent(s)
    s.supply_request(exchange, b"too early", last=True)
    s.receive(acked(request))
    assert exchange.stage is Stage.PAUSED


def test_4_08_to_a_stream_is_the_response() -> None:
    """Of what has gone, nothing is kept."""
    s = client()
    exchange = s.ask(code=Code.PUT, handling=UP)
    s.supply_request(exchange, BODY, last=True)
    s.events()
    s.receive(acked(sent(s)))
    s.receive(acked(sent(s), Code.REQUEST_ENTITY_INCOMPLETE))
    assert s.response(exchange).code is Code.REQUEST_ENTITY_INCOMPLETE


def test_its_first_block_may_be_made_smaller() -> None:
    s = client()
    exchange = s.ask(code=Code.PUT, handling=UP)
    s.supply_request(exchange, BODY[:1100])
    s.receive(acked(sent(s), Code.REQUEST_ENTITY_TOO_LARGE, 512))
    request = sent(s)
    assert (request.options.block1, request.payload) == (Block(0, True, 512), BODY[:512])
    s.receive(acked(request))
    assert sent(s).options.block1 == Block(1, True, 512)


def test_the_session_may_be_lost_while_it_is_produced() -> None:
    s = client()
    exchange = s.ask(code=Code.PUT, handling=UP)
    s.events()
    s.lose()
    assert s.failure(exchange) is Failure.SESSION_LOST
    assert exchange_is_over(s, exchange)
    assert s.nothing_left()


# -- down ----------------------------------------------------------------------------------------


def test_a_body_is_taken_as_it_comes() -> None:
    s = client(limits=Limits(body_size=1))
    exchange = s.ask(handling=DOWN)
    s.receive(part(sent(s), 0, 1024))
    first = shown(s, exchange)
    assert first.message is not None
    assert first.message.options.etags == (b"1",)
    assert OptionNumber.BLOCK2 not in first.message.options
    assert (first.data, first.last) == (BODY[:1024], False)
    assert s.sent() == []
    assert exchange.stage is Stage.PAUSED
    s.consumed(exchange)
    s.consumed(exchange)
    s.receive(part(sent(s), 1, 1024))
    assert shown(s, exchange) == ResponseBodyReceived(exchange, None, BODY[1024:2048], False)
    s.consumed(exchange)
    s.receive(part(sent(s), 2, 1024))
    assert shown(s, exchange) == ResponseBodyReceived(exchange, None, BODY[2048:], True)
    assert s.core.statistics().body_bytes == 0
    assert exchange_is_over(s, exchange)
    assert s.nothing_left()


def test_a_short_response_is_one_part() -> None:
    for code in (Code.CONTENT, Code.NOT_FOUND):
        s = client()
        exchange = s.ask(handling=DOWN)
        answer = reply(sent(s), code, b"x")
        s.receive(answer)
        assert shown(s, exchange) == ResponseBodyReceived(exchange, answer, b"x", True)
        assert s.nothing_left()


def test_a_body_that_changes_once_it_was_shown_is_a_failure() -> None:
    s = client()
    exchange = s.ask(handling=DOWN)
    s.receive(part(sent(s), 0, 1024))
    shown(s, exchange)
    s.consumed(exchange)
    s.receive(part(sent(s), 1, 1024, etag=b"2"))
    assert detail(s, Failure.BODY_CHANGED) == ""


def test_an_error_once_something_was_shown_is_a_failure() -> None:
    s = client()
    exchange = s.ask(handling=DOWN)
    s.receive(part(sent(s), 0, 1024))
    shown(s, exchange)
    s.consumed(exchange)
    s.receive(reply(sent(s), Code.NOT_FOUND))
    assert detail(s, Failure.INCOMPLETE) == "4.04 Not Found"


def test_what_comes_while_nothing_was_asked_for_is_not_taken() -> None:
    s = client()
    exchange = s.ask(handling=DOWN)
    request = sent(s)
    s.receive(part(request, 0, 1024))
    shown(s, exchange)
    s.receive(part(request, 1, 1024))
    s.receive(attrs.evolve(part(request, 1, 1024), mid=1))
    assert s.events() == []
    s.cancel(exchange)
    assert s.nothing_left()


def test_a_stream_that_nobody_takes_holds_up_nobody() -> None:
    s = client()
    exchange = s.ask(handling=DOWN)
    other = s.ask()
    s.receive(part(sent(s), 0, 1024))
    shown(s, exchange)
    s.receive(reply(sent(s), payload=b"ok"))
    assert s.response(other).payload == b"ok"


# -- both ----------------------------------------------------------------------------------------


def test_both_ways() -> None:
    s = client()
    exchange = s.ask(code=Code.POST, handling=Handling(upload_streams=True, download_streams=True))
    s.supply_request(exchange, BODY[:1025], last=True)
    s.events()
    s.receive(acked(sent(s)))
    s.receive(part(sent(s), 0, 1024))
    assert shown(s, exchange).data == BODY[:1024]
    s.consumed(exchange)
    assert sent(s).options.block2 == Block(1, False, 1024)


def test_a_failure_is_told_in_the_same_way() -> None:
    s = client()
    exchange = s.ask(handling=DOWN)
    s.at(100.0)
    assert s.events() == [RequestFailed(exchange, Failure.TIMED_OUT)]
