"""One UDP socket: what it does when a call of the system fails, or on another system."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from coapsep import Address, Batch, Session
from coapsep.transport.sockaddr import is_group, is_link_local, pack
from coapsep.transport.udp_socket import UdpSocket
from tests.interop.sockets import address_of, bound

REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
RESET = ConnectionResetError(errno.ECONNRESET, "reset")
UNREACHABLE = OSError(errno.EHOSTUNREACH, "no route to host")


class Failing(socket.socket):
    """Its next calls fail with these errors."""

    def __init__(self, family: int) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self.setblocking(False)
        self.errors: list[OSError] = []

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def sendto(self, *args: Any) -> int:
        self._fail()
        return super().sendto(*args)

    def sendmsg(self, *args: Any) -> int:
        self._fail()
        return super().sendmsg(*args)

    def recvfrom(self, *args: Any) -> Any:
        self._fail()
        return super().recvfrom(*args)


@pytest.fixture
def failing() -> Iterator[Failing]:
    with Failing(socket.AF_INET) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with bound("127.0.0.1") as sock:
        yield sock


@pytest.fixture
def server(failing: Failing) -> UdpSocket:
    return UdpSocket(failing, 100, client=False)


@pytest.fixture
def client(failing: Failing) -> UdpSocket:
    return UdpSocket(failing, 100, client=True)


needs_error_queue = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has an error queue"
)


@needs_error_queue
@pytest.mark.parametrize("error", [REFUSED, UNREACHABLE, OSError(errno.EMSGSIZE, "too long")])
@pytest.mark.parametrize("times", [1, 4])
def test_a_client_tries_again_after_any_error(
    failing: Failing, client: UdpSocket, peer: socket.socket, error: OSError, times: int
) -> None:
    """It may have been queued for another peer, and in a bad hour there are several."""
    failing.errors = [error] * times
    assert client.send(b"hello", peer.getsockname(), [])
    assert peer.recv(10) == b"hello"


@needs_error_queue
def test_an_error_that_stays_is_raised(
    failing: Failing, client: UdpSocket, peer: socket.socket
) -> None:
    failing.errors = [UNREACHABLE] * 100
    with pytest.raises(OSError, match="no route"):
        client.send(b"hello", peer.getsockname(), [])
    failing.errors.clear()
    assert client.send(b"hello again", peer.getsockname(), [])
    assert peer.recv(20) == b"hello again"


@pytest.mark.parametrize("error", [REFUSED, RESET])
def test_a_server_tries_again_after_icmp_only(
    failing: Failing, server: UdpSocket, peer: socket.socket, error: OSError
) -> None:
    failing.errors = [error]
    assert server.send(b"hello", peer.getsockname(), [])
    assert peer.recv(10) == b"hello"
    failing.errors = [UNREACHABLE]
    with pytest.raises(OSError, match="no route"):
        server.send(b"hello", peer.getsockname(), [])


def test_what_is_lost_before_the_wire_is_lost_like_any(
    failing: Failing, client: UdpSocket, peer: socket.socket
) -> None:
    """To raise it would fail a request that a retransmission saves; to wait for the socket
    would be busy waiting, for it is writable."""
    failing.errors = [OSError(errno.ENOBUFS, "no buffer space")]
    assert client.send(b"lost", peer.getsockname(), [])
    assert client.send(b"sent", peer.getsockname(), [])
    assert peer.recv(10) == b"sent"


def test_a_send_that_would_block(failing: Failing, client: UdpSocket, peer: socket.socket) -> None:
    failing.errors = [BlockingIOError(errno.EAGAIN, "again")]
    assert not client.send(b"later", peer.getsockname(), [])


@pytest.mark.parametrize("error", [REFUSED, RESET, UNREACHABLE])
def test_an_error_while_receiving_costs_no_datagram(
    failing: Failing, server: UdpSocket, peer: socket.socket, error: OSError
) -> None:
    """Windows tells of a reply that found nobody when the next datagram is read."""
    for data in (b"1", b"2"):
        peer.sendto(data, failing.getsockname())
    failing.errors = [error, error]
    batch: Batch = []
    server.receive(batch)
    session = Session(server.address, address_of(peer))
    assert batch == [(b"1", session), (b"2", session)]


def test_errors_without_end_do_not_hold_the_reader(failing: Failing, server: UdpSocket) -> None:
    failing.errors = [UNREACHABLE] * 1000
    batch: Batch = []
    server.receive(batch)
    assert batch == []
    assert 0 < len(failing.errors) < 1000


@pytest.mark.parametrize(("cuts", "arrives"), [(True, 101), (False, 5000)])
def test_a_datagram_that_is_too_long(
    failing: Failing,
    peer: socket.socket,
    monkeypatch: pytest.MonkeyPatch,
    cuts: bool,
    arrives: int,
) -> None:
    """Cut to one byte more than is allowed; Windows would throw it away instead."""
    monkeypatch.setattr("coapsep.transport.udp_socket._SYSTEM_CUTS", cuts)
    sock = UdpSocket(failing, 100, client=False)
    peer.sendto(bytes(5000), failing.getsockname())
    batch: Batch = []
    sock.receive(batch)
    assert [len(data) for data, _ in batch] == [arrives]


def test_what_is_remembered_of_sources_is_bounded(
    failing: Failing, server: UdpSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coapsep.transport.udp_socket._KNOWN", 2)
    batch: Batch = []
    sources: list[Address] = []
    for _ in range(5):
        with bound("127.0.0.1") as peer:
            peer.sendto(b"x", failing.getsockname())
            sources.append(address_of(peer))
        server.receive(batch)
        assert len(server._sessions) <= 2
    assert [session.peer for _, session in batch] == sources


@pytest.mark.parametrize(
    ("host", "link", "group"),
    [
        ("fe80::1", True, False),
        ("febf::1", True, False),
        ("fec0::1", False, False),
        ("fe8::1", False, False),
        ("ff02::fd", False, True),
        ("ff::1", False, False),
        ("224.0.1.187", False, True),
        ("239.255.255.255", False, True),
        ("223.255.255.255", False, False),
        ("240.0.0.1", False, False),
    ],
)
def test_kinds_of_addresses(host: str, link: bool, group: bool) -> None:
    assert is_link_local(pack(host)) == link
    assert is_group(pack(host)) == group
