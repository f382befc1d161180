"""Client.discover: the links of a peer, filtered there or here (RFC 6690)."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    BadResponse,
    Client,
    Code,
    Link,
    Options,
    Request,
    Response,
    Router,
    Server,
    Type,
    UnsuccessfulResponse,
)
from coapsep.testing import Network
from tests.shell.client.asking import PEER, ask
from tests.shell.client.names import Names
from tests.shell.client.responder import Responder
from tests.shell.peer import SERVER

URI = f"coap://{SERVER}"
TEMPERATURE = Link.of("/sensors/temp", rt="temperature-c indoor", if_="sensor", ct=(0, 50))
LIGHT = Link.of("/sensors/light", rt="light-lux", if_="sensor")
FIRMWARE = Link.of("/fw", title="Firmware", ct=42, sz=4096)
ALL = (TEMPERATURE, LIGHT, FIRMWARE)


def handler(request: Request) -> str:
    return "a value"


@pytest.fixture
def router() -> Router:
    router = Router()
    router.get("/sensors/temp", rt=("temperature-c", "indoor"), if_="sensor", ct=(0, 50))(handler)
    router.get("/sensors/light", rt="light-lux", if_="sensor")(handler)
    router.put("/fw", title="Firmware", ct=42, sz=4096)(handler)
    return router


FILTERS: list[tuple[dict[str, str | int], tuple[Link, ...]]] = [
    ({}, ALL),
    ({"rt": "light-lux"}, (LIGHT,)),
    ({"rt": "light*"}, (LIGHT,)),
    ({"rt": "indoor"}, (TEMPERATURE,)),
    ({"if_": "sensor"}, (TEMPERATURE, LIGHT)),
    ({"if_": "sensor", "ct": 50}, (TEMPERATURE,)),
    ({"ct": "42"}, (FIRMWARE,)),
    ({"href": "/sensors/*"}, (TEMPERATURE, LIGHT)),
    ({"href": "/fw"}, (FIRMWARE,)),
    ({"sz": 4096, "title": "Firm*"}, (FIRMWARE,)),
    ({"rt": "none"}, ()),
    ({"target": "any"}, ()),  # no name is taken
]


@pytest.mark.parametrize(("wanted", "links"), FILTERS, ids=str)
async def test_a_server_that_filters(
    autojump_clock: MockClock,
    server: Server,
    client: Client,
    wanted: dict[str, str | int],
    links: tuple[Link, ...],
) -> None:
    assert await client.discover(PEER, **wanted) == links
    assert await client.discover(f"{URI}/", **wanted) == links


@pytest.mark.parametrize(("wanted", "links"), FILTERS, ids=str)
async def test_a_server_that_does_not_filter(
    autojump_clock: MockClock,
    client: Client,
    responder: Responder,
    wanted: dict[str, str | int],
    links: tuple[Link, ...],
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.discover, PEER, **wanted))
        request = await responder.expect_request()
        query = [f"{name.removesuffix('_')}={value}" for name, value in wanted.items()]
        assert request.options == Options.build(
            uri_path=[".well-known", "core"], uri_query=query, accept=40
        )
        text = ",".join(map(str, ALL)).encode()
        responder.answer(request, text, options=Options.build(content_format=40))
    assert ends == [links]


@pytest.mark.parametrize(
    ("payload", "content_format"),
    [(b"{}", 50), (b"</a", 40), (b"\xff", 40), (b"hello", None), (b"</a>;", 40)],
)
async def test_what_is_no_list_is_a_bad_response(
    autojump_clock: MockClock,
    client: Client,
    responder: Responder,
    payload: bytes,
    content_format: int | None,
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.discover, PEER))
        request = await responder.expect_request()
        responder.answer(request, payload, options=Options.build(content_format=content_format))
    assert isinstance(ends[0], BadResponse)
    assert str(ends[0]).startswith("10.0.0.1:5683 does not list its resources: ")


async def test_an_empty_list_and_one_without_a_format(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    for payload, links in ((b"", ()), (b"</a>", (Link.of("/a"),))):
        ends: list[object] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, ends, partial(client.discover, PEER))
            responder.answer(await responder.expect_request(), payload)
        assert ends == [links]


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.NOT_ACCEPTABLE, Code(0xA9)], ids=str)
async def test_an_error_is_raised(
    autojump_clock: MockClock, client: Client, responder: Responder, code: Code
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.discover, PEER))
        responder.answer(await responder.expect_request(), code=code)
    assert isinstance(ends[0], UnsuccessfulResponse)
    assert ends[0].response.code == code


async def test_a_target_with_a_path_is_a_mistake(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with pytest.raises(ValueError, match="leave out the one of coap://"):
        await client.discover(f"{URI}/sensors")
    assert len(network.trace) == 0


async def test_a_name(
    autojump_clock: MockClock, names: Names, server: Server, client: Client
) -> None:
    names.set("plant.example", SERVER, "10.0.0.99")
    assert await client.discover("coap://plant.example", rt="light-lux") == (LIGHT,)


async def test_a_list_that_takes_its_time(
    autojump_clock: MockClock, router: Router, server: Server, client: Client
) -> None:
    @router.get("/.well-known/core")
    async def slow(request: Request) -> Response:
        await trio.sleep(3)
        return Response(Code.CONTENT, b"</late>", content_format=40)

    assert await client.discover(PEER) == (Link.of("/late"),)


async def test_links_of_a_group_are_read_from_each_response(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    responder.transport.join("224.0.1.187")
    async with client.multicast(seconds=5) as responses:
        request = await responder.expect_request(Type.NON)
        options = Options.build(content_format=40)
        responder.answer(request, b"</a>;rt=b", kind=Type.NON, options=options)
        assert [one.links() async for one in responses] == [(Link.of("/a", rt="b"),)]
