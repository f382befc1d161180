"""Bodies that arrive in blocks, RFC 7959 section 2.5: what the core makes of them."""

from __future__ import annotations

import itertools

import attrs
import pytest

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    BlockReceived,
    EndReason,
    RequestEnded,
    RequestReceived,
    UploadEnded,
)
from coapsep.protocol.held import Upload
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import CLIENT, OTHER, Scenario, ack, con

BODY = bytes(range(200))
DONE = Response(Code.CHANGED, b"done")
#: What is counted for a body at least.
LEAST = 1024


def part(
    number: int,
    more: bool,
    size: int = 64,
    *,
    mid: int | None = None,
    body: bytes = BODY,
    payload: bytes | None = None,
    kind: Type = Type.CON,
    code: Code = Code.PUT,
    token: bytes | None = None,
    query: str = "",
    **options: object,
) -> Message:
    """One block of a body, in a request of its own."""
    if payload is None:
        payload = body[number * size : (number + 1) * size]
    built = Options.build(
        uri_path=["store"],
        uri_query=[query] if query else (),
        block1=Block(number, more, size),
        **options,  # type: ignore[arg-type]  # names of options, as build has them
    )
    mid = number + 1 if mid is None else mid
    return Message(code, kind, mid, bytes([mid & 255]) if token is None else token, built, payload)


def reply(request: Message, code: Code = Code.CONTINUE, more: bool | None = None) -> Message:
    """What piggybacks on the ACK of a block."""
    block = request.options.block1
    assert block is not None
    more = code is Code.CONTINUE if more is None else more
    options = Options.build(block1=attrs.evolve(block, more=more))
    return Message(code, Type.ACK, request.mid, request.token, options)


def begun(s: Scenario, first: Message | None = None) -> None:
    """The first block has come, and its body is collected."""
    first = first or part(0, True)
    s.accept(s.open(first))
    assert s.sent() == [reply(first)]


def streaming(s: Scenario) -> tuple[Exchange, Upload]:
    """The first block has come, and its body is streamed."""
    exchange = s.open(part(0, True))
    upload = s.stream(exchange)
    assert upload is not None
    return exchange, upload


def code_of(s: Scenario) -> Code:
    """The code of the one message since the last look."""
    [message] = s.sent()
    return message.code


def block(s: Scenario) -> BlockReceived:
    """The block that was the one event since the last look."""
    [event] = s.events()
    assert isinstance(event, BlockReceived)
    return event


# -- one after the other -------------------------------------------------------------------------


def test_the_blocks_become_one_request() -> None:
    s = Scenario()
    begun(s, part(0, True, size1=200))
    for number in (1, 2):
        s.receive(part(number, True))
        assert s.sent() == [reply(part(number, True))]
        assert s.events() == []
    s.receive(part(3, False))
    whole = s.request()
    assert whole.request.payload == BODY
    assert whole.request.token == part(3, False).token
    assert whole.request.options == Options.build(uri_path=["store"])
    s.respond(whole, DONE)
    [answer] = s.sent()
    assert answer.code is Code.CHANGED
    assert answer.options.block1 == Block(3, False, 64)
    assert answer.payload == b"done"
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_a_body_of_one_block_is_a_request_at_once() -> None:
    s = Scenario()
    only = part(0, False, payload=b"short")
    whole = s.open(only)
    assert whole.upload is None
    assert whole.request.payload == b"short"
    assert whole.request.options == Options.build(uri_path=["store"])
    s.respond(whole, Response(Code.CHANGED))
    assert s.sent() == [reply(only, Code.CHANGED)]
    assert s.nothing_left()


def test_an_empty_last_block_ends_a_body() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, False, payload=b""))
    assert s.request().request.payload == BODY[:64]


def test_the_body_is_counted_until_its_request_is_closed() -> None:
    s = Scenario()
    body = bytes(5 * 1024)
    begun(s, part(0, True, 1024, body=body))
    for number in (1, 2, 3):
        s.receive(part(number, True, 1024, body=body))
        assert s.core.statistics().body_bytes == (number + 1) * 1024
    s.receive(part(4, False, 1024, body=body))
    whole = s.request()
    assert s.core.statistics().body_bytes == 5 * 1024
    s.defer(whole)
    s.at(10_000.0)
    assert s.core.statistics().body_bytes == 5 * 1024  # the application still has it
    s.respond(whole, DONE)
    s.sent()
    s.lose()
    assert s.core.statistics().body_bytes == 0


