"""Our requests whose bodies take more than one message: RFC 7959, from the client's side."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Failure, Progressed, RequestFailed
from coapsep.protocol.records import ClientExchange, Stage
from coapsep.protocol.transfer_state import Handling, Progress
from tests.unit.scenario import OTHER_PEER, Scenario, ack, separate

BODY = bytes(range(256)) * 10
PATH = Options.build(uri_path=["a"])


def client(size: int = 1024, limits: Limits | None = None, nstart: int = 1) -> Scenario:
    return Scenario(Tuning(block_size=size, nstart=nstart), limits, serves=False)


def reply(
    request: Message,
    code: Code = Code.CONTENT,
    payload: bytes = b"",
    *,
    block1: Block | None = None,
    block2: Block | None = None,
    etag: bytes | None = None,
    size2: int | None = None,
    echo: bytes | None = None,
) -> Message:
    """The response to a request, in its ACK if it is a CON."""
    etags = [] if etag is None else [etag]
    options = Options.build(block1=block1, block2=block2, etags=etags, size2=size2, echo=echo)
    if request.type is Type.CON:
        return Message(code, Type.ACK, request.mid, request.token, options, payload)
    return Message(code, Type.NON, request.mid ^ 0x5555, request.token, options, payload)


def part(
    request: Message, number: int, size: int, body: bytes = BODY, etag: bytes | None = b"1"
) -> Message:
    """Block ``number`` of a body, as the response to a request."""
    end = (number + 1) * size
    block = Block(number, end < len(body), size)
    return reply(request, Code.CONTENT, body[number * size : end], block2=block, etag=etag)


def acked(request: Message, code: Code = Code.CONTINUE, size: int | None = None) -> Message:
    """The response to one block of a request's body."""
    block = request.options.block1
    assert block is not None
    answer = Block(block.number, block.more, size or block.size)
    return reply(request, code, block1=answer)


def sent(s: Scenario) -> Message:
    """The one message that has left."""
    [message] = s.sent()
    return message


def detail(s: Scenario, failure: Failure) -> str:
    """What is said of the failure that was the one event."""
    [event] = s.events()
    assert isinstance(event, RequestFailed)
    assert event.failure is failure
    return event.detail


# -- a body that comes: section 2.4 --------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_response_in_blocks_comes_whole(kind: Type) -> None:
    s = client()
    exchange = s.ask(kind, options=PATH)
    request = sent(s)
    assert request.options == PATH
    tokens, mids = {request.token}, {request.mid}
    for number in range(3):
        assert exchange.request == request
        s.receive(part(request, number, 1024))
        if number < 2:
            request = sent(s)
            assert request.type is kind
            tokens.add(request.token)
            mids.add(request.mid)
            assert request.options.without(OptionNumber.BLOCK2) == PATH
            assert request.options.block2 == Block(number + 1, False, 1024)
    response = s.response(exchange)
    assert response.payload == BODY
    assert response.options == Options.build(etags=[b"1"])
    assert len(tokens) == len(mids) == 3
    assert s.sent() == []
    assert s.nothing_left()


def test_each_block_may_come_separately() -> None:
    s = client()
    exchange = s.ask()
    request = sent(s)
    for number in range(3):
        s.receive(ack(request.mid))
        mid = 0x4400 + number
        s.receive(attrs.evolve(part(request, number, 1024), type=Type.CON, mid=mid))
        acknowledged, *following = s.sent()
        assert acknowledged == ack(mid)
        if following:
            [request] = following
    assert s.response(exchange).payload == BODY
    assert s.nothing_left()


def test_a_single_block_is_a_response_like_any_other() -> None:
    s = client()
    exchange = s.ask()
    s.receive(reply(sent(s), payload=b"ok", block2=Block(0, False, 64)))
    response = s.response(exchange)
    assert (response.payload, response.options) == (b"ok", EMPTY)


