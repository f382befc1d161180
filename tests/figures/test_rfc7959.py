"""RFC 7959 section 3: the server is played, the client is ours."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
import trio.testing
from trio.testing import MockClock

from coapsep import Client, ClientResponse, Code, RequestFailed
from coapsep.testing import ScriptedPeer
from tests.figures.sides import SERVER
from tests.figures.test_rfc7959_server import SOAP, STATUS, block


async def asked(
    client: Client, server: ScriptedPeer, script: str, method: Code, path: str, **parts: Any
) -> ClientResponse | RequestFailed:
    """Let the server play its script, and the client ask, to the end of both."""
    ends: list[ClientResponse | RequestFailed] = []

    async def ask() -> None:
        try:
            ends.append(await client.request(method, SERVER, path, **parts))
        except RequestFailed as exc:
            ends.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(server.play, script))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
    await server.expect_nothing()
    return ends[0]


def blocks(first: int, last: int, size: int, method: str = "GET", path: str = "/status") -> str:
    """The client asks for these blocks, one after the other, and gets them."""
    of, code = (STATUS, "2.05") if method == "GET" else (SOAP, "2.04")
    return "".join(
        f"""
        <-- CON [MID=$m{n}], {method}, {path}, T=$t{n}, 2:{n}/0/{size}
        --> ACK [MID=$m{n}], {code}, T=$t{n}, 2:{n}/{n < last:d}/{size}, {block(n, size, of)}
        """
        for n in range(first, last + 1)
    )


async def test_figure_2(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """Simple block-wise GET."""
    script = f"""
        <-- CON [MID=$m], GET, /status, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, 2:0/1/128, {block(0)}
        """
    response = await asked(client, as_server, script + blocks(1, 2, 128), Code.GET, "/status")
    assert isinstance(response, ClientResponse)
    assert response.text == STATUS


async def test_figure_3(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """Early negotiation."""
    script = blocks(0, 5, 64)
    response = await asked(client, as_server, script, Code.GET, "/status", block_size=64)
    assert isinstance(response, ClientResponse)
    assert response.text == STATUS


async def test_figure_5(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """A request for a block is lost, and then the answer to it."""
    script = f"""
        <-- CON [MID=$m], GET, /status, T=$t
        --> ACK [MID=$m], 2.05 Content, T=$t, 2:0/1/128, {block(0)}
        X-- CON [MID=$n], GET, /status, T=$u, 2:1/0/128
        <-- CON [MID=$n], GET, /status, T=$u, 2:1/0/128
        --X ACK [MID=$n], 2.05 Content, T=$u, 2:1/1/128, {block(1)}
        <-- CON [MID=$n], GET, /status, T=$u, 2:1/0/128
        --> ACK [MID=$n], 2.05 Content, T=$u, 2:1/1/128, {block(1)}
        """
    response = await asked(client, as_server, script + blocks(2, 2, 128), Code.GET, "/status")
    assert isinstance(response, ClientResponse)
    assert response.text == STATUS


async def test_figure_7(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """Simple atomic PUT; the client asks for answers in blocks of its size, too."""
    script = f"""
        <-- CON [MID=$m], PUT, /options, T=$t, 1:0/1/128, Size1=384, {block(0)}
        --> ACK [MID=$m], 2.31 Continue, T=$t, 1:0/1/128
        <-- CON [MID=$n], PUT, /options, T=$u, 1:1/1/128, {block(1)}
        --> ACK [MID=$n], 2.31 Continue, T=$u, 1:1/1/128
        <-- CON [MID=$o], PUT, /options, T=$v, 2:0/0/128, 1:2/0/128, {block(2)}
        --> ACK [MID=$o], 2.04 Changed, T=$v, 1:2/0/128
        """
    response = await asked(
        client, as_server, script, Code.PUT, "/options", payload=STATUS.encode(), block_size=128
    )
    assert isinstance(response, ClientResponse)
    assert response.code is Code.CHANGED


async def test_figure_8(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """The server wants smaller blocks."""
    rest = "".join(
        f"""
        <-- CON [MID=$m{n}], PUT, /options, T=$t{n}, 1:{n}/1/32, {block(n, 32)}
        --> ACK [MID=$m{n}], 2.31 Continue, T=$t{n}, 1:{n}/1/32
        """
        for n in range(4, 6)
    )
    script = f"""
        <-- CON [MID=$m], PUT, /options, T=$t, 1:0/1/128, Size1=224, {block(0)}
        --> ACK [MID=$m], 2.31 Continue, T=$t, 1:0/1/32
        {rest}
        <-- CON [MID=$o], PUT, /options, T=$v, 2:0/0/128, 1:6/0/32, {block(6, 32)}
        --> ACK [MID=$o], 2.04 Changed, T=$v, 1:6/0/32
        """
    body = STATUS[:224].encode()
    response = await asked(
        client, as_server, script, Code.PUT, "/options", payload=body, block_size=128
    )
    assert isinstance(response, ClientResponse)
    assert response.code is Code.CHANGED


async def test_figure_10(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """Atomic block-wise POST with a block-wise response."""
    script = f"""
        <-- CON [MID=$m], POST, /soap, T=$t, 1:0/1/128, Size1=384, {block(0)}
        --> ACK [MID=$m], 2.31 Continue, T=$t, 1:0/1/128
        <-- CON [MID=$n], POST, /soap, T=$u, 1:1/1/128, {block(1)}
        --> ACK [MID=$n], 2.31 Continue, T=$u, 1:1/1/128
        <-- CON [MID=$o], POST, /soap, T=$v, 2:0/0/128, 1:2/0/128, {block(2)}
        --> ACK [MID=$o], 2.04 Changed, T=$v, 2:0/1/128, 1:2/0/128, {block(0, 128, SOAP)}
        """
    script += blocks(1, 3, 128, "POST", "/soap")
    response = await asked(
        client, as_server, script, Code.POST, "/soap", payload=STATUS.encode(), block_size=128
    )
    assert isinstance(response, ClientResponse)
    assert (response.code, response.text) == (Code.CHANGED, SOAP)


async def test_figure_12(
    autojump_clock: MockClock, client: Client, as_server: ScriptedPeer
) -> None:
    """A notification that is longer than a block: the rest is fetched, without Observe."""
    states: list[str] = []
    script = f"""
        <-- CON [MID=$m], GET, /status, T=$t, Observe=0
        --> ACK [MID=$m], 2.05 Content, T=$t, Observe=62350, "short"
        --> CON [MID=0x4321], 2.05 Content, T=$t, Observe=62354, 2:0/1/128, {block(0)}
        <-- ACK [MID=0x4321]
        """

    async def observe() -> None:
        async with client.observe(SERVER, "/status") as notifications:
            for _ in range(2):
                states.append((await anext(notifications)).text)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(as_server.play, script + blocks(1, 2, 128))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(observe)
    assert states == ["short", STATUS]


async def test_figure_9(autojump_clock: MockClock, client: Client, as_server: ScriptedPeer) -> None:
    """Stateless PUT: the server acts on each block by itself, and the client sends them all."""
    script = "".join(
        f"""
        <-- CON [MID=$m{n}], PUT, /options, T=$t{n}, {asked_for}, {block(n)}
        --> ACK [MID=$m{n}], 2.04 Changed, T=$t{n}, 1:{n}/0/128
        """
        for n, asked_for in enumerate(("1:0/1/128, Size1=384", "1:1/1/128", "2:0/0/128, 1:2/0/128"))
    )
    response = await asked(
        client, as_server, script, Code.PUT, "/options", payload=STATUS.encode(), block_size=128
    )
    assert isinstance(response, ClientResponse)
    assert response.code is Code.CHANGED
