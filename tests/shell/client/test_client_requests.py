"""What a client sends, and what it hands back: one request at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    BadResponse,
    Client,
    ClientResponse,
    Code,
    ContentFormat,
    OptionNumber,
    Options,
    RequestTimedOut,
    ResetByPeer,
    Router,
    Server,
    Tuning,
    Type,
    open_client,
    open_server,
)
from coapsep.testing import Network
from tests.shell.client.asking import HELLO, PEER, SLOW, ask
from tests.shell.client.responder import CLIENT, Responder
from tests.shell.peer import SERVER, open_peer

METHODS = ["get", "post", "put", "delete", "fetch", "patch", "ipatch"]


# -- methods -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
async def test_each_method_has_its_function(
    autojump_clock: MockClock, client: Client, responder: Responder, name: str
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        method: Callable[..., Awaitable[ClientResponse]] = getattr(client, name)
        nursery.start_soon(ask, ends, partial(method, PEER, "/a?b=c", payload=b"body"))
        code = Code[name.upper()]
        request = await responder.expect_request(Type.CON, code, payload=b"body")
        assert request.options == Options.build(uri_path=["a"], uri_query=["b=c"])
        assert len(request.token) == 8
        options = Options.build(etags=[b"tag"])
        responder.answer(request, b"answer", code=Code.CHANGED, options=options)
    assert ends == [ClientResponse(Code.CHANGED, options, b"answer", PEER)]


async def test_a_method_without_a_name_is_sent_as_well(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.request(Code(31), HELLO)
    assert response.code is Code.METHOD_NOT_ALLOWED


async def test_a_method_may_be_a_plain_number(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.request(1, HELLO)  # type: ignore[arg-type]  # as sloppy as callers are
    assert response.payload == b"hello"


# -- parts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "payload", "options"),
    [
        ({}, b"", Options()),
        ({"payload": b"raw"}, b"raw", Options()),
        ({"payload": "tëxt"}, "tëxt".encode(), Options.build(content_format=0)),
        (
            {"payload": "{}", "content_format": ContentFormat.JSON},
            b"{}",
            Options.build(content_format=50),
        ),
        (
            {"payload": "{}", "options": Options.build(content_format=50)},
            b"{}",
            Options.build(content_format=50),
        ),
        ({"accept": ContentFormat.CBOR}, b"", Options.build(accept=60)),
        ({"accept": 0, "content_format": 0}, b"", Options.build(accept=0, content_format=0)),
        ({"query": ["a=1", "b"]}, b"", Options.build(uri_query=["a=1", "b"])),
        ({"query": (word for word in ("a", "b"))}, b"", Options.build(uri_query=["a", "b"])),
        (
            {"options": Options.build(if_match=[b"x"], extra=[(2050, b"y")]), "accept": 0},
            b"",
            Options.build(if_match=[b"x"], accept=0, extra=[(2050, b"y")]),
        ),
        # What is named goes before what is among the other options.
        (
            {"accept": 60, "options": Options.build(accept=0, etags=[b"e"])},
            b"",
            Options.build(accept=60, etags=[b"e"]),
        ),
        (
            {"payload": b"x", "content_format": 60, "options": Options.build(content_format=0)},
            b"x",
            Options.build(content_format=60),
        ),
    ],
)
async def test_the_parts_of_a_request(
    autojump_clock: MockClock,
    client: Client,
    responder: Responder,
    parts: dict[str, object],
    payload: bytes,
    options: Options,
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.post, PEER, **parts))  # type: ignore[arg-type]  # any
        request = await responder.expect_request(Type.CON, Code.POST)
        assert (request.payload, request.options) == (payload, options)
        responder.answer(request)


# -- how it is answered ------------------------------------------------------------------


async def test_a_piggybacked_response(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    response = await client.get(HELLO)
    assert response == ClientResponse(Code.CONTENT, Options.build(content_format=0), b"hello", PEER)
    assert len(network.trace) == 2
    assert trio.current_time() == pytest.approx(0.02)


async def test_a_separate_response_is_acknowledged_and_nothing_is_repeated(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    response = await client.get(SLOW)
    assert response.text == "slow"
    await trio.sleep(300)
    told = [(sent.source.host, sent.message.type) for sent in network.trace]
    assert told == [
        (CLIENT, Type.CON),
        (SERVER, Type.ACK),
        (SERVER, Type.CON),
        (CLIENT, Type.ACK),
    ]


async def test_a_response_before_its_empty_ack(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        request = await responder.expect_request()
        response = responder.answer(request, b"early", kind=Type.CON)
        await responder.expect_ack_of(response)
        responder.ack(request)
    assert isinstance(ends[0], ClientResponse)
    await responder.expect_silence()


async def test_copies_of_a_separate_response_are_acknowledged_and_never_reset(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.get, HELLO)
        request = await responder.expect_request()
        responder.ack(request)
        response = responder.answer(request, b"late", kind=Type.CON)
        await responder.expect_ack_of(response)
    for _ in range(4):
        await trio.sleep(40)
        responder.again(response)
        await responder.expect_ack_of(response)
    assert client.statistics().responses == 1


async def test_an_error_code_is_a_response(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.get(PEER, "/nothing")
    assert (response.code, response.text) == (Code.NOT_FOUND, "Not Found")


async def test_nobody_answers(autojump_clock: MockClock, network: Network, client: Client) -> None:
    with pytest.raises(RequestTimedOut, match=r"^10\.0\.0\.1:5683: no acknowledgement came$"):
        await client.get(HELLO)
    assert len(network.trace) == 5
    assert 62 <= trio.current_time() <= 93  # MAX_TRANSMIT_WAIT (RFC 7252 section 4.8.2)


async def test_a_reset(autojump_clock: MockClock, client: Client, responder: Responder) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        for confirmable in (True, False):
            call = partial(client.get, HELLO, confirmable=confirmable)
            nursery.start_soon(ask, ends, call)
            responder.reset(await responder.receive())
            await trio.sleep(1)
    assert [type(end) for end in ends] == [ResetByPeer, ResetByPeer]
    assert str(ends[0]) == "10.0.0.1:5683: the peer answered with RST"


async def test_a_response_that_must_be_rejected_is_told(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    options = Options.build(extra=[(OptionNumber.BLOCK2, b"\x0e")])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        responder.answer(await responder.expect_request(), b"a part of it", options=options)
    assert isinstance(ends[0], BadResponse)
    assert str(ends[0]).endswith("a body do not fit together: 12 bytes in block 0/1/1024")


async def test_a_response_longer_than_the_limit_is_told(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        responder.answer(await responder.expect_request(), bytes(2048))
    assert isinstance(ends[0], BadResponse)
    assert "2048 bytes" in str(ends[0])


async def test_an_acknowledged_request_waits_as_long_as_its_caller(
    autojump_clock: MockClock, server: Server, client: Client
) -> None:
    response = await client.get(PEER, "/slow?s=86400")
    assert response.text == "slow"
    assert trio.current_time() > 86_400


async def test_a_limit_for_the_response(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    tuning = Tuning(response_timeout=30)
    async with open_client(transport=network.bind(CLIENT), tuning=tuning) as client:
        with pytest.raises(RequestTimedOut, match=r"Tuning\.response_timeout"):
            await client.get(PEER, "/slow?s=31")
        assert trio.current_time() == pytest.approx(30.12)  # from the ACK on
        assert (await client.get(PEER, "/slow?s=29")).text == "slow"


# -- NON ---------------------------------------------------------------------------------


async def test_a_non_confirmable_request(
    autojump_clock: MockClock, server: Server, client: Client, network: Network
) -> None:
    response = await client.get(HELLO, confirmable=False)
    assert response.text == "hello"
    assert [sent.message.type for sent in network.trace] == [Type.NON, Type.NON]


async def test_a_non_that_is_lost_is_not_repeated(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with trio.move_on_after(1000) as scope:
        await client.get(HELLO, confirmable=False)
    assert scope.cancelled_caught
    assert len(network.trace) == 1


async def test_a_non_with_a_limit_for_the_response(
    autojump_clock: MockClock, network: Network
) -> None:
    tuning = Tuning(response_timeout=30)
    async with open_client(transport=network.bind(CLIENT), tuning=tuning) as client:
        with pytest.raises(RequestTimedOut, match=r"Tuning\.response_timeout"):
            await client.get(HELLO, confirmable=False)
        assert trio.current_time() == 30


async def test_a_non_may_be_answered_with_a_con(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO, confirmable=False))
        request = await responder.expect_request(Type.NON)
        response = responder.answer(request, b"x", kind=Type.CON)
        await responder.expect_ack_of(response)
    assert isinstance(ends[0], ClientResponse)


# -- IPv6, and what else a client is -----------------------------------------------------


async def test_ipv6(autojump_clock: MockClock, network: Network, router: Router) -> None:
    async with (
        open_server(router, transport=network.bind("2001:db8::1")),
        open_client(transport=network.bind("2001:db8::2", 0)) as client,
    ):
        response = await client.get("coap://[2001:DB8:0::1]/slow")
        assert response.text == "slow"
        assert response.peer == Address("2001:db8::1", 5683)
        assert await client.ping(Address("2001:db8::1", 5683)) == pytest.approx(0.02)


async def test_the_addresses_it_asks_from(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    assert client.addresses == (Address(CLIENT, 5683),)


async def test_a_client_serves_nobody(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with open_peer(network, "10.0.0.9", server=CLIENT) as peer:
        request = peer.request("/hello")
        await peer.expect(Type.RST, Code.EMPTY, mid=request.mid)
        peer.request("/hello", kind=Type.NON)
        await peer.expect_silence()
    assert client.statistics().peers == 0


async def test_a_client_answers_pings(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with open_peer(network, "10.0.0.9", server=CLIENT) as peer:
        peer.send(b"\x40\x00\x12\x34")
        await peer.expect(Type.RST, Code.EMPTY, mid=0x1234)


async def test_what_is_counted(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    await client.get(HELLO)
    await client.ping(PEER)
    with trio.move_on_after(1):
        await client.get(SLOW)
    with pytest.raises(RequestTimedOut):
        await client.get("coap://10.9.9.9/")
    statistics = client.statistics()
    assert (statistics.requests_sent, statistics.pings_sent) == (3, 1)
    assert (statistics.responses, statistics.requests_failed) == (1, 1)
    assert (statistics.requests_cancelled, statistics.own_requests) == (1, 0)
    assert statistics.retransmissions == 4
    await trio.sleep(248)
    statistics = client.statistics()
    assert statistics.peers == statistics.timers == statistics.dedup_entries == 0
