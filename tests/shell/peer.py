"""A client for tests that speaks in datagrams: it sends what it is told to, and no more."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from coapsep import Address, Batch, Block, Code, Message, Options, Session, Type
from coapsep.message.codec import decode, empty, encode
from coapsep.testing import Network, VirtualTransport

SERVER = "10.0.0.1"


class Peer:
    """One address on the virtual network, with what has arrived there."""

    def __init__(self, transport: VirtualTransport, server: str) -> None:
        self.address = transport.address
        self.transport = transport
        self._session = Session(transport.address, Address(server, 5683), "virtual")
        self._next_mid = 0x1000
        self._send, self._arrived = trio.open_memory_channel[bytes](math.inf)

    def arrive(self, batch: Batch) -> None:
        for data, _ in batch:
            self._send.send_nowait(data)

    # -- sending ---------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send these bytes."""
        self.transport.send(data, self._session)

    def request(
        self,
        path: str = "/",
        *,
        code: Code = Code.GET,
        kind: Type = Type.CON,
        token: bytes = b"tk",
        mid: int | None = None,
        payload: bytes = b"",
        query: tuple[str, ...] = (),
        accept: int | None = None,
        observe: int | None = None,
        block1: Block | None = None,
        block2: Block | None = None,
    ) -> Message:
        """Send a request, with a new message ID unless told otherwise."""
        if mid is None:
            mid = self._next_mid
            self._next_mid += 1
        segments = tuple(path.strip("/").split("/")) if path != "/" else ()
        options = Options.build(
            uri_path=segments,
            uri_query=query,
            accept=accept,
            observe=observe,
            block1=block1,
            block2=block2,
        )
        message = Message(code, kind, mid, token, options, payload)
        self.send(encode(message))
        return message

    def again(self, message: Message) -> None:
        """Send a copy."""
        self.send(encode(message))

    def ack(self, message: Message) -> None:
        """Acknowledge a CON."""
        self.send(empty(Type.ACK, message.mid))

    def reset(self, message: Message) -> None:
        """Answer with RST."""
        self.send(empty(Type.RST, message.mid))

    # -- receiving -------------------------------------------------------------------

    async def receive_bytes(self) -> bytes:
        """The next datagram; waiting longer than any lifetime is a failure."""
        with trio.fail_after(1000):
            return await self._arrived.receive()

    async def receive(self) -> Message:
        """The next datagram, which must be a message."""
        message = decode(await self.receive_bytes())
        assert isinstance(message, Message), message
        return message

    async def expect(self, kind: Type, code: Code, **fields: object) -> Message:
        """The next message, which must be of this type and code, and have these fields."""
        message = await self.receive()
        assert (message.type, message.code) == (kind, code), str(message)
        for name, value in fields.items():
            assert getattr(message, name) == value, f"{name}: {message}"
        return message

    async def expect_ack(self, request: Message) -> None:
        """The next message, which must be the empty ACK of this request."""
        await self.expect(Type.ACK, Code.EMPTY, mid=request.mid, token=b"", payload=b"")

    async def expect_separate(
        self, token: bytes, payload: bytes, code: Code = Code.CONTENT
    ) -> Message:
        """The next message, which must be this separate response; it is acknowledged."""
        message = await self.expect(Type.CON, code, token=token, payload=payload)
        self.ack(message)
        return message

    async def expect_silence(self, seconds: float = 300) -> None:
        """Nothing must arrive for this long; by default, longer than any lifetime."""
        await trio.sleep(seconds)
        statistics = self._arrived.statistics()
        assert statistics.current_buffer_used == 0, decode(self._arrived.receive_nowait())


@asynccontextmanager
async def open_peer(
    network: Network, host: str = "10.0.0.2", port: int = 40000, server: str = SERVER
) -> AsyncGenerator[Peer, None]:
    """A Peer that receives for the length of a block."""
    transport = network.bind(host, port)
    peer = Peer(transport, server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, peer.arrive, lambda session: None)
        yield peer
        nursery.cancel_scope.cancel()
