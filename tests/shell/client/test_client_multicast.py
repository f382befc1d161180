"""Asking a group of peers: one request, and responses from anywhere (RFC 7252 section 8)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    ClientResponse,
    Code,
    Message,
    OptionNumber,
    Options,
    PeerUnreachable,
    Type,
    open_client,
)
from coapsep.testing import Conditions, Network
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT, Responder, open_responder

GROUP = "224.0.1.187"
MEMBERS = ("10.0.1.1", "10.0.1.2", "10.0.1.3")


@asynccontextmanager
async def open_members(
    network: Network, hosts: tuple[str, ...] = MEMBERS, group: str = GROUP, client: str = CLIENT
) -> AsyncGenerator[list[Responder], None]:
    """Responders that have joined a group."""
    async with AsyncExitStack() as stack:
        members = []
        for host in hosts:
            member = await stack.enter_async_context(open_responder(network, host, client))
            member.transport.join(group)
            members.append(member)
        yield members


# -- the request -------------------------------------------------------------------------


async def test_it_is_a_non_and_leaves_once(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with client.multicast(seconds=100) as responses:
        assert [response async for response in responses] == []
    assert trio.current_time() == 100
    (sent,) = network.trace
    assert sent.destination == Address(GROUP, 5683)
    assert isinstance(sent.message, Message)
    assert (sent.message.type, sent.message.code) == (Type.NON, Code.GET)
    assert sent.message.options == Options.build(uri_path=[".well-known", "core"])
    assert len(sent.message.token) == 8


async def test_what_is_asked_can_be_anything(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with client.multicast(
        f"coap://{GROUP}:61616",
        "/lights?floor=2",
        seconds=1,
        method=Code.PUT,
        payload="off",
        accept=0,
        query=["a"],
    ):
        pass
    (sent,) = network.trace
    assert sent.destination == Address(GROUP, 61616)
    assert isinstance(sent.message, Message)
    assert (sent.message.code, sent.message.payload) == (Code.PUT, b"off")
    assert sent.message.options == Options.build(
        uri_path=["lights"], uri_query=["floor=2", "a"], accept=0, content_format=0
    )


# -- responses ---------------------------------------------------------------------------


async def test_each_member_answers_for_itself(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    got: list[tuple[float, ClientResponse]] = []
    async with open_members(network) as members, client.multicast(seconds=10) as responses:
        for at, member in enumerate(members):
            request = await member.expect_request(Type.NON)
            member.answer(request, b"%d" % at, kind=Type.NON)
            await trio.sleep(1)
        async for response in responses:
            got.append((trio.current_time(), response))
    assert [(r.payload, r.peer) for _, r in got] == [
        (b"%d" % at, Address(host, 5683)) for at, host in enumerate(MEMBERS)
    ]
    assert trio.current_time() == 10
    assert client.statistics().responses == 3


async def test_a_confirmable_response_is_acknowledged_as_are_its_copies(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=10) as responses,
    ):
        request = await member.expect_request(Type.NON)
        response = member.answer(request, b"x", kind=Type.CON)
        await member.expect_ack_of(response)
        for _ in range(2):
            member.again(response)
            await member.expect_ack_of(response)
        assert [one.payload async for one in responses] == [b"x"]


async def test_a_copy_is_no_second_response_and_a_second_response_is_one(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    """A member may have two interfaces, or answer twice: that is its listener's to judge."""
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=10) as responses,
    ):
        request = await member.expect_request(Type.NON)
        response = member.answer(request, b"1", kind=Type.NON)
        member.again(response)
        member.answer(request, b"2", kind=Type.NON)
        assert [one.payload async for one in responses] == [b"1", b"2"]


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_a_response_with_another_token_is_not_for_the_group(
    autojump_clock: MockClock, network: Network, client: Client, kind: Type
) -> None:
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=10) as responses,
    ):
        request = await member.expect_request(Type.NON)
        other = Message(Code.CONTENT, kind, 5, bytes(8), request.options, b"forged")
        member.again(other)
        if kind is Type.CON:
            await member.expect_reset_of(other)
        assert [one async for one in responses] == []


