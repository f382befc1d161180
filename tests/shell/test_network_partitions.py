"""Partitions of the virtual network, and NATs on it."""

from __future__ import annotations

import errno
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, Request, Router, Session, open_server
from coapsep.testing import Conditions, Network
from tests.shell.listener import open_listener
from tests.shell.peer import SERVER, open_peer

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
INNER, OUTER, OTHER = "192.168.0.2", "203.0.113.7", "203.0.113.8"


# -- partitions --------------------------------------------------------------------------


async def reached(network: Network, *ways: tuple[str, str]) -> list[bool]:
    """Whether something gets from one host to another, for each of these."""
    results = []
    for source, destination in ways:
        async with open_listener(network, destination, 0) as listener:
            sender = network.bind(source, 0)
            sender.send(b"x", sender.session_to(listener.address))
            await trio.sleep(1)
            results.append(listener.arrived == [b"x"])
    return results


async def test_partitions_open_and_heal(autojump_clock: MockClock, network: Network) -> None:
    ways = ((A, B), (A, C), (C, A), (B, C))
    assert await reached(network, *ways) == [True] * 4
    network.partition({A, B}, {C})
    assert await reached(network, *ways) == [True, False, False, False]
    assert {datagram.lost for datagram in network.trace} == {"", "partition"}
    network.partition([A], (B, C))  # it takes the place of the first one
    assert await reached(network, *ways) == [False, False, False, True]
    network.heal()
    network.heal()
    assert await reached(network, *ways) == [True] * 4


async def test_who_is_on_no_side(autojump_clock: MockClock, network: Network) -> None:
    network.partition({A}, {B})
    assert await reached(network, (A, B), (A, C), (C, A), (B, C)) == [False, True, True, True]
    network.partition({A, B})  # a single set is apart from everybody
    assert await reached(network, (A, B), (A, C), (C, A), (C, "10.0.0.4")) == [
        True,
        False,
        False,
        True,
    ]
    network.partition(A)  # a host alone need not be in a set
    assert await reached(network, (A, B), (B, C), (A, A)) == [False, True, True]


async def test_what_flies_when_a_partition_opens_arrives(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        network.link(B, A, Conditions(delay=2))
        b.send(b"before", a.address)
        await trio.sleep(1)
        network.partition({A}, {B})
        b.send(b"during", a.address)
        await trio.sleep(0.5)
        network.heal()  # before that would have arrived
        await trio.sleep(10)
        assert a.arrived == [b"before"]
    assert [datagram.lost for datagram in network.trace] == ["", "partition"]


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ((), "at least one"),
        (((), ()), "at least one"),
        (({A, B}, {B, C}), "'10.0.0.2' is on two sides"),
        (("nonsense",), "IP address"),
    ],
)
async def test_sides_are_checked(
    autojump_clock: MockClock, network: Network, sides: Any, why: str
) -> None:
    network.partition({A}, {B})
    with pytest.raises(ValueError, match=why):
        network.partition(*sides)
    assert await reached(network, (A, B)) == [False]  # the old one is still there


# -- NAT ---------------------------------------------------------------------------------


async def test_a_nat_shows_other_addresses(autojump_clock: MockClock, network: Network) -> None:
    nat = network.nat(INNER, OUTER)
    async with (
        open_listener(network, INNER, 1000) as first,
        open_listener(network, INNER, 2000) as second,
        open_listener(network, A) as a,
        open_listener(network, B) as b,
    ):
        for sender in (first, second):
            for target in (a, b):
                sender.send(b"x", target.address)
        await trio.sleep(1)
        seen = [session.peer for session in a.sessions]
        assert seen == [nat.outer(1000), nat.outer(2000)] == [s.peer for s in b.sessions]
        assert {address.host for address in seen} == {nat.outer_host} == {OUTER}
        assert len(set(seen)) == 2
        assert [datagram.source for datagram in network.trace] == [seen[0]] * 2 + [seen[1]] * 2

        a.send(b"1", seen[0])
        b.send(b"2", seen[1])
        await trio.sleep(1)
        assert (first.arrived, second.arrived) == ([b"1"], [b"2"])
        # It is an answer to the session that was asked.
        assert first.sessions == [Session(first.address, a.address, "virtual")]
        assert network.trace[-1].destination == seen[1]


async def test_inner_addresses_mean_nothing_outside(
    autojump_clock: MockClock, network: Network
) -> None:
    nat = network.nat(INNER, OUTER)
    async with open_listener(network, INNER) as inner, open_listener(network, A) as a:
        a.send(b"inner", inner.address)
        a.send(b"no mapping", Address(OUTER, 5683))
        await trio.sleep(1)
        assert inner.arrived == []
        assert [datagram.lost for datagram in network.trace] == ["nat", "nat"]
        a.send(b"mapped", nat.outer(5683))
        inner.send(b"itself", inner.address)
        await trio.sleep(1)
        assert inner.arrived == [b"mapped", b"itself"]
        assert inner.sessions[1].peer == inner.address
        inner.send(b"itself, from outside", nat.outer(5683))
        await trio.sleep(1)
        assert inner.sessions[2].peer == nat.outer(5683)
    a.transport.close()


