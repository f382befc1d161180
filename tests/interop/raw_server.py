"""A server that speaks in datagrams, for the client to be judged by what it puts on the wire.

It reads and writes with the codec of ``raw.py``, which shares nothing with coapsep's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import trio

from coapsep import Client, ClientResponse, Tuning, open_client
from tests.interop.raw import CON, Parsed, empty, message, parse

#: The first repetition comes after a fifth of a second. What a test waits for comes at once,
#: or the test fails after PATIENCE seconds.
QUICK = Tuning(ack_timeout=0.2, ack_random_factor=1.0, empty_ack_delay=0.1)
PATIENCE = 5.0

CONTENT = 2 << 5 | 5


class RawServer:
    """A UDP socket. It answers whoever asked last."""

    def __init__(self, sock: trio.socket.SocketType, host: str) -> None:
        self._socket = sock
        self._client: tuple[str, int] | None = None
        self.host = host
        self.port: int = sock.getsockname()[1]

    def uri(self, rest: str = "") -> str:
        """A URI of this server."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"coap://{host}:{self.port}{rest}"

    async def receive_bytes(self) -> bytes:
        """The next datagram."""
        with trio.fail_after(PATIENCE):
            data, self._client = await self._socket.recvfrom(65536)
        return data

    async def receive(self) -> Parsed:
        """The next datagram, read; AssertionError if it is not well-formed."""
        return parse(await self.receive_bytes())

    async def send(self, *datagrams: bytes) -> None:
        """To whoever asked."""
        assert self._client is not None
        for data in datagrams:
            await self._socket.sendto(data, self._client)

    async def send_to(self, port: int, *datagrams: bytes) -> None:
        """To a port of this machine."""
        self._client = (self.host, port)
        await self.send(*datagrams)

    async def respond(
        self,
        kind: int,
        mid: int,
        token: bytes,
        payload: bytes = b"hi",
        options: Iterable[tuple[int, bytes]] = (),
        code: int = CONTENT,
    ) -> None:
        """Send a response, whatever it is worth."""
        await self.send(message(kind, code, mid, token, options, payload))

    async def drawn(self, *datagrams: bytes) -> list[bytes]:
        """Send these, and return what they drew: all that comes before the answers to two
        pings behind them. Repetitions of a request are among it."""
        await self.send(*datagrams)
        before = []
        for mid in (0xFFF0, 0xFFF1):
            await self.send(empty(CON, mid))
            while (data := await self.receive_bytes()) != empty(3, mid):
                before.append(data)
        return before

    async def silence(self, seconds: float) -> None:
        """Nothing may arrive for so long: for what could only come late."""
        with trio.move_on_after(seconds):
            raise AssertionError(f"there should be silence: {parse(await self.receive_bytes())}")


class Asking:
    """A call of the client, as a task of its own."""

    def __init__(self) -> None:
        self._over = trio.Event()
        self._result: object = None
        self._error: Exception | None = None
        self._scope = trio.CancelScope()

    async def run(self, call: Callable[[], Awaitable[object]]) -> None:
        with self._scope:
            try:
                self._result = await call()
            except Exception as exc:
                self._error = exc
        self._over.set()

    def cancel(self) -> None:
        """Give it up."""
        self._scope.cancel()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._over.is_set()

    async def result(self) -> object:
        """What it returned; raises what it raised."""
        with trio.fail_after(PATIENCE):
            await self._over.wait()
        if self._error is not None:
            raise self._error
        return self._result

    async def payload(self) -> bytes:
        """The payload of the response."""
        response = await self.result()
        assert isinstance(response, ClientResponse)
        return response.payload


class Stand:
    """A client, a server, and calls of the one to the other."""

    def __init__(self, client: Client, server: RawServer, nursery: trio.Nursery) -> None:
        self.client = client
        self.server = server
        self._nursery = nursery

    @property
    def client_port(self) -> int:
        """Of the client's socket for the server's family."""
        ipv6 = ":" in self.server.host
        return next(a.port for a in self.client.addresses if (":" in a.host) == ipv6)

    def ask(self, rest: str = "/a", *, confirmable: bool = True) -> Asking:
        """GET beside the test."""
        uri = self.server.uri(rest)
        return self.start(lambda: self.client.get(uri, confirmable=confirmable))

    def start(self, call: Callable[[], Awaitable[object]]) -> Asking:
        """Any call, beside the test."""
        asking = Asking()
        self._nursery.start_soon(asking.run, call)
        return asking


@asynccontextmanager
async def raw_server(host: str) -> AsyncGenerator[RawServer, None]:
    """A server on a free port."""
    family = trio.socket.AF_INET6 if ":" in host else trio.socket.AF_INET
    with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((host, 0))
        yield RawServer(sock, host)


@asynccontextmanager
async def stand(host: str = "127.0.0.1", tuning: Tuning = QUICK) -> AsyncGenerator[Stand, None]:
    """A client and a server, which end with the block."""
    async with (
        raw_server(host) as server,
        open_client(tuning=tuning) as client,
        trio.open_nursery() as nursery,
    ):
        yield Stand(client, server, nursery)
        nursery.cancel_scope.cancel()
