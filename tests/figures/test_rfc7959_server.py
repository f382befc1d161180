"""RFC 7959 section 3, figures 2 to 13: the client is played, the server is ours."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator

import attrs
import pytest
from trio.testing import MockClock

from coapsep import Code, Request, Response, Router, Server, Tuning, open_server
from coapsep.testing import Network, ScriptedPeer
from tests.figures.sides import SERVER

STATUS = "".join(f"{n:07x}," for n in range(48))  # 384 bytes: three blocks of 128, six of 64
SOAP = STATUS + STATUS[:128]


@attrs.define
class Store:
    """What has been sent to our server, and what it answers."""

    bodies: list[str] = attrs.Factory(list)
    state: str = STATUS
    asked: int = 0


@pytest.fixture
def block_size() -> int:
    return 128


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
async def server(network: Network, store: Store, block_size: int) -> AsyncGenerator[Server, None]:
    """Ours: /status can be observed, /options stores, /soap answers."""
    router = Router()

    @router.get("/status", observable=True)
    def status(request: Request) -> Response:
        store.asked += 1
        return Response(Code.CONTENT, store.state.encode())

    @router.put("/options")
    def options(request: Request) -> Code:
        store.bodies.append(request.payload.decode())
        return Code.CHANGED

    @router.post("/soap")
    def soap(request: Request) -> Response:
        store.bodies.append(request.payload.decode())
        return Response(Code.CHANGED, SOAP.encode())

    async with open_server(
        router,
        transport=network.bind(SERVER.host, SERVER.port),
        tuning=Tuning(block_size=block_size),
        rng=random.Random(1),
    ) as server:
        yield server


def block(number: int, size: int = 128, of: str = STATUS) -> str:
    """The payload of one block, as it is written in a line."""
    return f'"{of[number * size :][:size]}"'


def first(rest: str) -> str:
    """What the first block of a body says beside: its length, and which version it is of."""
    return f"{rest}, ETag=$e, Size2=384"


async def test_figure_2(autojump_clock: MockClock, as_client: ScriptedPeer, store: Store) -> None:
    """Simple block-wise GET."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status
        <-- ACK [MID=0x04d2], 2.05 Content, {first("2:0/1/128")}, {block(0)}
        --> CON [MID=0x04d3], GET, /status, 2:1/0/128
        <-- ACK [MID=0x04d3], 2.05 Content, 2:1/1/128, ETag=$e, {block(1)}
        --> CON [MID=0x04d4], GET, /status, 2:2/0/128
        <-- ACK [MID=0x04d4], 2.05 Content, 2:2/0/128, ETag=$e, {block(2)}
        """
    )
    await as_client.expect_nothing()
    assert store.asked == 1


async def test_figure_3(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """Early negotiation: the client wants smaller blocks from the start."""
    rest = "\n".join(
        f"""
        --> CON [MID=0x{0x4D2 + n:04x}], GET, /status, 2:{n}/0/64
        <-- ACK [MID=0x{0x4D2 + n:04x}], 2.05, 2:{n}/{n < 5:d}/64, ETag=$e, {block(n, 64)}
        """
        for n in range(1, 6)
    )
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status, 2:0/0/64
        <-- ACK [MID=0x04d2], 2.05 Content, {first("2:0/1/64")}, {block(0, 64)}
        """
        + rest
    )
    await as_client.expect_nothing()


async def test_figure_4(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """Late negotiation: it wants smaller ones after the first."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status
        <-- ACK [MID=0x04d2], 2.05 Content, {first("2:0/1/128")}, {block(0)}
        --> CON [MID=0x04d3], GET, /status, 2:2/0/64
        <-- ACK [MID=0x04d3], 2.05 Content, 2:2/1/64, ETag=$e, {block(2, 64)}
        --> CON [MID=0x04d4], GET, /status, 2:3/0/64
        <-- ACK [MID=0x04d4], 2.05 Content, 2:3/1/64, ETag=$e, {block(3, 64)}
        --> CON [MID=0x04d5], GET, /status, 2:4/0/64
        <-- ACK [MID=0x04d5], 2.05 Content, 2:4/1/64, ETag=$e, {block(4, 64)}
        --> CON [MID=0x04d6], GET, /status, 2:5/0/64
        <-- ACK [MID=0x04d6], 2.05 Content, 2:5/0/64, ETag=$e, {block(5, 64)}
        """
    )
    await as_client.expect_nothing()