async def test_a_response_that_must_be_rejected_does_not_end_it(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    block2 = Options.build(extra=[(OptionNumber.BLOCK2, b"\x0e")])
    async with open_members(network) as members, client.multicast(seconds=10) as responses:
        request = await members[0].expect_request(Type.NON)
        rejected = members[0].answer(request, b"a part", kind=Type.CON, options=block2)
        await members[0].expect_reset_of(rejected)
        members[1].answer(request, b"all of it", kind=Type.NON)
        assert [one.payload async for one in responses] == [b"all of it"]


async def test_error_codes_and_empty_lists_are_responses(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with open_members(network) as members, client.multicast(seconds=10) as responses:
        request = await members[0].expect_request(Type.NON)
        members[0].answer(request, code=Code.NOT_FOUND, kind=Type.NON)
        await trio.sleep(1)
        members[1].answer(request, kind=Type.NON)
        assert [one.code async for one in responses] == [Code.NOT_FOUND, Code.CONTENT]


async def test_ipv6(autojump_clock: MockClock, network: Network) -> None:
    async with (
        open_client(transport=network.bind("2001:db8::2")) as client,
        open_members(network, ("2001:db8::1",), "ff02::fd", "2001:db8::2") as (member,),
        client.multicast("coap://[ff02::fd]/a", seconds=5) as responses,
    ):
        member.answer(await member.expect_request(Type.NON), b"6", kind=Type.NON)
        assert [(one.peer, one.payload) async for one in responses] == [
            (Address("2001:db8::1", 5683), b"6")
        ]


async def test_a_name_of_a_group(
    autojump_clock: MockClock, network: Network, names: Names, client: Client
) -> None:
    names.set("all.example", GROUP)
    async with client.multicast("coap://all.example/a", seconds=1):
        pass
    (sent,) = network.trace
    assert sent.destination == Address(GROUP, 5683)
    assert isinstance(sent.message, Message)
    assert sent.message.options == Options.build(uri_host="all.example", uri_path=["a"])


async def test_two_at_a_time_each_get_their_own(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=5, path="") as first,
        client.multicast(f"coap://{GROUP}/b", seconds=5) as second,
    ):
        for _ in range(2):
            request = await member.expect_request(Type.NON)
            member.answer(request, request.options.uri_path[0].encode(), kind=Type.NON)
        assert [one.payload async for one in first] == [b".well-known"]
        assert [one.payload async for one in second] == [b"b"]


async def test_a_member_can_be_asked_alone_meanwhile(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        trio.open_nursery() as nursery,
        client.multicast(seconds=5) as responses,
    ):
        asked = await member.expect_request(Type.NON)
        nursery.start_soon(client.get, f"coap://{MEMBERS[0]}")
        member.answer(await member.expect_request(), b"alone")
        member.answer(asked, b"one of many", kind=Type.NON)
        assert [one.payload async for one in responses] == [b"one of many"]


# -- the end -----------------------------------------------------------------------------


async def test_leaving_the_block_ends_it(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with open_members(network) as members:
        async with client.multicast(seconds=100) as responses:
            request = await members[0].expect_request(Type.NON)
            members[0].answer(request, b"first", kind=Type.NON)
            async for response in responses:
                assert response.payload == b"first"
                break
            assert client.statistics().own_requests == 1
        assert client.statistics().own_requests == 0
        late = members[1].answer(request, b"late", kind=Type.CON)
        await members[1].expect_request(Type.NON)
        await members[1].expect_reset_of(late)
        members[2].answer(request, b"late", kind=Type.NON)
        await trio.sleep(300)
        assert [one async for one in responses] == []
    assert client.statistics().peers == client.statistics().timers == 0


async def test_what_comes_after_the_deadline_is_ignored(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with (
        open_members(network) as members,
        client.multicast(seconds=5) as responses,
    ):
        request = await members[0].expect_request(Type.NON)
        await trio.sleep(4)
        members[0].answer(request, b"in time", kind=Type.NON)
        await trio.sleep(1)
        members[1].answer(request, b"too late", kind=Type.NON)
        await trio.sleep(1)
        assert [one.payload async for one in responses] == [b"in time"]


async def test_a_slow_listener_gets_all_that_came_in_time(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    got: list[bytes] = []
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=5) as responses,
    ):
        request = await member.expect_request(Type.NON)
        for number in range(20):
            member.answer(request, b"%d" % number, kind=Type.NON)
        async for response in responses:
            got.append(response.payload)
            await trio.sleep(1)
    assert got == [b"%d" % number for number in range(20)]
    assert trio.current_time() == pytest.approx(20.02)


async def test_responses_that_nobody_takes_are_bounded(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    async with (
        open_members(network, MEMBERS[:1]) as (member,),
        client.multicast(seconds=5) as responses,
    ):
        request = await member.expect_request(Type.NON)
        for _ in range(5000):
            member.answer(request, kind=Type.NON)
        await trio.sleep(1)
        assert responses.dropped == 5000 - 4096
        assert len([one async for one in responses]) == 4096


async def test_a_listener_who_is_cancelled(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with trio.move_on_after(1) as scope:
        async with client.multicast(seconds=100) as responses:
            async for _ in responses:
                raise AssertionError("nobody is there")
    assert scope.cancelled_caught
    assert client.statistics().own_requests == 0


async def test_an_exception_of_the_block_leaves_as_it_is(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with client.multicast(seconds=1):
            raise KeyError("mine")
    assert client.statistics().own_requests == 0


async def test_without_a_limit_it_goes_on(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with trio.move_on_after(10_000) as scope:
        async with client.multicast(seconds=float("inf")) as responses:
            async for _ in responses:
                raise AssertionError("nobody is there")
    assert scope.cancelled_caught


@pytest.mark.parametrize("loss", [0.0, 0.5])
async def test_many_members_on_lossy_links(
    autojump_clock: MockClock, network: Network, client: Client, loss: float
) -> None:
    hosts = tuple(f"10.0.2.{number}" for number in range(100))
    for host in hosts:
        network.link(CLIENT, host, Conditions(loss=loss, delay=0.1, jitter=1))
    async with open_members(network, hosts) as members, trio.open_nursery() as nursery:

        async def respond(member: Responder) -> None:
            request = await member.expect_request(Type.NON)
            member.answer(request, kind=Type.NON)

        for member in members:
            nursery.start_soon(respond, member)
        async with client.multicast(seconds=5) as responses:
            heard = {response.peer.host async for response in responses}
        nursery.cancel_scope.cancel()
    (sent,) = [sent for sent in network.trace if sent.source.host == CLIENT]
    assert len(heard) == len(sent.arrivals or ())
    assert (len(heard) == 100) == (loss == 0)


# -- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "parts", "error", "text"),
    [
        (("coap://10.0.0.1/a",), {}, ValueError, r"ask it with request\(\)"),
        (("coap://[::1]/a",), {}, ValueError, r"ask it with request\(\)"),
        ((), {"method": Code.CONTENT}, ValueError, "is not a method"),
        ((), {"method": Code.EMPTY}, ValueError, "is not a method"),
        ((), {"method": 999}, ValueError, "not a valid Code"),
        ((), {"confirmable": True}, TypeError, "a group is asked once, .*no confirmable"),
        ((), {"confirmable": False}, TypeError, "a group is asked once, .*no confirmable"),
        ((), {"retry": None}, TypeError, "a group is asked once, .*no retry"),
        ((), {"timeout": 5}, TypeError, "a request has no timeout"),
        ((), {"seconds": float("nan")}, ValueError, "seconds must be a positive number, not nan"),
        ((), {"seconds": 0}, ValueError, "seconds must be a positive number, not 0"),
        ((), {"seconds": "5"}, ValueError, "seconds must be a positive number, not '5'"),
    ],
)
async def test_what_cannot_be_asked(
    autojump_clock: MockClock,
    network: Network,
    client: Client,
    arguments: tuple[Any, ...],
    parts: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        async with client.multicast(*arguments, **parts):
            raise AssertionError("not reached")
    assert len(network.trace) == 0
    assert client.statistics().own_requests == client.statistics().peers == 0


async def test_a_group_of_another_family_is_out_of_reach(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    with pytest.raises(PeerUnreachable, match="no way"):
        async with client.multicast("coap://[ff02::fd]/"):
            raise AssertionError("not reached")


@pytest.mark.parametrize("group", [GROUP, "ff02::fd"])
async def test_no_way_to_a_group_is_told_at_once(
    autojump_clock: MockClock, network: Network, group: str
) -> None:
    """A machine without a route to groups is nothing unusual."""
    host = "2001:db8::2" if ":" in group else CLIENT
    uri = f"coap://[{group}]" if ":" in group else f"coap://{group}"
    network.fail_sends(host, group, OSError(101, "Network is unreachable"))
    async with open_client(transport=network.bind(host)) as client:
        with pytest.raises(PeerUnreachable, match=r":5683: unreachable: Network is unreachable$"):
            async with client.multicast(uri, "/a"):
                raise AssertionError("not reached")
        assert client.statistics().own_requests == 0


async def test_no_way_to_a_group_once_the_socket_has_room(
    autojump_clock: MockClock, network: Network
) -> None:
    """By then somebody listens, and is told."""
    transport = network.bind(CLIENT)
    network.fail_sends(CLIENT, GROUP, OSError(101, "Network is unreachable"))
    async with open_client(transport=transport) as client:
        transport.blocked = True
        async with client.multicast(seconds=100) as responses, trio.open_nursery() as nursery:

            async def listen() -> None:
                with pytest.raises(PeerUnreachable):
                    await anext(responses)

            nursery.start_soon(listen)
            await trio.sleep(1)
            transport.blocked = False
        assert trio.current_time() == 1
