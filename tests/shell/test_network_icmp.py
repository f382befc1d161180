"""ICMP port unreachable on the virtual network, true and forged."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, Batch, Session
from coapsep.testing import Conditions, Network, open_network
from tests.shell.listener import nothing_is_lost, open_listener

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
NOBODY = Address(B, 1)


@pytest.fixture
async def icmp(autojump_clock: MockClock) -> AsyncGenerator[Network, None]:
    async with open_network(icmp=True, conditions=Conditions(delay=1)) as network:
        network.add_host(B)
        yield network


async def test_a_host_refuses_what_is_for_nobody(autojump_clock: MockClock, icmp: Network) -> None:
    icmp.link(B, A, Conditions(delay=5))
    async with open_listener(icmp, A) as a, open_listener(icmp, A, 0) as other:
        a.send(b"12345678", NOBODY)
        await trio.sleep(5.9)
        assert a.refused == []  # one second there, and five back
        await trio.sleep(0.2)
        assert a.refused == [(b"12345678", Session(a.address, NOBODY, "virtual"))]
        assert a.refused[0][1] is a.transport.session_to(NOBODY)
        assert (a.arrived, other.refused) == ([], [])
    assert [datagram.lost for datagram in icmp.trace] == ["nobody there"]


async def test_a_host_is_up_when_something_was_bound_on_it(
    autojump_clock: MockClock, icmp: Network
) -> None:
    async with open_listener(icmp, A) as a:
        gone = icmp.bind(C)
        gone.close()
        a.send(b"refused", gone.address)
        a.send(b"nobody at all", Address("10.0.0.4", 1))
        await trio.sleep(10)
        assert [quote for quote, _ in a.refused] == [b"refused"]


async def test_by_default_hosts_are_silent(autojump_clock: MockClock, network: Network) -> None:
    network.add_host(B)
    async with open_listener(network, A) as a:
        a.send(b"x", NOBODY)
        await trio.sleep(10)
        assert a.refused == []


@pytest.mark.parametrize(("prefix", "longest"), [("10.0.0.", 520), ("2001:db8::", 1184)])
async def test_a_long_datagram_is_quoted_in_part(
    autojump_clock: MockClock, icmp: Network, prefix: str, longest: int
) -> None:
    icmp.add_host(f"{prefix}2")
    async with open_listener(icmp, f"{prefix}1") as a:
        for size in (longest, longest + 1):
            a.send(bytes(size), Address(f"{prefix}2", 1))
        await trio.sleep(10)
        assert [len(quote) for quote, _ in a.refused] == [longest, longest]


async def test_the_way_back_can_lose_it(autojump_clock: MockClock, icmp: Network) -> None:
    async with open_listener(icmp, A) as a:
        icmp.link(B, A, Conditions(loss=1))
        a.send(b"lost", NOBODY)
        await trio.sleep(10)
        icmp.link(B, A, Conditions(duplication=1))
        a.send(b"twice", NOBODY)
        await trio.sleep(0.5)
        icmp.partition({A}, {B})
        a.send(b"does not get there", NOBODY)
        await trio.sleep(10)  # the second one has found nobody while the partition is open
        icmp.heal()
        assert a.refused == []
        a.send(b"twice", NOBODY)
        await trio.sleep(10)
        assert [quote for quote, _ in a.refused] == [b"twice"] * 2


async def test_every_copy_is_refused(autojump_clock: MockClock, icmp: Network) -> None:
    async with open_listener(icmp, A) as a:
        icmp.link(A, B, Conditions(duplication=1))
        a.send(b"x", NOBODY)
        await trio.sleep(10)
        assert len(a.refused) == 2
    assert icmp.trace[0].arrivals == ()


async def test_it_finds_its_way_through_a_nat(autojump_clock: MockClock, icmp: Network) -> None:
    nat = icmp.nat("192.168.0.2", "203.0.113.7")
    async with open_listener(icmp, A) as a, open_listener(icmp, nat.host) as inner:
        inner.send(b"from inside", NOBODY)
        a.send(b"to inside", nat.outer(1))
        a.send(b"nobody can say", Address(nat.outer_host, 7))  # it leads to no host
        await trio.sleep(10)
        assert inner.refused == [(b"from inside", inner.transport.session_to(NOBODY))]
        assert a.refused == [(b"to inside", a.transport.session_to(nat.outer(1)))]


async def test_who_does_not_ask_is_not_told(autojump_clock: MockClock, icmp: Network) -> None:
    transport = icmp.bind(A)
    with trio.move_on_after(10):
        transport.send(b"x", transport.session_to(NOBODY))
        await transport.run(nothing_arrives, nothing_is_lost)


async def test_who_is_gone_is_not_told(autojump_clock: MockClock, icmp: Network) -> None:
    async with open_listener(icmp, A, 1) as a:
        gone = icmp.bind(A)
        gone.send(b"x", gone.session_to(NOBODY))
        gone.close()
        await trio.sleep(10)
        assert a.refused == []


def nothing_arrives(batch: Batch) -> None:
    raise AssertionError(batch)


async def test_a_forged_one_arrives_as_well(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        network.refuse(b"never sent", a.address, NOBODY)
        network.refuse(b"to nobody", Address(C, 1), NOBODY)
        network.refuse(b"", a.address, Address("10.9.9.9", 9))
        await trio.sleep(0.001)
        assert [(quote, session.peer) for quote, session in a.refused] == [
            (b"never sent", NOBODY),
            (b"", Address("10.9.9.9", 9)),
        ]
        assert b.refused == []
    with pytest.raises(ValueError, match="IP address"):
        network.refuse(b"", Address("a", 1), NOBODY)


async def test_a_failure_while_being_told_belongs_to_the_receiver(
    autojump_clock: MockClock, network: Network
) -> None:
    def fail(quote: bytes, session: Session) -> None:
        raise KeyError("mine")

    transport = network.bind(A)
    network.refuse(b"x", transport.address, NOBODY)
    with pytest.raises(KeyError, match="mine"):
        await transport.run(nothing_arrives, nothing_is_lost, fail)