def test_the_server_chooses_smaller_blocks() -> None:
    """Section 2.4: late negotiation; what we ask for from then on has its size."""
    s = client()
    exchange = s.ask()
    body = BODY[:150]
    for number in range(3):
        s.receive(part(sent(s), number, 64, body))
    assert s.response(exchange).payload == body


def test_the_server_may_choose_smaller_ones_in_the_middle() -> None:
    s = client()
    exchange = s.ask()
    body = BODY[:128]
    s.receive(part(sent(s), 0, 64, body))
    request = sent(s)
    assert request.options.block2 == Block(1, False, 64)
    s.receive(part(request, 2, 32, body))
    request = sent(s)
    assert request.options.block2 == Block(3, False, 32)
    s.receive(part(request, 3, 32, body))
    assert s.response(exchange).payload == body


def test_we_ask_for_smaller_blocks_from_the_start() -> None:
    """Section 2.4: early negotiation."""
    s = client(64)
    exchange = s.ask()
    request = sent(s)
    assert request.options.block2 == Block(0, False, 64)
    s.receive(part(request, 0, 64, BODY[:100]))
    request = sent(s)
    assert request.options.block2 == Block(1, False, 64)
    s.receive(part(request, 1, 64, BODY[:100]))
    assert s.response(exchange).payload == BODY[:100]


def test_blocks_larger_than_ours_are_followed_by_ours() -> None:
    s = client(256)
    exchange = s.ask()
    s.receive(part(sent(s), 0, 1024, BODY[:1200]))
    request = sent(s)
    assert request.options.block2 == Block(4, False, 256)
    s.receive(part(request, 4, 256, BODY[:1200]))
    assert s.response(exchange).payload == BODY[:1200]


def test_one_request_may_have_its_own_block_size() -> None:
    s = client()
    s.ask(handling=Handling(block_size=32))
    assert sent(s).options.block2 == Block(0, False, 32)


def test_a_fetch_repeats_its_payload_and_a_post_does_not() -> None:
    """RFC 8132 section 2; RFC 7959 section 3.3."""
    for code, payload in ((Code.FETCH, b"what"), (Code.POST, b"")):
        s = client()
        exchange = s.ask(code=code, payload=b"what")
        s.receive(part(sent(s), 0, 1024))
        request = sent(s)
        assert (request.code, request.payload) == (code, payload)
        s.receive(part(request, 1, 1024))
        s.receive(part(sent(s), 2, 1024))
        assert s.response(exchange).payload == BODY


def test_an_error_may_be_long_too() -> None:
    s = client()
    exchange = s.ask()
    for number in range(3):
        answer = part(sent(s), number, 1024)
        s.receive(attrs.evolve(answer, code=Code.NOT_FOUND))
    response = s.response(exchange)
    assert (response.code, response.payload) == (Code.NOT_FOUND, BODY)


def test_an_error_in_place_of_a_block_is_the_response() -> None:
    s = client()
    exchange = s.ask()
    s.receive(part(sent(s), 0, 1024))
    s.receive(reply(sent(s), Code.NOT_FOUND, b"gone"))
    response = s.response(exchange)
    assert (response.code, response.payload) == (Code.NOT_FOUND, b"gone")
    assert s.nothing_left()


