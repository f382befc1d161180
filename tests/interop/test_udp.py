"""The UDP transport on real sockets of this machine."""

from __future__ import annotations

import errno
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from coapsep import (
    Address,
    Batch,
    Limits,
    Request,
    Router,
    Server,
    Session,
    UdpTransport,
    open_server,
    open_udp,
)
from tests.interop.sockets import bound, link_local, needs_ipv6, needs_link_local


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/local")
    def local(request: Request) -> str:
        return f"{request.local.host} {request.peer.host}"

    return router


@asynccontextmanager
async def client(host: str, port: int) -> AsyncGenerator[trio.socket.SocketType, None]:
    """A socket connected to this address: it hears nobody else."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with trio.socket.socket(family, socket.SOCK_DGRAM) as sock:
        await sock.connect((host, port))
        with trio.fail_after(10):
            yield sock


GET_LOCAL = b"\x44\x01\x12\x34abcd\xb5local"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.2", "127.1.2.3", pytest.param("::1", marks=needs_ipv6)]
)
async def test_a_wildcard_answers_from_the_address_that_was_asked(
    router: Router, host: str
) -> None:
    async with open_server(router, port=0) as server, client(host, port_of(server)) as sock:
        await sock.send(GET_LOCAL)
        answer = await sock.recv(100)
        assert answer.endswith(f"\xff{host} {sock.getsockname()[0]}".encode("latin-1"))


async def test_several_addresses_at_once_and_only_these(router: Router) -> None:
    async with open_server(router, host=["127.0.0.2", "127.0.0.3"], port=0) as server:
        port = port_of(server)
        assert server.addresses == (Address("127.0.0.2", port), Address("127.0.0.3", port))
        for host in ("127.0.0.2", "127.0.0.3"):
            async with client(host, port) as sock:
                await sock.send(GET_LOCAL)
                assert (await sock.recv(100)).endswith(f"{host} 127.0.0.1".encode())
        async with client("127.0.0.4", port) as sock:
            await sock.send(GET_LOCAL)
            with pytest.raises(ConnectionRefusedError):
                await sock.recv(100)


def port_of(server: Server) -> int:
    ports = {address.port for address in server.addresses}
    assert len(ports) == 1
    return ports.pop()


async def test_a_name_is_resolved(router: Router) -> None:
    async with open_server(router, host="localhost", port=0) as server:
        hosts = {address.host for address in server.addresses}
        assert "127.0.0.1" in hosts
        assert hosts <= {"127.0.0.1", "::1"}


async def test_an_address_in_use_is_named() -> None:
    with bound("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}") as caught:
            await open_udp("127.0.0.1", port)
    assert caught.value.errno == errno.EADDRINUSE
    (await open_udp("127.0.0.1", port)).close()  # nothing was left bound


async def test_one_of_two_in_use_binds_none() -> None:
    with bound("127.0.0.3", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(OSError, match=r"127\.0\.0\.3"):
            await open_udp(["127.0.0.2", "127.0.0.3"], port)
    with bound("127.0.0.2", port):
        pass


@pytest.mark.parametrize("host", ["no-such-host.invalid", "256.1.1.1"])
async def test_a_host_without_an_address_is_named(host: str) -> None:
    with pytest.raises(OSError, match=f"no address for host '{host}'"):
        await open_udp(host)


async def test_no_host_at_all() -> None:
    with pytest.raises(ValueError, match="at least one address"):
        await open_udp([])


async def test_a_machine_without_ipv6_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a kernel that was started with ipv6.disable=1."""

    class NoIPv6(socket.socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, kind)

    monkeypatch.setattr("coapsep.transport.bind.socket.socket", NoIPv6)
    transport = await open_udp(port=0)
    assert [address.host for address in transport.addresses] == ["0.0.0.0"]
    transport.close()
    with pytest.raises(OSError, match=r"cannot listen on \[::1\]:0"):
        await open_udp("::1", 0)
    with pytest.raises(OSError, match=r"cannot listen on \[::\]"):
        await open_udp(["127.0.0.1", "::"], 0)


async def test_a_longer_datagram_is_noticed(router: Router) -> None:
    limits = Limits(datagram_size=228)
    async with (
        open_server(router, host="127.0.0.1", port=0, limits=limits) as server,
        client("127.0.0.1", port_of(server)) as sock,
    ):
        await sock.send(GET_LOCAL + b"\xff" + bytes(228 - len(GET_LOCAL) - 1))
        assert (await sock.recv(100))[1] == 0x45
        await sock.send(b"\x44\x01\x12\x35abcd\xb5local\xff" + bytes(5000))
        assert await sock.recv(100) == b"\x64\x8d\x12\x35abcd\xd1\x0e\x02\xd1\x14\x64\xff" + (
            b"a message may have 228 bytes"
        )
        assert server.statistics().datagrams_too_large == 1


