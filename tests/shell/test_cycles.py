"""Nothing of a request waits for the cyclic garbage collector, which an application may have set
to look rarely (``gc_policy``): what is over is freed when it is over."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Client,
    Code,
    NotFound,
    Request,
    Router,
    Server,
    StreamingResponse,
    open_client,
)
from coapsep.testing import Network
from tests.shell.client.responder import CLIENT
from tests.shell.peer import SERVER

URI = f"coap://{SERVER}"
#: Of each kind. What is made once and kept, or made in a cycle once, does not count.
REQUESTS = 40


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/hello")
    def hello(request: Request) -> str:
        return "hello"

    @router.get("/slow")
    async def slow(request: Request) -> str:
        await trio.sleep(1)
        return "slow"

    @router.get("/async")
    def later(request: Request) -> str | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=1)
            return None
        return "later"

    @router.get("/none")
    async def none(request: Request) -> str:
        await trio.sleep(1)
        raise NotFound("there is none")

    @router.get("/broken")
    async def broken(request: Request) -> str:
        raise RuntimeError("broken")

    @router.get("/long")
    def long(request: Request) -> bytes:
        return bytes(5000)

    async def parts() -> AsyncGenerator[bytes, None]:
        for _ in range(5):
            yield bytes(1000)

    @router.get("/stream")
    def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(parts(), size=5000)

    @router.put("/whole")
    def whole(request: Request) -> str:
        return str(len(request.payload))

    @router.put("/parts", stream=True)
    async def taken(request: Request) -> str:
        return str(sum([len(chunk) async for chunk in request.body]))

    @router.get("/obs", observable=True)
    async def states(request: Request) -> AsyncGenerator[str, None]:
        for number in range(1000):
            yield str(number)
            await trio.sleep(1)

    @router.get("/told", observable=True)
    def told(request: Request) -> bytes:
        return bytes(3000)

    return router


async def get(client: Client, path: str) -> None:
    await client.get(URI + path)


async def put(client: Client, path: str) -> None:
    await client.put(URI + path, payload=bytes(5000))


async def give_up(client: Client, path: str) -> None:
    with trio.move_on_after(0.5):
        await client.get(URI + path)


async def stream(client: Client, path: str) -> None:
    async with client.stream(Code.GET, URI + path) as response:
        async for _ in response:
            pass


async def leave_a_stream(client: Client, path: str) -> None:
    async with client.stream(Code.GET, URI + path) as response:
        async for _ in response:
            break


async def observe(client: Client, path: str) -> None:
    async with client.observe(URI + path) as states:
        async for _ in states:
            break


async def ping(client: Client, path: str) -> None:
    await client.ping(URI + path)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """It does not look while a test runs."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (get, "/hello"),
        (get, "/slow"),
        (get, "/async"),
        (get, "/none"),
        (get, "/broken"),
        (get, "/nowhere"),
        (get, "/long"),
        (get, "/stream"),
        (put, "/whole"),
        (put, "/parts"),
        (give_up, "/slow"),
        (give_up, "/async"),
        (stream, "/long"),
        (stream, "/stream"),
        (leave_a_stream, "/stream"),
        (observe, "/obs"),
        (observe, "/told"),
        (ping, ""),
    ],
    ids=lambda value: value.__name__ if callable(value) else value,
)
async def test_there_are_no_cycles(
    autojump_clock: MockClock,
    no_collector: None,
    caplog: pytest.LogCaptureFixture,
    network: Network,
    server: Server,
    ask: Callable[[Client, str], Awaitable[None]],
    path: str,
) -> None:
    caplog.set_level(logging.CRITICAL)  # a record of the log would keep what it tells of
    async with open_client(transport=network.bind(CLIENT, 0)) as client:
        await ask(client, path)
        gc.collect()
        for _ in range(REQUESTS):
            await ask(client, path)
        await trio.sleep(300)  # nothing of them is remembered any more
        assert gc.collect() < REQUESTS
