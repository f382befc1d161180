"""Bodies that leave in blocks, RFC 7959 section 2.4: what the core makes of them."""

from __future__ import annotations

import pytest

from coapsep.message.block import MAX_BLOCKS, Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import BodyEnded, BodyWanted, RequestReceived
from coapsep.protocol.held import Body, Topic
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import OTHER, Longest, Scenario, ack, con, non

BODY = bytes(range(200))
LONG = Response(Code.CONTENT, BODY, content_format=42)
SMALL = Tuning(block_size=64)
LEAST = 1024
WINDOW = 8192


def get(
    mid: int,
    number: int | None = None,
    size: int = 64,
    *,
    code: Code = Code.GET,
    path: str = "large",
    payload: bytes = b"",
    kind: Type = Type.CON,
    token: bytes | None = None,
    **options: object,
) -> Message:
    """A request for a block, or, without a number, for whatever there is."""
    block2 = None if number is None else Block(number, False, size)
    built = Options.build(
        uri_path=[path],
        block2=block2,
        **options,  # type: ignore[arg-type]  # names of options, as build has them
    )
    return Message(code, kind, mid, bytes([mid & 255]) if token is None else token, built, payload)


def first(s: Scenario, request: Message, response: Response = LONG) -> Message:
    """What the first request of a transfer draws."""
    s.respond(s.open(request), response)
    [answer] = s.sent()
    assert answer.token == request.token
    return answer


def later(s: Scenario, request: Message) -> Message:
    """What a request for a later block draws, with no handler."""
    s.receive(request)
    assert s.events() == []
    [answer] = s.sent()
    assert answer.token == request.token
    return answer


def summary(message: Message) -> tuple[Code, Block | None, bytes]:
    return message.code, message.options.block2, message.payload


# -- a body that is whole ------------------------------------------------------------------------


def test_a_long_body_leaves_in_blocks() -> None:
    """Figure 2."""
    s = Scenario(SMALL)
    answer = first(s, get(1))
    assert summary(answer) == (Code.CONTENT, Block(0, True, 64), BODY[:64])
    assert answer.options.size2 == 200
    assert answer.options.content_format == 42
    [etag] = answer.options.etags
    for number in (1, 2, 3):
        answer = later(s, get(number + 1, number))
        start = number * 64
        assert summary(answer) == (
            Code.CONTENT,
            Block(number, number < 3, 64),
            BODY[start : start + 64],
        )
        assert answer.options == Options.build(
            content_format=42, etags=[etag], block2=Block(number, number < 3, 64)
        )
    assert s.nothing_left()


@pytest.mark.parametrize("length", [0, 1, 63, 64])
def test_a_body_that_fits_is_left_alone(length: int) -> None:
    s = Scenario(SMALL)
    response = Response(Code.CONTENT, BODY[:length])
    answer = first(s, get(1), response)
    assert answer.options == response.options
    assert answer.payload == BODY[:length]
    assert s.core.statistics().body_bytes == 0


@pytest.mark.parametrize("length", [0, 1, 63, 64])
def test_a_body_that_fits_says_so_if_it_is_asked(length: int) -> None:
    """Early negotiation, section 2.4: the size that was asked for, and no more."""
    s = Scenario()
    answer = first(s, get(1, 0), Response(Code.CONTENT, BODY[:length]))
    assert summary(answer) == (Code.CONTENT, Block(0, False, 64), BODY[:length])
    assert not answer.options.etags
    assert answer.options.size2 is None
    assert s.core.statistics().body_bytes == 0


@pytest.mark.parametrize("length", [65, 128, 129])
def test_where_the_last_block_ends(length: int) -> None:
    s = Scenario(SMALL)
    body = BODY[:length]
    assert summary(first(s, get(1), Response(Code.CONTENT, body)))[1] == Block(0, True, 64)
    assert summary(later(s, get(2, 1))) == (
        Code.CONTENT,
        Block(1, length > 128, 64),
        body[64:128],
    )


def test_figure_3_the_client_asks_for_a_size_from_the_start() -> None:
    s = Scenario()
    answer = first(s, get(1, 0, 32))
    assert summary(answer) == (Code.CONTENT, Block(0, True, 32), BODY[:32])