def test_a_short_body_counts_as_one_kilobyte() -> None:
    s = Scenario()
    begun(s, part(0, True, 16))
    assert s.core.statistics().body_bytes == LEAST
    s.receive(part(1, True, 16))
    assert s.core.statistics().body_bytes == LEAST


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_body_in_any_kind_of_message(kind: Type) -> None:
    s = Scenario()
    first, last = part(0, True, kind=kind), part(1, False, kind=kind)
    s.accept(s.open(first))
    [answer] = s.sent()
    assert (answer.code, answer.type) == (Code.CONTINUE, Type.ACK if kind is Type.CON else kind)
    assert answer.token == first.token
    s.receive(last)
    assert s.request().request.payload == BODY[:128]


# -- sizes: sections 2.3 and 2.5 -----------------------------------------------------------------


def test_the_first_answer_asks_for_smaller_blocks() -> None:
    s = Scenario(Tuning(block_size=32))
    first = part(0, True, 128)
    s.accept(s.open(first))
    [answer] = s.sent()
    assert answer.options.block1 == Block(0, True, 32)
    # Figure 9: the client goes on at the same byte, with smaller blocks.
    s.receive(part(4, True, 32))
    assert code_of(s) is Code.CONTINUE
    s.receive(part(5, False, 32))
    assert s.request().request.payload == BODY[:192]


def test_a_client_that_keeps_to_its_size_is_let() -> None:
    s = Scenario(Tuning(block_size=32))
    s.accept(s.open(part(0, True, 64)))
    s.sent()
    s.receive(part(1, True, 64))
    [answer] = s.sent()
    assert answer.options.block1 == Block(1, True, 64)


def test_blocks_may_grow() -> None:
    s = Scenario()
    begun(s, part(0, True, 32))
    s.receive(part(1, True, 32))
    s.receive(part(1, True, 64, mid=3))
    s.receive(part(1, False, 128, mid=4))
    assert s.request().request.payload == BODY


@pytest.mark.parametrize("payload", [b"", b"x" * 63, b"x" * 65])
def test_a_block_that_is_not_full_is_refused(payload: bytes) -> None:
    """Section 2.2: all but the last have their full size."""
    s = Scenario()
    s.receive(part(0, True, payload=payload))
    assert code_of(s) is Code.BAD_REQUEST
    begun(s, part(0, True, mid=2))
    s.receive(part(1, True, mid=3, payload=payload))
    assert code_of(s) is Code.BAD_REQUEST
    # That was the end of the body.
    s.receive(part(1, True, mid=4))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_a_last_block_that_is_too_long_is_refused() -> None:
    s = Scenario()
    s.receive(part(0, False, payload=b"x" * 65))
    assert code_of(s) is Code.BAD_REQUEST
    begun(s, part(0, True, mid=2))
    s.receive(part(1, False, mid=3, payload=b"x" * 65))
    assert code_of(s) is Code.BAD_REQUEST
    assert s.events() == []
    assert s.nothing_left()


@pytest.mark.parametrize("number", [OptionNumber.BLOCK1, OptionNumber.BLOCK2])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_reserved_size_is_refused(number: OptionNumber, kind: Type) -> None:
    """Section 2.2: 4.00, and nothing is run for it."""
    s = Scenario()
    options = Options([(number, b"\x0f")])
    s.receive(Message(Code.POST, kind, 1, b"t", options, b"x" * 64))
    assert code_of(s) is Code.BAD_REQUEST
    assert s.events() == []
    assert s.core._peers.find(CLIENT).done  # type: ignore[union-attr]  # it is known
    assert s.nothing_left()


# -- order: section 2.5 --------------------------------------------------------------------------


def test_a_gap_ends_the_body() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(2, True))
    [answer] = s.sent()
    assert answer.code is Code.REQUEST_ENTITY_INCOMPLETE
    assert answer.options.block1 == Block(2, False, 64)
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_an_overlap_ends_the_body() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, True))
    s.receive(part(2, True))
    s.sent()
    s.receive(part(1, True, mid=9))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_a_block_without_the_ones_before() -> None:
    s = Scenario()
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    s.receive(part(1, False, mid=7))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.events() == []
    assert s.nothing_left()