async def test_figure_5(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """The same, with a request that is lost."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status
        <-- ACK [MID=0x04d2], 2.05 Content, {first("2:0/1/128")}, {block(0)}
        --X CON [MID=0x04d3], GET, /status, 2:2/0/64
        @ 2.5
        --> CON [MID=0x04d3], GET, /status, 2:2/0/64
        <-- ACK [MID=0x04d3], 2.05 Content, 2:2/1/64, ETag=$e, {block(2, 64)}
        """
    )
    await as_client.expect_nothing()


async def test_figure_6(
    autojump_clock: MockClock, as_client: ScriptedPeer, store: Store, server: Server
) -> None:
    """The same, with a response that is lost."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status
        <-- ACK [MID=0x04d2], 2.05 Content, {first("2:0/1/128")}, {block(0)}
        --> CON [MID=0x04d3], GET, /status, 2:2/0/64
        X-- ACK [MID=0x04d3], 2.05 Content, 2:2/1/64, ETag=$e, {block(2, 64)}
        @ 2.5
        --> CON [MID=0x04d3], GET, /status, 2:2/0/64
        <-- ACK [MID=0x04d3], 2.05 Content, 2:2/1/64, ETag=$e, {block(2, 64)}
        """
    )
    await as_client.expect_nothing()
    assert server.statistics().copies_answered == 1
    assert store.asked == 1


async def test_figure_7(autojump_clock: MockClock, as_client: ScriptedPeer, store: Store) -> None:
    """Simple atomic PUT."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], PUT, /options, 1:0/1/128, {block(0)}
        <-- ACK [MID=0x04d2], 2.31 Continue, 1:0/1/128
        --> CON [MID=0x04d3], PUT, /options, 1:1/1/128, {block(1)}
        <-- ACK [MID=0x04d3], 2.31 Continue, 1:1/1/128
        --> CON [MID=0x04d4], PUT, /options, 1:2/0/128, {block(2)}
        <-- ACK [MID=0x04d4], 2.04 Changed, 1:2/0/128
        """
    )
    await as_client.expect_nothing()
    assert store.bodies == [STATUS]


@pytest.mark.parametrize("block_size", [32])
async def test_figure_8(autojump_clock: MockClock, as_client: ScriptedPeer, store: Store) -> None:
    """The server wants smaller blocks."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], PUT, /options, 1:0/1/128, {block(0)}
        <-- ACK [MID=0x04d2], 2.31 Continue, 1:0/1/32
        --> CON [MID=0x04d3], PUT, /options, 1:4/1/32, {block(4, 32)}
        <-- ACK [MID=0x04d3], 2.31 Continue, 1:4/1/32
        --> CON [MID=0x04d4], PUT, /options, 1:5/1/32, {block(5, 32)}
        <-- ACK [MID=0x04d4], 2.31 Continue, 1:5/1/32
        --> CON [MID=0x04d5], PUT, /options, 1:6/0/32, {block(6, 32)}
        <-- ACK [MID=0x04d5], 2.04 Changed, 1:6/0/32
        """
    )
    await as_client.expect_nothing()
    assert store.bodies == [STATUS[:224]]


async def test_figure_9(autojump_clock: MockClock, as_client: ScriptedPeer, store: Store) -> None:
    """In the figure the server is stateless, and stores each block with a 2.04. Ours never does:
    a body is whole or nothing, and one of which a block is missing is not stored."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], PUT, /options, 1:0/1/128, {block(0)}
        <-- ACK [MID=0x04d2], 2.31 Continue, 1:0/1/128
        --> CON [MID=0x04d4], PUT, /options, 1:2/0/128, {block(2)}
        <-- ACK [MID=0x04d4], 4.08 Request Entity Incomplete, 1:2/0/128, *
        """
    )
    await as_client.expect_nothing()
    assert store.bodies == []


async def test_figure_10(autojump_clock: MockClock, as_client: ScriptedPeer, store: Store) -> None:
    """Atomic block-wise POST with a block-wise response."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], POST, /soap, 1:0/1/128, {block(0)}
        <-- ACK [MID=0x04d2], 2.31 Continue, 1:0/1/128
        --> CON [MID=0x04d3], POST, /soap, 1:1/1/128, {block(1)}
        <-- ACK [MID=0x04d3], 2.31 Continue, 1:1/1/128
        --> CON [MID=0x04d4], POST, /soap, 1:2/0/128, {block(2)}
        <-- ACK [MID=0x04d4], 2.04, 2:0/1/128, 1:2/0/128, ETag=$e, Size2=512, {block(0)}
        --> CON [MID=0x04d5], POST, /soap, 2:1/0/128
        <-- ACK [MID=0x04d5], 2.04 Changed, 2:1/1/128, ETag=$e, {block(1)}
        --> CON [MID=0x04d6], POST, /soap, 2:2/0/128
        <-- ACK [MID=0x04d6], 2.04 Changed, 2:2/1/128, ETag=$e, {block(2)}
        --> CON [MID=0x04d7], POST, /soap, 2:3/0/128
        <-- ACK [MID=0x04d7], 2.04 Changed, 2:3/0/128, ETag=$e, {block(3, of=SOAP)}
        """
    )
    await as_client.expect_nothing()
    assert store.bodies == [STATUS]


