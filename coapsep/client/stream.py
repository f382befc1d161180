"""A response whose body is handed over as it comes (RFC 7959 section 2.4)."""

from __future__ import annotations

from collections.abc import Callable

import trio

from coapsep.address import Address
from coapsep.client.supply import Supply
from coapsep.client.waiter import Listener, error_of, raise_closed
from coapsep.endpoint import Endpoint
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import Code
from coapsep.protocol import events
from coapsep.protocol.records import ClientExchange
from coapsep.protocol.transfer_state import Progress


class StreamedResponse(Listener):
    """A response, and an async iterator of the parts of its body; ``Client.stream`` makes it.

    One block is fetched ahead, and the next one when that is taken: a body of any length takes
    little memory, and a slow reader slows its server down.

    The iteration raises BodyChanged if the body has become another one meanwhile, and else what
    ``Client.request`` raises: what was shown until then is not the whole. After the block around
    it, it raises ``trio.ClosedResourceError``.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        peer: Address,
        supply: Supply | None,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        #: Whom it comes from.
        self.peer: Address = peer
        #: An error is a response like any other, and what it says is its body.
        self.code: Code = Code.EMPTY
        self.options: Options = EMPTY
        self._endpoint = endpoint
        self._supply = supply
        self._progress = progress
        self._news = trio.Event()
        self._part: bytes | None = None
        self._last = False
        self._closed = False
        self._left = False
        self._failure: Exception | None = None
        self._exchange: ClientExchange | None = None

    @property
    def is_success(self) -> bool:
        """Whether the code is of class 2."""
        return self.code.is_success

    @property
    def content_format(self) -> int | None:
        """The format of the body; None where the server does not say."""
        return self.options.content_format

    @property
    def size(self) -> int | None:
        """How long the body is, bytes; None where the server does not say (Size2)."""
        return self.options.size2

    def __aiter__(self) -> StreamedResponse:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            if self._left:
                raise trio.ClosedResourceError("the block around this response was left")
            part, self._part = self._part, None
            if part is not None and not self._last:
                assert self._exchange is not None, "a part belongs to a request"
                self._endpoint.consumed(self._exchange)
            if part:
                return part
            if part is None:
                if self._last:
                    raise StopAsyncIteration
                await self._wait()

    async def read(self) -> bytes:
        """All that was not taken yet, joined. Raises as the iteration does."""
        parts = [part async for part in self]
        return b"".join(parts)

    # -- for the client --------------------------------------------------------------

    async def begin(self, exchange: ClientExchange) -> None:
        """Send what the request has as its body, and wait for the response to begin."""
        self._exchange = exchange
        if self._supply is not None:
            await self._supply.run(
                lambda data, last: self._endpoint.supply_request(exchange, data, last=last)
            )
        if self._part is None:
            await self._wait()
        else:
            await trio.lowlevel.checkpoint()

    def leave(self) -> None:
        """The block around it is left."""
        self._left = True
        self._exchange = None  # the two hold each other
        self._news.set()

    def handle(self, event: events.ClientEvent) -> None:
        """Take note of what counts."""
        if isinstance(event, events.ResponseBodyReceived):
            if event.message is not None:
                self.code, self.options = event.message.code, event.message.options
            self._part, self._last = event.data, event.last
            self._tell()
        elif isinstance(event, events.RequestFailed):
            self._failure = error_of(event)
            self._tell()
        elif isinstance(event, events.RequestBodyWanted) and self._supply is not None:
            self._supply.want()
        elif isinstance(event, events.Progressed) and self._progress is not None:
            try:
                self._progress(event.progress)
            except Exception as exc:  # it is the caller's, who gets it
                self._failure = exc
                self._tell()

    def close(self) -> None:
        """The client has ended."""
        self._closed = True
        self._tell()

    # -- inside ----------------------------------------------------------------------

    def _tell(self) -> None:
        self._news.set()
        if self._supply is not None:
            self._supply.stop()

    async def _wait(self) -> None:
        """Wait for the next part. Raises what has come in its place."""
        while self._part is None:
            if self._failure is not None:
                raise self._failure
            if self._closed:
                await raise_closed()
            if self._left:
                return
            await self._news.wait()
            self._news = trio.Event()