def test_figure_4_the_client_asks_for_a_smaller_size_later() -> None:
    s = Scenario(Tuning(block_size=128))
    assert summary(first(s, get(1)))[1] == Block(0, True, 128)
    assert summary(later(s, get(2, 2, 64))) == (Code.CONTENT, Block(2, True, 64), BODY[128:192])
    assert summary(later(s, get(3, 3, 64))) == (Code.CONTENT, Block(3, False, 64), BODY[192:])


def test_blocks_may_grow_up_to_ours() -> None:
    s = Scenario(Tuning(block_size=64))
    first(s, get(1, 0, 32))
    assert summary(later(s, get(2, 1, 64))) == (Code.CONTENT, Block(1, True, 64), BODY[64:128])


def test_larger_blocks_than_ours_begin_where_they_were_asked_for() -> None:
    """The number is that of the answer's own size (section 2.3): it is the byte that counts."""
    s = Scenario(Tuning(block_size=32))
    first(s, get(1, 0, 128))
    assert summary(later(s, get(2, 1, 128))) == (Code.CONTENT, Block(4, True, 32), BODY[128:160])
    # The same if the handler has to make it once more.
    other = Scenario(Tuning(block_size=32))
    answer = first(other, get(1, 1, 128))
    assert summary(answer) == (Code.CONTENT, Block(4, True, 32), BODY[128:160])


