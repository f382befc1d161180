"""The body of a request, for a handler that reads it as it arrives (RFC 7959 section 2.5)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from coapsep.errors import RequestEntityIncomplete
from coapsep.protocol.held import Upload


class RequestBody:
    """``async for chunk in request.body``: bytes, in the order in which they were sent.

    A block is acknowledged when the one after it is asked for, so a handler that is slow slows
    its client down, and nothing piles up. A body that was sent in one message is one chunk.

    Reading raises RequestEntityIncomplete (4.08, if the handler lets it through) when the rest
    will never come: the client has fallen silent, began again, or its session has gone.
    """

    __slots__ = ("_chunk", "_failure", "_is_last", "_news", "_next_block", "received", "upload")

    def __init__(
        self, first: bytes, upload: Upload | None, next_block: Callable[[Upload], None]
    ) -> None:
        #: The record of a body that is not whole yet; None for one that came in one message.
        self.upload: Upload | None = upload
        #: Bytes that have arrived.
        self.received: int = len(first)
        self._chunk: bytes | None = first
        self._is_last = upload is None
        self._failure: str | None = None
        self._next_block = next_block
        self._news: trio.Event | None = None

    def __aiter__(self) -> RequestBody:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._chunk is None and not self._is_last and self._failure is None:
            assert self.upload is not None, "a body that is not whole has a record"
            self._next_block(self.upload)
            while self._chunk is None and self._failure is None:
                if self._news is None:
                    self._news = trio.Event()
                await self._news.wait()
        if self._chunk is not None:
            chunk, self._chunk = self._chunk, None
            if chunk or not self._is_last:
                return chunk
        if self._failure is not None:
            raise RequestEntityIncomplete(self._failure)
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """All of it, joined. Raises as reading does."""
        chunks = [chunk async for chunk in self]
        return b"".join(chunks)

    @property
    def is_whole(self) -> bool:
        """Whether the last byte has arrived."""
        return self._is_last

    # -- for the server --------------------------------------------------------------

    def feed(self, chunk: bytes, *, last: bool) -> None:
        """One more block has come."""
        self.received += len(chunk)
        self._chunk = chunk
        self._is_last = last
        self._tell()

    def fail(self, reason: str) -> None:
        """The rest will never come."""
        self._failure = reason
        self._tell()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()
            self._news = None