def test_a_block_in_a_new_message_is_not_added_twice() -> None:
    """Its client has not got the 2.31: what counts is the block, not the message."""
    s = Scenario()
    begun(s)
    s.receive(part(1, True))
    s.sent()
    again = part(1, True, mid=9)
    s.receive(again)
    assert s.sent() == [reply(again)]
    s.receive(part(2, False))
    assert s.request().request.payload == BODY[:192]


def test_the_same_place_with_other_bytes_is_no_repetition() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, True))
    s.sent()
    s.receive(part(1, True, mid=9, payload=b"y" * 64))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE


def test_the_same_block_as_the_last_one_is_no_repetition() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, True))
    s.sent()
    s.receive(part(1, False, mid=9))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_the_first_block_in_a_new_message_goes_on() -> None:
    s = Scenario()
    begun(s)
    again = part(0, True, mid=9)
    s.receive(again)
    assert s.sent() == [reply(again)]
    assert s.events() == []
    s.receive(part(1, False))
    assert s.request().request.payload == BODY[:128]


def test_the_first_block_begins_again() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, True))
    s.sent()
    other = bytes(reversed(BODY))
    begun(s, part(0, True, mid=10, body=other))
    assert s.core.statistics().body_bytes == LEAST
    s.receive(part(1, False, mid=11, body=other))
    assert s.request().request.payload == other[:128]


def test_the_last_block_in_a_new_message_comes_too_late() -> None:
    s = Scenario()
    begun(s)
    s.receive(part(1, False))
    s.respond(s.request(), DONE)
    s.sent()
    s.receive(part(1, False, mid=9))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE


def test_the_last_block_in_a_new_message_finds_a_pending_request() -> None:
    """The same request once more: it is acknowledged, and not run (RFC 7252 section 4.5)."""
    s = Scenario()
    begun(s)
    last = part(1, False, token=b"t")
    whole = s.open(last)
    s.defer(whole)
    s.sent()
    s.receive(part(1, False, token=b"t", mid=9))
    assert s.sent() == [ack(9)]
    assert s.events() == []
    assert whole.phase is Phase.DEFERRED
    s.respond(whole, DONE)
    assert code_of(s) is Code.CHANGED


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_copies_of_a_block_draw_the_same_answer(number: int) -> None:
    """At whatever moment a copy comes."""
    s = Scenario()
    blocks = [part(0, True), part(1, True), part(2, True), part(3, False)]
    for at, one in enumerate(blocks):
        s.receive(one)
        if at == number:
            s.receive(one)  # before anybody has looked
        if at in (0, 3):
            exchange = s.request()
            if at:
                s.respond(exchange, DONE)
            else:
                s.accept(exchange)
        answer, *copies = s.sent()
        assert copies == ([answer] if at == number and at in (1, 2) else [])
        if at == number:
            first = answer
        if at >= number:
            s.receive(blocks[number])
            assert s.sent() == [first]
    assert s.events() == []
    assert s.core.statistics().requests == 4
    assert s.nothing_left()


# -- apart: RFC 9175 section 3 -------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"query": "b"},
        {"request_tags": [b"1"]},
        {"request_tags": [b""]},
        {"code": Code.POST},
        {"content_format": 60},
        {"if_match": [b"e"]},
    ],
)
def test_two_bodies_at_once(other: dict[str, object]) -> None:
    s = Scenario()
    second = bytes(reversed(BODY))
    begun(s)
    begun(s, part(0, True, mid=11, body=second, **other))  # type: ignore[arg-type]
    s.receive(part(1, True))
    s.receive(part(1, True, mid=12, body=second, **other))  # type: ignore[arg-type]
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    s.receive(part(2, False))
    assert s.request().request.payload == BODY[:192]
    s.receive(part(2, False, mid=13, body=second, **other))  # type: ignore[arg-type]
    assert s.request().request.payload == second[:192]


def test_two_clients_at_once() -> None:
    s = Scenario()
    second = bytes(reversed(BODY))
    begun(s)
    s.accept(s.open(part(0, True, body=second), OTHER))
    s.receive(part(1, False))
    assert s.request().request.payload == BODY[:128]
    s.receive(part(1, False, body=second), OTHER)
    assert s.request().request.payload == second[:128]