def test_a_block_whose_number_is_none_in_our_size() -> None:
    """A number has 20 bits, and a smaller size makes it larger."""
    s = Scenario(
        Tuning(block_size=16),
        Limits(body_size=1 << 27, body_bytes=1 << 27, body_bytes_per_session=1 << 27),
    )
    huge = Response(Code.CONTENT, bytes(MAX_BLOCKS * 16 + 4096))
    assert first(s, get(1, MAX_BLOCKS * 16 // 1024, 1024), huge).code is Code.BAD_REQUEST
    first(s, get(2), huge)
    assert later(s, get(3, MAX_BLOCKS * 16 // 1024, 1024)).code is Code.BAD_REQUEST


@pytest.mark.parametrize("number", [4, 5, MAX_BLOCKS - 1])
def test_a_block_behind_the_end(number: int) -> None:
    s = Scenario(SMALL)
    first(s, get(1))
    answer = later(s, get(2, number))
    assert answer.code is Code.BAD_REQUEST
    assert answer.options.block2 is None
    fresh = Scenario(SMALL)
    assert first(fresh, get(1, number)).code is Code.BAD_REQUEST


def test_an_etag_of_the_handler_is_kept() -> None:
    s = Scenario(SMALL)
    response = Response(Code.CONTENT, BODY, etag=b"mine")
    assert first(s, get(1), response).options.etags == (b"mine",)
    assert later(s, get(2, 1)).options.etags == (b"mine",)


def test_an_etag_of_ours_is_that_of_the_bytes() -> None:
    s = Scenario(SMALL)
    tags = [
        first(s, get(mid), Response(Code.CONTENT, body)).options.etags
        for mid, body in enumerate([BODY, BODY, BODY + b"!"], 1)
    ]
    assert tags[0] == tags[1] != tags[2]


def test_all_options_of_the_handler_are_in_every_block() -> None:
    s = Scenario(SMALL)
    response = Response(Code.CREATED, BODY, location=["a"], max_age=9)
    first(s, get(1, code=Code.POST), response)
    answer = later(s, get(2, 1, code=Code.POST))
    assert answer.code is Code.CREATED
    assert (answer.options.location_path, answer.options.max_age) == (("a",), 9)


def test_an_error_may_be_long_too() -> None:
    s = Scenario(SMALL)
    answer = first(s, get(1), Response(Code.NOT_FOUND, BODY))
    assert summary(answer) == (Code.NOT_FOUND, Block(0, True, 64), BODY[:64])
    assert summary(later(s, get(2, 1)))[0] is Code.NOT_FOUND


def test_an_error_instead_of_a_later_block() -> None:
    s = Scenario(SMALL)
    answer = first(s, get(1, 2), Response(Code.NOT_FOUND, b"gone"))
    assert summary(answer) == (Code.NOT_FOUND, None, b"gone")


def test_blocks_in_nons() -> None:
    s = Scenario(SMALL)
    assert first(s, get(1, kind=Type.NON)).type is Type.NON
    answer = later(s, get(2, 1, kind=Type.NON))
    assert (answer.type, summary(answer)[1]) == (Type.NON, Block(1, True, 64))


def test_a_separate_response_is_cut_too() -> None:
    s = Scenario(SMALL)
    exchange = s.deferred(get(1))
    s.at(1000.0)
    s.respond(exchange, LONG)
    [answer] = s.sent()
    assert summary(answer) == (Code.CONTENT, Block(0, True, 64), BODY[:64])
    s.receive(ack(answer.mid))
    assert exchange.phase is Phase.CLOSED
    # The entry has ended; its body has not.
    assert summary(later(s, get(2, 1))) == (Code.CONTENT, Block(1, True, 64), BODY[64:128])
    assert s.nothing_left()


def test_a_copy_draws_the_block_again() -> None:
    s = Scenario(SMALL)
    answer = first(s, get(1))
    s.receive(get(1))
    assert s.sent() == [answer]
    answer = later(s, get(2, 1))
    s.receive(get(2, 1))
    assert s.sent() == [answer]


def test_a_block_may_be_asked_for_again() -> None:
    s = Scenario(SMALL)
    first(s, get(1))
    answers = [summary(later(s, get(mid, 1))) for mid in (2, 3)]
    assert answers[0] == answers[1]


def test_all_requests_have_one_token() -> None:
    s = Scenario(SMALL)
    first(s, get(1, token=b"t"))
    for number in (1, 2, 3):
        answer = later(s, get(number + 1, number, token=b"t"))
        assert summary(answer)[1] == Block(number, number < 3, 64)
    assert s.nothing_left()


def test_one_token_with_a_separate_response_that_is_not_acknowledged() -> None:
    s = Scenario(SMALL)
    exchange = s.deferred(get(1, token=b"t"))
    s.respond(exchange, LONG)
    s.sent()
    answer = later(s, get(2, 1, token=b"t"))
    assert summary(answer)[1] == Block(1, True, 64)
    s.at(100.0)
    assert s.sent() == []  # it was not repeated
    assert s.nothing_left()


# -- without the body ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 3])
def test_the_handler_makes_it_once_more(number: int) -> None:
    """Section 2.4, random access: the server need keep nothing of what is safe."""
    s = Scenario(SMALL)
    answer = first(s, get(1, number))
    start = number * 64
    assert summary(answer) == (
        Code.CONTENT,
        Block(number, number < 3, 64),
        BODY[start : start + 64],
    )
    assert answer.options.size2 is None
    assert answer.options.etags
    # From now on it is kept.
    assert summary(later(s, get(2, 2)))[1] == Block(2, True, 64)


def test_a_fetch_that_says_what_it_wants_is_made_once_more() -> None:
    s = Scenario(SMALL)
    answer = first(s, get(1, 1, code=Code.FETCH, payload=b"q"))
    assert summary(answer)[1] == Block(1, True, 64)


@pytest.mark.parametrize("code", [Code.FETCH, Code.POST, Code.PUT, Code.PATCH, Code.DELETE])
def test_what_cannot_be_made_once_more(code: Code) -> None:
    """It must not be executed twice; and a FETCH without a payload says nothing."""
    s = Scenario(SMALL)
    assert later(s, get(1, 1, code=code)).code is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.core.statistics().open_requests == 0


def test_a_later_block_of_a_post_may_be_forgotten_early() -> None:
    """Nothing was run for it (RFC 7252 section 4.5)."""
    s = Scenario(SMALL)
    first(s, get(1, code=Code.POST))
    later(s, get(2, 1, code=Code.POST))
    peer = s.core._peers.find(s.peer)
    assert peer is not None
    assert list(peer.done) == [2]


def test_a_post_after_its_body_is_forgotten() -> None:
    s = Scenario(SMALL, Limits(body_age=10))
    first(s, get(1, code=Code.POST, payload=b"x"), LONG)
    s.at(9.9)
    assert later(s, get(2, 1, code=Code.POST)).code is Code.CONTENT
    s.at(19.8)
    assert later(s, get(3, 2, code=Code.POST)).code is Code.CONTENT
    s.at(29.8)
    assert later(s, get(4, 3, code=Code.POST)).code is Code.REQUEST_ENTITY_INCOMPLETE
    assert s.nothing_left()


# -- apart ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {"uri_query": ["b"]},
        {"request_tags": [b"1"]},
        {"code": Code.POST},
        {"accept": 42},
        {"path": "b"},
    ],
)
def test_two_bodies_at_once(other: dict[str, object]) -> None:
    s = Scenario(SMALL)
    second = bytes(reversed(BODY))
    first(s, get(1))
    first(s, get(11, **other), Response(Code.CONTENT, second))  # type: ignore[arg-type]
    for number in (1, 2):
        assert later(s, get(number + 1, number)).payload == BODY[number * 64 :][:64]
        answer = later(s, get(number + 11, number, **other))  # type: ignore[arg-type]
        assert answer.payload == second[number * 64 :][:64]


def test_two_clients_at_once() -> None:
    s = Scenario(SMALL)
    first(s, get(1))
    s.respond(s.open(get(1), OTHER), Response(Code.CONTENT, bytes(200)))
    s.sent()
    assert later(s, get(2, 1)).payload == BODY[64:128]
    s.receive(get(2, 1), OTHER)
    assert s.sent()[0].payload == bytes(64)


def test_the_payload_of_a_fetch_tells_two_apart() -> None:
    """RFC 8132 section 2: two of them with other payloads are two requests."""
    s = Scenario(SMALL)
    first(s, get(1, code=Code.FETCH, payload=b"a"))
    assert later(s, get(2, 1, code=Code.FETCH, payload=b"a")).payload == BODY[64:128]
    assert later(s, get(3, 1, code=Code.FETCH)).payload == BODY[64:128]
    s.receive(get(4, 1, code=Code.FETCH, payload=b"b"))
    s.close(s.request())


def test_a_newer_body_takes_the_place_of_an_older_one() -> None:
    s = Scenario(SMALL)
    first(s, get(1))
    first(s, get(2), Response(Code.CONTENT, bytes(130)))
    assert later(s, get(3, 1)).payload == bytes(64)
    assert s.core.statistics().body_bytes == LEAST


def test_the_first_block_is_asked_for_again() -> None:
    """That is a new request: the representation may be another one."""
    s = Scenario(SMALL)
    first(s, get(1))
    first(s, get(2, 0))


def test_section_3_3_a_body_up_and_a_body_down() -> None:
    """Figure 11, with a size of 64 both ways."""
    s = Scenario(SMALL)

    def up(number: int, more: bool, **options: object) -> Message:
        built = Options.build(
            uri_path=["soap"],
            block1=Block(number, more, 64),
            **options,  # type: ignore[arg-type]  # names of options, as build has them
        )
        body = BODY[number * 64 :][:64]
        return Message(Code.POST, Type.CON, number + 1, b"t", built, body)

    s.accept(s.open(up(0, True)))
    s.receive(up(1, True))
    s.receive(up(2, True))
    s.sent()
    whole = s.open(up(3, False))
    assert whole.request.payload == BODY
    s.respond(whole, Response(Code.CHANGED, BODY))
    [answer] = s.sent()
    assert summary(answer) == (Code.CHANGED, Block(0, True, 64), BODY[:64])
    assert answer.options.block1 == Block(3, False, 64)
    # What the request had as its payload is not kept with the answer.
    assert s.core.statistics().body_bytes == LEAST
    for number in (1, 2, 3):
        answer = later(s, get(number + 10, number, code=Code.POST, path="soap"))
        assert summary(answer)[1] == Block(number, number < 3, 64)
        assert answer.options.block1 is None
    assert s.nothing_left()


def test_section_3_3_with_the_size_of_the_answer_asked_for_early() -> None:
    s = Scenario()
    options = Options.build(
        uri_path=["soap"], block1=Block(0, False, 128), block2=Block(0, False, 32)
    )
    whole = s.open(Message(Code.POST, Type.CON, 1, b"t", options, BODY[:100]))
    s.respond(whole, Response(Code.CHANGED, BODY))
    [answer] = s.sent()
    assert summary(answer)[1] == Block(0, True, 32)
    assert answer.options.block1 == Block(0, False, 128)


# -- limits --------------------------------------------------------------------------------------


def test_a_body_that_is_too_long_to_keep() -> None:
    s = Scenario(SMALL, Limits(body_size=199))
    assert summary(first(s, get(1)))[1] == Block(0, True, 64)
    assert s.core.statistics().body_bytes == 0
    # So the handler makes it each time.
    assert first(s, get(2, 1)).payload == BODY[64:128]
    assert s.nothing_left()


def test_of_one_client_the_one_asked_for_longest_ago_leaves() -> None:
    s = Scenario(SMALL, Limits(body_bytes_per_session=3 * LEAST))
    for mid, path in enumerate("abc", 1):
        first(s, get(mid, path=path))
    later(s, get(4, 1, path="a"))
    first(s, get(5, path="d"))
    assert s.core.statistics().body_bytes == 3 * LEAST
    for mid, path in enumerate("acd", 10):
        assert later(s, get(mid, 1, path=path)).code is Code.CONTENT
    s.receive(get(20, 1, path="b"))
    s.close(s.request())
    assert s.nothing_left()


def test_of_all_clients_the_one_asked_for_longest_ago_leaves() -> None:
    s = Scenario(SMALL, Limits(body_bytes=2 * LEAST))
    first(s, get(1))
    s.respond(s.open(get(1), OTHER), LONG)
    s.sent()
    later(s, get(2, 1))
    first(s, get(3, path="b"))
    assert later(s, get(4, 1)).code is Code.CONTENT
    s.receive(get(2, 1), OTHER)
    s.close(s.request())
    assert s.nothing_left()


def test_a_body_of_a_request_is_never_given_up_for_one_of_a_response() -> None:
    s = Scenario(SMALL, Limits(body_bytes=2 * LEAST))
    up = Options.build(uri_path=["up"], block1=Block(0, True, 1024))
    for mid in (1, 2):
        s.accept(
            s.open(
                Message(
                    Code.PUT, Type.CON, mid, b"%d" % mid, up.replace(15, b"%d" % mid), bytes(1024)
                )
            )
        )
    assert [m.code for m in s.sent()] == [Code.CONTINUE] * 2
    assert summary(first(s, get(3)))[1] == Block(0, True, 64)
    assert s.core.statistics().body_bytes == 2 * LEAST
    s.receive(get(4, 1))  # it was not kept
    s.close(s.request())
    assert s.nothing_left()


def test_a_body_of_a_response_leaves_for_one_of_a_request() -> None:
    s = Scenario(SMALL, Limits(body_bytes=LEAST))
    s.respond(s.open(get(1), OTHER), LONG)
    up = Options.build(uri_path=["up"], block1=Block(0, True, 64))
    s.accept(s.open(Message(Code.PUT, Type.CON, 1, b"t", up, bytes(64))))
    assert s.sent()[-1].code is Code.CONTINUE
    s.receive(get(2, 1), OTHER)
    s.close(s.request())
    assert s.nothing_left()


def test_many_short_bodies_are_bounded_too() -> None:
    s = Scenario(Tuning(block_size=16), Limits(body_bytes_per_session=10 * LEAST))
    for mid in range(50):
        first(s, get(mid, path=str(mid)), Response(Code.CONTENT, bytes(17)))
    assert len(s.core._peers.find(s.peer).held.bodies) == 10  # type: ignore[union-attr]  # they are


def test_a_body_is_forgotten_when_nobody_asks() -> None:
    s = Scenario(SMALL, Limits(body_age=10))
    first(s, get(1))
    s.at(9.0)
    later(s, get(2, 1))
    s.at(18.9)
    assert s.core.statistics().body_bytes == LEAST
    s.at(19.0)
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


def test_a_session_that_has_gone() -> None:
    s = Scenario(SMALL)
    first(s, get(1))
    s.lose()
    assert s.core.statistics().body_bytes == 0
    s.receive(get(2, 1))
    s.close(s.request())
    assert s.nothing_left()


def test_an_abandoned_response_is_not_kept() -> None:
    s = Scenario(SMALL)
    old = s.open(get(1, token=b"t"))
    s.receive(get(2, path="b", token=b"t"))
    s.respond(old, LONG)
    assert s.core.statistics().body_bytes == 0
    _, received = s.events()
    assert isinstance(received, RequestReceived)
    s.respond(received.exchange)
    assert s.nothing_left()


# -- a body that is produced ---------------------------------------------------------------------


def begun(s: Scenario, request: Message, size: int | None = None) -> tuple[Exchange, Body]:
    exchange = s.open(request)
    body = s.produce(exchange, Response(Code.CONTENT, content_format=42), size=size)
    assert body is not None
    assert s.events() == []
    return exchange, body


def wanted(s: Scenario) -> bool:
    """Whether more is wanted, in the events and when it is asked."""
    events = s.events()
    assert all(isinstance(event, BodyWanted) for event in events), events
    return bool(events)


def test_a_stream_is_produced_as_it_is_fetched() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    assert s.core.wants_more(body)
    s.supply(body, BODY[:64])
    assert s.sent() == []  # perhaps that was all
    s.supply(body, BODY[64:65])
    [answer] = s.sent()
    assert summary(answer) == (Code.CONTENT, Block(0, True, 64), BODY[:64])
    assert answer.options.content_format == 42
    assert answer.options.size2 is None
    [etag] = answer.options.etags
    s.events()
    s.receive(get(2, 1))
    assert s.sent() == []
    assert wanted(s)
    s.supply(body, BODY[65:])
    [answer] = s.sent()
    assert summary(answer) == (Code.CONTENT, Block(1, True, 64), BODY[64:128])
    assert answer.options.etags == (etag,)
    answer = later_of_stream(s, get(3, 2))
    assert answer.payload == BODY[128:192]
    s.receive(get(4, 3))
    assert s.sent() == []
    s.supply(body, last=True)
    [answer] = s.sent()
    assert summary(answer) == (Code.CONTENT, Block(3, False, 64), BODY[192:])
    s.events()
    assert s.nothing_left()


def later_of_stream(s: Scenario, request: Message) -> Message:
    s.receive(request)
    [answer] = s.sent()
    s.events()
    return answer


@pytest.mark.parametrize("length", [0, 1, 63, 64])
def test_a_stream_of_one_block_is_no_stream(length: int) -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, BODY[:length])
    s.supply(body, last=True)
    [answer] = s.sent()
    assert summary(answer) == (Code.CONTENT, None, BODY[:length])
    s.events()
    assert s.nothing_left()


@pytest.mark.parametrize("length", [64, 128, 192])
def test_a_stream_that_ends_with_a_block(length: int) -> None:
    """The last block says that it is the last: there is no empty one behind it."""
    s = Scenario(Tuning(block_size=32))
    _, body = begun(s, get(1))
    s.supply(body, BODY[:length])
    s.supply(body, last=True)
    blocks = [s.sent()[0].options.block2]
    for number in range(1, length // 32):
        blocks.append(later_of_stream(s, get(number + 1, number, 32)).options.block2)
    assert blocks == [Block(n, n < length // 32 - 1, 32) for n in range(length // 32)]


def test_the_size_of_a_stream_is_told_if_it_is_known() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1), 1_000_000)
    s.supply(body, BODY)
    [answer] = s.sent()
    assert answer.options.size2 == 1_000_000


def test_a_huge_chunk_is_not_asked_for_more() -> None:
    s = Scenario()
    _, body = begun(s, get(1, 0, 1024))
    s.supply(body, bytes(1 << 20))
    assert not s.core.wants_more(body)
    s.sent()
    s.events()
    for number in range(1, 1023):
        answer = later_of_stream(s, get(number + 1, number, 1024))
        assert answer.options.block2 == Block(number, True, 1024)
        assert s.core.wants_more(body) == (number >= 1020)
    assert len(body.data) <= 1 << 19


def test_an_empty_chunk_says_nothing() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, b"")
    assert s.sent() == []
    assert wanted(s)


def test_the_last_block_of_a_stream_may_be_asked_for_again_and_no_earlier_one() -> None:
    s = Scenario(Tuning(block_size=16))
    _, body = begun(s, get(1))
    s.supply(body, BODY)
    s.sent()
    for number in range(1, 8):
        again = [later_of_stream(s, get(m, number, 16)) for m in (number * 2, number * 2 + 1)]
        assert summary(again[0]) == summary(again[1])
        assert summary(again[0]) == (
            Code.CONTENT,
            Block(number, True, 16),
            BODY[number * 16 :][:16],
        )
    answer = later_of_stream(s, get(40, 0 + 1, 16))
    assert answer.code is Code.BAD_REQUEST
    assert answer.options.block2 is None


@pytest.mark.parametrize("number", [5, 1000, MAX_BLOCKS - 1])
def test_a_stream_is_not_produced_ahead_of_its_client(number: int) -> None:
    """Else anybody could have all of it produced and kept."""
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, BODY)
    s.sent()
    s.events()
    answer = later_of_stream(s, get(2, number))
    assert answer.code is Code.BAD_REQUEST
    assert body.waiting is None
    assert later_of_stream(s, get(3, 1)).payload == BODY[64:128]


