"""Whoever waits for the response to one request, or for a pong."""

from __future__ import annotations

from typing import NoReturn

import trio

from coapsep.errors import (
    BadResponse,
    PeerUnreachable,
    RequestFailed,
    RequestTimedOut,
    ResetByPeer,
)
from coapsep.message.message import Message
from coapsep.protocol import events
from coapsep.protocol.events import Failure

_ERRORS: dict[Failure, type[RequestFailed]] = {
    Failure.TIMED_OUT: RequestTimedOut,
    Failure.TOO_LATE: RequestTimedOut,
    Failure.RESET: ResetByPeer,
    Failure.UNREACHABLE: PeerUnreachable,
    Failure.SESSION_LOST: PeerUnreachable,
    Failure.BAD_OPTION: BadResponse,
    Failure.TOO_LARGE: BadResponse,
}


class Waiter:
    """Waits once, for one outcome."""

    __slots__ = ("_event", "_outcome")

    def __init__(self) -> None:
        self._event = trio.Event()
        self._outcome: Message | events.RequestFailed | None = None

    def wake(self, outcome: Message | events.RequestFailed | None) -> None:
        """Say how it ended; None if the client has. Only the first word counts."""
        if not self._event.is_set():
            self._outcome = outcome
            self._event.set()

    async def wait(self) -> Message:
        """The response. Raises a RequestFailed, or ``trio.ClosedResourceError``."""
        await self._event.wait()
        outcome = self._outcome
        if isinstance(outcome, Message):
            return outcome
        if outcome is None:
            return await raise_closed()
        raise error_of(outcome)


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
