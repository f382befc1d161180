"""Bodies that take more than one message (RFC 7959), between our client and our server."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    BadResponse,
    BodyChanged,
    Client,
    Code,
    Limits,
    Message,
    Options,
    Progress,
    Request,
    RequestTimedOut,
    Response,
    Retry,
    Router,
    Server,
    StreamingResponse,
    Tuning,
    Type,
    open_client,
    open_server,
)
from coapsep.message.block import Block
from coapsep.testing import Conditions, Network
from tests.shell.client.asking import PEER, ask
from tests.shell.client.responder import CLIENT, Responder
from tests.shell.peer import SERVER

BODY = random.Random(7959).randbytes(100_001)


@pytest.fixture
def router() -> Router:
    router = Router()
    kept: dict[str, bytes] = {}

    @router.get("/kept")
    def get(request: Request) -> bytes:
        return kept["body"]

    @router.put("/kept")
    def put(request: Request) -> Code:
        kept["body"] = request.payload
        return Code.CHANGED

    @router.route("/echo", [Code.POST, Code.FETCH])
    def echo(request: Request) -> bytes:
        return request.payload[::-1]

    @router.get("/long")
    def long(request: Request) -> Response:
        return Response(Code.CONTENT, BODY, content_format=42, etag=b"1")

    @router.get("/stream")
    async def stream(request: Request) -> StreamingResponse:
        async def produce() -> AsyncIterator[bytes]:
            for at in range(0, len(BODY), 10_000):
                await trio.sleep(0.1)
                yield BODY[at : at + 10_000]

        return StreamingResponse(produce(), size=len(BODY))

    @router.get("/error")
    def error(request: Request) -> Response:
        return Response(Code.NOT_FOUND, "x" * 3000)

    @router.put("/refused")
    def refused(request: Request) -> Code:
        return Code.FORBIDDEN

    @router.get("/same")
    def same(request: Request) -> Response:
        code = Code.VALID if b"1" in request.options.etags else Code.CONTENT
        return Response(code, etag=b"1")

    return router


async def chunks(size: int, body: bytes = BODY) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(body), size):
        await trio.sleep(0.001)
        yield body[at : at + size]


def requests(network: Network) -> list[Message]:
    return [
        sent.message
        for sent in network.trace
        if isinstance(sent.message, Message) and sent.message.code.is_request
    ]


# -- whole ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("confirmable", [True, False])
@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 1025, 2048, 100_001])
async def test_bodies_go_and_come_whole(
    autojump_clock: MockClock, server: Server, client: Client, size: int, confirmable: bool
) -> None:
    body = BODY[:size]
    await client.put(PEER, "/kept", payload=body, confirmable=confirmable)
    response = await client.get(PEER, "/kept", confirmable=confirmable)
    assert response.payload == body
    assert response.options.block1 is response.options.block2 is None
    assert client.statistics().own_requests == client.statistics().body_bytes == 0


@pytest.mark.parametrize("block_size", [16, 64, 1024])
async def test_both_ways_in_one_request(
    autojump_clock: MockClock, server: Server, client: Client, network: Network, block_size: int
) -> None:
    for method in (client.post, client.fetch):
        response = await method(PEER, "/echo", payload=BODY[:3000], block_size=block_size)
        assert response.payload == BODY[:3000][::-1]
    assert max(len(request.payload) for request in requests(network)) == block_size


async def test_many_tasks_with_bodies_of_their_own(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    """Their requests look the same: Request-Tag keeps them apart (RFC 9175)."""
    ends: list[Any] = []
    async with trio.open_nursery() as nursery:
        for number in range(20):
            body = bytes([number]) * (5000 + number)
            nursery.start_soon(ask, ends, partial(client.post, PEER, "/echo", payload=body))
    assert sorted(end.payload for end in ends) == [bytes([n]) * (5000 + n) for n in range(20)]


async def test_loss_and_copies_do_no_harm(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    conditions = Conditions(delay=0.05, jitter=3, loss=0.1, duplication=0.3)
    network.link(CLIENT, SERVER, conditions)
    network.link(SERVER, CLIENT, conditions)
    for _ in range(5):
        await client.put(PEER, "/kept", payload=BODY[:20_000])
        response = await client.get(PEER, "/kept")
        assert response.payload == BODY[:20_000]


async def test_an_error_is_a_response_however_long(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.get(PEER, "/error")
    assert (response.code, response.text) == (Code.NOT_FOUND, "x" * 3000)
    assert (await client.put(PEER, "/refused", payload=BODY)).code is Code.FORBIDDEN


async def test_a_body_longer_than_the_limit(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with open_client(
        transport=network.bind(CLIENT), limits=Limits(body_size=99_999)
    ) as client:
        with pytest.raises(BadResponse, match="99999 bytes"):
            await client.get(PEER, "/long")
        async with client.stream(Code.GET, PEER, "/long") as response:
            assert await response.read() == BODY


async def test_one_block_of_ones_own_choice(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    block = Options.build(block2=Block(3, False, 64))
    response = await client.get(PEER, "/long", options=block)
    assert response.payload == BODY[192:256]
    assert response.options.block2 == Block(3, True, 64)
    with pytest.raises(ValueError, match="a block has one message"):
        await client.put(
            PEER, payload=bytes(1025), options=Options.build(block1=Block(0, True, 64))
        )


async def test_a_body_that_changes_again_and_again(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, PEER))
        for number in range(8):
            block = Block(number & 1, True, 16)
            options = Options.build(block2=block, etags=[bytes([number])])
            request = await responder.expect_request()
            responder.answer(request, bytes(16), options=options)
    assert isinstance(ends[0], BodyChanged)


async def test_conditions_by_name(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    response = await client.get(PEER, "/same", etags=[b"0", b"1"])
    assert (response.code, response.etag) == (Code.VALID, b"1")
    await client.put(PEER, "/kept", if_match=[b"1", b""])
    await client.put(PEER, "/kept", if_none_match=True)
    *_, one, other = requests(network)
    assert one.options.if_match == (b"1", b"")
    assert other.options.if_none_match


# -- progress ------------------------------------------------------------------------------------


async def test_progress(autojump_clock: MockClock, server: Server, client: Client) -> None:
    steps: list[Progress] = []
    await client.post(PEER, "/echo", payload=BODY[:2500], progress=steps.append)
    assert [step.sent for step in steps] == [1024, 2048, 2500, 2500, 2500, 2500]
    assert [step.received for step in steps] == [0, 0, 0, 1024, 2048, 2500]
    assert {step.to_send for step in steps} == {2500}
    assert steps[-1].to_receive == 2500


async def test_what_progress_raises_is_for_whoever_asks(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    def broken(progress: Progress) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await client.get(PEER, "/long", progress=broken)
    with pytest.raises(RuntimeError, match="broken"):
        async with client.stream(Code.GET, PEER, "/long", progress=broken) as response:
            await response.read()
    assert client.statistics().own_requests == 0


# -- bodies that are produced as they go -----------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 1024, 50_000])
async def test_a_payload_streams(
    autojump_clock: MockClock, server: Server, client: Client, size: int
) -> None:
    body = BODY[:3000] if size == 1 else BODY
    await client.put(PEER, "/kept", payload=chunks(size, body))
    assert (await client.get(PEER, "/kept")).payload == body


async def test_an_empty_stream_is_an_empty_payload(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    await client.put(PEER, "/kept", payload=chunks(1, b""))
    assert (await client.get(PEER, "/kept")).payload == b""


async def test_what_produces_it_is_asked_for_no_more_than_is_sent(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    taken = 0

    async def produce() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1024)

    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.put, PEER, payload=produce()))
        request = await responder.expect_request(code=Code.PUT)
        await trio.sleep(1)
        assert taken == 2
        responder.answer(request, code=Code.FORBIDDEN)
    assert isinstance(ends[0], object)
    assert ends[0].code is Code.FORBIDDEN  # type: ignore[attr-defined]  # a ClientResponse


async def test_what_produces_it_is_cancelled_when_the_response_is_there(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ended: list[str] = []

    async def produce() -> AsyncIterator[bytes]:
        try:
            yield bytes(1025)
            await trio.sleep_forever()
        finally:
            ended.append("produce")

    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.put, PEER, payload=produce()))
        request = await responder.expect_request(code=Code.PUT)
        block = Options.build(block1=request.options.block1)
        responder.answer(request, code=Code.CONTINUE, options=block)
        await trio.sleep(5)
        assert ended == ends == []
        nursery.cancel_scope.deadline = trio.current_time() + 1
    assert ended == ["produce"]


async def test_what_produces_it_may_fail(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    async def produce() -> AsyncIterator[bytes]:
        yield bytes(5000)
        raise RuntimeError("empty")

    async def rubbish() -> AsyncIterator[Any]:
        yield "text"

    with pytest.raises(RuntimeError, match="empty"):
        await client.put(PEER, "/kept", payload=produce())
    with pytest.raises(TypeError, match="made of bytes, not str"):
        await client.put(PEER, "/kept", payload=rubbish())
    assert client.statistics().own_requests == 0
    assert not client._listeners


async def test_a_stream_is_sent_once(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    transport, again = network.bind(CLIENT), Retry(attempts=3)
    async with open_client(transport=transport, retry=again) as client:
        with pytest.raises(TypeError, match="can be sent once"):
            await client.put(PEER, payload=chunks(1), retry=again)
        with pytest.raises(RequestTimedOut):
            await client.put(PEER, payload=chunks(100, BODY[:200]))
    assert len(requests(network)) == 5


# -- responses that are taken as they come ---------------------------------------------------------


@pytest.mark.parametrize("path", ["/long", "/stream"])
async def test_a_response_streams(
    autojump_clock: MockClock, server: Server, client: Client, path: str
) -> None:
    async with client.stream(Code.GET, PEER, path) as response:
        assert (response.code, response.peer, response.size) == (Code.CONTENT, PEER, len(BODY))
        assert response.is_success
        assert response.content_format == (42 if path == "/long" else None)
        parts = [part async for part in response]
        assert [part async for part in response] == []
    assert b"".join(parts) == BODY
    assert client.statistics().own_requests == 0
    with pytest.raises(trio.ClosedResourceError):
        await anext(response)


async def test_streams_both_ways(autojump_clock: MockClock, server: Server, client: Client) -> None:
    async with client.stream(Code.POST, PEER, "/echo", payload=chunks(999)) as response:
        assert await response.read() == BODY[::-1]


async def test_a_slow_reader_is_one_block_behind(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    async with client.stream(Code.GET, PEER, "/long") as response:
        await anext(response)
        await trio.sleep(100)
        assert len(requests(network)) == 2


async def test_leaving_early_ends_it(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    async with client.stream(Code.GET, PEER, "/stream") as response:
        await anext(response)
    assert client.statistics().own_requests == 0
    sent = len(requests(network))
    await trio.sleep(1000)
    assert len(requests(network)) == sent
    assert server.statistics().body_bytes == 0


async def test_an_error_streams_like_any_other_response(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    async with client.stream(Code.GET, PEER, "/error") as response:
        assert response.code is Code.NOT_FOUND
        assert not response.is_success
        assert await response.read() == b"x" * 3000
    async with client.stream(Code.GET, PEER, "/nowhere") as response:
        assert (response.code, await response.read()) == (Code.NOT_FOUND, b"Not Found")


async def test_nobody_is_there(autojump_clock: MockClock, client: Client) -> None:
    with pytest.raises(RequestTimedOut):
        async with client.stream(Code.GET, PEER):
            raise AssertionError("there is no response")


async def test_a_failure_in_the_middle_is_raised_after_what_came(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async def stream(parts: list[bytes]) -> None:
        async with client.stream(Code.GET, PEER) as response:
            with pytest.raises(BodyChanged):
                parts.extend([part async for part in response])
            with pytest.raises(BodyChanged):
                await anext(response)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream, [])
        for number in range(2):
            options = Options.build(block2=Block(number, True, 16), etags=[bytes([number])])
            responder.answer(await responder.expect_request(), bytes(16), options=options)


async def test_the_client_is_closed_in_the_middle(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    first = Options.build(block2=Block(0, True, 16))
    started, ends = trio.Event(), list[object]()

    async def read(client: Client) -> None:
        async with client.stream(Code.GET, PEER) as response:
            assert await anext(response) == bytes(16)
            started.set()
            await anext(response)

    async with (
        trio.open_nursery() as nursery,
        open_client(transport=network.bind(CLIENT)) as client,
    ):
        nursery.start_soon(ask, ends, partial(read, client))
        responder.answer(await responder.expect_request(), bytes(16), options=first)
        await started.wait()
    assert isinstance(ends[0], trio.ClosedResourceError)


@pytest.mark.parametrize("parts", [{"retry": Retry()}, {"payload": 1}, {"body": b""}])
async def test_what_cannot_stream(
    autojump_clock: MockClock, client: Client, parts: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        async with client.stream(Code.GET, PEER, **parts):
            raise AssertionError("it is no request")
    with pytest.raises(ValueError, match="is not a method"):
        async with client.stream(Code.CONTENT, PEER):
            raise AssertionError("it is no request")


# -- what has one message --------------------------------------------------------------------------


async def test_observers_and_groups_have_one_message(
    autojump_clock: MockClock, client: Client
) -> None:
    with pytest.raises(ValueError, match="a request that observes has one message"):
        async with client.observe(PEER, method=Code.FETCH, payload=bytes(1025)):
            raise AssertionError("it is no request")
    with pytest.raises(ValueError, match="a request to a group has one message"):
        async with client.multicast(payload=bytes(1025)):
            raise AssertionError("it is no request")
    with pytest.raises(TypeError, match="does not stream"):
        async with client.multicast(payload=chunks(1)):
            raise AssertionError("it is no request")


async def test_what_is_observed_may_be_long(autojump_clock: MockClock, network: Network) -> None:
    router, states = Router(), [BODY[:5000], BODY[5000:9000]]

    @router.get("/state", observable=True)
    def state(request: Request) -> bytes:
        return states[0]

    async with (
        open_server(router, transport=network.bind(SERVER)) as server,
        open_client(transport=network.bind(CLIENT), tuning=Tuning(block_size=256)) as client,
        client.observe(PEER, "/state") as notifications,
    ):
        assert (await anext(notifications)).payload == BODY[:5000]
        assert notifications.observed
        states.pop(0)
        server.notify("/state")
        assert (await anext(notifications)).payload == BODY[5000:9000]
        await wait_all_tasks_blocked()
        assert all(m.type is Type.CON for m in requests(network))