def test_a_block_of_a_stream_whose_number_is_none_in_our_size() -> None:
    s = Scenario(Tuning(block_size=16))
    _, body = begun(s, get(1))
    s.supply(body, bytes(MAX_BLOCKS * 16 + 4096))
    s.sent()
    answer = later_of_stream(s, get(2, MAX_BLOCKS * 16 // 1024, 1024))
    assert answer.code is Code.BAD_REQUEST


def test_a_stream_in_smaller_blocks() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, BODY)
    s.sent()
    answer = later_of_stream(s, get(2, 2, 32))
    assert summary(answer) == (Code.CONTENT, Block(2, True, 32), BODY[64:96])


def test_a_stream_begins_at_its_first_block() -> None:
    s = Scenario(SMALL)
    exchange = s.open(get(1, 1))
    assert s.produce(exchange) is None
    assert s.sent()[0].code is Code.BAD_REQUEST
    assert s.nothing_left()


def test_a_slow_producer_gets_an_ack_first() -> None:
    s = Scenario(SMALL)
    exchange, body = begun(s, get(1))
    s.at(1.0)
    assert s.sent() == [ack(1)]
    s.at(1000.0)  # longer than any body is kept: somebody waits for this one
    s.supply(body, BODY)
    [answer] = s.sent()
    assert answer.type is Type.CON
    s.receive(ack(answer.mid))
    assert exchange.phase is Phase.CLOSED


def test_a_producer_that_fails_at_once() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.fail(body, Response(Code.INTERNAL_SERVER_ERROR))
    assert s.sent()[0].code is Code.INTERNAL_SERVER_ERROR
    assert not s.core.wants_more(body)
    assert s.nothing_left()


def test_a_producer_that_fails_later_fails_the_next_block() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, BODY[:100])
    assert s.sent()[0].code is Code.CONTENT
    s.fail(body, Response(Code.NOT_FOUND, b"it has gone"))
    assert s.sent() == []
    for mid in (2, 3):
        answer = later_of_stream(s, get(mid, 1))
        assert (answer.code, answer.payload) == (Code.NOT_FOUND, b"it has gone")
    s.events()
    assert s.nothing_left()


