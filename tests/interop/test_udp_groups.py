"""What a client sends to a group, by which interface and how far."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from coapsep import Address
from coapsep.transport.udp import open_udp_client
from tests.interop.sockets import (
    address_of,
    bound,
    link_local,
    listening,
    needs_ipv6,
    needs_link_local,
)

LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
ALL_COAP_NODES = "224.0.1.187"  # RFC 7252 section 12.8


@contextmanager
def member(port: int = 0) -> Iterator[socket.socket]:
    """A member of the group of all CoAP nodes, on the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        index = socket.if_nametoindex(LOOPBACK)
        join = struct.pack("=4s4si", socket.inet_aton(ALL_COAP_NODES), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        sock.settimeout(10)
        yield sock


async def test_a_group_is_asked_and_its_members_answer_each_for_itself() -> None:
    transport = await open_udp_client(multicast_interface=LOOPBACK)
    with member() as first, member(address_of(first).port) as second:
        async with listening(transport) as listener:
            group = Address(ALL_COAP_NODES, address_of(first).port)
            transport.send(b"who is there?", transport.session_to(group))
            with bound("127.0.0.2") as two, bound("127.0.0.3") as three:
                for sock, answers_from in ((first, two), (second, three)):
                    data, source = sock.recvfrom(20)
                    assert data == b"who is there?"
                    answers_from.sendto(b"me", source)
                await listener.until(lambda: len(listener.arrived) == 2)
                expected = {transport.session_to(address_of(sock)) for sock in (two, three)}
                assert {session for _, session in listener.arrived} == expected


@needs_link_local
@pytest.mark.parametrize("group", ["ff02::fd", "ff05::fd"])
async def test_the_interface_of_an_ipv6_group(group: str) -> None:
    """It stays on this machine: no hops. The system heeds the zone of ff02:: only."""
    found = link_local()
    assert found is not None
    _, index = found
    transport = await open_udp_client("::", multicast_interface=LOOPBACK, multicast_hops=0)
    with bound("::") as sock:
        join = socket.inet_pton(socket.AF_INET6, group) + struct.pack("=I", index)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, join)
        session = transport.session_to(Address(group, address_of(sock).port, index))
        transport.send(b"who is there?", session)
        assert sock.recv(20) == b"who is there?"
    transport.close()


@needs_ipv6
async def test_how_far_and_by_which_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    class Seen(socket.socket):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr("coapsep.transport.bind.socket.socket", Seen)
    index = socket.if_nametoindex(LOOPBACK)
    for hops in (1, 4):
        made.clear()
        transport = await open_udp_client(multicast_interface=LOOPBACK, multicast_hops=hops)
        old, new = made
        assert old.getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL) == hops
        assert new.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == hops
        assert new.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF) == index
        transport.close()


@pytest.mark.parametrize("name", ["no-such-interface", "", "a\0b", "x" * 100])
async def test_an_interface_that_is_none(name: str) -> None:
    with pytest.raises(OSError, match=f"no network interface .*this machine has .*{LOOPBACK}"):
        await open_udp_client(multicast_interface=name)


@pytest.mark.parametrize("hops", [-1, 256])
async def test_hops_that_are_none(hops: int) -> None:
    with pytest.raises(ValueError, match="multicast_hops is from 0 to 255"):
        await open_udp_client(multicast_hops=hops)
