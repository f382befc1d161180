"""Our client and a server of aiocoap's, over real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator

import pytest
import trio

from coapsep import Client, ClientResponse, Code, Link, Retry, open_client
from tests.interop.processes import PATIENCE, AiocoapServer


@pytest.fixture(scope="module")
def server() -> Generator[AiocoapServer, None, None]:
    with AiocoapServer() as server:
        yield server


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


async def test_a_piggybacked_response(client: Client, server: AiocoapServer) -> None:
    response = await client.get(server.uri("/hello"))
    assert (response.code, response.text, response.content_format) == (Code.CONTENT, "hello", 0)
    assert client.statistics().datagrams_received == 1


async def test_a_separate_response(client: Client, server: AiocoapServer) -> None:
    response = await client.get(server.uri("/slow"))
    assert (response.code, response.text) == (Code.CONTENT, "slow")
    statistics = client.statistics()
    assert (statistics.datagrams_sent, statistics.datagrams_received) == (2, 2)


@pytest.mark.parametrize("path", ["/hello", "/slow"])
async def test_non(client: Client, server: AiocoapServer, path: str) -> None:
    response = await client.get(server.uri(path), confirmable=False)
    assert response.text == path[1:]
    assert client.statistics().datagrams_sent in (1, 2)  # 2 where it answers with a CON


@pytest.mark.parametrize("method", ["post", "put", "fetch", "patch", "ipatch"])
async def test_each_method(client: Client, server: AiocoapServer, method: str) -> None:
    ask: Callable[..., object] = getattr(client, method)
    response = await ask(server.uri("/echo"), query=["a=%", "b"], payload="grün")  # type: ignore[misc]  # it is one of several
    assert isinstance(response, ClientResponse)
    assert response.text == f"{Code[method.upper()] if method != 'ipatch' else 'iPATCH'}?a=%&b:grün"


async def test_delete(client: Client, server: AiocoapServer) -> None:
    assert (await client.delete(server.uri("/echo"))).code is Code.DELETED


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/nothing", Code.GET, Code.NOT_FOUND),
        ("/hello", Code.POST, Code.METHOD_NOT_ALLOWED),
        ("/hello", Code(31), Code.METHOD_NOT_ALLOWED),
    ],
)
async def test_refusals(
    client: Client, server: AiocoapServer, path: str, method: Code, code: Code
) -> None:
    assert (await client.request(method, server.uri(path))).code is code


async def test_asked_again_when_the_server_says_so(client: Client, server: AiocoapServer) -> None:
    response = await client.get(server.uri("/busy"), retry=Retry())
    assert response.text == "at last"
    assert client.statistics().requests_sent == 2


async def test_discovery(client: Client, server: AiocoapServer) -> None:
    links = await client.discover(server.uri())
    assert {"/hello", "/slow", "/echo"} <= {link.target for link in links}
    (hello,) = await client.discover(server.uri(), rt="greeting")
    assert isinstance(hello, Link)
    assert hello.target == "/hello"


async def test_ping(client: Client, server: AiocoapServer) -> None:
    assert 0 < await client.ping(server.uri()) < PATIENCE


async def test_twenty_at_once(client: Client, server: AiocoapServer) -> None:
    responses: list[ClientResponse] = []

    async def ask(path: str) -> None:
        responses.append(await client.get(server.uri(path)))

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(ask, ("/hello", "/slow")[number % 2])
    assert sorted(response.text for response in responses) == ["hello"] * 10 + ["slow"] * 10


async def test_ipv6(client: Client, ipv6: str) -> None:
    with AiocoapServer("::1") as server:
        assert (await client.get(server.uri("/slow"))).text == "slow"
