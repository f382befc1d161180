"""What the tests of the UDP transport share: real sockets of this machine, and who listens."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

from coapsep import Address, Batch, Session, UdpTransport
from tests.interop.processes import has_ipv6


def link_local() -> tuple[str, int] | None:
    """A link-local address of this machine and the index of its interface, where it has one."""
    table = Path("/proc/net/if_inet6")
    for line in table.read_text().splitlines() if table.exists() else ():
        packed, index, _, scope, *_ = line.split()
        if scope == "20":
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(packed)), int(index, 16)
    return None


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
needs_link_local = pytest.mark.skipif(
    link_local() is None, reason="no link-local address on this machine"
)
LOOPBACKS = ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)]


@contextmanager
def bound(host: str, port: int = 0) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.settimeout(10)
        yield sock


def address_of(sock: socket.socket) -> Address:
    host, port, *_ = sock.getsockname()
    return Address(host, port)


@contextmanager
def dead_ports(host: str, number: int) -> Iterator[list[Address]]:
    """Ports that answer nobody, and that nobody else can take meanwhile: their sockets are
    connected to themselves."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(bound(host)) for _ in range(number)]
        for sock in sockets:
            sock.connect(sock.getsockname())
        yield [address_of(sock) for sock in sockets]


class Listener:
    """Keeps what a transport hands over."""

    def __init__(self, transport: UdpTransport) -> None:
        self.transport = transport
        self.arrived: Batch = []
        self.refused: Batch = []
        self._news = trio.Event()

    async def run(self) -> None:
        await self.transport.run(self._deliver, self._lost, self._refused)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._news.wait()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def _deliver(self, batch: Batch) -> None:
        self.arrived += batch
        self._wake()

    def _lost(self, session: Session) -> None:
        raise AssertionError(session)

    def _refused(self, quoted: bytes, session: Session) -> None:
        self.refused.append((quoted, session))
        self._wake()


@asynccontextmanager
async def listening(transport: UdpTransport) -> AsyncGenerator[Listener, None]:
    """Run this transport for the length of a block, and close it then."""
    listener = Listener(transport)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            with trio.fail_after(10):
                yield listener
            nursery.cancel_scope.cancel()
    finally:
        transport.close()
