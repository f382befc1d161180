"""Filters on the virtual network: which datagrams a drop matches, and what it counts."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, Code, Message, Options, Type
from coapsep.message.codec import empty, encode
from coapsep.testing import Network
from tests.shell.listener import Listener, open_listener

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"

GET = encode(Message(Code.GET, Type.CON, 1, b"tk", Options.build(uri_path=("a",))))
CONTENT = encode(Message(Code.CONTENT, Type.NON, 2, b"tk", payload=b"x"))
ACK = empty(Type.ACK, 1)
BAD_CON = b"\x4f\x01\x00\x01"  # a token of 15 bytes: the type and the message ID can be read
NONSENSE = b"\x00"
EVERYTHING = [GET, CONTENT, ACK, BAD_CON, NONSENSE]


async def send_all(sender: Listener, to: Address, *data: bytes) -> None:
    for datagram in data:
        sender.send(datagram, to)
    await trio.sleep(1)


async def test_the_second_ack_from_a_to_b(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        drop = network.drop(source=A, destination=B, kind=Type.ACK, nth=2)
        await send_all(b, a.address, empty(Type.ACK, 1), empty(Type.ACK, 2))
        acks = [empty(Type.ACK, mid) for mid in range(4)]
        await send_all(a, b.address, acks[0], GET, acks[1], CONTENT, acks[2], acks[3])
        assert b.arrived == [acks[0], GET, CONTENT, acks[2], acks[3]]
        assert len(a.arrived) == 2
        assert (drop.matched, drop.dropped) == (4, 1)
    (lost,) = [datagram for datagram in network.trace if datagram.lost]
    assert (lost.data, lost.arrivals, lost.lost) == (acks[1], (), "filter")


@pytest.mark.parametrize(
    ("criteria", "dropped"),
    [
        ({}, EVERYTHING),
        ({"kind": Type.CON}, [GET, BAD_CON]),
        ({"kind": Type.RST}, []),
        ({"code": Code.GET}, [GET]),
        ({"code": Code.EMPTY}, [ACK]),
        ({"mid": 1}, [GET, ACK, BAD_CON]),
        ({"mid": 0}, []),
        ({"token": b"tk"}, [GET, CONTENT]),
        ({"token": b""}, [ACK]),
        ({"kind": Type.CON, "mid": 1, "code": Code.GET, "token": b"tk"}, [GET]),
        ({"kind": Type.NON, "mid": 1}, []),
        ({"matching": lambda source, destination, data: len(data) < 4}, [NONSENSE]),
        ({"kind": Type.CON, "matching": lambda *_: False}, []),
    ],
)
async def test_what_matches(
    autojump_clock: MockClock, network: Network, criteria: dict[str, Any], dropped: list[bytes]
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        drop = network.drop(**criteria)
        await send_all(a, b.address, *EVERYTHING)
        assert b.arrived == [data for data in EVERYTHING if data not in dropped]
        assert drop.matched == drop.dropped == len(dropped)


async def test_places_are_hosts_or_addresses(autojump_clock: MockClock, network: Network) -> None:
    async with (
        open_listener(network, A) as a,
        open_listener(network, A, 0) as other,
        open_listener(network, B) as b,
        open_listener(network, C) as c,
    ):
        drops = {
            "from a host": network.drop(source=A),
            "from an address": network.drop(source=other.address),
            "to a host": network.drop(destination=B),
            "to an address": network.drop(destination=Address(B, 1)),
            "both": network.drop(source=C, destination=b.address),
        }
        for sender, target in ((a, b), (other, b), (a, c), (c, b), (b, c)):
            sender.send(b"x", target.address)
        await trio.sleep(1)
        assert {name: drop.dropped for name, drop in drops.items()} == {
            "from a host": 3,
            "from an address": 1,
            "to a host": 3,
            "to an address": 0,
            "both": 1,
        }
        assert (a.arrived, b.arrived, c.arrived) == ([], [], [b"x"])


async def test_a_place_in_any_form(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, "2001:db8::1") as a, open_listener(network, "::2") as b:
        host = network.drop(source="2001:DB8:0::1")
        address = network.drop(destination=Address("0::2", 5683))
        await send_all(a, b.address, b"x")
    assert (host.dropped, address.dropped) == (1, 1)


@pytest.mark.parametrize(
    ("nth", "lost"), [(1, {1}), ((2, 4), {2, 4}), (range(2, 4), {2, 3}), ({5}, {5})]
)
async def test_which_of_those_that_match(
    autojump_clock: MockClock, network: Network, nth: Any, lost: set[int]
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        drop = network.drop(source=A, nth=nth)
        await send_all(a, b.address, *(bytes([n]) for n in range(1, 7)))
        assert {data[0] for data in b.arrived} == set(range(1, 7)) - lost
        assert (drop.matched, drop.dropped) == (6, len(lost))


async def test_every_drop_counts_whatever_the_others_do(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        first = network.drop(source=A, nth=1)
        second = network.drop(source=A, nth=2)
        every = network.drop(matching=lambda source, destination, data: data == b"1")
        await send_all(a, b.address, b"1", b"2", b"3")
        assert b.arrived == [b"3"]
        assert (first.dropped, second.dropped, every.dropped) == (1, 1, 1)


async def test_a_drop_can_be_removed(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        first, second = network.drop(source=A), network.drop(source=A, nth=3)
        await send_all(a, b.address, b"1")
        first.remove()
        first.remove()
        await send_all(a, b.address, b"2", b"3")
        assert b.arrived == [b"2"]
        assert (first.dropped, second.dropped) == (1, 1)


async def test_a_drop_that_removes_itself_hides_no_other(
    autojump_clock: MockClock, network: Network
) -> None:
    def once(source: Address, destination: Address, data: bytes) -> bool:
        first.remove()
        return True

    first = network.drop(matching=once)
    second = network.drop(nth=2)
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        await send_all(a, b.address, b"1", b"2", b"3")
        assert b.arrived == [b"3"]
    assert (first.dropped, second.dropped) == (1, 1)


@pytest.mark.parametrize("wrong", [0, -1, (), (1, 0), "2", 1.5, (1.5,)])
async def test_which_ones_is_checked(
    autojump_clock: MockClock, network: Network, wrong: Any
) -> None:
    with pytest.raises(ValueError, match="nth is one or more whole numbers"):
        network.drop(nth=wrong)


async def test_what_a_function_raises_is_for_the_sender(
    autojump_clock: MockClock, network: Network
) -> None:
    def fail(source: Address, destination: Address, data: bytes) -> bool:
        raise KeyError("mine")

    async with open_listener(network, A) as a, open_listener(network, B) as b:
        network.drop(matching=fail)
        with pytest.raises(KeyError, match="mine"):
            a.send(b"x", b.address)
    assert len(network.trace) == 0
