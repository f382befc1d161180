"""Whoever waits for what becomes of a request: what is told to them, and the exceptions for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NoReturn

import trio

from coapsep.client.supply import Supply
from coapsep.errors import (
    BadResponse,
    BodyChanged,
    PeerUnreachable,
    RequestFailed,
    RequestTimedOut,
    ResetByPeer,
)
from coapsep.message.message import Message
from coapsep.protocol import events
from coapsep.protocol.events import Failure
from coapsep.protocol.transfer_state import Progress

_ERRORS: dict[Failure, type[RequestFailed]] = {
    Failure.TIMED_OUT: RequestTimedOut,
    Failure.TOO_LATE: RequestTimedOut,
    Failure.RESET: ResetByPeer,
    Failure.UNREACHABLE: PeerUnreachable,
    Failure.SESSION_LOST: PeerUnreachable,
    Failure.BAD_OPTION: BadResponse,
    Failure.TOO_LARGE: BadResponse,
    Failure.BAD_BLOCK: BadResponse,
    Failure.BODY_TOO_LARGE: BadResponse,
    Failure.BODY_CHANGED: BodyChanged,
    Failure.INCOMPLETE: BadResponse,
}


class Listener(ABC):
    """The attachment of everything that is asked. It is told within the client's step."""

    @abstractmethod
    def handle(self, event: events.ClientEvent) -> None:
        """Something has become of it. Neither waits nor raises."""

    @abstractmethod
    def close(self) -> None:
        """The client has ended: nothing will become of it any more."""


class Waiter(Listener):
    """Waits once, for one outcome."""

    __slots__ = ("_event", "_outcome", "_progress", "_supply")

    def __init__(
        self,
        supply: Supply | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._supply = supply
        self._progress = progress
        self._event = trio.Event()
        self._outcome: Message | Exception | None = None

    def handle(self, event: events.ClientEvent) -> None:
        """Take note of what counts."""
        if isinstance(event, events.ResponseReceived):
            self._wake(event.message)
        elif isinstance(event, events.RequestFailed):
            self._wake(error_of(event))
        elif isinstance(event, events.RequestBodyWanted) and self._supply is not None:
            self._supply.want()
        elif isinstance(event, events.Progressed) and self._progress is not None:
            try:
                self._progress(event.progress)
            except Exception as exc:  # it is the caller's, who gets it
                self._wake(exc)

    def close(self) -> None:
        """Nobody waits for ever."""
        self._wake(None)

    async def wait(self) -> Message:
        """The response. Raises a RequestFailed, or ``trio.ClosedResourceError``."""
        await self._event.wait()
        if isinstance(self._outcome, Message):
            return self._outcome
        if self._outcome is not None:
            raise self._outcome
        return await raise_closed()

    def _wake(self, outcome: Message | Exception | None) -> None:
        """Say how it ended; None if the client has. Only the first word counts."""
        if not self._event.is_set():
            self._outcome = outcome
            self._event.set()
            if self._supply is not None:
                self._supply.stop()


def error_of(failed: events.RequestFailed) -> RequestFailed:
    """The exception for a request that has no response."""
    text = f"{failed.exchange.peer.session.peer}: {failed.failure.value}"
    return _ERRORS[failed.failure](f"{text}: {failed.detail}" if failed.detail else text)


async def raise_closed() -> NoReturn:
    """For whoever waited when the client ended.

    A client that has crashed takes those around it with it: they are cancelled by now, and
    their own complaint would only hide the cause.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    raise trio.ClosedResourceError("the client was closed")
