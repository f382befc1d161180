"""What a peer says about a resource that is observed (RFC 7641), one state after the other."""

from __future__ import annotations

from collections import deque

import trio

from coapsep.address import Address
from coapsep.client.parts import RequestParts
from coapsep.client.response import ClientResponse, UnsuccessfulResponse
from coapsep.client.waiter import Listener, error_of, raise_closed
from coapsep.errors import RequestFailed
from coapsep.message.message import Message
from coapsep.numbers import Code
from coapsep.protocol import events

#: The methods that ask for a representation (RFC 7641 section 2, RFC 8132 section 2.4).
_OBSERVE = (Code.GET, Code.FETCH)


class Notifications(Listener):
    """An async iterator of the states of a resource, the newest ones; ``Client.observe`` makes it.

    Observing is about the present state: what is not taken in time gives way to what is newer,
    so that a slow reader is late by one state and not by all of them (RFC 7641 section 1.3).

    It ends when the server no longer keeps the client up to date but says so in a success;
    everything else that ends it is raised: UnsuccessfulResponse for an error, as when the resource
    is gone, a RequestFailed if the server does not confirm any more that it has the client on its
    list, ``trio.ClosedResourceError`` if the client is closed. What came before is shown first.
    """

    def __init__(self, peer: Address, buffer: int) -> None:
        #: Whom it comes from.
        self.peer: Address = peer
        #: Whether the server keeps the client up to date at this moment.
        self.observed: bool = False
        #: States that gave way to newer ones because nobody took them in time.
        self.dropped: int = 0
        self._buffer: deque[ClientResponse] = deque(maxlen=buffer)
        self._news = trio.Event()
        self._over = False
        self._closed = False
        self._failure: RequestFailed | None = None

    def __aiter__(self) -> Notifications:
        return self

    async def __anext__(self) -> ClientResponse:
        await trio.lowlevel.checkpoint()
        await self._wait()
        if self._buffer:
            return self._buffer.popleft()
        await self._complain()
        raise StopAsyncIteration

    # -- for the client --------------------------------------------------------------

    async def begin(self) -> None:
        """Wait for the first state, and leave it for whoever iterates. Raises as that does."""
        await self._wait()
        if not self._buffer:
            await self._complain()

    def handle(self, event: events.ClientEvent) -> None:
        """Keep a new state, or note how it has ended."""
        if isinstance(event, events.NotificationReceived):
            self.observed = True
            self._keep(event.message)
        elif isinstance(event, events.ResponseReceived):
            if event.message.code.is_success:
                self._keep(event.message)
            else:
                self._failure = UnsuccessfulResponse(self._read(event.message))
            self.end()
        elif isinstance(event, events.RequestFailed):
            self._failure = error_of(event)
            self.end()

    def close(self) -> None:
        """The client has ended."""
        self._closed = not self._over
        self.end()

    def end(self) -> None:
        """Nobody is interested any more."""
        self._over, self.observed = True, False
        self._news.set()

    # -- inside ----------------------------------------------------------------------

    async def _wait(self) -> None:
        while not (self._buffer or self._over):
            await self._news.wait()

    def _keep(self, message: Message) -> None:
        self.dropped += len(self._buffer) == self._buffer.maxlen
        self._buffer.append(self._read(message))
        self._news.set()
        self._news = trio.Event()

    def _read(self, message: Message) -> ClientResponse:
        return ClientResponse(message.code, message.options, message.payload, self.peer)

    async def _complain(self) -> None:
        """Raise what it ended with, unless it ended well."""
        if self._closed:
            await raise_closed()
        if self._failure is not None:
            raise self._failure


def check_observation(method: Code, buffer: int, parts: RequestParts) -> None:
    """Raise ValueError or TypeError for what is no observation."""
    if method not in _OBSERVE:
        raise ValueError(f"GET and FETCH can observe, and {method} cannot")
    if not isinstance(buffer, int) or isinstance(buffer, bool) or buffer < 1:
        raise ValueError(f"buffer must be a whole number of at least 1, not {buffer!r}")
    if "retry" in parts:
        raise TypeError("an observation is not retried: enter a new block")