def test_a_client_that_falls_silent_ends_a_stream() -> None:
    s = Scenario(SMALL, Limits(body_age=10))
    _, body = begun(s, get(1))
    s.supply(body, BODY[:100])
    s.sent()
    s.events()
    s.at(9.9)
    assert s.events() == []
    s.at(10.0)
    assert s.events() == [BodyEnded(body)]
    assert not s.core.wants_more(body)
    s.supply(body, BODY)
    s.fail(body, Response(Code.NOT_FOUND))
    assert s.sent() == []
    assert s.nothing_left()


def test_the_same_request_once_more_takes_the_place_of_a_stream() -> None:
    s = Scenario(SMALL)
    waiting, body = begun(s, get(1))
    new = s.open(get(2))
    second = s.produce(new)
    assert second is not None
    assert s.events() == [BodyEnded(body)]
    [answer] = s.sent()  # who waited for the old one
    assert (answer.token, answer.code) == (b"\x01", Code.SERVICE_UNAVAILABLE)
    assert answer.options.max_age == 5
    assert waiting.phase is Phase.CLOSED
    s.supply(second, BODY)
    assert s.sent()[0].payload == BODY[:64]
    assert s.core.statistics().body_bytes == WINDOW


def test_a_whole_body_takes_the_place_of_a_stream() -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    s.supply(body, BODY)
    s.sent()
    s.events()
    assert summary(first(s, get(2)))[1] == Block(0, True, 64)
    assert s.events() == [BodyEnded(body)]
    assert s.core.statistics().body_bytes == LEAST
    assert later(s, get(3, 1)).payload == BODY[64:128]