@pytest.mark.parametrize("option", [{"echo": b"e"}, {"observe": 0}, {"size1": 200}])
def test_what_need_not_match(option: dict[str, object]) -> None:
    """Elective options that are no part of the cache key, and Observe."""
    s = Scenario()
    begun(s)
    s.receive(part(1, False, **option))  # type: ignore[arg-type]
    assert s.request().request.payload == BODY[:128]


# -- before anybody has looked -------------------------------------------------------------------


def test_blocks_in_one_batch() -> None:
    """A client that does not wait must send the next one again."""
    s = Scenario()
    s.receive(part(0, True))
    s.receive(part(1, True))
    s.receive(part(0, True, mid=8))
    assert [(m.mid, m.code) for m in s.sent()] == [
        (2, Code.SERVICE_UNAVAILABLE),
        (8, Code.SERVICE_UNAVAILABLE),
    ]
    s.accept(s.request())
    assert s.sent() == [reply(part(0, True))]
    s.receive(part(1, False, mid=9))
    assert s.request().request.payload == BODY[:128]


def test_begun_again_before_anybody_has_looked() -> None:
    s = Scenario()
    first, again = part(0, True), part(0, True, mid=8, payload=b"y" * 64)
    s.receive(first)
    s.receive(again)
    old, new = s.events()
    assert isinstance(old, RequestReceived)
    assert isinstance(new, RequestReceived)
    s.accept(old.exchange)
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    s.accept(new.exchange)
    assert s.sent() == [reply(again)]
    s.receive(part(1, False))
    assert s.request().request.payload == b"y" * 64 + BODY[64:128]


def test_all_blocks_have_one_token() -> None:
    s = Scenario()
    s.accept(s.open(part(0, True, token=b"")))
    s.receive(part(1, True, token=b""))
    s.receive(part(2, False, token=b""))
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    whole = s.request()
    assert whole.request.payload == BODY[:192]
    s.respond(whole, DONE)
    assert code_of(s) is Code.CHANGED
    assert s.nothing_left()


def test_the_token_goes_to_another_request_before_anybody_has_looked() -> None:
    s = Scenario()
    s.receive(part(0, True, token=b"t"))
    first = s.request()
    s.receive(con(9, token=b"t", path="other"))
    ended, received = s.events()
    assert ended == RequestEnded(first.attachment, EndReason.REPLACED)
    assert isinstance(received, RequestReceived)
    s.accept(first)
    assert s.sent() == [ack(1)]  # nobody waits for the 2.31
    s.respond(received.exchange)
    s.sent()
    s.receive(part(1, False, token=b"u"))
    assert s.request().request.payload == BODY[:128]


# -- refused at the first block ------------------------------------------------------------------


def test_the_application_refuses_the_first_block() -> None:
    """Section 2.9: the rest need not be sent."""
    s = Scenario()
    first = part(0, True)
    exchange = s.open(first)
    s.core.refuse(exchange, Response(Code.NOT_FOUND), s.now)
    s._after()
    assert s.sent() == [reply(first, Code.NOT_FOUND)]
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_application_does_not_understand_an_option(kind: Type) -> None:
    """A NON is ignored then; its body must not stay for ever."""
    s = Scenario()
    exchange = s.open(part(0, True, kind=kind, if_match=[b"e"]))
    s.core.refuse_options(exchange, "If-Match", s.now)
    s._after()
    assert [m.code for m in s.sent()] == ([Code.BAD_OPTION] if kind is Type.CON else [])
    assert s.nothing_left()


def test_the_application_closes_the_first_block() -> None:
    s = Scenario()
    s.close(s.open(part(0, True)))
    assert s.sent() == [ack(1)]
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


# -- limits: section 2.9.3 -----------------------------------------------------------------------


@pytest.mark.parametrize("size1", [None, 100])
def test_a_body_that_grows_too_long(size1: int | None) -> None:
    s = Scenario(limits=Limits(body_size=150))
    begun(s, part(0, True, size1=size1))
    s.receive(part(1, True))
    assert code_of(s) is Code.CONTINUE
    s.receive(part(2, False))
    [answer] = s.sent()
    assert answer.code is Code.REQUEST_ENTITY_TOO_LARGE
    assert answer.options.size1 == 150
    assert answer.options.block1 == Block(2, False, 64)
    assert s.events() == []
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_a_body_of_just_the_longest_size() -> None:
    s = Scenario(limits=Limits(body_size=128))
    begun(s, part(0, True, size1=128))
    s.receive(part(1, False))
    assert s.request().request.payload == BODY[:128]


