"""What the network says of a client's datagrams, on real sockets of this machine (Linux)."""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Any

import pytest
import trio
import trio.testing

from coapsep import Address, Batch, Session, open_udp
from coapsep.transport.error_queue import NetworkError, parse_error
from coapsep.transport.sockaddr import to_sockaddr
from coapsep.transport.udp import open_udp_client
from coapsep.transport.udp_socket import UdpSocket
from tests.interop.sockets import (
    LOOPBACKS,
    address_of,
    bound,
    dead_ports,
    link_local,
    listening,
    needs_ipv6,
    needs_link_local,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an error queue")


def may_forge() -> bool:
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    except OSError:
        return False
    return True


needs_forgery = pytest.mark.skipif(not may_forge(), reason="raw sockets need a privilege")


class Waits(trio.abc.Instrument):
    """Counts how often Trio looks for something to do."""

    def __init__(self) -> None:
        self.number = 0

    def before_io_wait(self, timeout: float) -> None:
        self.number += 1


async def looks_within(seconds: float) -> int:
    """How often Trio woke up in this (real) time, with this test doing nothing."""
    waits = Waits()
    trio.lowlevel.add_instrument(waits)
    await trio.sleep(seconds)
    trio.lowlevel.remove_instrument(waits)
    return waits.number


def nothing_arrives(batch: Batch) -> None:
    raise AssertionError(batch)


def nothing_is_lost(session: Session) -> None:
    raise AssertionError(session)


@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("wildcard", [True, False])
async def test_a_dead_port_is_told_and_a_live_peer_loses_nothing(host: str, wildcard: bool) -> None:
    transport = await open_udp_client(None if wildcard else host)
    with bound(host) as live, dead_ports(host, 1) as (dead,):
        async with listening(transport) as listener:
            to_live, to_dead = transport.session_to(address_of(live)), transport.session_to(dead)
            for number in range(50):
                assert transport.send(b"to nobody %d" % number, to_dead)
                assert transport.send(b"to somebody %d" % number, to_live)
                data, source = live.recvfrom(100)
                assert data == b"to somebody %d" % number
                live.sendto(b"answer %d" % number, source)
            with trio.fail_after(1):
                await listener.until(lambda: len(listener.refused) == 50)
                await listener.until(lambda: len(listener.arrived) == 50)
            expected = [(b"to nobody %d" % number, to_dead) for number in range(50)]
            assert listener.refused == expected
            assert listener.arrived == [(b"answer %d" % number, to_live) for number in range(50)]
            assert transport.ignored_errors == 0


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_many_errors_at_once(host: str) -> None:
    """All of them wait before the transport runs; its reads must not see those of others."""
    transport = await open_udp_client()
    with bound(host) as live, dead_ports(host, 200) as dead:
        sessions = [transport.session_to(address) for address in dead]
        for session in sessions:
            assert transport.send(f"to {session.peer.port}".encode(), session)
        to_live = transport.session_to(address_of(live))
        assert transport.send(b"ping", to_live)
        live.sendto(b"pong", live.recvfrom(100)[1])
        assert transport.poll() == [(b"pong", to_live)]
        async with listening(transport) as listener:
            await listener.until(lambda: len(listener.refused) >= 200)
            quotes = [(f"to {session.peer.port}".encode(), session) for session in sessions]
            assert listener.refused == quotes
            assert listener.arrived == []


@needs_link_local
async def test_a_link_local_peer_keeps_its_scope() -> None:
    found = link_local()
    assert found is not None
    host, index = found
    transport = await open_udp_client()
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0, 0, index))
        sock.connect(sock.getsockname())  # it hears nobody else
        session = transport.session_to(Address(host, sock.getsockname()[1], index))
        async with listening(transport) as listener:
            transport.send(b"hello?", session)
            await listener.until(lambda: bool(listener.refused))
            assert listener.refused == [(b"hello?", session)]


@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("heard", [True, False])
async def test_errors_do_not_keep_the_processor_busy(host: str, heard: bool) -> None:
    """A queued error keeps the socket readable until it is read, whether anybody wants to
    know or not, and after the call that failed with it as well."""
    transport = await open_udp_client()
    refused: Batch = []

    def hear(quoted: bytes, session: Session) -> None:
        refused.append((quoted, session))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, nothing_arrives, nothing_is_lost, hear if heard else None)
        await trio.testing.wait_all_tasks_blocked()
        with dead_ports(host, 3) as dead:
            for address in dead:
                transport.send(b"?", transport.session_to(address))
            assert await looks_within(0.2) < 20
        assert len(refused) == (3 if heard else 0)
        nursery.cancel_scope.cancel()
    transport.close()