@pytest.mark.parametrize("outer_host", [None, OTHER, OUTER])
async def test_rebinding(
    autojump_clock: MockClock, network: Network, outer_host: str | None
) -> None:
    nat = network.nat(INNER, OUTER)
    async with open_listener(network, INNER) as inner, open_listener(network, A) as a:
        inner.send(b"1", a.address)
        await trio.sleep(1)
        old = a.sessions[0].peer
        a.send(b"under way", old)
        nat.rebind(outer_host)
        await trio.sleep(1)
        assert network.trace[-1].lost == "nat"
        a.send(b"late", old)
        inner.send(b"2", a.address)
        await trio.sleep(1)
        new = a.sessions[1].peer
        assert new != old
        assert new.host == nat.outer_host == (outer_host or OUTER)
        a.send(b"new", new)
        a.send(b"old", old)
        await trio.sleep(1)
        assert inner.arrived == [b"new"]
    assert [datagram.lost for datagram in network.trace] == ["", "nat", "nat", "", "", "nat"]


async def test_links_and_partitions_know_the_host_behind_a_nat(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, INNER) as inner, open_listener(network, A) as a:
        a.send(b"too early", Address(OUTER, 49152))  # nothing is there yet
        await trio.sleep(1)
        network.link(A, INNER, Conditions(delay=3))
        nat = network.nat(INNER, OUTER)
        start = trio.current_time()
        a.send(b"slow", nat.outer(5683))
        await trio.sleep(10)
        assert inner.times == [pytest.approx(start + 3)]
        network.partition({A}, {INNER})
        a.send(b"lost", nat.outer(5683))
        inner.send(b"lost", a.address)
        await trio.sleep(10)
        assert [datagram.lost for datagram in network.trace] == [
            "nobody there",
            "",
            "partition",
            "partition",
        ]


async def test_filters_see_what_is_outside(autojump_clock: MockClock, network: Network) -> None:
    network.nat(INNER, OUTER)
    inside, outside = network.drop(source=INNER, nth=1), network.drop(source=OUTER, nth=1)
    async with open_listener(network, INNER) as inner, open_listener(network, A) as a:
        inner.send(b"x", a.address)
        await trio.sleep(1)
    assert (inside.matched, outside.dropped) == (0, 1)


async def test_two_hosts_with_nats_reach_each_other(
    autojump_clock: MockClock, network: Network
) -> None:
    first, second = network.nat(INNER, OUTER), network.nat("192.168.0.3", OTHER)
    async with open_listener(network, INNER) as a, open_listener(network, second.host) as b:
        a.send(b"1", second.outer(5683))
        await trio.sleep(1)
        assert [session.peer for session in b.sessions] == [first.outer(5683)]
        b.send(b"2", b.sessions[0].peer)
        await trio.sleep(1)
        assert a.arrived == [b"2"]


async def test_an_address_is_a_hosts_or_a_nats(autojump_clock: MockClock, network: Network) -> None:
    network.bind(A)
    network.nat(INNER, OUTER)
    nat = network.nat("192.168.0.3", OTHER)
    for host, outer_host in ((INNER, "203.0.113.9"), (OUTER, "203.0.113.9")):
        with pytest.raises(ValueError, match="has a NAT, or belongs to one"):
            network.nat(host, outer_host)
    with pytest.raises(ValueError, match="another NAT"):
        nat.rebind(OUTER)
    for taken in (A, "192.168.0.4"):
        with pytest.raises(ValueError, match="needs an address of its own"):
            network.nat("192.168.0.4", taken)
    with pytest.raises(OSError, match="belongs to a NAT") as caught:
        network.bind(OUTER)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    network.nat("192.168.0.4", "203.0.113.9")  # what was refused has left nothing behind
    assert nat.outer_host == OTHER


async def test_a_server_knows_a_client_by_its_outer_address(
    autojump_clock: MockClock, network: Network
) -> None:
    router = Router()
    peers: list[Address] = []

    @router.get("/hello")
    def hello(request: Request) -> str:
        peers.append(request.session.peer)
        return "hello"

    nat = network.nat(INNER, OUTER)
    async with (
        open_server(router, transport=network.bind(SERVER)),
        open_peer(network, INNER) as peer,
    ):
        for _ in range(2):
            peer.request("/hello")
            assert (await peer.receive()).payload == b"hello"
            nat.rebind()
    assert [address.host for address in peers] == [OUTER, OUTER]
    assert peers[0] != peers[1]
