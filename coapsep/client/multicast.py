"""The responses to a request that went to a group (RFC 7252 section 8)."""

from __future__ import annotations

import trio

from coapsep.address import Session
from coapsep.client.response import ClientResponse
from coapsep.client.waiter import Listener, raise_closed
from coapsep.errors import PeerUnreachable
from coapsep.message.message import Message
from coapsep.protocol import events

#: Responses that wait for a listener who is slow; later ones are dropped.
_BUFFER = 4096


class GroupResponses(Listener):
    """An async iterator of responses that ends at its deadline.

    ``Client.multicast`` makes one. A server may answer at any moment of its leisure, and any
    number of servers may: there is no last response to wait for.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._send, self._receive = trio.open_memory_channel[ClientResponse](_BUFFER)
        self._closed = False
        self._failure: PeerUnreachable | None = None
        #: Responses that were lost because nobody took them from here in time.
        self.dropped: int = 0

    def __aiter__(self) -> GroupResponses:
        return self

    async def __anext__(self) -> ClientResponse:
        with trio.move_on_at(self._deadline):
            try:
                return await self._receive.receive()
            except trio.EndOfChannel:
                pass
        try:
            return self._receive.receive_nowait()  # it came in time, and had to wait
        except (trio.WouldBlock, trio.EndOfChannel):
            pass
        if self._closed:
            await raise_closed()
        self.check()
        raise StopAsyncIteration

    # -- for the client --------------------------------------------------------------

    def handle(self, event: events.ClientEvent) -> None:
        """One more has come, or the request did not leave, so that none will come."""
        if isinstance(event, events.GroupResponse):
            self._add(event.message, event.session)
        elif isinstance(event, events.GroupRequestFailed):
            text = f"{events.Failure.UNREACHABLE.value}: {event.detail}"
            self._failure = PeerUnreachable(f"{event.exchange.session.peer}: {text}")
            self.end()

    def check(self) -> None:
        """Raise what it failed with, if it has."""
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """No more will come."""
        self._send.close()

    def close(self) -> None:
        """The client has ended."""
        self._closed = True
        self.end()

    # -- inside ----------------------------------------------------------------------

    def _add(self, message: Message, session: Session) -> None:
        if trio.current_time() >= self._deadline:
            return
        response = ClientResponse(message.code, message.options, message.payload, session.peer)
        try:
            self._send.send_nowait(response)
        except trio.WouldBlock:
            self.dropped += 1
