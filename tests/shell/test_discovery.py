"""/.well-known/core through the whole server (RFC 6690 section 4, RFC 7252 section 7.2)."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from coapsep import Code, Link, Message, Request, Router, Server, Type
from coapsep.message.linkformat import parse
from tests.shell.peer import Peer

PATH = "/.well-known/core"
FORMAT = 40
TEMPERATURE = '</sensors/temp>;rt="temperature-c indoor";if="sensor";ct="0 50"'
LIGHT = '</sensors/light>;rt="light-lux";if="sensor"'
FIRMWARE = '</fw>;title="Firmware";ct=42;sz=4096'
ROOT = "</>"
ALL = [TEMPERATURE, LIGHT, FIRMWARE, ROOT]


def handler(request: Request) -> str:
    return "a value"


@pytest.fixture
def resources(router: Router) -> None:
    router.get("/sensors/temp", rt=("temperature-c", "indoor"), if_="sensor", ct=(0, 50))(handler)
    router.get("/sensors/light", rt="light-lux", if_="sensor")(handler)
    router.put("/fw", title="Firmware", ct=42, sz=4096)(handler)
    router.post("/")(handler)
    router.get("/hidden", rt="light-lux", listed=False)(handler)
    router.get("/rooms/{room}/light", rt="light-lux")(handler)


async def listed(peer: Peer, *query: str) -> str:
    """The list as it comes, checked for what every list must be."""
    request = peer.request(PATH, query=query)
    answer = await peer.expect(Type.ACK, Code.CONTENT, mid=request.mid, token=request.token)
    assert answer.options.content_format == FORMAT
    return answer.payload.decode()


async def test_the_whole_list(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    """Neither the unlisted resource nor the one with a parameter is in it."""
    assert await listed(peer) == ",".join(ALL)


async def test_a_list_can_be_read_again(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    assert parse(await listed(peer)) == (
        Link.of("/sensors/temp", rt="temperature-c indoor", if_="sensor", ct=(0, 50)),
        Link.of("/sensors/light", rt="light-lux", if_="sensor"),
        Link.of("/fw", title="Firmware", ct=42, sz=4096),
        Link.of("/"),
    )


async def test_what_is_unlisted_is_there_all_the_same(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    for path in ("/hidden", "/rooms/7/light"):
        peer.request(path)
        await peer.expect(Type.ACK, Code.CONTENT, payload=b"a value")


async def test_a_server_without_resources_has_an_empty_list(
    autojump_clock: MockClock, server: Server, peer: Peer
) -> None:
    assert await listed(peer) == ""


async def test_what_is_added_later_is_listed(
    autojump_clock: MockClock, server: Server, resources: None, router: Router, peer: Peer
) -> None:
    router.get("/new")(handler)
    assert await listed(peer) == ",".join([*ALL, "</new>"])


async def test_as_a_non(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    request = peer.request(PATH, kind=Type.NON)
    answer = await peer.expect(Type.NON, Code.CONTENT, token=request.token)
    assert answer.payload.decode() == ",".join(ALL)
    await peer.expect_silence()


# -- filters -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "links"),
    [
        # a value, one item of a list, the list as it stands
        (("rt=light-lux",), [LIGHT]),
        (("rt=indoor",), [TEMPERATURE]),
        (("rt=temperature-c indoor",), [TEMPERATURE]),
        (("if=sensor",), [TEMPERATURE, LIGHT]),
        (("ct=50",), [TEMPERATURE]),
        (("ct=42",), [FIRMWARE]),
        (("sz=4096",), [FIRMWARE]),
        (("title=Firmware",), [FIRMWARE]),
        (("href=/fw",), [FIRMWARE]),
        (("href=/",), [ROOT]),
        # the beginning of one
        (("rt=temp*",), [TEMPERATURE]),
        (("rt=in*",), [TEMPERATURE]),
        (("rt=*",), [TEMPERATURE, LIGHT]),
        (("href=/sensors/*",), [TEMPERATURE, LIGHT]),
        (("href=/sensors*",), [TEMPERATURE, LIGHT]),
        (("href=*",), ALL),
        (("href=/*",), ALL),
        (("title=Firm*",), [FIRMWARE]),
        # several: all of them must hold
        (("if=sensor", "rt=light*"), [LIGHT]),
        (("if=sensor", "ct=0", "href=/sensors/temp"), [TEMPERATURE]),
        (("if=sensor", "ct=42"), []),
        # none matches, and what is not listed does not either
        (("rt=light",), []),
        (("rt=Light-lux",), []),
        (("rt=humidity*",), []),
        (("href=/sensors",), []),
        (("href=/hidden",), []),
        (("href=/rooms*",), []),
        (("colour=red",), []),
        (("colour=*",), []),
    ],
    ids=lambda value: "&".join(value) or "none" if isinstance(value, tuple) else "",
)
async def test_filters(
    autojump_clock: MockClock,
    server: Server,
    resources: None,
    peer: Peer,
    query: tuple[str, ...],
    links: list[str],
) -> None:
    assert await listed(peer, *query) == ",".join(links)


async def test_none_matching_is_an_empty_list_and_no_error(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    peer.request(PATH, query=("rt=none",))
    answer = await peer.expect(Type.ACK, Code.CONTENT, payload=b"")
    assert answer.options.content_format == FORMAT
    assert server.statistics().handler_errors == 0


# -- methods and formats -----------------------------------------------------------------


@pytest.mark.parametrize(
    "code", [Code.POST, Code.PUT, Code.DELETE, Code.FETCH, Code.PATCH, Code.IPATCH, Code(9)]
)
async def test_only_get(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer, code: Code
) -> None:
    peer.request(PATH, code=code, payload=b"</x>")
    await peer.expect(Type.ACK, Code.METHOD_NOT_ALLOWED)


async def test_accept_link_format(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer
) -> None:
    peer.request(PATH, accept=FORMAT)
    answer = await peer.expect(Type.ACK, Code.CONTENT)
    assert answer.options.content_format == FORMAT
    assert answer.payload.decode() == ",".join(ALL)


@pytest.mark.parametrize("accept", [0, 50, 64, 504, 65535])
async def test_accept_anything_else(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer, accept: int
) -> None:
    peer.request(PATH, accept=accept)
    answer = await peer.expect(Type.ACK, Code.NOT_ACCEPTABLE)
    assert answer.options.content_format is None


@pytest.mark.parametrize("path", ["/.well-known", "/.well-known/core/x", "/core"])
async def test_around_it_is_nothing(
    autojump_clock: MockClock, server: Server, resources: None, peer: Peer, path: str
) -> None:
    peer.request(path)
    await peer.expect(Type.ACK, Code.NOT_FOUND)


# -- a router with ideas of its own ------------------------------------------------------


async def test_a_router_that_defines_the_path_wins(
    autojump_clock: MockClock, server: Server, resources: None, router: Router, peer: Peer
) -> None:
    @router.get(PATH)
    def own(request: Request) -> str:
        return "mine"

    peer.request(PATH)
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"mine")


async def test_a_router_that_defines_another_method_of_it_wins_too(
    autojump_clock: MockClock, server: Server, resources: None, router: Router, peer: Peer
) -> None:
    router.post(PATH)(handler)
    peer.request(PATH, code=Code.POST)
    await peer.expect(Type.ACK, Code.CHANGED)
    peer.request(PATH)
    await peer.expect(Type.ACK, Code.METHOD_NOT_ALLOWED)


@pytest.mark.parametrize("path", ["/{a}/{b}", "/.well-known/{name}", "/{a}/core"])
async def test_a_named_segment_does_not_hide_it(
    autojump_clock: MockClock,
    server: Server,
    resources: None,
    router: Router,
    peer: Peer,
    path: str,
) -> None:
    """A segment written out goes before a named one (Router), and this path is written out."""
    router.get(path)(handler)
    assert await listed(peer) == ",".join(ALL)


@pytest.mark.parametrize("path", ["/a b", "/größe", "/50%", "/<x>", "/a?b"])
async def test_a_path_that_needs_encoding_is_encoded(
    autojump_clock: MockClock,
    server: Server,
    resources: None,
    router: Router,
    peer: Peer,
    path: str,
) -> None:
    """One such resource must not cost the list; a target is a URI (RFC 6690 section 2)."""
    router.get(path)(handler)
    links = parse(await listed(peer))
    assert len(links) == len(ALL) + 1
    target = links[-1].target
    assert target.isascii()
    assert not set(target) & set(" <>?")


async def test_a_copy_of_the_request_draws_the_same_list(
    autojump_clock: MockClock, server: Server, resources: None, router: Router, peer: Peer
) -> None:
    request: Message = peer.request(PATH)
    first = await peer.receive_bytes()
    router.get("/new")(handler)
    peer.again(request)
    assert await peer.receive_bytes() == first
