"""A server for tests that speaks in datagrams: it answers what it is told to, and no more."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio

from coapsep import Code, Message, Options, Type
from coapsep.message.options import EMPTY
from coapsep.testing import Network, VirtualTransport
from tests.shell.peer import SERVER, Peer

CLIENT = "10.0.0.2"


class Responder(Peer):
    """The other end of a client under test."""

    def __init__(self, transport: VirtualTransport, client: str) -> None:
        super().__init__(transport, client)
        self._next_mid = 0x8000

    async def expect_request(
        self, kind: Type = Type.CON, code: Code = Code.GET, **fields: object
    ) -> Message:
        """The next message, which must be a request of this kind."""
        return await self.expect(kind, code, **fields)

    async def expect_ping(self) -> Message:
        """The next message, which must be an Empty CON."""
        return await self.expect(Type.CON, Code.EMPTY, token=b"", payload=b"")

    async def expect_ack_of(self, response: Message) -> None:
        """The next message, which must be the empty ACK of this response."""
        await self.expect(Type.ACK, Code.EMPTY, mid=response.mid, token=b"", payload=b"")

    async def expect_reset_of(self, response: Message) -> None:
        """The next message, which must be the RST of this response."""
        await self.expect(Type.RST, Code.EMPTY, mid=response.mid, token=b"", payload=b"")

    def answer(
        self,
        request: Message,
        payload: bytes = b"",
        *,
        kind: Type = Type.ACK,
        code: Code = Code.CONTENT,
        options: Options = EMPTY,
    ) -> Message:
        """Send a response: in the ACK, or else as a message with an ID of its own."""
        mid = request.mid
        if kind is not Type.ACK:
            mid = self._next_mid
            self._next_mid += 1
        response = Message(code, kind, mid, request.token, options, payload)
        self.again(response)
        return response


@asynccontextmanager
async def open_responder(
    network: Network, host: str = SERVER, client: str = CLIENT
) -> AsyncGenerator[Responder, None]:
    """A Responder for the length of a block."""
    transport = network.bind(host)
    responder = Responder(transport, client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, responder.arrive, lambda session: None)
        yield responder
        nursery.cancel_scope.cancel()
