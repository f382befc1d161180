"""Whom a request goes to, and which Uri options it carries; and what is no request at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    Code,
    Message,
    Options,
    PeerUnreachable,
    Retry,
    Server,
    TargetLike,
    Type,
    open_client,
    parse_uri,
)
from coapsep.testing import Network
from tests.shell.client.asking import PEER
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT, Responder, open_responder
from tests.shell.peer import SERVER

URI = f"coap://{SERVER}"


# -- what arrives ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "segments", "arguments"),
    [
        (URI, "", (), ()),
        (f"{URI}/", "", (), ()),
        (f"{URI}/a/b?c=d&e", "", ("a", "b"), ("c=d", "e")),
        (f"{URI}/%2F/%E2%82%AC?%26=%3D", "", ("/", "€"), ("&==",)),
        (f"{URI}/a/", "", ("a", ""), ()),
        (f"{URI}/a/../b", "", ("b",), ()),
        (parse_uri(f"{URI}/a?b"), "", ("a",), ("b",)),
        (URI, "a", ("a",), ()),
        (URI, "/a/b?c=d", ("a", "b"), ("c=d",)),
        (URI, "?c=d", (), ("c=d",)),
        (f"{URI}?a=1", "/b?c=2", ("b",), ("a=1", "c=2")),
        (PEER, "", (), ()),
        (PEER, "/", (), ()),
        (PEER, "a/b", ("a", "b"), ()),
        (PEER, "/a%2Fb/%25?x=%26", ("a/b", "%"), ("x=&",)),
        (PEER, "/ä b".replace(" ", "%20"), ("ä b",), ()),
        (PEER, ["a/b", "%", "?"], ("a/b", "%", "?"), ()),
        (PEER, ("a", ""), ("a", ""), ()),
        (PEER, [], (), ()),
    ],
)
async def test_a_target_and_a_path(
    autojump_clock: MockClock,
    client: Client,
    responder: Responder,
    target: TargetLike,
    path: str | Sequence[str],
    segments: tuple[str, ...],
    arguments: tuple[str, ...],
) -> None:
    for _ in range(2):  # the second time it is known already
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, target, path)
            request = await responder.expect_request()
            assert request.options == Options.build(uri_path=segments, uri_query=arguments)
            responder.answer(request)


async def test_the_query_adds_to_that_of_the_uri_and_of_the_path(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:
        call = partial(client.get, f"{URI}?a", "/p?b", query=["c=&", "d"])
        nursery.start_soon(call)
        request = await responder.expect_request()
        assert request.options.uri_query == ("a", "b", "c=&", "d")
        responder.answer(request)


@pytest.mark.parametrize(
    "target", ["coap://10.0.0.7:61616/x", Address("10.0.0.7", 61616), "COAP://10.0.0.7:61616/x"]
)
async def test_the_port_is_where_it_goes_and_no_option(
    autojump_clock: MockClock, network: Network, client: Client, target: TargetLike
) -> None:
    with trio.move_on_after(1):
        await client.get(target)
    (sent,) = network.trace
    assert sent.destination == Address("10.0.0.7", 61616)
    assert isinstance(sent.message, Message)
    assert sent.message.options.uri_port is None
    assert sent.message.options.uri_host is None


async def test_a_name_is_resolved_and_told_to_the_server(
    autojump_clock: MockClock, names: Names, client: Client, responder: Responder
) -> None:
    names.set("sensor.example", SERVER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.get, "coap://Sensor.Example/a")
        request = await responder.expect_request()
        assert request.options == Options.build(uri_host="sensor.example", uri_path=["a"])
        responder.answer(request)
    assert names.asked == ["sensor.example"]


async def test_a_host_among_the_options_takes_the_place_of_the_name(
    autojump_clock: MockClock, names: Names, client: Client, responder: Responder
) -> None:
    """Two of them would be one that no server understands (RFC 7252 section 5.4.5)."""
    names.set("sensor.example", SERVER)
    options = Options.build(uri_host="virtual.example", uri_path=["b"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.get, "coap://sensor.example/a", options=options))
        request = await responder.expect_request()
        assert request.options == Options.build(uri_host="virtual.example", uri_path=["a", "b"])
        responder.answer(request)


async def test_an_address_is_looked_up_nowhere(
    autojump_clock: MockClock, names: Names, server: Server, client: Client
) -> None:
    await client.get(f"{URI}/hello")
    await client.get(PEER, "/hello")
    assert names.asked == []


async def test_ipv6_in_all_its_spellings_is_one_peer(
    autojump_clock: MockClock, network: Network
) -> None:
    async with (
        open_responder(network, "2001:db8::1", "2001:db8::2") as responder,
        open_client(transport=network.bind("2001:db8::2")) as client,
    ):
        for uri in ("coap://[2001:db8::1]", "coap://[2001:0DB8:0::0:1]:5683/"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get, uri)
                request = await responder.expect_request()
                assert request.options == Options()
                responder.answer(request)
        assert client.statistics().peers == 1


# -- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts", "error", "text"),
    [
        (("10.0.0.1/a",), {}, ValueError, "a CoAP URI begins with coap://"),
        (("http://10.0.0.1/a",), {}, ValueError, "a CoAP URI begins with coap://"),
        (("coaps://10.0.0.1",), {}, ValueError, "coaps is not supported: only coap://"),
        (("coap://10.0.0.1/%zz",), {}, ValueError, "write % itself as %25"),
        (("coap://10.0.0.1/a#b",), {}, ValueError, "fragment"),
        (("coap://10.0.0.1/%2E%2E",), {}, ValueError, "cannot have '..' as a path segment"),
        (((SERVER, 5683),), {}, TypeError, "a target is a URI or an Address"),
        ((None,), {}, TypeError, "a target is a URI or an Address, not None"),
        (([],), {}, TypeError, "a target is a URI or an Address"),
        ((Address("sensor.example", 1),), {}, ValueError, "ask for 'coap://sensor.example'"),
        ((Address(SERVER, 0),), {}, ValueError, "nothing can be sent to port 0"),
        (("coap://224.0.1.187/a",), {}, ValueError, r"ask it with multicast\(\)"),
        ((Address("ff02::fd", 5683),), {}, ValueError, r"ask it with multicast\(\)"),
        (("coap://[::ffff:224.0.1.187]",), {}, ValueError, r"ask it with multicast\(\)"),
        ((f"{URI}/a", "/b"), {}, ValueError, "leave out the other one, '/b'"),
        ((PEER, "/a#b"), {}, ValueError, "write # as %23"),
        ((PEER, "/a b"), {}, ValueError, "write as %20"),
        ((PEER, ["x" * 256]), {}, ValueError, "0 to 255 bytes long, not 256"),
        ((PEER, ["a", ".."]), {}, ValueError, "must not be '..'"),
        ((PEER, ["\udc80"]), {}, ValueError, "must be text"),
        ((PEER, ["a", 1]), {}, TypeError, "a sequence of segments, but one of them is 1"),
        ((PEER, b"/a"), {}, TypeError, "a path is text or a sequence of segments, not b'/a'"),
        ((PEER, None), {}, TypeError, "a path is text or a sequence of segments, not None"),
        ((URI, {"a": 1}), {}, TypeError, "a path is text or a sequence of segments"),
        ((PEER,), {"query": "a=1"}, TypeError, r"such as \['a=1'\], not 'a=1'"),
        ((PEER,), {"query": b"a=1"}, TypeError, r"such as \['a=1'\], not b'a=1'"),
        ((PEER,), {"query": {"a": "1"}}, TypeError, r"such as \['a=1'\], not \{'a'"),
        ((PEER,), {"query": [1]}, TypeError, "but one of them is 1"),
        ((PEER,), {"query": None}, TypeError, r"such as \['a=1'\], not None"),
        ((PEER,), {"query": ["x" * 256]}, ValueError, "0 to 255 bytes long"),
        (
            (PEER,),
            {"payload": bytearray(b"x")},
            TypeError,
            "bytes, str or an async iterable, not bytearray",
        ),
        ((PEER,), {"payload": None}, TypeError, "or an async iterable, not NoneType"),
        ((PEER,), {"payload": {"a": 1}}, TypeError, "or an async iterable, not dict"),
        ((PEER,), {"block_size": 48}, ValueError, r"16, 32, 64 \.\.\. 1024 bytes, not 48"),
        ((PEER,), {"block_size": "64"}, ValueError, "not '64'"),
        ((PEER,), {"progress": 1}, TypeError, "called with each step, and 1 cannot be"),
        ((PEER,), {"etags": [b"123456789"]}, ValueError, "1 to 8 bytes long"),
        ((PEER,), {"if_match": b"1"}, TypeError, "takes a sequence of values"),
        ((PEER,), {"payload": "\udc80"}, ValueError, "utf-8"),
        ((PEER, ["x" * 250] * 300), {}, ValueError, "do not fit in a datagram"),
        ((PEER,), {"content_format": "json"}, TypeError, "does not take 'json'"),
        ((PEER,), {"content_format": 65_536}, ValueError, "0 to 2 bytes long"),
        ((PEER,), {"accept": -1}, ValueError, "no negative number"),
        ((PEER,), {"options": [(1, b"")]}, TypeError, r"Options\.build\(\)"),
        ((PEER,), {"options": None}, TypeError, r"Options\.build\(\)"),
        ((PEER,), {"retry": None}, TypeError, r"Retry\(attempts=1\), not None"),
        ((PEER,), {"retry": 3}, TypeError, r"Retry\(attempts=1\), not 3"),
        ((PEER,), {"timeout": 5}, TypeError, r"no timeout: .* trio\.fail_after"),
        ((PEER,), {"body": b"", "data": b""}, TypeError, "no body, data: see RequestParts"),
    ],
)
async def test_what_is_no_request_is_told_and_leaves_nothing(
    autojump_clock: MockClock,
    network: Network,
    client: Client,
    arguments: tuple[Any, ...],
    parts: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        await client.put(*arguments, **parts)
    assert len(network.trace) == 0
    statistics = client.statistics()
    assert statistics.own_requests == statistics.peers == statistics.timers == 0


@pytest.mark.parametrize("method", [Code.EMPTY, Code.CONTENT, Code(32), 256, "GET", None])
async def test_what_is_no_method(
    autojump_clock: MockClock, network: Network, client: Client, method: Any
) -> None:
    with pytest.raises(ValueError, match=r"not a (method|valid Code)"):
        await client.request(method, URI)
    assert len(network.trace) == 0


async def test_a_group_cannot_be_pinged(autojump_clock: MockClock, client: Client) -> None:
    with pytest.raises(ValueError, match="a ping is for one peer"):
        await client.ping("coap://224.0.1.187")


async def test_a_peer_of_another_family_is_out_of_reach(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    for ask in (client.get, client.ping):
        with pytest.raises(PeerUnreachable, match=r"^\[2001:db8::1\]:5683: no way"):
            await ask("coap://[2001:db8::1]")
    assert client.statistics().peers == 0


async def test_a_part_that_is_the_default_is_no_mistake(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.get(
        PEER,
        ["hello"],
        query=(),
        payload=b"",
        options=Options(),
        confirmable=True,
        retry=Retry(attempts=1),
    )
    assert response.text == "hello"


async def test_a_payload_of_any_size_leaves(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    """Block by block (RFC 7959): the first one has an option of its number, and one of the size."""
    with trio.move_on_after(1):
        await client.put(PEER, payload=bytes(100_000_000))
    assert [len(sent.data) for sent in network.trace] == [4 + 8 + 3 + 6 + 1 + 1024]


async def test_thousands_of_targets_are_not_all_remembered(
    autojump_clock: MockClock, network: Network
) -> None:
    """A client that walks over many peers does not grow with them."""
    async with open_client(transport=network.bind(CLIENT, 0)) as client:
        for number in range(5000):
            host = f"10.1.{number >> 8}.{number & 255}"
            call = partial(client.get, f"coap://{host}/", confirmable=False)
            with trio.move_on_after(0.001):
                await call()
        assert client.statistics().own_requests == 0
        await trio.sleep(300)
        assert client.statistics().peers == 0
        kept = len(client._targets._memo.entries), len(client._routes.groups.entries)
    assert max(kept) <= 4096
    assert [sent.message.type for sent in network.trace] == [Type.NON] * 5000