def test_two_who_wait_for_one_block() -> None:
    """A client that asks again: the newest is answered."""
    s = Scenario(SMALL)
    old, body = begun(s, get(1))
    s.supply(body, BODY[:70])
    s.sent()
    s.receive(get(2, 1))
    s.receive(get(3, 1))
    [answer] = s.sent()
    assert (answer.token, answer.code) == (b"\x02", Code.SERVICE_UNAVAILABLE)
    s.supply(body, BODY[70:])
    [answer] = s.sent()
    assert (answer.token, answer.payload) == (b"\x03", BODY[64:128])
    assert old.phase is Phase.CLOSED
    s.lose()


@pytest.mark.parametrize("number", [None, 1])
def test_a_session_that_goes_while_somebody_waits(number: int | None) -> None:
    s = Scenario(SMALL)
    _, body = begun(s, get(1))
    if number:
        s.supply(body, BODY[:65])
        s.sent()
        s.receive(get(2, number))
    s.events()
    s.lose()
    assert BodyEnded(body) in s.events()
    assert s.core.open_requests == 0
    assert s.sent() == []
    assert s.nothing_left()


def test_a_token_that_is_taken_over_while_somebody_waits() -> None:
    s = Scenario(SMALL)
    old, body = begun(s, get(1, token=b"t"))
    new = con(9, token=b"t", path="other")
    s.receive(new)
    s.supply(body, BODY)
    assert s.sent() == [ack(1)]
    assert old.phase is Phase.CLOSED
    current = s.core.find(s.peer, b"t")
    assert current is not None
    s.respond(current)
    s.events()
    s.sent()
    assert s.core.open_requests == 0
    s.at(300.0)
    assert s.core.statistics().body_bytes == 0