async def test_datagrams_without_end_do_not_keep_an_error_waiting() -> None:
    transport = await open_udp_client("127.0.0.1")
    with bound("127.0.0.1") as live, dead_ports("127.0.0.1", 1) as (dead,):
        to_live, to_dead = (transport.session_to(peer) for peer in (address_of(live), dead))

        def ask_again(batch: Batch) -> None:
            transport.send(b"next", to_live)
            live.sendto(b"here", live.recvfrom(10)[1])

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:

                def told(quoted: bytes, session: Session) -> None:
                    assert (quoted, session) == (b"?", to_dead)
                    nursery.cancel_scope.cancel()

                transport.send(b"?", to_dead)
                ask_again([])  # the error is raised here, and only here
                nursery.start_soon(transport.run, ask_again, nothing_is_lost, told)
    transport.close()


async def test_a_server_hears_nothing() -> None:
    transport = await open_udp("127.0.0.1", 0)
    with dead_ports("127.0.0.1", 1) as (dead,), bound("127.0.0.1") as live:
        async with listening(transport) as listener:
            transport.send(b"?", transport.session_to(dead))
            transport.send(b"!", transport.session_to(address_of(live)))
            live.sendto(b"here", live.recvfrom(10)[1])
            await listener.until(lambda: bool(listener.arrived))
            assert listener.refused == []


@pytest.mark.parametrize("refusal", ["not this system", "not this kernel"])
async def test_where_there_is_no_error_queue(refusal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {} if refusal == "not this system" else {socket.AF_INET: (socket.IPPROTO_IP, 9999)}
    monkeypatch.setattr("coapsep.transport.error_queue._OPTIONS", options)
    transport = await open_udp_client("127.0.0.1")
    with dead_ports("127.0.0.1", 1) as (dead,), bound("127.0.0.1") as live:
        async with listening(transport) as listener:
            transport.send(b"?", transport.session_to(dead))
            transport.send(b"!", transport.session_to(address_of(live)))
            live.sendto(b"here", live.recvfrom(10)[1])
            await listener.until(lambda: bool(listener.arrived))
            assert listener.refused == []


@needs_ipv6
async def test_datagrams_of_our_own_that_were_too_long() -> None:
    """IPv6 queues that too, though the call that sent it has failed with it already. No later
    call fails with these, so only their number in the queue tells that they are there."""
    transport = await open_udp_client()
    with bound("::1") as live:
        async with listening(transport) as listener:
            session = transport.session_to(address_of(live))
            for _ in range(100):
                with pytest.raises(OSError, match=r"too long|too large") as caught:
                    transport.send(bytes(70000), session)
                assert caught.value.errno == errno.EMSGSIZE
            assert await looks_within(0.1) < 50
            assert transport.send(b"shorter", session)
            assert live.recv(10) == b"shorter"
            assert listener.refused == []
            assert transport.ignored_errors == 0


async def test_errors_are_taken_a_bounded_number_at_a_time() -> None:
    """So that a flood of them leaves time for others."""
    with bound("127.0.0.1") as raw, dead_ports("127.0.0.1", 100) as dead:
        raw.setblocking(False)
        sock = UdpSocket(raw, 2048, client=True)
        for address in dead:
            assert sock.send(b"?", to_sockaddr(address), [])
        assert [len(sock.take_refused()) for _ in range(3)] == [64, 36, 0]


# -- closing -----------------------------------------------------------------------------


async def test_closed_while_errors_wait() -> None:
    transport = await open_udp_client()
    with dead_ports("127.0.0.1", 3) as dead:
        for address in dead:
            transport.send(b"?", transport.session_to(address))
    transport.close()
    assert transport.poll() == []
    with pytest.raises(trio.ClosedResourceError):
        await transport.run(nothing_arrives, nothing_is_lost)


async def test_closed_by_whoever_hears_of_an_error() -> None:
    transport = await open_udp_client("127.0.0.1")
    told: list[bytes] = []

    def close(quoted: bytes, session: Session) -> None:
        told.append(quoted)
        transport.close()

    with dead_ports("127.0.0.1", 1) as (dead,):
        transport.send(b"?", transport.session_to(dead))
        with trio.fail_after(10), pytest.raises(trio.ClosedResourceError):
            await transport.run(nothing_arrives, nothing_is_lost, close)
    assert told == [b"?"]


async def test_closed_by_whoever_gets_a_datagram() -> None:
    transport = await open_udp_client("127.0.0.1")
    with dead_ports("127.0.0.1", 1) as (dead,), bound("127.0.0.1") as live:
        transport.send(b"?", transport.session_to(dead))
        live.sendto(b"!", ("127.0.0.1", transport.addresses[0].port))

        def close(batch: Batch) -> None:
            assert [data for data, _ in batch] == [b"!"]
            transport.close()

        def refused(quoted: bytes, session: Session) -> None:
            raise AssertionError(quoted)

        with trio.fail_after(10), pytest.raises(trio.ClosedResourceError):
            await transport.run(close, nothing_is_lost, refused)


# -- forged, as they come from far away --------------------------------------------------


def icmp(kind: int, code: int, source: Address, destination: Address, quoted: bytes) -> bytes:
    """An ICMP message (RFC 792) about a UDP datagram of this source."""
    udp = struct.pack("!HHHH", source.port, destination.port, 8 + 40, 0)
    ip = struct.pack(
        "!BBHHHBBH4s4s",
        *(0x45, 0, 20 + 8 + 40, 1, 0, 64, socket.IPPROTO_UDP, 0),
        *(socket.inet_aton(source.host), socket.inet_aton(destination.host)),
    )
    message = struct.pack("!BBHI", kind, code, 0, 0) + ip + udp + quoted
    words = struct.unpack(f"!{len(message + b'0') // 2}H", message + bytes(len(message) % 2))
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]


