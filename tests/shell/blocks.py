"""A client for tests that sends whatever options it is told to, one request after the other."""

from __future__ import annotations

from coapsep import Code, Message, Options, Type
from coapsep.message.block import Block
from tests.shell.peer import Peer


class Asker:
    """Requests of one peer, each with its own message ID and, unless told otherwise, token."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self._next = 1

    def send(
        self,
        path: str,
        *,
        code: Code = Code.GET,
        kind: Type = Type.CON,
        token: bytes | None = None,
        payload: bytes = b"",
        **options: object,
    ) -> Message:
        """Send a request; returns it."""
        mid, self._next = self._next, self._next + 1
        built = Options.build(
            uri_path=path.strip("/").split("/"),
            **options,  # type: ignore[arg-type]  # names of options, as build has them
        )
        token = b"t%d" % mid if token is None else token
        message = Message(code, kind, mid, token, built, payload)
        self.peer.again(message)
        return message

    async def answer(self, request: Message) -> Message:
        """The response to a request; a separate one is acknowledged."""
        message = await self.peer.receive()
        if message.code is Code.EMPTY:
            assert (message.type, message.mid) == (Type.ACK, request.mid), message
            message = await self.peer.receive()
        assert message.token == request.token, message
        if message.type is Type.CON:
            self.peer.ack(message)
        return message

    async def ask(self, path: str, **parts: object) -> Message:
        """Send a request; returns the response."""
        return await self.answer(self.send(path, **parts))  # type: ignore[arg-type]  # as send has them

    async def upload(
        self, path: str, body: bytes, size: int = 64, *, code: Code = Code.PUT, **parts: object
    ) -> Message:
        """Send a body in blocks, for as long as the answer is 2.31; returns the last answer."""
        count = max(1, -(-len(body) // size))
        for number in range(count):
            block = Block(number, number + 1 < count, size)
            payload = body[block.start :][:size]
            response = await self.ask(path, code=code, payload=payload, block1=block, **parts)
            if response.code is not Code.CONTINUE:
                break
        return response

    async def download(self, path: str, size: int = 64, **parts: object) -> tuple[Message, bytes]:
        """Ask for a body block by block; returns the last answer and all that has come."""
        body, number = b"", 0
        while True:
            response = await self.ask(path, block2=Block(number, False, size), **parts)
            body += response.payload
            block = response.options.block2
            if block is None or not block.more:
                return response, body
            assert (block.number, block.size) == (number, size)
            number += 1
