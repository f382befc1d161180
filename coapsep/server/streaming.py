"""Responses whose body is produced while it is fetched (RFC 7959 section 2.4)."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable

import attrs
import trio

from coapsep.endpoint import Endpoint
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import Code
from coapsep.protocol.held import Body
from coapsep.protocol.records import Exchange


@attrs.frozen(init=False, eq=False)
class StreamingResponse:
    """A response whose body comes from an async iterable of bytes, such as an async generator.

    It is asked for more when the client has fetched what there is: a few blocks are in store,
    never the whole. ``size`` in bytes is told to the client, if it is known. The rest are the
    parameters of a Response, and raise as they do there.

    The iterable is closed when the client has everything, asks for something else in its
    place, or has not asked for ``Limits.body_age``. If it raises, the client gets 5.00 for the
    block it asks for next, or the code of a ResponseError.
    """

    chunks: AsyncIterable[bytes]
    head: Response
    size: int | None

    def __init__(
        self,
        chunks: AsyncIterable[bytes],
        code: Code | int = Code.CONTENT,
        *,
        size: int | None = None,
        content_format: int | None = None,
        max_age: int | None = None,
        etag: bytes | None = None,
        location: Iterable[str] = (),
        options: Options = EMPTY,
    ) -> None:
        if not isinstance(chunks, AsyncIterable):
            raise TypeError(f"chunks is an async iterable of bytes, not {chunks!r:.200}")
        if size is not None and not (isinstance(size, int) and size >= 0):
            raise ValueError(f"size is a number of bytes, not {size!r}")
        head = Response(
            code,
            content_format=content_format,
            max_age=max_age,
            etag=etag,
            location=location,
            options=options,
        )
        self.__attrs_init__(chunks, head, size)


class Stream:
    """One such body on its way: a task that produces when the core wants more."""

    def __init__(
        self,
        endpoint: Endpoint,
        response: StreamingResponse,
        failed: Callable[[Exception], Response],
    ) -> None:
        self._endpoint = endpoint
        self._response = response
        self._failed = failed
        self._scope = trio.CancelScope()
        self._wanted = trio.Event()

    def start(self, exchange: Exchange, nursery: trio.Nursery) -> None:
        """Answer a request with it. Raises RuntimeError if the nursery is closed."""
        response = self._response
        body = self._endpoint.begin_stream(exchange, response.head, response.size, self)
        if body is None:
            nursery.start_soon(self._close, name="a body that nobody wants")
        else:
            nursery.start_soon(self._produce, body, name="a body that is produced")

    def wanted(self) -> None:
        """More should be produced."""
        self._wanted.set()

    def ended(self) -> None:
        """Nobody wants the rest."""
        self._scope.cancel()

    async def _close(self) -> None:
        # Not left to the garbage collector, which knows no nursery.
        close = getattr(self._response.chunks, "aclose", None)
        if close is not None:
            await close()

    async def _produce(self, body: Body) -> None:
        endpoint = self._endpoint
        chunks = self._response.chunks
        with self._scope:
            try:
                try:
                    async for chunk in chunks:
                        if not isinstance(chunk, bytes):
                            raise TypeError(f"a body is made of bytes, not {chunk!r:.200}")
                        endpoint.supply(body, chunk, last=False)
                        while not endpoint.core.wants_more(body):
                            self._wanted = trio.Event()
                            await self._wanted.wait()
                        await trio.lowlevel.checkpoint()
                finally:
                    await self._close()
                endpoint.supply(body, b"", last=True)
            except Exception as exc:
                endpoint.fail_stream(body, self._failed(exc))
