"""Multicast on the virtual network."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, Session
from coapsep.testing import Conditions, Network, open_network
from tests.shell.listener import open_listener

#: All CoAP Nodes (RFC 7252 section 12.8).
NODES4, NODES6 = "224.0.1.187", "ff02::fd"
A, B, C, D = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"


@pytest.mark.parametrize(("prefix", "group"), [("10.0.0.", NODES4), ("2001:db8::", NODES6)])
async def test_a_group_reaches_its_members(
    autojump_clock: MockClock, network: Network, prefix: str, group: str
) -> None:
    address = Address(group, 5683)
    async with (
        open_listener(network, f"{prefix}1") as a,
        open_listener(network, f"{prefix}2") as b,
        open_listener(network, f"{prefix}3") as outsider,
        open_listener(network, f"{prefix}3", 1000) as other_port,
        open_listener(network, f"{prefix}4", 0) as sender,
    ):
        for listener in (a, b, other_port):
            listener.transport.join(group)
        assert sender.transport.session_to(address) == Session(sender.address, address, "virtual")
        sender.send(b"x", address)
        await trio.sleep(1)
        for listener in (a, b):
            session = Session(listener.address, sender.address, "virtual", address)
            assert listener.batches == [[(b"x", session)]]
        assert outsider.arrived == other_port.arrived == sender.arrived == []
        (datagram,) = network.trace
        assert datagram.destination == address
        assert len(datagram.arrivals or ()) == 2
        # An answer leaves from the member's own address.
        a.transport.send(b"answer", a.sessions[0])
        b.transport.send(b"answer", b.sessions[0].unicast)
        await trio.sleep(1)
        assert sender.sessions == [
            Session(sender.address, listener.address, "virtual") for listener in (a, b)
        ]


async def test_the_sender_does_not_hear_itself(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        for listener in (a, b):
            listener.transport.join(NODES4)
            listener.transport.join(NODES4)
        a.send(b"x", Address(NODES4, 5683))
        await trio.sleep(1)
        assert (a.arrived, b.arrived) == ([], [b"x"])


async def test_each_member_has_a_link_of_its_own(autojump_clock: MockClock) -> None:
    group = Address(NODES4, 5683)
    conditions = Conditions(loss=0.5, delay=0.5)
    async with (
        open_network(seed=2, conditions=conditions) as network,
        open_listener(network, A) as a,
        open_listener(network, B) as b,
        open_listener(network, C) as c,
        open_listener(network, D, 0) as sender,
    ):
        for listener in (a, b, c):
            listener.transport.join(NODES4)
        network.link(D, C, Conditions(delay=2))
        for number in range(40):
            sender.send(bytes([number]), group)
        await trio.sleep(10)
        assert len(c.arrived) == 40
        assert a.arrived != b.arrived
        assert 10 < len(a.arrived) < 30
        assert 10 < len(b.arrived) < 30
        heard = [
            (n in [data[0] for data in a.arrived], n in [data[0] for data in b.arrived])
            for n in range(40)
        ]
        for (by_a, by_b), datagram in zip(heard, network.trace, strict=True):
            assert len(datagram.arrivals or ()) == by_a + by_b + 1
            assert datagram.lost == ("" if by_a and by_b else "loss")
        network.partition({A, D}, {B, C})
        sender.send(b"last", group)
        await trio.sleep(10)
        assert c.arrived[-1] != b"last"


async def test_leaving_and_closing(autojump_clock: MockClock, network: Network) -> None:
    group = Address(NODES4, 5683)
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        closed = network.bind(C)
        for transport in (a.transport, closed):
            transport.join(NODES4)
        a.transport.leave("239.0.0.1")  # it was never in that one
        b.send(b"1", group)
        await trio.sleep(1)
        closed.close()
        b.send(b"2", group)
        b.send(b"under way", group)
        a.transport.leave(NODES4)
        a.transport.leave(NODES4)
        b.send(b"3", group)
        await trio.sleep(1)
        assert a.arrived == [b"1"]
    assert [(len(d.arrivals or ()), d.lost) for d in network.trace] == [
        (2, ""),
        (0, "nobody there"),
        (0, "nobody there"),
        (0, "nobody there"),
    ]


async def test_a_drop_loses_it_for_everybody(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        a.transport.join(NODES4)
        drop = network.drop(destination=NODES4)
        b.send(b"x", Address(NODES4, 5683))
        await trio.sleep(1)
        assert (a.arrived, drop.dropped) == ([], 1)
    assert network.trace[0].lost == "filter"


async def test_sends_to_a_group_can_fail(autojump_clock: MockClock, network: Network) -> None:
    network.fail_sends(A, NODES4, OSError(errno.ENETUNREACH, "no route"))
    transport = network.bind(A)
    with pytest.raises(OSError, match="no route"):
        transport.send(b"x", transport.session_to(Address(NODES4, 5683)))


async def test_nobody_refuses_what_was_for_a_group(autojump_clock: MockClock) -> None:
    async with open_network(icmp=True) as network, open_listener(network, A) as a:
        member = network.bind(B)
        member.join(NODES4)
        a.send(b"x", Address(NODES4, 5683))
        member.close()
        await trio.sleep(10)
        assert a.refused == []
    assert network.trace[0].lost == "nobody there"


async def test_groups_do_not_reach_through_a_nat(
    autojump_clock: MockClock, network: Network
) -> None:
    network.nat(A, "203.0.113.7")
    async with open_listener(network, A) as inner, open_listener(network, B) as b:
        for listener in (inner, b):
            listener.transport.join(NODES4)
        for listener in (inner, b):
            listener.send(b"x", Address(NODES4, 5683))
        await trio.sleep(1)
        assert inner.arrived == b.arrived == []


async def test_what_is_joined_is_checked(autojump_clock: MockClock, network: Network) -> None:
    transport = network.bind(A)
    for wrong in ("10.0.0.9", "nonsense", "ff02::fd%1"):
        with pytest.raises(ValueError, match=r"group|IP address"):
            transport.join(wrong)
    with pytest.raises(ValueError, match="another family"):
        transport.join(NODES6)


async def test_what_is_asked_by_group_and_alone_are_two_sessions(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = network.bind(A, groups=NODES4)
    sender = network.bind(B)
    for host in (NODES4, A):
        sender.send(b"x", sender.session_to(Address(host, 5683)))
    await trio.sleep(1)
    (_, by_group), (_, alone) = transport.poll()
    assert by_group.group == Address(NODES4, 5683)
    assert by_group != alone
    assert by_group.unicast == alone == alone.unicast
    assert (str(by_group), str(alone)) == (
        "virtual 10.0.0.1:5683 in 224.0.1.187:5683 <- 10.0.0.2:5683",
        "virtual 10.0.0.1:5683 <- 10.0.0.2:5683",
    )


async def test_groups_are_joined_with_the_port(autojump_clock: MockClock, network: Network) -> None:
    a = network.bind(A, groups=(NODES4, "239.0.0.1"))
    sender = network.bind(B)
    for group in (NODES4, "239.0.0.1", "239.0.0.2"):
        sender.send(group.encode(), sender.session_to(Address(group, 5683)))
    await trio.sleep(1)
    assert [data for data, _ in a.poll()] == [NODES4.encode(), b"239.0.0.1"]


@pytest.mark.parametrize("groups", [NODES6, (NODES4, A), ["nonsense"]])
async def test_a_port_with_a_wrong_group_is_not_taken(
    autojump_clock: MockClock, network: Network, groups: str | list[str]
) -> None:
    with pytest.raises(ValueError, match=r"group|IP address|another family"):
        network.bind(A, groups=groups)
    network.bind(A).close()