async def test_figure_11(autojump_clock: MockClock, as_client: ScriptedPeer) -> None:
    """The same, and the client says early that it wants the response in smaller blocks."""
    rest = "\n".join(
        f"""
        --> CON [MID=0x{0x4E0 + n:04x}], POST, /soap, 2:{n}/0/64
        <-- ACK [MID=0x{0x4E0 + n:04x}], 2.04, 2:{n}/{n < 7:d}/64, ETag=$e, {block(n, 64, SOAP)}
        """
        for n in range(1, 8)
    )
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], POST, /soap, 1:0/1/128, {block(0)}
        <-- ACK [MID=0x04d2], 2.31 Continue, 1:0/1/128
        --> CON [MID=0x04d3], POST, /soap, 1:1/1/128, {block(1)}
        <-- ACK [MID=0x04d3], 2.31 Continue, 1:1/1/128
        --> CON [MID=0x04d4], POST, /soap, 1:2/0/128, 2:0/0/64, {block(2)}
        <-- ACK [MID=0x04d4], 2.04, 1:2/0/128, 2:0/1/64, ETag=$e, Size2=512, {block(0, 64)}
        """
        + rest
    )
    await as_client.expect_nothing()


async def test_figure_12(
    autojump_clock: MockClock, as_client: ScriptedPeer, store: Store, server: Server
) -> None:
    """Observe with a block-wise response: the rest is fetched, with a token of its own."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status, T=fb, Observe=0
        <-- ACK [MID=0x04d2], 2.05, T=fb, Observe=*, {first("2:0/1/128")}, {block(0)}
        --> CON [MID=0x04d3], GET, /status, T=fc, 2:1/0/128
        <-- ACK [MID=0x04d3], 2.05, T=fc, 2:1/1/128, ETag=$e, {block(1)}
        --> CON [MID=0x04d4], GET, /status, T=fc, 2:2/0/128
        <-- ACK [MID=0x04d4], 2.05, T=fc, 2:2/0/128, ETag=$e, {block(2)}
        """
    )
    store.state = STATUS[::-1]
    server.notify("/status")
    new = store.state
    await as_client.play(
        f"""
        <-- CON [MID=$n], 2.05, T=fb, Observe=*, 2:0/1/128, ETag=$f, Size2=384, {block(0, of=new)}
        --> ACK [MID=$n]
        --> CON [MID=0x04d5], GET, /status, T=fd, 2:1/0/128
        <-- ACK [MID=0x04d5], 2.05, T=fd, 2:1/1/128, ETag=$f, {block(1, of=new)}
        --> CON [MID=0x04d6], GET, /status, T=fd, 2:2/0/128
        <-- ACK [MID=0x04d6], 2.05, T=fd, 2:2/0/128, ETag=$f, {block(2, of=new)}
        """
    )
    await as_client.expect_nothing()
    assert store.asked == 2


async def test_figure_13(
    autojump_clock: MockClock, as_client: ScriptedPeer, store: Store, server: Server
) -> None:
    """With early negotiation, the notifications have the size that was asked for, too."""
    await as_client.play(
        f"""
        --> CON [MID=0x04d2], GET, /status, T=fb, Observe=0, 2:0/0/64
        <-- ACK [MID=0x04d2], 2.05, T=fb, Observe=*, {first("2:0/1/64")}, {block(0, 64)}
        """
    )
    store.state = new = STATUS[::-1]
    server.notify("/status")
    await as_client.play(
        f"""
        <-- CON [MID=$n], 2.05, T=fb, Observe=*, 2:0/1/64, ETag=$f, Size2=384, {block(0, 64, new)}
        --> ACK [MID=$n]
        --> CON [MID=0x04d3], GET, /status, T=fc, 2:1/0/64
        <-- ACK [MID=0x04d3], 2.05, T=fc, 2:1/1/64, ETag=$f, {block(1, 64, new)}
        """
    )
    await as_client.expect_nothing()
