"""The HTTP example against an HTTP backend that a test drives, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
import trio
from trio.testing import MockClock

from coapsep import Code, Message, Options, Type, open_server
from coapsep.message.codec import encode
from coapsep.testing import Network, open_network
from examples.http_gateway import make_router
from tests.shell.peer import SERVER, Peer, open_peer

Reply = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Backend(httpx.AsyncBaseTransport):
    """An HTTP server without sockets, which remembers what became of its requests."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.log: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.log.append(f"got {request.url.path}")
        try:
            response = await self.reply(request)
        except trio.Cancelled:
            self.log.append("cancelled")
            raise
        self.log.append("answered")
        return response


async def slow(request: httpx.Request) -> httpx.Response:
    await trio.sleep(8)
    return httpx.Response(200, text="from far away", headers={"content-type": "text/plain"})


async def ask(
    network: Network, peer: Peer, backend: Backend, scenario: Callable[[], Awaitable[None]]
) -> None:
    http = httpx.AsyncClient(base_url="http://backend", transport=backend)
    async with http, open_server(make_router(http, 20), transport=network.bind(SERVER)):
        await scenario()


async def test_a_slow_backend_is_a_separate_response(autojump_clock: MockClock) -> None:
    backend = Backend(slow)
    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            request = peer.request("/backend/page")
            await peer.expect_ack(request)
            answer = await peer.expect_separate(request.token, b"from far away")
            assert answer.options.content_format == 0

        await ask(network, peer, backend, scenario)
    assert backend.log == ["got /page", "answered"]


async def test_a_backend_that_is_late_is_5_04_and_its_call_is_cancelled(
    autojump_clock: MockClock,
) -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    backend = Backend(never)
    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            await peer.expect_ack(peer.request("/backend/page"))
            await peer.expect_separate(
                b"tk", b"no answer from the backend in 20 s", Code.GATEWAY_TIMEOUT
            )

        await ask(network, peer, backend, scenario)
    assert backend.log == ["got /page", "cancelled"]


async def test_a_client_that_goes_away_cancels_the_call(autojump_clock: MockClock) -> None:
    """It shows in that its token comes again, as from a client that was started anew."""
    backend = Backend(slow)
    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            await peer.expect_ack(peer.request("/backend/first"))
            second = peer.request("/backend/second")
            await peer.expect_ack(second)
            await peer.expect_separate(second.token, b"from far away")
            await peer.expect_silence()

        await ask(network, peer, backend, scenario)
    assert backend.log == ["got /first", "got /second", "cancelled", "answered"]


@pytest.mark.parametrize(
    ("status", "code"), [(404, Code.NOT_FOUND), (500, Code.BAD_GATEWAY), (403, Code.BAD_GATEWAY)]
)
async def test_errors_of_the_backend(autojump_clock: MockClock, status: int, code: Code) -> None:
    async def fail(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status)

    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            peer.request("/backend/page")
            await peer.expect(Type.ACK, code)

        await ask(network, peer, Backend(fail), scenario)


async def test_a_backend_that_is_not_there(autojump_clock: MockClock) -> None:
    async def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            peer.request("/backend/page")
            answer = await peer.expect(Type.ACK, Code.BAD_GATEWAY)
            assert answer.payload == b"the backend failed: ConnectError"

        await ask(network, peer, Backend(refuse), scenario)


@pytest.mark.parametrize(
    ("segment", "path"),
    [
        ("../secret", "/..%2Fsecret"),
        ("a?x=1", "/a%3Fx%3D1"),
        ("a\n", "/a%0A"),
        ("#", "/%23"),
        ("\N{LATIN SMALL LETTER A WITH DIAERESIS}", "/%C3%A4"),
    ],
)
async def test_a_name_is_one_segment_for_the_backend_too(
    autojump_clock: MockClock, segment: str, path: str
) -> None:
    asked: list[bytes] = []

    async def note(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, text="x")

    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            options = Options.build(uri_path=["backend", segment])
            peer.send(encode(Message(Code.GET, Type.CON, 1, b"t", options)))
            await peer.expect(Type.ACK, Code.CONTENT)

        await ask(network, peer, Backend(note), scenario)
    assert asked == [path.encode()]


@pytest.mark.parametrize(
    "response", [httpx.Response(302), httpx.Response(200, content=b"x" * 1025)]
)
async def test_what_the_gateway_cannot_hand_on(
    autojump_clock: MockClock, response: httpx.Response
) -> None:
    async def reply(request: httpx.Request) -> httpx.Response:
        return response

    async with open_network() as network, open_peer(network) as peer:

        async def scenario() -> None:
            peer.request("/backend/page")
            await peer.expect(Type.ACK, Code.BAD_GATEWAY)

        await ask(network, peer, Backend(reply), scenario)
