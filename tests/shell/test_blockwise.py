"""Bodies in blocks (RFC 7959), as handlers see them: whole, read as they come, produced as they
are fetched.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Code,
    Limits,
    NotFound,
    Request,
    RequestEntityIncomplete,
    Response,
    Router,
    Server,
    StreamingResponse,
    Tuning,
    Type,
    open_server,
)
from coapsep.errors import LocalProtocolError
from coapsep.message.block import Block
from coapsep.testing import Network
from tests.shell.blocks import Asker
from tests.shell.peer import SERVER, Peer

BODY = bytes(range(256)) * 2
FIRST = Block(0, True, 64)


@pytest.fixture
def limits() -> Limits:
    return Limits(body_age=60)


@pytest.fixture
async def server(network: Network, router: Router, limits: Limits) -> AsyncGenerator[Server, None]:
    async with open_server(
        router,
        transport=network.bind(SERVER),
        rng=random.Random(1),
        tuning=Tuning(block_size=64),
        limits=limits,
    ) as server:
        yield server


@pytest.fixture
async def asker(server: Server, peer: Peer) -> Asker:
    return Asker(peer)


def nothing_is_kept(server: Server) -> bool:
    statistics = server.statistics()
    return (statistics.open_requests, statistics.body_bytes) == (0, 0)


# -- whole bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_a_body_up(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    is_async: bool,
    kind: Type,
) -> None:
    seen: list[bytes] = []

    def put(request: Request) -> bytes:
        seen.append(request.payload)
        return b"%d" % len(request.payload)

    async def put_later(request: Request) -> bytes:
        await trio.sleep(5)
        return put(request)

    router.put("/store")(put_later if is_async else put)
    answer = await asker.upload("/store", BODY, kind=kind)
    assert (answer.code, answer.payload) == (Code.CHANGED, b"512")
    assert answer.options.block1 == Block(7, False, 64)
    assert seen == [BODY]
    await trio.sleep(1)
    assert nothing_is_kept(server)


async def test_a_request_that_nobody_handles_is_refused_at_its_first_block(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    router.get("/store")(lambda request: b"")
    assert (await asker.upload("/nothing", BODY)).code is Code.NOT_FOUND
    answer = await asker.upload("/store", BODY)
    assert answer.code is Code.METHOD_NOT_ALLOWED
    assert answer.options.block1 == Block(0, False, 64)
    assert nothing_is_kept(server)


@pytest.mark.parametrize("limits", [Limits(body_size=500)])
async def test_a_body_that_is_too_long(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    router.put("/store")(lambda request: b"")
    answer = await asker.upload("/store", BODY)
    assert (answer.code, answer.options.size1) == (Code.REQUEST_ENTITY_TOO_LARGE, 500)
    assert nothing_is_kept(server)


async def test_a_condition_on_a_route_without_any(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """A NON is ignored; its body must not stay."""
    router.put("/store")(lambda request: b"")
    asker.send(
        "/store", code=Code.PUT, kind=Type.NON, payload=BODY[:64], block1=FIRST, if_match=[b"e"]
    )
    await asker.peer.expect_silence()
    assert nothing_is_kept(server)
    answer = await asker.upload("/store", BODY, if_match=[b"e"])
    assert answer.code is Code.BAD_OPTION


async def test_a_body_down(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    calls: list[Request] = []

    @router.get("/large")
    def large(request: Request) -> bytes:
        calls.append(request)
        return BODY

    answer = await asker.ask("/large")
    assert answer.options.size2 == len(BODY)
    assert answer.options.block2 == FIRST
    _, body = await asker.download("/large", 32)
    assert body == BODY
    assert len(calls) == 2
    await trio.sleep(61)
    assert nothing_is_kept(server)
    # A block of what is not kept any more: the handler makes it once more.
    answer = await asker.ask("/large", block2=Block(3, False, 64))
    assert answer.payload == BODY[192:256]
    assert len(calls) == 3


async def test_a_pending_request_answers_with_a_long_body(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.get("/slow")
    def slow(request: Request) -> bytes | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=100)
            return None
        return BODY

    answer = await asker.ask("/slow")
    assert (answer.type, answer.options.block2) == (Type.CON, FIRST)
    assert len(server.asyncs) == 0
    body = answer.payload
    for number in range(1, 8):
        answer = await asker.ask("/slow", block2=Block(number, False, 64))
        assert answer.type is Type.ACK
        body += answer.payload
    assert body == BODY
    assert answer.options.block2 == Block(7, False, 64)


async def test_a_long_body_up_is_pending_and_comes_down(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.post("/turn")
    def turn(request: Request) -> bytes | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=900)
            return None
        return request.payload[::-1]

    answer = await asker.upload("/turn", BODY, code=Code.POST)
    assert (answer.code, answer.options.block1) == (Code.CHANGED, Block(7, False, 64))
    body = answer.payload
    for number in range(1, 8):
        body += (await asker.ask("/turn", code=Code.POST, block2=Block(number, False, 64))).payload
    assert body == BODY[::-1]
    await trio.sleep(61)
    answer = await asker.ask("/turn", code=Code.POST, block2=Block(1, False, 64))
    assert answer.code is Code.REQUEST_ENTITY_INCOMPLETE
    assert nothing_is_kept(server)


# -- read as they come ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("pause", [0.0, 0.05, 5.0])
async def test_a_body_is_read_as_it_comes(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    kind: Type,
    pause: float,
) -> None:
    chunks: list[bytes] = []

    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        assert not request.body.is_whole
        async for chunk in request.body:
            chunks.append(chunk)
            assert request.body.received == sum(map(len, chunks))
            await trio.sleep(pause)
        assert request.body.is_whole
        return b"done"

    answer = await asker.upload("/store", BODY, kind=kind)
    assert (answer.code, answer.payload) == (Code.CHANGED, b"done")
    assert answer.options.block1 == Block(7, False, 64)
    assert chunks == [BODY[at:][:64] for at in range(0, 512, 64)]
    await trio.sleep(1)
    assert nothing_is_kept(server)


@pytest.mark.parametrize("body", [b"", b"short"])
@pytest.mark.parametrize("block", [None, Block(0, False, 64)])
async def test_a_body_in_one_message_is_read_all_the_same(
    autojump_clock: MockClock, router: Router, asker: Asker, body: bytes, block: Block | None
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        with pytest.raises(LocalProtocolError, match=r"request\.body"):
            _ = request.payload
        chunks = [chunk async for chunk in request.body]
        assert chunks == ([body] if body else [])
        assert [chunk async for chunk in request.body] == []
        return b"done"

    assert (await asker.ask("/store", code=Code.PUT, payload=body, block1=block)).payload == b"done"


async def test_an_empty_last_block_is_no_chunk(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        return await request.body.read()

    assert (
        await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    ).code is Code.CONTINUE
    answer = await asker.ask("/store", code=Code.PUT, block1=Block(1, False, 64))
    assert answer.payload == BODY[:64]


@pytest.mark.parametrize("reads", [0, 1, 3, 8])
@pytest.mark.parametrize("code", [Code.CHANGED, Code.FORBIDDEN])
async def test_a_handler_that_stops_early(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker, reads: int, code: Code
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> Code:
        for _ in range(reads):
            await request.body.__anext__()
        return code

    answer = await asker.upload("/store", BODY)
    assert answer.code is code
    block = answer.options.block1
    assert block is not None
    # A success is told to the last block, an error at once.
    assert block.number == (7 if code.is_success else max(reads, 1) - 1)
    await trio.sleep(1)
    assert nothing_is_kept(server)


async def test_a_sync_handler_that_never_reads(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    router.put("/store", stream=True)(lambda request: b"no matter")
    answer = await asker.upload("/store", BODY)
    assert (answer.code, answer.options.block1) == (Code.CHANGED, Block(7, False, 64))
    assert nothing_is_kept(server)


async def test_a_handler_that_gives_up_while_it_waits_for_its_client(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """The answer is that to the next block, should it come."""

    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        with trio.fail_after(5):
            return await request.body.read()

    await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    await trio.sleep(10)
    answer = await asker.ask(
        "/store", code=Code.PUT, payload=BODY[64:128], block1=Block(1, True, 64)
    )
    assert (answer.code, answer.options.block1) == (Code.INTERNAL_SERVER_ERROR, Block(1, False, 64))
    await trio.sleep(100)
    assert nothing_is_kept(server)


async def test_a_handler_that_raises(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        async for _ in request.body:
            if request.body.received > 64:
                raise NotFound("not here")
        return b""

    answer = await asker.upload("/store", BODY)
    assert (answer.code, answer.payload) == (Code.NOT_FOUND, b"not here")
    assert nothing_is_kept(server)


async def test_a_client_that_falls_silent(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    reasons: list[str] = []

    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        try:
            return await request.body.read()
        except RequestEntityIncomplete as exc:
            reasons.append(exc.diagnostic)
            with pytest.raises(RequestEntityIncomplete):
                await request.body.__anext__()
            raise

    await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    await asker.peer.expect_silence(59)
    assert reasons == []
    await asker.peer.expect_silence(2)
    [reason] = reasons
    assert "silent" in reason
    assert nothing_is_kept(server)


async def test_a_client_that_begins_again(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    outcomes: list[str] = []

    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        try:
            body = await request.body.read()
        except RequestEntityIncomplete as exc:
            outcomes.append(exc.diagnostic)
            raise
        outcomes.append("whole")
        return body

    for number in (0, 1):
        block = Block(number, True, 64)
        await asker.ask("/store", code=Code.PUT, payload=BODY[block.start :][:64], block1=block)
    assert (await asker.upload("/store", bytes(200))).code is Code.CHANGED
    assert ["again" in outcomes[0], outcomes[1]] == [True, "whole"]
    await trio.sleep(100)
    assert nothing_is_kept(server)


async def test_a_gap_in_what_is_read(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        return await request.body.read()

    await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    answer = await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=Block(2, True, 64))
    assert answer.code is Code.REQUEST_ENTITY_INCOMPLETE
    await trio.sleep(1)
    assert nothing_is_kept(server)


async def test_registering_before_the_body_is_whole(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        await request.body.__anext__()
        with pytest.raises(LocalProtocolError, match="too early"):
            request.asyncs.register_async(request)
        return b"%d" % len(await request.body.read())

    assert (await asker.upload("/store", BODY)).payload == b"448"
    assert len(server.asyncs) == 0


async def test_registering_once_the_body_is_whole(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes | None:
        if request.pending is not None:
            return b"%d" % request.body.received
        await request.body.read()
        request.asyncs.register_async(request, delay=50)
        return None

    answer = await asker.upload("/store", BODY)
    assert (answer.type, answer.payload) == (Type.CON, b"512")
    assert answer.options.block1 == Block(7, False, 64)
    await trio.sleep(1)
    assert nothing_is_kept(server)


async def test_returning_none_before_the_body_is_whole(
    autojump_clock: MockClock, router: Router, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    router.put("/store", stream=True)(lambda request: None)
    assert (await asker.upload("/store", BODY)).code is Code.INTERNAL_SERVER_ERROR


@pytest.mark.parametrize("limits", [Limits(body_bytes_per_session=10_000)])
async def test_how_many_bodies_are_read_at_a_time(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """The handler of one more does not even start."""
    started: list[Request] = []

    @router.put("/store/{n}", stream=True)
    async def store(request: Request) -> bytes:
        started.append(request)
        return await request.body.read()

    await asker.ask("/store/1", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    answer = await asker.ask("/store/2", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    assert (answer.code, answer.options.max_age) == (Code.SERVICE_UNAVAILABLE, 5)
    assert len(started) == 1
    await trio.sleep(300)
    assert nothing_is_kept(server)


# -- produced as they are fetched ----------------------------------------------------------------


class Producer:
    """Chunks, and what has become of them."""

    def __init__(self, chunks: list[bytes], pause: float = 0.0) -> None:
        self.chunks = chunks
        self.pause = pause
        self.given = 0
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.sleep(self.pause)
        if self.given == len(self.chunks):
            raise StopAsyncIteration
        self.given += 1
        return self.chunks[self.given - 1]

    async def aclose(self) -> None:
        self.closed += 1
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "chunks",
    [
        [BODY],
        [BODY[at : at + 1] for at in range(512)],
        [BODY[at:][:64] for at in range(0, 512, 64)],
        [b"", BODY[:100], b"", b"", BODY[100:], b""],
        [BODY * 2048],
    ],
)
@pytest.mark.parametrize("pause", [0.0, 3.0])
async def test_a_body_is_produced(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    chunks: list[bytes],
    pause: float,
) -> None:
    producer = Producer(chunks, pause if len(chunks) < 100 else pause / 100)
    router.get("/stream")(lambda request: StreamingResponse(producer, content_format=42))
    whole = b"".join(chunks)
    if len(whole) > 100_000:
        whole = whole[: 64 * 100]
        body = b""
        for number in range(100):
            answer = await asker.ask("/stream", block2=Block(number, False, 64))
            body += answer.payload
        assert body == whole
    else:
        answer, body = await asker.download("/stream")
        assert body == whole
        assert producer.closed == 1
    assert answer.options.content_format == 42
    await trio.sleep(100)
    assert producer.closed == 1
    assert nothing_is_kept(server)


@pytest.mark.parametrize("chunks", [[], [b""], [b"short"], [BODY[:64]]])
async def test_a_short_body_is_produced(
    autojump_clock: MockClock, router: Router, asker: Asker, chunks: list[bytes]
) -> None:
    producer = Producer(chunks)
    router.get("/stream")(lambda request: StreamingResponse(producer))
    answer = await asker.ask("/stream")
    assert (answer.code, answer.payload) == (Code.CONTENT, b"".join(chunks))
    assert answer.options.block2 is None
    assert producer.closed == 1


async def test_only_a_few_blocks_are_in_store(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    producer = Producer([bytes(64)] * 1000)
    router.get("/stream")(lambda request: StreamingResponse(producer, size=64_000))
    answer = await asker.ask("/stream")
    assert answer.options.size2 == 64_000
    await trio.sleep(1)
    assert producer.given <= 6
    await asker.ask("/stream", block2=Block(1, False, 64))
    await trio.sleep(1)
    assert producer.given <= 7


async def test_an_async_generator_is_a_body(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    steps: list[str] = []

    @router.get("/stream", ct=42)
    async def stream(request: Request) -> AsyncGenerator[bytes, None]:
        try:
            for at in range(0, 512, 100):
                yield BODY[at:][:100]
        finally:
            steps.append("closed")

    answer, body = await asker.download("/stream")
    assert body == BODY
    assert answer.options.content_format == 42
    assert steps == ["closed"]


async def test_a_client_that_vanishes(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    producer = Producer([bytes(64)] * 100)
    router.get("/stream")(lambda request: StreamingResponse(producer))
    await asker.ask("/stream")
    await trio.sleep(59)
    assert producer.closed == 0
    await trio.sleep(2)
    assert producer.closed == 1
    assert nothing_is_kept(server)


async def test_the_same_request_once_more(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    producers = [Producer([bytes(64)] * 100), Producer([BODY])]
    left = iter(producers)
    router.get("/stream")(lambda request: StreamingResponse(next(left)))
    await asker.ask("/stream")
    _, body = await asker.download("/stream")
    assert body == BODY
    assert [producer.closed for producer in producers] == [1, 1]


@pytest.mark.parametrize(
    ("failure", "code"),
    [(ValueError("bug"), Code.INTERNAL_SERVER_ERROR), (NotFound("gone"), Code.NOT_FOUND)],
)
@pytest.mark.parametrize("before", [0, 1, 300])
async def test_a_producer_that_raises(
    autojump_clock: MockClock,
    router: Router,
    asker: Asker,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    code: Code,
    before: int,
) -> None:
    caplog.set_level(logging.CRITICAL)

    @router.get("/stream")
    async def stream(request: Request) -> AsyncGenerator[bytes, None]:
        if before:
            yield BODY[:before]
        raise failure

    answer, body = await asker.download("/stream")
    assert answer.code is code
    came = body[: len(body) - len(answer.payload)]
    assert BODY.startswith(came)
    assert len(came) % 64 == 0


async def test_a_chunk_that_is_no_bytes(
    autojump_clock: MockClock, router: Router, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @router.get("/stream")
    async def stream(request: Request) -> AsyncGenerator[Any, None]:
        yield "text"

    assert (await asker.ask("/stream")).code is Code.INTERNAL_SERVER_ERROR


async def test_a_stream_that_is_refused_is_closed(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    producer = Producer([BODY])
    router.get("/stream")(lambda request: StreamingResponse(producer))
    assert (await asker.ask("/stream", block2=Block(1, False, 64))).code is Code.BAD_REQUEST
    await trio.sleep(1)
    assert (producer.given, producer.closed) == (0, 1)


async def test_a_stream_in_answer_to_a_body_that_was_read(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    @router.post("/turn", stream=True)
    async def turn(request: Request) -> StreamingResponse:
        body = await request.body.read()
        return StreamingResponse(Producer([body[:100], body[100:]]), Code.CHANGED)

    answer = await asker.upload("/turn", BODY, code=Code.POST)
    assert (answer.code, answer.options.block2) == (Code.CHANGED, FIRST)
    body = answer.payload
    for number in range(1, 8):
        body += (await asker.ask("/turn", code=Code.POST, block2=Block(number, False, 64))).payload
    assert body == BODY


async def test_a_stream_of_a_pending_request(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    @router.get("/slow")
    def slow(request: Request) -> StreamingResponse | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=100)
            return None
        return StreamingResponse(Producer([BODY]))

    _, body = await asker.download("/slow")
    assert body == BODY


async def test_the_server_stops_while_bodies_come_and_go(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    closed: list[str] = []
    producer = Producer([bytes(64)] * 100)
    router.get("/stream")(lambda request: StreamingResponse(producer))

    @router.put("/store", stream=True)
    async def store(request: Request) -> bytes:
        try:
            return await request.body.read()
        finally:
            closed.append("reader")

    async with open_server(router, transport=network.bind(SERVER)):
        asker = Asker(peer)
        await asker.ask("/stream", block2=Block(0, False, 64))
        await asker.ask("/store", code=Code.PUT, payload=BODY[:64], block1=FIRST)
    assert closed == ["reader"]


async def test_copies_of_every_block(
    autojump_clock: MockClock, router: Router, server: Server, peer: Peer
) -> None:
    """Each is sent three times; each copy draws the same answer, and runs nothing."""
    bodies: list[bytes] = []

    @router.post("/turn")
    def turn(request: Request) -> Response:
        bodies.append(request.payload)
        return Response(Code.CHANGED, request.payload[::-1])

    asker = Asker(peer)
    body = b""
    for block1, block2 in [
        *((Block(n, n < 7, 64), None) for n in range(8)),
        *((None, Block(n, False, 64)) for n in range(1, 8)),
    ]:
        payload = b"" if block1 is None else BODY[block1.start :][:64]
        request = asker.send("/turn", code=Code.POST, payload=payload, block1=block1, block2=block2)
        answers = [await asker.answer(request)]
        for _ in range(2):
            peer.again(request)
            answers.append(await asker.answer(request))
        assert answers[0] == answers[1] == answers[2]
        body += answers[0].payload
    assert bodies == [BODY]
    assert body == BODY[::-1]