def test_a_stream_for_nobody_does_not_begin() -> None:
    s = Scenario(SMALL)
    old = s.open(get(1, token=b"t"))
    s.receive(con(9, token=b"t", path="other"))
    assert s.produce(old) is None
    assert s.core.statistics().body_bytes == 0
    assert old.phase is Phase.CLOSED


def test_a_stream_has_no_observers() -> None:
    s = Scenario(SMALL)
    exchange = s.open(get(1, observe=0))
    exchange.topic = Topic("topic", None)
    body = s.produce(exchange)
    assert body is not None
    s.supply(body, BODY)
    [answer] = s.sent()
    assert answer.options.observe is None
    assert s.core.observers_of("topic") == ()


def test_how_many_streams_there_may_be() -> None:
    s = Scenario(SMALL, Limits(body_bytes_per_session=2 * WINDOW))
    bodies = [begun(s, get(mid, path=str(mid)))[1] for mid in (1, 2)]
    third = s.open(get(3))
    assert s.produce(third) is None
    [answer] = s.sent()
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 5)
    assert s.core.statistics().refused == 1
    # One that is whole costs no task, and leaves for a new one.
    s.supply(bodies[0], BODY, last=True)
    s.sent()
    s.events()
    begun(s, get(4))
    s.receive(get(5, 1, path="1"))
    s.close(s.request())