@needs_forgery
@pytest.mark.parametrize("quoted", [b"", b"\x40", b"\x40\x01\x12", b"\x41\x01\x12\x34\xaa\xff..."])
async def test_a_quote_that_is_cut_short(quoted: bytes) -> None:
    """A router need not quote more than the 8 bytes of the UDP header (RFC 792)."""
    transport = await open_udp_client("127.0.0.1")
    peer = Address("127.0.0.9", 5683)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as forger:
        async with listening(transport) as listener:
            message = icmp(3, 3, transport.addresses[0], peer, quoted)
            forger.sendto(message, ("127.0.0.1", 0))
            await listener.until(lambda: bool(listener.refused))
            assert listener.refused == [(quoted, transport.session_to(peer))]


@needs_forgery
@pytest.mark.parametrize("code", [0, 1, 13], ids=["net", "host", "prohibited"])
async def test_other_errors_are_ignored_and_counted(code: int) -> None:
    transport = await open_udp_client("127.0.0.1")
    peer = Address("127.0.0.9", 5683)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as forger:
        async with listening(transport) as listener:
            for kind in (code, 3):
                message = icmp(3, kind, transport.addresses[0], peer, b"quoted")
                forger.sendto(message, ("127.0.0.1", 0))
            with bound("127.0.0.1") as live:
                assert transport.send(b"still here", transport.session_to(address_of(live)))
                assert live.recv(20) == b"still here"
            await listener.until(lambda: bool(listener.refused))
            assert len(listener.refused) == 1
            assert transport.ignored_errors == 1


# -- taken apart --------------------------------------------------------------------------

OPTION = (socket.IPPROTO_IP, 11)
DESTINATION = ("192.0.2.1", 5683)


def extended(origin: int, kind: int, code: int) -> bytes:
    """struct sock_extended_err with ECONNREFUSED, and an address of whoever complains."""
    return struct.pack("=IBBBBII", 111, origin, kind, code, 0, 0, 0) + bytes(16)


@pytest.mark.parametrize(
    ("origin", "kind", "code", "expected"),
    [(2, 3, 3, True), (3, 1, 4, True), (2, 3, 4, False), (2, 11, 0, False), (3, 1, 3, False)],
)
def test_the_one_error_that_is_final(origin: int, kind: int, code: int, expected: bool) -> None:
    ancillary = [(0, 8, b"something else"), (*OPTION, extended(origin, kind, code))]
    error = parse_error(b"quoted", ancillary, DESTINATION, OPTION)
    assert error == NetworkError(Address(*DESTINATION), b"quoted", expected)


@pytest.mark.parametrize(
    ("ancillary", "destination"),
    [
        ([], DESTINATION),
        ([(*OPTION, extended(2, 3, 3)[:15])], DESTINATION),
        ([(41, 25, extended(2, 3, 3))], DESTINATION),
        ([(*OPTION, extended(2, 3, 3))], None),
        ([(*OPTION, extended(1, 0, 0))], DESTINATION),
    ],
    ids=["nothing", "cut", "another option", "nobody", "our own"],
)
def test_what_is_no_error_of_the_network(
    ancillary: list[tuple[int, int, bytes]], destination: tuple[Any, ...] | None
) -> None:
    assert parse_error(b"quoted", ancillary, destination, OPTION) is None
