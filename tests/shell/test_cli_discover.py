"""The command discover: one server, and a group of servers."""

from __future__ import annotations

import errno
import functools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Code,
    ContentFormat,
    Message,
    Options,
    Request,
    Response,
    Router,
    Server,
    Session,
    Tuning,
    Type,
    open_server,
)
from coapsep.message.codec import decode, encode
from coapsep.testing import Conditions, Network, VirtualTransport
from coapsep.transport.base import Batch
from tests.shell.client.responder import CLIENT, Responder, open_responder
from tests.shell.command import command
from tests.shell.peer import SERVER

GROUP = "224.0.1.187"


@pytest.fixture
def router() -> Router:
    router = Router()
    router.get("/time", rt="clock", ct=[0, 65000], title="The time")(lambda request: "now")
    router.get("/s/light", rt=["light", "core.s"], if_="sensor")(lambda request: "on")
    return router


# -- one server --------------------------------------------------------------------------


async def test_a_table(autojump_clock: MockClock, network: Network, server: Server) -> None:
    ran = await command(network, "discover", SERVER)
    assert (ran.code, ran.errors) == (0, "")
    assert ran.output == (
        "path      rt            if      ct          title\n"
        "/time     clock                 text 65000  The time\n"
        "/s/light  light core.s  sensor\n"
    )


@pytest.mark.parametrize("uri", [f"{SERVER}/.well-known/core", f"{SERVER}/"])
async def test_filters_and_its_own_path(
    autojump_clock: MockClock, network: Network, server: Server, uri: str
) -> None:
    ran = await command(network, "discover", uri, "rt=li*", "if=sensor")
    assert ran.output.splitlines()[1:] == ["/s/light  light core.s  sensor"]
    ran = await command(network, "discover", uri, "target=x", "target=y")
    assert ran == (0, b"", "coapsep: there is no such resource\n")
    assert await command(network, "discover", uri, "rt=x", "-q") == (0, b"", "")


async def test_json(autojump_clock: MockClock, network: Network, server: Server) -> None:
    ran = await command(network, "discover", SERVER, "--json")
    assert (ran.code, ran.errors) == (0, "")
    assert ran.objects == [
        {"href": "/time", "attributes": {"rt": "clock", "ct": "0 65000", "title": "The time"}},
        {"href": "/s/light", "attributes": {"rt": "light core.s", "if": "sensor"}},
    ]
    assert await command(network, "discover", SERVER, "rt=x", "--json") == (0, b"", "")


@pytest.fixture
async def responder(network: Network) -> AsyncGenerator[Responder, None]:
    """In the place of a server."""
    async with open_responder(network) as responder:
        yield responder


async def answer(
    responder: Responder,
    payload: bytes,
    content_format: int | None = ContentFormat.LINK_FORMAT,
    code: Code = Code.CONTENT,
) -> None:
    """Answer one request."""
    request = await responder.expect_request()
    options = Options.build(content_format=content_format)
    responder.answer(request, payload, code=code, options=options)


async def test_a_server_that_does_not_filter(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    links = b'</a>;rt="x",</b>;rt="y";rt="z";obs;t="\x1b[2J"'
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, responder, links)
        ran = await command(network, "discover", SERVER, "rt=z")
        assert ran == (0, b"path  rt   obs  t\n/b    y z  yes  \\u001b[2J\n", "")
        nursery.start_soon(answer, responder, links)
        ran = await command(network, "discover", SERVER, "rt=z", "--json")
        about = {"rt": ["y", "z"], "obs": True, "t": "\x1b[2J"}
        assert ran.objects == [{"href": "/b", "attributes": about}]


@pytest.mark.parametrize(
    ("payload", "content_format", "code", "exit_code", "text"),
    [
        (b"<<", 40, Code.CONTENT, 9, "does not list its resources: expected a link target"),
        (b"{}", 50, Code.CONTENT, 9, "does not list its resources: the payload is not link"),
        (b"\xff", 40, Code.CONTENT, 9, "does not list its resources: 'utf-8' codec"),
        (b"not me", None, Code.NOT_FOUND, 4, "4.04 Not Found: not me"),
        (b"", None, Code.BAD_GATEWAY, 5, "5.02 Bad Gateway"),
    ],
)
async def test_a_server_that_does_not_list_its_resources(
    autojump_clock: MockClock,
    network: Network,
    responder: Responder,
    payload: bytes,
    content_format: int | None,
    code: Code,
    exit_code: int,
    text: str,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer, responder, payload, content_format, code)
        ran = await command(network, "discover", SERVER)
    assert (ran.code, ran.data) == (exit_code, b"")
    assert ran.errors.startswith(f"coapsep: {SERVER}:5683")
    assert text in ran.errors
    assert ran.errors.count("\n") == 1


async def test_nobody_answers(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "discover", SERVER, "--timeout", "3")
    assert (ran.code, ran.data) == (6, b"")
    assert ran.errors.startswith(f"coapsep: coap://{SERVER}/: no response in 3 s: ")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([f"{SERVER}/time"], f"coap://{SERVER}/time: discovery has a path of its own: "),
        ([SERVER, "--seconds", "3"], f"--seconds and --interface are for groups, and {SERVER}"),
        ([SERVER, "--interface", "lo"], "--seconds and --interface are for groups"),
    ],
)
async def test_what_makes_no_sense(
    autojump_clock: MockClock, network: Network, argv: list[str], text: str
) -> None:
    ran = await command(network, "discover", *argv)
    assert (ran.code, ran.data) == (2, b"")
    assert ran.errors.startswith(f"coapsep: {text}")
    assert ran.errors.count("\n") == 1
    assert len(network.trace) == 0


