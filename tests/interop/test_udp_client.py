"""Sessions to peers, and the sockets of clients, on real sockets of this machine."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

from coapsep import Address, Session, UdpTransport, open_udp
from coapsep.transport.udp import open_udp_client
from tests.interop.sockets import (
    LOOPBACKS,
    address_of,
    bound,
    link_local,
    listening,
    needs_ipv6,
    needs_link_local,
)


async def assert_answered_in(transport: UdpTransport, session: Session) -> None:
    """What the peer of this session answers arrives in it."""
    with bound(session.peer.host) as peer:
        session = Session(session.local, address_of(peer))
        async with listening(transport) as listener:
            assert transport.send(b"ping", session)
            data, source = peer.recvfrom(10)
            assert data == b"ping"
            peer.sendto(b"pong", source)
            await listener.until(lambda: bool(listener.arrived))
            assert listener.arrived == [(b"pong", session)]


# -- session_to ----------------------------------------------------------------------------


@pytest.mark.parametrize("client", [True, False])
@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", pytest.param("::1", marks=needs_ipv6)])
async def test_a_session_of_a_bound_socket(host: str, client: bool) -> None:
    transport = await (open_udp_client(host) if client else open_udp(host, 0))
    peer = Address("::1" if ":" in host else "127.0.0.3", 9)
    session = transport.session_to(peer)
    assert session == Session(transport.addresses[0], peer)
    assert session.local.host == host
    await assert_answered_in(transport, session)


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.2", "127.0.0.1"),
        pytest.param("::1", "::1", marks=needs_ipv6),
    ],
)
async def test_a_session_of_a_wildcard_that_tells_the_destination(peer: str, local: str) -> None:
    transport = await open_udp(port=0)
    session = transport.session_to(Address(peer, 9))
    assert session == Session(Address(local, transport.addresses[0].port), Address(peer, 9))
    await assert_answered_in(transport, session)


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_a_session_of_a_wildcard_that_does_not(host: str) -> None:
    transport = await open_udp_client()
    session = transport.session_to(Address(host, 9))
    wildcard = "::" if ":" in host else "0.0.0.0"
    assert session.local.host == wildcard
    assert session.local in transport.addresses
    await assert_answered_in(transport, session)


async def test_several_sockets_of_a_family() -> None:
    """The one that the system would send from, or else the first."""
    transport = await open_udp(["127.0.0.2", "127.0.0.1"], 0)
    session = transport.session_to(Address("127.0.0.9", 9))
    assert session.local == transport.addresses[1]
    await assert_answered_in(transport, session)
    transport = await open_udp(["127.0.0.2", "127.0.0.3"], 0)
    session = transport.session_to(Address("127.0.0.9", 9))
    assert session.local == transport.addresses[0]
    await assert_answered_in(transport, session)


@needs_link_local
@pytest.mark.parametrize("client", [True, False])
async def test_a_link_local_peer(client: bool) -> None:
    found = link_local()
    assert found is not None
    host, index = found
    transport = await (open_udp_client("::") if client else open_udp("::", 0))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0, 0, index))
        session = transport.session_to(Address(host, peer.getsockname()[1], index))
        if not client:
            assert session.local == Address(host, transport.addresses[0].port, index)
        async with listening(transport) as listener:
            transport.send(b"ping", session)
            peer.sendto(b"pong", peer.recvfrom(10)[1])
            await listener.until(lambda: bool(listener.arrived))
            assert listener.arrived == [(b"pong", session)]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Address("::FFFF:127.0.0.1", 9), Address("127.0.0.1", 9)),
        (Address("::ffff:7f00:1", 9, 3), Address("127.0.0.1", 9)),
        pytest.param(Address("0:0::1", 9), Address("::1", 9), marks=needs_ipv6),
        pytest.param(Address("::1", 9, 1), Address("::1", 9), marks=needs_ipv6),
    ],
    ids=str,
)
async def test_a_peer_has_one_form(asked: Address, found: Address) -> None:
    """The form in which its answers arrive."""
    transport = await open_udp_client()
    assert transport.session_to(asked).peer == found
    assert transport.session_to(asked) == transport.session_to(found)
    transport.close()


@pytest.mark.parametrize(
    ("host", "peer", "text"),
    [
        (None, Address("fe80::1", 9), r"fe80::1 is an address of one link.*fe80::1%eth0"),
        (None, Address("localhost", 9), "'localhost' is not a numeric address"),
        (None, Address("127.1", 9), "'127.1' is not a numeric address"),
        (None, Address("a\0b", 9), "is not a numeric address"),
        (None, Address("0.0.0.0", 9), "stands for any address"),
        (None, Address("::", 9), "stands for any address"),
        ("127.0.0.1", Address("::1", 9), r"no way to \[::1\]:9: there is no IPv6 socket here"),
        pytest.param(
            "::1", Address("127.0.0.1", 9), "there is no IPv4 socket here", marks=needs_ipv6
        ),
        pytest.param("::1", Address("::ffff:1.2.3.4", 9), "no IPv4 socket", marks=needs_ipv6),
    ],
    ids=str,
)
async def test_a_peer_to_whom_there_is_no_way(host: str | None, peer: Address, text: str) -> None:
    transport = await open_udp_client(host)
    with pytest.raises(OSError, match=text):
        transport.session_to(peer)
    transport.close()


async def test_no_route() -> None:
    """To broadcast needs leave, which nobody has asked for; without a network it has no route."""
    transport = await open_udp(port=0)
    with pytest.raises(OSError, match=r"no way to 255\.255\.255\.255:9: ") as caught:
        transport.session_to(Address("255.255.255.255", 9))
    assert caught.value.errno in (errno.EACCES, errno.ENETUNREACH)
    transport.close()


async def test_a_group_needs_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_route(peer: Address) -> Address:
        raise OSError(errno.ENETUNREACH, "no way")

    monkeypatch.setattr("coapsep.transport.udp.source_address", no_route)
    transport = await open_udp(port=0)
    with pytest.raises(OSError, match="no way"):
        transport.session_to(Address("192.0.2.1", 5683))
    for group in (Address("224.0.1.187", 5683), Address("ff02::fd", 5683, 1)):
        if group.is_ipv6 and len(transport.addresses) == 1:
            continue  # a machine without IPv6
        session = transport.session_to(group)
        assert session.peer == group
        assert session.local in transport.addresses
    transport.close()


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[Address]:
    """The peers for which the system was asked."""
    peers: list[Address] = []

    def source(peer: Address) -> Address:
        peers.append(peer)
        return Address("127.0.0.1", 0)

    monkeypatch.setattr("coapsep.transport.udp.source_address", source)
    return peers


async def test_a_session_is_looked_up_once(looked_up: list[Address]) -> None:
    transport = await open_udp("0.0.0.0", 0)
    peer = Address("127.0.0.1", 9)
    session = transport.session_to(peer)
    assert transport.session_to(peer) is session
    assert looked_up == [peer]
    transport.close()
    with pytest.raises(trio.ClosedResourceError):
        transport.session_to(peer)
    with pytest.raises(trio.ClosedResourceError):
        transport.send(b"x", session)


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_what_is_answered_arrives_in_the_very_session(host: str) -> None:
    """So that no table has to compare it with its equal."""
    transport = await open_udp_client()
    with bound(host) as peer:
        session = transport.session_to(address_of(peer))
        transport.send(b"ping", session)
        peer.sendto(b"pong", peer.recvfrom(10)[1])
        ((data, found),) = transport.poll()
        assert data == b"pong"
        assert found is session
    transport.close()


async def test_a_session_that_was_heard_first_is_the_one_that_is_asked_in() -> None:
    transport = await open_udp("127.0.0.1", 0)
    with bound("127.0.0.1") as peer:
        peer.sendto(b"hello", (transport.addresses[0].host, transport.addresses[0].port))
        ((_, session),) = transport.poll()
        assert transport.session_to(address_of(peer)) is session
    transport.close()


async def test_a_send_that_fails_makes_it_look_again(looked_up: list[Address]) -> None:
    """The addresses of the machine may have changed."""
    transport = await open_udp("0.0.0.0", 0)
    peer = Address("127.0.0.1", 9)
    session = transport.session_to(peer)
    with pytest.raises(OSError, match="too long"):
        transport.send(bytes(70000), session)
    assert transport.session_to(peer) == session
    assert looked_up == [peer, peer]
    transport.close()


async def test_what_is_remembered_of_peers_is_bounded(
    looked_up: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coapsep.transport.udp._KNOWN", 2)
    transport = await open_udp("0.0.0.0", 0)
    peers = [Address("127.0.0.1", port) for port in (9, 10, 11)]
    for peer in (*peers, peers[2], peers[0]):
        transport.session_to(peer)
    assert looked_up == [*peers, peers[0]]
    transport.close()


# -- the sockets of clients ----------------------------------------------------------------


@needs_ipv6
async def test_one_client_has_both_families() -> None:
    transport = await open_udp_client()
    assert [address.host for address in transport.addresses] == ["0.0.0.0", "::"]
    assert all(address.port for address in transport.addresses)
    with bound("127.0.0.1") as old, bound("::1") as new:
        async with listening(transport) as listener:
            sessions = [transport.session_to(address_of(peer)) for peer in (old, new)]
            for peer, session in zip((old, new), sessions, strict=True):
                transport.send(b"ping", session)
                peer.sendto(b"pong", peer.recvfrom(10)[1])
            await listener.until(lambda: len(listener.arrived) == 2)
            assert {session for _, session in listener.arrived} == set(sessions)


class WithoutFamilies(socket.socket):
    """As on a kernel that was started with ipv6.disable=1, or built without IPv4."""

    missing: tuple[int, ...] = ()

    def __init__(self, family: int, kind: int) -> None:
        if family in self.missing:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, kind)


@contextmanager
def without(monkeypatch: pytest.MonkeyPatch, *families: int) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(WithoutFamilies, "missing", families)
        patch.setattr("coapsep.transport.bind.socket.socket", WithoutFamilies)
        yield


@needs_ipv6
@pytest.mark.parametrize("client", [True, False])
async def test_a_machine_with_one_family(client: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing, host in ((socket.AF_INET6, "0.0.0.0"), (socket.AF_INET, "::")):
        with without(monkeypatch, missing):
            transport = await (open_udp_client() if client else open_udp(port=0))
            assert [address.host for address in transport.addresses] == [host]
            transport.close()
    with (
        without(monkeypatch, socket.AF_INET6, socket.AF_INET),
        pytest.raises(OSError, match=r"cannot listen on 0\.0\.0\.0"),
    ):
        await (open_udp_client() if client else open_udp(port=0))


@needs_ipv6
async def test_only_a_server_needs_one_port_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the port that is free for IPv4 may be taken for IPv6."""

    class Busy(socket.socket):
        def bind(self, name: Any) -> None:
            if name[1] != 0:
                raise OSError(errno.EADDRINUSE, "Address already in use")
            super().bind(name)

    monkeypatch.setattr("coapsep.transport.bind.socket.socket", Busy)
    transport = await open_udp_client()
    assert len(transport.addresses) == 2
    transport.close()
    with pytest.raises(OSError, match=r"cannot listen on \[::\]:\d+: Address already in use"):
        await open_udp(port=0)


async def test_a_client_on_a_given_address_and_port() -> None:
    with bound("127.0.0.2") as sock:
        port = address_of(sock).port
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.2:{port}"):
            await open_udp_client("127.0.0.2", port)
    transport = await open_udp_client("127.0.0.2", port)
    assert transport.addresses == (Address("127.0.0.2", port),)
    transport.close()


@pytest.mark.parametrize("size", [0, -1, 65536])
async def test_a_size_that_is_none(size: int) -> None:
    for open_transport in (open_udp, open_udp_client):
        with pytest.raises(ValueError, match="datagram_size is from 1 to 65535 bytes"):
            await open_transport("127.0.0.1", 0, datagram_size=size)