@pytest.mark.parametrize(("size1", "body_size"), [(201, 200), (1, 63)])
def test_a_body_that_will_be_too_long_is_refused_at_once(size1: int, body_size: int) -> None:
    s = Scenario(limits=Limits(body_size=body_size))
    s.accept(s.open(part(0, True, size1=size1)))
    [answer] = s.sent()
    assert answer.code is Code.REQUEST_ENTITY_TOO_LARGE
    assert answer.options.size1 == body_size
    assert s.nothing_left()


@pytest.mark.parametrize("limits", [Limits(body_bytes_per_session=3000), Limits(body_bytes=3000)])
def test_there_is_no_room(limits: Limits) -> None:
    s = Scenario(limits=limits)
    body = bytes(4096)
    s.accept(s.open(part(0, True, 1024, body=body)))
    s.accept(s.open(part(0, True, 1024, body=body, query="b", mid=11)))
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    # One that grows loses what it has; a new one does not begin.
    s.receive(part(1, True, 1024, body=body))
    [answer] = s.sent()
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 5)
    assert s.core.statistics().body_bytes == 1024
    s.accept(s.open(part(0, True, 1024, body=body, query="c", mid=12)))
    s.sent()
    s.accept(s.open(part(0, True, 1024, body=body, query="d", mid=13)))
    [answer] = s.sent()
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 5)
    assert s.nothing_left()


def test_the_limit_of_one_session_is_not_that_of_another() -> None:
    s = Scenario(limits=Limits(body_bytes_per_session=1500))
    begun(s)
    s.accept(s.open(part(0, True), OTHER))
    assert code_of(s) is Code.CONTINUE


def test_the_last_block_needs_room_too() -> None:
    s = Scenario(limits=Limits(body_bytes_per_session=1500))
    body = bytes(2048)
    begun(s, part(0, True, 1024, body=body))
    s.receive(part(1, False, 1024, body=body))
    assert code_of(s) is Code.SERVICE_UNAVAILABLE
    assert s.events() == []
    assert s.nothing_left()


# -- time ----------------------------------------------------------------------------------------