# -- a group -----------------------------------------------------------------------------

LINKS = b'</a>;rt="x";title="A",</b>;rt="y"'


@pytest.fixture
async def servers(network: Network) -> AsyncGenerator[None, None]:
    """Four members of the group: links, no links, an error, and what is no list."""
    answers = {
        "10.0.0.3": Response(Code.CONTENT, LINKS, content_format=40),
        "10.0.0.4": Response(Code.CONTENT, b"", content_format=40),
        "10.0.0.6": Response(Code.CONTENT, b"<<", content_format=40),
    }
    at_once = Tuning(default_leisure=0.001)
    async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
        for host in ("10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"):
            transport = network.bind(host)
            transport.join(GROUP)
            network.link(host, CLIENT, Conditions(delay=float(host[-1])))
            if host not in answers:
                nursery.start_soon(transport.run, functools.partial(_forbid, transport), _ignore)
                continue
            member = Router()
            member.get("/.well-known/core")(functools.partial(_answer, answers[host]))
            server = open_server(member, transport=transport, tuning=at_once)
            await stack.enter_async_context(server)
        yield
        nursery.cancel_scope.cancel()


def _forbid(transport: VirtualTransport, batch: Batch) -> None:
    """What a server must not do: answer a group with an error (RFC 7252 section 8.2)."""
    for data, session in batch:
        request = decode(data)
        assert isinstance(request, Message)
        refusal = Message(Code.FORBIDDEN, Type.NON, 1, request.token, payload=b"go away")
        transport.send(encode(refusal), session.unicast)


def _ignore(session: Session) -> None:
    pass


def _answer(response: Response, request: Request) -> Response:
    return response


@pytest.mark.parametrize("uri", [GROUP, f"coap://{GROUP}/.well-known/core"])
async def test_responses_of_a_group_as_they_come(
    autojump_clock: MockClock, network: Network, servers: None, uri: str
) -> None:
    began = trio.current_time()
    ran = await command(network, "discover", uri)
    assert trio.current_time() - began == pytest.approx(10)
    assert ran.code == 0
    assert ran.output == (
        "coap://10.0.0.3\n  path  rt  title\n  /a    x   A\n  /b    y\ncoap://10.0.0.4\n"
    )
    assert ran.errors == (
        "coapsep: there is no such resource\n"
        "coapsep: 10.0.0.5:5683: 4.03 Forbidden: go away\n"
        "coapsep: 10.0.0.6:5683 does not list its resources: "
        "expected a link target, as in </path> at position 0, not '<<'\n"
    )


async def test_how_long_a_group_is_listened_to(
    autojump_clock: MockClock, network: Network, servers: None
) -> None:
    began = trio.current_time()
    ran = await command(network, "discover", GROUP, "rt=x", "--seconds", "3.5")
    assert trio.current_time() - began == pytest.approx(3.5)
    assert ran == (0, b"coap://10.0.0.3\n  path  rt  title\n  /a    x   A\n", "")
    (asked,) = [sent for sent in network.trace if sent.destination.host == GROUP]
    message = asked.message
    assert isinstance(message, Message)
    assert message.type is Type.NON
    assert message.options == Options.build(
        uri_path=[".well-known", "core"], uri_query=["rt=x"], accept=40
    )


async def test_json_of_a_group(autojump_clock: MockClock, network: Network, servers: None) -> None:
    ran = await command(network, "discover", GROUP, "--json")
    assert (ran.code, ran.errors) == (0, "")
    first, second, *failures = ran.objects
    assert first == {
        "peer": "10.0.0.3:5683",
        "href": "/a",
        "attributes": {"rt": "x", "title": "A"},
    }
    assert second == {"peer": "10.0.0.3:5683", "href": "/b", "attributes": {"rt": "y"}}
    assert [failure["error"] for failure in failures] == ["client-error", "bad-response"]


async def test_a_group_without_members(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "discover", GROUP, "--seconds", "2")
    assert ran == (
        6,
        b"",
        f"coapsep: {GROUP}: no server has listed its resources in 2 s: "
        "is it the right --interface?\n",
    )


async def test_a_group_in_ipv6(autojump_clock: MockClock, network: Network) -> None:
    transport = network.bind("fd00::1")
    transport.join("ff05::fd")
    router = Router()
    router.get("/x")(lambda request: "x")
    async with open_server(router, transport=transport):
        ran = await command(network, "discover", "[ff05::fd]", host="fd00::2")
    assert ran.code == 0
    assert ran.output.startswith("coap://[fd00::1]\n")


async def test_a_group_that_the_system_does_not_send_to(
    autojump_clock: MockClock, network: Network
) -> None:
    network.fail_sends(CLIENT, GROUP, OSError(errno.ENETUNREACH, "Network is unreachable"))
    began = trio.current_time()
    ran = await command(network, "discover", GROUP)
    assert trio.current_time() == began
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith("coapsep: ")
    assert "Network is unreachable" in ran.errors
    assert ran.errors.count("\n") == 1


async def test_no_way_to_a_group(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "discover", "[ff05::fd]")
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith("coapsep: [ff05::fd]:5683: ")