WRONG = {
    "not the first": (Block(1, True, 1024), 1024),
    "too short": (Block(0, True, 1024), 1023),
    "too long": (Block(0, True, 512), 1024),
    "the last one too long": (Block(0, False, 512), 1024),
    "reserved size": (Block(0, True, 2048), 2048),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_first_block_that_cannot_be_is_never_shown(name: str) -> None:
    s = client(limits=Limits(datagram_size=4096))
    block, length = WRONG[name]
    s.ask()
    s.receive(reply(sent(s), payload=bytes(length), block2=block))
    assert detail(s, Failure.BAD_BLOCK)
    assert s.sent() == []
    assert s.nothing_left()


WRONG_LATER = {
    "a gap": (Block(2, True, 1024), 1024),
    "an overlap": (Block(0, True, 1024), 1024),
    "another size, elsewhere": (Block(1, True, 512), 512),
    "too short": (Block(1, True, 1024), 1000),
    "too long": (Block(2, False, 512), 513),
    "reserved size": (Block(0, False, 2048), 10),
}


@pytest.mark.parametrize("name", WRONG_LATER)
def test_a_later_block_that_does_not_fit_is_never_shown(name: str) -> None:
    s = client()
    block, length = WRONG_LATER[name]
    s.ask()
    s.receive(part(sent(s), 0, 1024))
    s.receive(reply(sent(s), payload=bytes(length), block2=block, etag=b"1"))
    assert detail(s, Failure.BAD_BLOCK)
    assert s.sent() == []
    assert s.nothing_left()


CHANGES = {
    "another ETag": lambda request: part(request, 1, 1024, etag=b"2"),
    "no ETag any more": lambda request: part(request, 1, 1024, etag=None),
    "another code": lambda request: attrs.evolve(part(request, 1, 1024), code=Code.VALID),
    "no blocks any more": lambda request: reply(request, payload=b"short", etag=b"1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_body_that_changes_is_fetched_anew(name: str) -> None:
    """Section 2.4: blocks with different ETags are not put together."""
    s = client()
    exchange = s.ask(options=PATH)
    s.receive(part(sent(s), 0, 1024))
    s.receive(CHANGES[name](sent(s)))
    assert s.events() == []
    request = sent(s)
    assert request.options == PATH
    body = BODY[::-1]
    for number in range(3):
        s.receive(part(request, number, 1024, body, b"2"))
        if number < 2:
            request = sent(s)
    assert s.response(exchange).payload == body
    assert s.nothing_left()


def test_a_body_that_changes_all_the_time_fails() -> None:
    s = client()
    s.ask()
    for attempt in range(4):
        s.receive(part(sent(s), 0, 1024, etag=bytes([attempt])))
        s.receive(part(sent(s), 1, 1024, etag=b"other"))
    assert detail(s, Failure.BODY_CHANGED) == ""
    assert s.sent() == []
    assert s.nothing_left()


@pytest.mark.parametrize("code", [Code.POST, Code.PUT, Code.DELETE, Code.PATCH, Code.IPATCH])
def test_what_would_run_again_is_not_fetched_anew(code: Code) -> None:
    s = client()
    s.ask(code=code)
    s.receive(part(sent(s), 0, 1024))
    s.receive(part(sent(s), 1, 1024, etag=b"2"))
    assert detail(s, Failure.BODY_CHANGED) == ""
    assert s.sent() == []


def test_a_response_longer_than_the_limit_fails() -> None:
    s = client(limits=Limits(body_size=2047))
    s.ask()
    s.receive(part(sent(s), 0, 1024))
    s.receive(part(sent(s), 1, 1024))
    assert "2047 bytes" in detail(s, Failure.BODY_TOO_LARGE)
    assert s.core.statistics().body_bytes == 0


def test_a_response_that_says_that_it_is_longer_fails_at_once() -> None:
    """Section 4: Size2."""
    s = client(limits=Limits(body_size=5000))
    s.ask()
    s.receive(reply(sent(s), payload=bytes(1024), block2=Block(0, True, 1024), size2=5001))
    assert detail(s, Failure.BODY_TOO_LARGE)


def test_all_responses_together_have_a_limit() -> None:
    s = client(limits=Limits(body_bytes=3000), nstart=2)
    one, two = s.ask(), s.ask()
    for exchange in (one, two):
        s.receive(part(exchange.request, 0, 1024))
    assert s.core.statistics().body_bytes == 2048
    s.sent()
    s.receive(part(one.request, 1, 1024))
    assert "Limits.body_bytes" in detail(s, Failure.BODY_TOO_LARGE)
    s.receive(part(two.request, 1, 1024))
    s.sent()
    s.receive(part(two.request, 2, 1024))
    assert s.response(two).payload == BODY


def test_more_blocks_than_there_are_numbers() -> None:
    """Section 2.2: a number has 20 bits. To get there takes a while; here, it is jumped over."""
    s = client(16)
    exchange = s.ask(handling=Handling(download_streams=True))
    s.receive(part(sent(s), 0, 16))
    s.consumed(exchange)
    request = sent(s)
    s.events()
    assert exchange.transfer is not None
    last = Block((1 << 20) - 1, True, 16)
    exchange.transfer.received = last.start
    s.receive(reply(request, payload=bytes(16), block2=last, etag=b"1"))
    s.events()
    s.consumed(exchange)
    assert "1048576 blocks" in detail(s, Failure.BAD_BLOCK)


def test_a_block_that_nobody_answers_ends_it() -> None:
    s = client()
    exchange = s.ask()
    s.receive(part(sent(s), 0, 1024))
    s.at(100.0)
    assert len(s.sent()) == 5
    assert s.failure(exchange) is Failure.TIMED_OUT
    assert s.nothing_left()


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_transfer_can_be_cancelled_at_any_moment(steps: int) -> None:
    s = client()
    exchange = s.ask()
    request = sent(s)
    for number in range(steps):
        s.receive(part(request, number, 1024))
        request = sent(s)
    s.cancel(exchange)
    assert exchange.stage is Stage.OVER
    s.receive(part(request, steps, 1024))
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


def test_between_two_blocks_the_others_have_their_turn() -> None:
    """NSTART, RFC 7252 section 4.7."""
    s = client()
    first, second = s.ask(), s.ask(options=PATH)
    s.receive(part(sent(s), 0, 1024))
    request = sent(s)
    assert request == second.request
    s.receive(reply(request, payload=b"ok"))
    assert s.response(second).payload == b"ok"
    assert sent(s) == first.request


def test_a_late_copy_of_a_block_changes_nothing() -> None:
    s = client()
    exchange = s.ask()
    first = sent(s)
    s.receive(part(first, 0, 1024))
    request = sent(s)
    s.receive(part(first, 0, 1024))
    s.receive(separate(first, 0x7777))
    assert [m.type for m in s.sent()] == [Type.RST]
    s.receive(part(request, 1, 1024))
    s.receive(part(sent(s), 2, 1024))
    assert s.response(exchange).payload == BODY


def test_whoever_asks_for_one_block_gets_it() -> None:
    """Random access, section 2.4: nothing is put together."""
    s = client()
    block = Block(1, False, 1024)
    exchange = s.ask(options=Options.build(block2=block))
    answer = part(sent(s), 1, 1024)
    s.receive(answer)
    response = s.response(exchange)
    assert response.options.block2 == Block(1, True, 1024)
    assert response.payload == BODY[1024:2048]
    assert s.sent() == []


# -- a body that goes: section 2.5 ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_long_body_goes_in_blocks(kind: Type) -> None:
    s = client()
    exchange = s.ask(kind, code=Code.PUT, options=PATH, payload=BODY)
    got = b""
    for number in range(3):
        request = sent(s)
        got += request.payload
        assert request.type is kind
        assert request.options.block1 == Block(number, number < 2, 1024)
        assert request.options.size1 == (len(BODY) if number == 0 else None)
        assert request.options.matchable == PATH.matchable
        s.receive(acked(request, Code.CONTINUE if number < 2 else Code.CHANGED))
    assert got == BODY
    response = s.response(exchange)
    assert response.code is Code.CHANGED
    assert response.options == EMPTY
    assert s.nothing_left()


@pytest.mark.parametrize("length", [0, 1, 64])
def test_a_body_of_one_block_has_no_blocks(length: int) -> None:
    s = client(64)
    s.ask(code=Code.PUT, payload=BODY[:length])
    request = sent(s)
    assert request.payload == BODY[:length]
    assert request.options.block1 is None


def test_a_last_block_may_be_full() -> None:
    s = client(64)
    s.ask(code=Code.PUT, payload=BODY[:128])
    s.receive(acked(sent(s)))
    request = sent(s)
    assert (request.options.block1, request.payload) == (Block(1, False, 64), BODY[64:128])


def test_the_server_asks_for_smaller_blocks() -> None:
    """Section 2.5: late negotiation; the number counts in the new size."""
    s = client()
    exchange = s.ask(code=Code.PUT, payload=BODY)
    s.receive(acked(sent(s), size=256))
    request = sent(s)
    assert request.options.block1 == Block(4, True, 256)
    assert request.payload == BODY[1024:1280]
    s.receive(acked(request, size=1024))  # it never grows
    assert sent(s).options.block1 == Block(5, True, 256)
    s.cancel(exchange)
    assert s.nothing_left()


def test_a_final_response_ends_the_upload() -> None:
    for code in (Code.FORBIDDEN, Code.BAD_OPTION, Code.INTERNAL_SERVER_ERROR):
        s = client()
        exchange = s.ask(code=Code.PUT, payload=BODY)
        s.receive(reply(sent(s), code, b"no"))
        assert s.response(exchange).code is code
        assert s.sent() == []


def test_a_server_may_act_on_each_block_by_itself() -> None:
    """Figure 9: it answers each with the final code, and the client goes on (section 2.3)."""
    s = client()
    exchange = s.ask(code=Code.PUT, payload=BODY[:3000])
    for number in range(2):
        request = sent(s)
        assert request.options.block1 == Block(number, True, 1024)
        s.receive(reply(request, Code.CHANGED, block1=Block(number, False, 1024)))
    last = sent(s)
    assert last.options.block1 == Block(2, False, 1024)
    s.receive(reply(last, Code.CHANGED, block1=Block(2, False, 1024)))
    assert s.response(exchange).code is Code.CHANGED


def test_a_part_that_is_taken_for_the_whole_is_a_failure() -> None:
    s = client()
    s.ask(code=Code.PUT, payload=BODY)
    s.receive(reply(sent(s), Code.CHANGED))
    assert detail(s, Failure.BAD_BLOCK)
    assert s.nothing_left()


@pytest.mark.parametrize(
    "block", [None, Block(1, True, 1024), Block(0, True, 2048)], ids=["none", "number", "size"]
)
def test_a_2_31_that_fits_no_block_is_a_failure(block: Block | None) -> None:
    s = client()
    s.ask(code=Code.PUT, payload=BODY)
    s.receive(reply(sent(s), Code.CONTINUE, block1=block))
    assert detail(s, Failure.BAD_BLOCK)
    assert s.nothing_left()


def test_a_2_31_to_the_last_block_is_a_failure() -> None:
    s = client()
    s.ask(code=Code.PUT, payload=BODY[:1025])
    s.receive(acked(sent(s)))
    s.receive(acked(sent(s)))
    assert detail(s, Failure.BAD_BLOCK)


def test_4_08_begins_again_twice() -> None:
    """Section 2.9.2."""
    s = client()
    exchange = s.ask(code=Code.POST, payload=BODY)
    for _ in range(2):
        s.receive(acked(sent(s)))
        s.receive(acked(sent(s), Code.REQUEST_ENTITY_INCOMPLETE))
    request = sent(s)
    assert request.options.block1 == Block(0, True, 1024)
    s.receive(acked(request, Code.REQUEST_ENTITY_INCOMPLETE))
    assert s.response(exchange).code is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


def test_4_13_with_a_smaller_block_is_a_wish() -> None:
    """Section 2.9.3."""
    s = client()
    exchange = s.ask(code=Code.POST, payload=BODY)
    s.receive(acked(sent(s), Code.REQUEST_ENTITY_TOO_LARGE, 64))
    request = sent(s)
    assert request.options.block1 == Block(0, True, 64)
    s.receive(acked(request, Code.REQUEST_ENTITY_TOO_LARGE, 32))  # once is enough
    assert s.response(exchange).code is Code.REQUEST_ENTITY_TOO_LARGE


def test_4_13_to_a_whole_body_asks_for_blocks() -> None:
    s = client()
    exchange = s.ask(code=Code.POST, payload=BODY[:100])
    request = sent(s)
    assert request.options.block1 is None
    block = Block(0, False, 64)
    s.receive(reply(request, Code.REQUEST_ENTITY_TOO_LARGE, block1=block))
    request = sent(s)
    assert request.options.block1 == Block(0, True, 64)
    assert request.options.size1 == 100
    s.receive(acked(request))
    s.receive(acked(sent(s), Code.CHANGED))
    assert s.response(exchange).code is Code.CHANGED


@pytest.mark.parametrize("block", [None, Block(0, True, 1024)])
def test_4_13_that_asks_for_nothing_else_is_the_response(block: Block | None) -> None:
    s = client()
    exchange = s.ask(code=Code.POST, payload=BODY)
    s.receive(reply(sent(s), Code.REQUEST_ENTITY_TOO_LARGE, block1=block))
    assert s.response(exchange).code is Code.REQUEST_ENTITY_TOO_LARGE


def test_blocks_both_ways() -> None:
    """Section 3.3: the response to the last block is the first block of the other body."""
    s = client()
    exchange = s.ask(code=Code.POST, options=PATH, payload=BODY[:1025])
    s.receive(acked(sent(s)))
    last = sent(s)
    block1 = last.options.block1
    s.receive(
        reply(last, payload=BODY[:1024], block1=block1, block2=Block(0, True, 1024), etag=b"1")
    )
    request = sent(s)
    assert request.payload == b""
    assert request.options == PATH.replace(OptionNumber.BLOCK2, Block(1, False, 1024).value)
    s.receive(part(request, 1, 1024))
    s.receive(part(sent(s), 2, 1024))
    assert s.response(exchange).payload == BODY


def test_smaller_blocks_both_ways_are_asked_for_with_the_last_one() -> None:
    s = client(1024)
    s.ask(code=Code.POST, payload=BODY[:1000], handling=Handling(block_size=512))
    request = sent(s)
    assert (request.options.block1, request.options.block2) == (Block(0, True, 512), None)
    s.receive(acked(request))
    request = sent(s)
    assert request.options.block1 == Block(1, False, 512)
    assert request.options.block2 == Block(0, False, 512)


def test_a_fetch_whose_body_changes_sends_its_own_again() -> None:
    s = client()
    exchange = s.ask(code=Code.FETCH, payload=BODY[:1025])
    for etag in (b"1", b"2"):
        s.receive(acked(sent(s)))
        s.receive(part(sent(s), 0, 1024, etag=etag))
        request = sent(s)
        assert request.payload == b""
        s.receive(part(request, 1, 1024, etag=b"2"))
    s.receive(part(sent(s), 2, 1024, etag=b"2"))
    assert s.response(exchange).payload == BODY


# -- Request-Tag: RFC 9175 section 3 -------------------------------------------------------------


def test_two_uploads_that_look_alike_are_kept_apart() -> None:
    s = client(nstart=3)
    exchanges = [s.ask(code=Code.PUT, options=PATH, payload=BODY) for _ in range(3)]
    tags = [request.options.request_tags for request in s.sent()]
    assert tags[0] == ()
    assert len(set(tags)) == 3
    for exchange, tag in zip(exchanges, tags, strict=True):
        s.receive(acked(exchange.request))
        assert sent(s).options.request_tags == tag
    s.receive(acked(exchanges[0].request, Code.FORBIDDEN))
    s.events()
    s.ask(code=Code.PUT, options=PATH, payload=BODY)
    assert sent(s).options.request_tags == ()


def test_uploads_that_differ_need_no_tag() -> None:
    s = client(nstart=9)
    s.ask(code=Code.PUT, options=PATH, payload=BODY)
    s.ask(code=Code.POST, options=PATH, payload=BODY)
    s.ask(code=Code.PUT, payload=BODY)
    s.ask(code=Code.PUT, options=PATH, payload=b"short")
    s.ask(session=OTHER_PEER, code=Code.PUT, options=PATH, payload=BODY)
    assert all(request.options.request_tags == () for request in s.sent())


# -- Echo: RFC 9175 section 2 --------------------------------------------------------------------


def test_section_2_3_an_echo_is_sent_back_once() -> None:
    s = client()
    exchange = s.ask(code=Code.PUT, options=PATH, payload=b"x")
    s.receive(reply(sent(s), Code.UNAUTHORIZED, echo=b"abc"))
    request = sent(s)
    assert request.payload == b"x"
    assert request.options == PATH.replace(OptionNumber.ECHO, b"abc")
    s.receive(reply(request, Code.UNAUTHORIZED, echo=b"def"))
    response = s.response(exchange)
    assert (response.code, response.options.echo) == (Code.UNAUTHORIZED, b"def")
    assert s.sent() == []


def test_a_4_01_without_echo_is_the_response() -> None:
    s = client()
    exchange = s.ask()
    s.receive(reply(sent(s), Code.UNAUTHORIZED))
    assert s.response(exchange).code is Code.UNAUTHORIZED


def test_the_same_block_is_sent_again_with_the_echo() -> None:
    s = client()
    s.ask(code=Code.PUT, payload=BODY)
    s.receive(acked(sent(s)))
    block = sent(s)
    s.receive(reply(block, Code.UNAUTHORIZED, echo=b"abc"))
    request = sent(s)
    assert request.payload == block.payload
    assert request.options == block.options.replace(OptionNumber.ECHO, b"abc")
    s.receive(acked(request))
    assert sent(s).options.echo is None


def test_an_echo_in_a_block_goes_with_the_next_request() -> None:
    s = client()
    s.ask()
    answer = part(sent(s), 0, 1024)
    s.receive(attrs.evolve(answer, options=answer.options.replace(OptionNumber.ECHO, b"abc")))
    assert sent(s).options.echo == b"abc"


# -- progress ------------------------------------------------------------------------------------


def steps(s: Scenario, exchange: ClientExchange) -> list[Progress]:
    events = s.events()
    assert all(event.exchange is exchange for event in events if isinstance(event, Progressed))
    return [event.progress for event in events if isinstance(event, Progressed)]


def test_progress_is_told_to_whoever_asks_for_it() -> None:
    s = client()
    exchange = s.ask(code=Code.POST, payload=BODY[:1500], handling=Handling(progress=True))
    s.receive(acked(sent(s)))
    assert steps(s, exchange) == [Progress(1024, 1500, 0, None)]
    last = sent(s)
    answer = reply(last, payload=bytes(1024), block2=Block(0, True, 1024), size2=1030)
    s.receive(answer)
    assert steps(s, exchange) == [
        Progress(1500, 1500, 0, None),
        Progress(1500, 1500, 1024, 1030),
    ]
    s.receive(reply(sent(s), payload=bytes(6), block2=Block(1, False, 1024)))
    assert steps(s, exchange) == [Progress(1500, 1500, 1030, 1030)]


def test_progress_of_a_small_request() -> None:
    s = client()
    exchange = s.ask(handling=Handling(progress=True))
    s.receive(reply(sent(s), payload=b"ok"))
    assert steps(s, exchange)[-1] == Progress(0, 0, 2, None)
