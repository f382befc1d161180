"""A server that is asked by multicast: RFC 7252 section 8."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    Block,
    Client,
    Code,
    Message,
    NotFound,
    Options,
    Request,
    Response,
    Router,
    Server,
    Type,
    open_client,
    open_server,
)
from coapsep.message.options import EMPTY
from coapsep.testing import Network
from tests.shell.peer import SERVER, Peer, open_peer

GROUP = "224.0.1.187"


@pytest.fixture
def router() -> Router:
    router = Router()
    router.get("/now", rt="clock")(lambda request: "now")

    @router.get("/later")
    def later(request: Request) -> str | None:
        if request.pending is None:
            request.asyncs.register_async(request, 2)
            return None
        return "later"

    @router.get("/nothing")
    def nothing(request: Request) -> Response:
        raise NotFound("not for you")

    router.get("/long")(lambda request: bytes(2500))
    return router


@pytest.fixture
async def server(network: Network, router: Router) -> AsyncGenerator[Server, None]:
    transport = network.bind(SERVER)
    transport.join(GROUP)
    async with open_server(router, transport=transport, rng=random.Random(1)) as server:
        yield server


@pytest.fixture
async def client(network: Network) -> AsyncGenerator[Client, None]:
    async with open_client(transport=network.bind("10.0.0.2"), rng=random.Random(2)) as client:
        yield client


async def heard(
    client: Client, path: str, options: Options = EMPTY
) -> list[tuple[str, Code, bytes]]:
    asking = client.multicast(f"coap://{GROUP}", path, seconds=20, options=options)
    async with asking as responses:
        return [(r.peer.host, r.code, r.payload) async for r in responses]


async def test_it_answers_from_its_own_address_at_leisure(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    began = trio.current_time()
    assert await heard(client, "/now") == [(SERVER, Code.CONTENT, b"now")]
    (answer,) = [sent for sent in network.trace if sent.source.host == SERVER]
    assert isinstance(answer.message, Message)
    assert answer.message.type is Type.NON
    assert 0 < answer.time - began <= 5.1  # DEFAULT_LEISURE (section 8.2)


@pytest.mark.parametrize("path", ["/nothing", "/no/such/path", "/.well-known/core?rt=lamp"])
async def test_what_it_has_not_it_does_not_tell(
    autojump_clock: MockClock, server: Server, client: Client, path: str
) -> None:
    assert await heard(client, path) == []
    assert server.statistics().suppressed == 1
    assert server.statistics().open_requests == 0


async def test_who_wants_errors_gets_them(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    """No-Response of 0 asks for all (RFC 7967 section 2.1)."""
    wanted = Options.build(no_response=0)
    assert [code for _, code, _ in await heard(client, "/nothing", options=wanted)] == [
        Code.NOT_FOUND
    ]


async def test_who_wants_nothing_gets_nothing(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    assert await heard(client, "/now", options=Options.build(no_response=2)) == []


async def test_a_pending_request_is_answered_when_its_time_comes(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    assert await heard(client, "/later") == [(SERVER, Code.CONTENT, b"later")]


async def test_discovery(autojump_clock: MockClock, server: Server, client: Client) -> None:
    [(_, code, links)] = await heard(client, "/.well-known/core?rt=clock")
    assert (code, links) == (Code.CONTENT, b'</now>;rt="clock"')


async def test_the_rest_of_a_long_answer_can_be_asked_for_by_unicast(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    """RFC 7959 section 2.8. Our client does not, and does not take the beginning for the whole."""
    async with open_peer(network) as peer:
        session = peer.transport.session_to(Address(GROUP, 5683))
        peer.transport.send(b"\x50\x01\x12\x34\xb4long", session)
        await trio.sleep(6)
        (first,) = drawn(network, peer)
        assert first.options.block2 == Block(0, more=True, size=1024)
        peer.request("/long", block2=Block(1, more=False, size=1024), token=b"")
        await trio.sleep(1)
        second = drawn(network, peer)[1]
        assert second.options.etags == first.options.etags
        assert second.options.block2 == Block(1, more=True, size=1024)


async def ask_the_group(network: Network, data: bytes) -> list[Message]:
    """What a datagram to the group draws."""
    async with open_peer(network) as peer:
        session = peer.transport.session_to(Address(GROUP, 5683))
        peer.transport.send(data, session)
        await trio.sleep(30)
        return drawn(network, peer)


def drawn(network: Network, peer: Peer) -> list[Message]:
    messages = [s.message for s in network.trace if s.destination == peer.address]
    return [message for message in messages if isinstance(message, Message)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x40\x01\x12\x34\xb3now", id="a CON"),
        pytest.param(b"\x40\x00\x12\x34", id="a ping"),
        pytest.param(b"\x60\x45\x12\x34", id="an ACK"),
        pytest.param(b"\x70\x00\x12\x34", id="an RST"),
        pytest.param(b"\x50\x45\x12\x34", id="a response"),
        pytest.param(b"\x40\x01\x12\x34\xff", id="a malformed CON"),
        pytest.param(b"\x50\x01\x12\x34\xff", id="a malformed NON"),
        pytest.param(b"\x50\x01\x12\x34\xb3now\xd1\x00\x01\xe2\x00\x00xx", id="unknown options"),
        pytest.param(b"", id="nothing"),
    ],
)
async def test_what_else_comes_to_a_group_draws_nothing(
    autojump_clock: MockClock, network: Network, server: Server, data: bytes
) -> None:
    """Section 8.1: only NON requests, and no RST."""
    assert await ask_the_group(network, data) == []
    assert server.statistics().open_requests == 0


async def test_a_copy_is_not_answered_again(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with open_peer(network) as peer:
        session = peer.transport.session_to(Address(GROUP, 5683))
        for _ in range(3):
            peer.transport.send(b"\x50\x01\x12\x34\xb3now", session)
            await trio.sleep(6)
        assert len(drawn(network, peer)) == 1
    assert server.statistics().copies_ignored == 2


async def test_nobody_registers_as_an_observer_by_multicast(
    autojump_clock: MockClock, server: Server, router: Router, client: Client
) -> None:
    router.get("/seen", observable=True)(lambda request: "seen")
    await heard(client, "/seen", options=Options.build(observe=0))
    assert server.statistics().observers == 0