def test_a_body_whose_client_falls_silent_is_forgotten() -> None:
    s = Scenario(limits=Limits(body_age=10))
    begun(s)
    s.at(9.0)
    s.receive(part(1, True))
    s.at(18.9)
    s.receive(part(2, True))
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    s.at(28.8)
    assert s.core.statistics().body_bytes == LEAST
    s.at(28.9)
    assert s.core.statistics().body_bytes == 0
    s.receive(part(3, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_a_repeated_block_keeps_a_body_alive() -> None:
    s = Scenario(limits=Limits(body_age=10))
    begun(s)
    s.at(9.0)
    s.receive(part(0, True, mid=9))
    s.at(18.0)
    s.receive(part(1, False))
    assert s.request().request.payload == BODY[:128]


def test_a_session_that_has_gone() -> None:
    s = Scenario()
    begun(s)
    s.accept(s.open(part(0, True), OTHER))
    s.lose()
    assert s.core.statistics().body_bytes == LEAST
    s.sent()
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_a_session_that_goes_before_anybody_has_looked() -> None:
    s = Scenario()
    exchange = s.open(part(0, True))
    s.lose()
    s.events()
    s.accept(exchange)
    assert s.sent() == []
    assert s.core.open_requests == 0
    assert s.nothing_left()


def test_a_session_that_goes_when_the_body_is_whole() -> None:
    s = Scenario()
    begun(s)
    whole = s.open(part(1, False))
    s.lose()
    s.events()
    assert s.core.statistics().body_bytes == LEAST
    s.respond(whole, DONE)
    assert s.core.statistics().body_bytes == 0
    assert s.core.open_requests == 0
    assert s.sent() == []


# -- streams: each block as it comes -------------------------------------------------------------


def test_a_stream_has_each_block_as_it_comes() -> None:
    s = Scenario()
    _, upload = streaming(s)
    assert s.sent() == []
    s.take(upload)
    assert s.sent() == [reply(part(0, True))]
    s.receive(part(1, True))
    event = block(s)
    assert (event.upload, event.data, event.last) == (upload, BODY[64:128], False)
    assert s.sent() == []
    s.take(upload)
    assert s.sent() == [reply(part(1, True))]
    s.receive(part(2, False))
    event = block(s)
    assert (event.data, event.last) == (BODY[128:192], True)
    assert upload.over
    s.respond(event.exchange, DONE)
    [answer] = s.sent()
    assert (answer.code, answer.options.block1) == (Code.CHANGED, Block(2, False, 64))
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_a_slow_reader_slows_its_client_down() -> None:
    s = Scenario()
    _, upload = streaming(s)
    s.at(0.1)
    assert s.sent() == [ack(1)]
    s.at(5.0)
    s.take(upload)
    [answer] = s.sent()
    assert (answer.type, answer.code) == (Type.CON, Code.CONTINUE)
    assert answer.options.block1 == Block(0, True, 64)
    s.receive(ack(answer.mid))
    s.receive(part(1, False))
    s.respond(block(s).exchange, DONE)
    s.sent()
    assert s.nothing_left()


def test_a_reader_has_as_long_as_it_likes() -> None:
    s = Scenario(limits=Limits(body_age=10))
    _, upload = streaming(s)
    s.at(100.0)
    assert s.events() == []
    s.sent()
    s.take(upload)
    s.receive(ack(s.sent()[0].mid))
    s.at(109.0)
    s.receive(part(1, True))
    assert block(s).data == BODY[64:128]


def test_taking_twice_asks_once() -> None:
    s = Scenario()
    _, upload = streaming(s)
    s.take(upload)
    s.take(upload)
    assert s.sent() == [reply(part(0, True))]


def test_a_client_that_does_not_wait_for_a_slow_reader() -> None:
    s = Scenario()
    _, upload = streaming(s)
    s.receive(part(1, True))
    [answer] = s.sent()
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 1)
    assert s.events() == []
    s.take(upload)
    s.receive(part(1, True, mid=9))
    assert block(s).data == BODY[64:128]


def test_a_stream_whose_client_falls_silent() -> None:
    s = Scenario(limits=Limits(body_age=10))
    _, upload = streaming(s)
    s.take(upload)
    s.at(9.9)
    assert s.events() == []
    s.at(10.0)
    [event] = s.events()
    assert isinstance(event, UploadEnded)
    assert event.upload is upload
    assert s.nothing_left()


def test_a_stream_that_is_begun_again() -> None:
    s = Scenario()
    first, upload = streaming(s)
    s.receive(part(0, True, mid=9, payload=b"y" * 64))
    ended, received = s.events()
    assert isinstance(ended, UploadEnded)
    assert isinstance(received, RequestReceived)
    s.respond(first, Response(Code.REQUEST_ENTITY_INCOMPLETE))  # as its reader has it
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    s.take(upload)  # nobody is there any more
    assert s.sent() == []
    new = s.stream(received.exchange)
    assert new is not None
    s.take(new)
    assert code_of(s) is Code.CONTINUE
    s.receive(part(1, False))
    assert block(s).upload is new


@pytest.mark.parametrize("bad", [part(2, True), part(1, True, payload=b"x" * 63)])
def test_a_stream_with_a_bad_block(bad: Message) -> None:
    s = Scenario()
    _, upload = streaming(s)
    s.take(upload)
    s.sent()
    s.receive(bad)
    assert code_of(s) in (Code.REQUEST_ENTITY_INCOMPLETE, Code.BAD_REQUEST)
    [event] = s.events()
    assert isinstance(event, UploadEnded)
    assert s.nothing_left()


def test_a_success_that_comes_early_is_told_to_the_last_block() -> None:
    """A client that heard it before would go on with the rest all the same (section 2.3)."""
    s = Scenario()
    _, upload = streaming(s)
    s.decide(upload, Response(Code.CHANGED))
    assert code_of(s) is Code.CONTINUE
    s.receive(part(1, True))
    assert code_of(s) is Code.CONTINUE
    s.receive(part(1, True, mid=99))  # its answer was lost
    assert code_of(s) is Code.CONTINUE
    last = part(2, False)
    s.receive(last)
    assert s.sent() == [reply(last, Code.CHANGED)]
    assert s.events() == []
    assert s.nothing_left()


def test_a_gap_in_what_nobody_reads_is_a_gap() -> None:
    s = Scenario()
    _, upload = streaming(s)
    s.decide(upload, Response(Code.CHANGED))
    s.sent()
    s.receive(part(2, False))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE


def test_a_reader_that_stops_early_with_an_error() -> None:
    """Section 2.9: the answer comes before the body is whole."""
    code = Code.FORBIDDEN
    s = Scenario()
    _, upload = streaming(s)
    s.decide(upload, Response(code))
    assert s.sent() == [reply(part(0, True), code)]
    s.receive(part(1, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.events() == []
    assert s.nothing_left()


@pytest.mark.parametrize("more", [True, False])
def test_a_reader_that_stops_between_two_blocks(more: bool) -> None:
    """Its answer is that to the next one."""
    s = Scenario()
    _, upload = streaming(s)
    s.take(upload)
    s.sent()
    s.decide(upload, Response(Code.FORBIDDEN))
    assert s.sent() == []
    nxt = part(1, more)
    s.receive(nxt)
    assert s.sent() == [reply(nxt, Code.FORBIDDEN)]
    assert s.events() == []
    s.receive(part(2, True))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_a_reader_that_stops_after_its_client() -> None:
    s = Scenario(limits=Limits(body_age=10))
    _, upload = streaming(s)
    s.take(upload)
    s.sent()
    s.at(20.0)
    s.decide(upload, Response(Code.FORBIDDEN))
    s.take(upload)
    assert s.sent() == []
    assert s.nothing_left()


def test_a_stream_counts_as_a_window() -> None:
    """Whoever reads costs a task: how many there may be is bounded."""
    s = Scenario(limits=Limits(body_bytes_per_session=20_000))
    for mid in (1, 2):
        upload = s.stream(s.open(part(0, True, mid=mid, query=str(mid))))
        assert upload is not None
        s.take(upload)
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    assert s.core.statistics().body_bytes == 2 * 8192
    exchange = s.open(part(0, True, mid=3, query="3"))
    assert s.stream(exchange) is None
    [answer] = s.sent()
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 5)
    assert exchange.phase is Phase.CLOSED
    assert s.nothing_left()


def test_a_stream_of_a_session_that_has_gone() -> None:
    s = Scenario()
    first, upload = streaming(s)
    s.lose()
    ended, failed = s.events()
    assert isinstance(ended, RequestEnded)
    assert isinstance(failed, UploadEnded)
    s.take(upload)
    s.respond(first, DONE)
    assert s.sent() == []
    assert s.core.open_requests == 0
    assert s.core.statistics().body_bytes == 0


def test_a_streamed_block_whose_token_goes_to_another_request() -> None:
    s = Scenario()
    s.receive(part(0, True, token=b"t"))
    first = s.request()
    upload = s.stream(first)
    assert upload is not None
    s.receive(con(9, token=b"t", path="other"))
    s.events()
    s.take(upload)
    assert first.phase is Phase.CLOSED
    s.respond(s.core.find(CLIENT, b"t") or first)
    s.sent()
    s.receive(part(1, False, mid=10))
    assert block(s).data == BODY[64:128]


def test_begun_again_before_the_reader_has_looked() -> None:
    s = Scenario()
    s.receive(part(0, True))
    s.receive(part(0, True, mid=8, payload=b"y" * 64))
    old, new = s.events()
    assert isinstance(old, RequestReceived)
    assert isinstance(new, RequestReceived)
    stale = s.stream(old.exchange)
    assert stale is not None
    assert stale.over
    s.respond(old.exchange, Response(Code.REQUEST_ENTITY_INCOMPLETE))
    assert code_of(s) is Code.REQUEST_ENTITY_INCOMPLETE
    upload = s.stream(new.exchange)
    assert upload is not None
    s.take(upload)
    assert code_of(s) is Code.CONTINUE
    s.lose()


# -- any order whatever --------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_only_the_right_order_makes_a_body(order: tuple[int, ...]) -> None:
    s = Scenario()
    wholes = []
    for mid, number in enumerate(order, 1):
        s.receive(part(number, number < 3, mid=mid))
        for event in s.events():
            assert isinstance(event, RequestReceived)
            if event.exchange.upload is None:
                wholes.append(event.exchange)
            else:
                s.accept(event.exchange)
    assert [whole.request.payload for whole in wholes] == ([BODY] if order == (0, 1, 2, 3) else [])
    for whole in wholes:
        s.respond(whole, DONE)
    s.sent()
    assert s.nothing_left()