def test_how_many_streams_there_may_be_in_all() -> None:
    s = Scenario(SMALL, Limits(body_bytes=2 * WINDOW))
    _, body = begun(s, get(1))
    exchange = s.open(get(1), OTHER)
    assert s.produce(exchange) is not None
    assert s.produce(s.open(get(2, path="b"))) is None
    s.fail(body, Response(Code.NOT_FOUND))
    s.sent()
    assert s.produce(s.open(get(3, path="b"))) is not None


def test_a_stream_in_answer_to_a_body_of_blocks() -> None:
    s = Scenario(SMALL)
    options = Options.build(block1=Block(0, False, 64))
    exchange = s.open(Message(Code.POST, Type.CON, 1, b"t", options, b"x"))
    body = s.produce(exchange)
    assert body is not None
    s.supply(body, BODY)
    [answer] = s.sent()
    assert (answer.options.block1, answer.options.block2) == (
        Block(0, False, 64),
        Block(0, True, 64),
    )


def test_the_etags_of_two_streams_differ() -> None:
    s = Scenario(SMALL, rng=Longest())
    tags = []
    for mid in (1, 2):
        _, body = begun(s, get(mid))
        s.supply(body, BODY)
        tags.append(s.sent()[-1].options.etags)
        s.events()
        s.lose()
        s.events()
    assert tags[0] != tags[1]


def test_a_non_that_asks_for_a_stream() -> None:
    s = Scenario(SMALL)
    exchange = s.open(non(1, path="large"))
    body = s.produce(exchange)
    assert body is not None
    s.at(1.0)
    s.supply(body, BODY)
    [answer] = s.sent()
    assert (answer.type, answer.options.block2) == (Type.NON, Block(0, True, 64))