async def test_icmp_errors_end_nothing(router: Router) -> None:
    """A client that has gone makes the system say so; the next client must not suffer."""

    @router.get("/later")
    def later(request: Request) -> str | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=0.05)
            return None
        return "later"

    async with open_server(router, host="127.0.0.1", port=0) as server:
        port = port_of(server)
        for _ in range(5):
            async with client("127.0.0.1", port) as gone:
                await gone.send(b"\x44\x01\x12\x34abcd\xb5later")
                await gone.recv(100)
        with trio.move_on_after(0.5):  # all their responses have been sent by then
            await trio.sleep_forever()
        assert server.statistics().separate == 5
        async with client("127.0.0.1", port) as sock:
            await sock.send(GET_LOCAL)
            assert await sock.recv(100)
        assert server.statistics().send_errors == 0


async def test_closing_wakes_whoever_receives() -> None:
    transport = await open_udp(["127.0.0.1", "127.0.0.2"], 0)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await transport.run(no_batch, no_session)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        transport.close()
        transport.close()
    with pytest.raises(trio.ClosedResourceError):
        await transport.run(no_batch, no_session)
    with pytest.raises(trio.ClosedResourceError):
        transport.send(b"x", Session(transport.addresses[0], Address("127.0.0.1", 9)))


async def test_an_address_that_is_not_bound() -> None:
    transport = await open_udp("127.0.0.1", 0)
    with pytest.raises(OSError, match="no socket is bound"):
        transport.send(b"x", Session(Address("127.0.0.9", 1), Address("127.0.0.1", 9)))
    transport.close()


async def test_poll_takes_what_is_there_and_no_more() -> None:
    transport = await open_udp("127.0.0.1", 0)
    assert transport.poll() == []
    async with client("127.0.0.1", transport.addresses[0].port) as sock:
        for number in range(200):
            await sock.send(b"%d" % number)
        got: Batch = []
        while batch := transport.poll():
            assert len(batch) <= 64
            got += batch
        assert [data for data, _ in got] == [b"%d" % number for number in range(200)]
        await transport.wait_writable(got[0][1])
    transport.close()


def test_a_transport_needs_a_socket() -> None:
    with pytest.raises(ValueError, match="at least one"):
        UdpTransport([])


def no_batch(batch: Batch) -> None:
    raise AssertionError(batch)


def no_session(session: Session) -> None:
    raise AssertionError(session)


@needs_link_local
@pytest.mark.parametrize("wildcard", [True, False])
async def test_a_link_local_address_keeps_its_scope(router: Router, wildcard: bool) -> None:
    found = link_local()
    assert found is not None
    host, index = found
    async with open_server(router, host="::" if wildcard else f"{host}%{index}", port=0) as server:
        port = port_of(server)
        with trio.socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock, trio.fail_after(10):
            await sock.connect((host, port, 0, index))
            await sock.send(GET_LOCAL)
            assert (await sock.recv(200)).endswith(f"{host} {host}".encode())
        if not wildcard:
            assert server.addresses == (Address(host, port, index),)
            assert str(server.addresses[0]) == f"[{host}%{index}]:{port}"


@pytest.mark.parametrize("port", [-1, 65536, 99999])
async def test_a_port_that_is_none(port: int) -> None:
    with pytest.raises(ValueError, match="a port is a number from 0 to 65535"):
        await open_udp("127.0.0.1", port)


@pytest.mark.parametrize("host", [("127.0.0.1", 5683), [None]])
async def test_a_host_that_is_none(host: Any) -> None:
    with pytest.raises(TypeError, match="a host is a name or an address"):
        await open_udp(host)


async def test_what_was_sent_to_everybody_is_dropped_and_counted(router: Router) -> None:
    async with open_server(router, host="0.0.0.0", port=0) as server:
        port = port_of(server)
        with trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, trio.fail_after(10):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            await sock.sendto(GET_LOCAL, ("127.255.255.255", port))
            await sock.sendto(GET_LOCAL, ("127.0.0.1", port))
            assert (await sock.recv(100)).endswith(b"127.0.0.1 127.0.0.1")
        assert server.statistics().requests == 1
        assert server.statistics().datagrams_to_groups == 1
