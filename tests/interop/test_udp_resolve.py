"""Names to addresses, with the resolver of this machine and with one that answers anything."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from coapsep import Address, open_udp
from coapsep.transport.resolve import resolve
from tests.interop.sockets import needs_ipv6

LOOPBACK, INDEX = next(
    ((name, index) for index, name in socket.if_nameindex() if name.startswith("lo")), ("lo", 1)
)


async def test_localhost() -> None:
    found = await resolve("localhost", 5683)
    assert Address("127.0.0.1", 5683) in found or Address("::1", 5683) in found
    assert len(found) == len(set(found))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", Address("127.0.0.1", 5683)),
        ("::1", Address("::1", 5683)),
        ("2001:DB8:0:0::1", Address("2001:db8::1", 5683)),
        ("fe80::1", Address("fe80::1", 5683)),
        (f"fe80::1%{LOOPBACK}", Address("fe80::1", 5683, INDEX)),
        (f"fe80::1%{INDEX}", Address("fe80::1", 5683, INDEX)),
        (f"ff02::fd%{LOOPBACK}", Address("ff02::fd", 5683, INDEX)),
    ],
)
async def test_a_number_is_its_own_address(host: str, expected: Address) -> None:
    assert await resolve(host, 5683) == [expected]


@pytest.mark.parametrize(
    "host",
    [
        "no-such-host.invalid",
        "256.1.1.1",
        "",
        "a..b",
        "x" * 64 + ".example",
        "é" * 80,
        "a\0b",
        "[::1]",
        "fe80::1%no-such-zone",
    ],
)
async def test_a_host_without_an_address_is_named(host: str) -> None:
    with pytest.raises(OSError, match="no address for host") as caught:
        await resolve(host, 5683)
    assert repr(host) in str(caught.value)


@pytest.mark.parametrize("port", [-1, 65536, 99999])
async def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ValueError, match="a port is a number from 0 to 65535"):
        await resolve("127.0.0.1", port)


class Resolver(trio.abc.HostnameResolver):
    """Answers with these addresses, or not at all."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, tuple[Any, ...]]] | None = None

    async def getaddrinfo(  # type: ignore[override]  # the types of its results are not public
        self, host: Any, port: Any, *rest: Any
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        if self.answers is None:
            await trio.sleep_forever()
        assert self.answers is not None
        return [(family, 2, 17, "", name) for family, name in self.answers]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
async def resolver() -> Resolver:
    resolver = Resolver()
    trio.socket.set_custom_hostname_resolver(resolver)  # forgotten at the end of this Trio run
    return resolver


async def test_the_order_is_the_systems_and_none_comes_twice(resolver: Resolver) -> None:
    resolver.answers = [
        (socket.AF_INET6, ("2001:db8::1", 5683, 0, 0)),
        (socket.AF_INET, ("192.0.2.1", 5683)),
        (socket.AF_UNIX, ("/somewhere",)),
        (socket.AF_INET6, ("2001:db8::1", 5683, 0, 0)),
        (socket.AF_INET6, ("2001:db8::2", 5683, 0, 0)),
    ]
    assert await resolve("sensor.example", 5683) == [
        Address("2001:db8::1", 5683),
        Address("192.0.2.1", 5683),
        Address("2001:db8::2", 5683),
    ]


@needs_ipv6
async def test_a_server_listens_on_ipv4_first(resolver: Resolver) -> None:
    resolver.answers = [
        (socket.AF_INET6, ("::1", 0, 0, 0)),
        (socket.AF_INET, ("127.0.0.1", 0)),
    ]
    transport = await open_udp("sensor.example", 0)
    assert [address.host for address in transport.addresses] == ["127.0.0.1", "::1"]
    transport.close()


async def test_it_can_be_cancelled(
    resolver: Resolver, autojump_clock: trio.testing.MockClock
) -> None:
    with trio.move_on_after(5) as scope:
        await resolve("sensor.example", 5683)
    assert scope.cancelled_caught
