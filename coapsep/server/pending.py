"""A pending async request: libcoap's ``coap_async_t``.

It is *waiting* (parked: due at infinity), *firing* while its handler runs, or *ended*. While it
fires, ``set_delay`` and ``trigger`` take effect when the pass is over. The registry, in asyncs.py,
makes it, runs its task, and ends it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Awaitable, Generator
from typing import Any

import trio

from coapsep.address import Session
from coapsep.protocol.records import Exchange, Phase
from coapsep.protocol.timers import Timer
from coapsep.server.request import Request


class Ended(enum.Enum):
    """Why a pending request ended."""

    ANSWERED = "its handler answered"
    FREED = "free_async"
    EXPIRED = "it reached Limits.pending_age"
    REPLACED = "a different request took its token"
    SESSION_LOST = "its session has gone"
    SHUTDOWN = "the server stopped"


class State(enum.Enum):
    WAITING = enum.auto()
    FIRING = enum.auto()
    ENDED = enum.auto()


# To look up a member of an enum costs more than to compare it.
WAITING, FIRING, ENDED = State
_RUNNING = Phase.RUNNING


class PendingRequest:
    """A registered request: libcoap's ``coap_async_t``.

    ``app_data`` is yours. Await ``ended`` for the moment at which it may be released.
    """

    __slots__ = (
        "_due",
        "_ended",
        "_exchange",
        "_expires",
        "_is_asleep",
        "_rearmed",
        "_reason",
        "_request",
        "_scope",
        "_state",
        "_task",
        "_timer",
        "app_data",
    )

    app_data: Any

    def __init__(self, request: Request, delay: float, app_data: Any, expires: float) -> None:
        self._exchange: Exchange = request._exchange
        self._request = request
        self._due = _due(delay)
        self._expires = expires
        self._state = WAITING
        self._rearmed = False
        self._reason: Ended | None = None
        #: Around its handler, while that runs.
        self._scope: trio.CancelScope | None = None
        self._timer: Timer | None = None
        self._is_asleep = False
        self._task: trio.lowlevel.Task | None = None
        self._ended: trio.Event | None = None
        self.app_data = app_data

    @property
    def request(self) -> Request:
        """The request, as its delayed passes see it: with ``pending`` set."""
        return self._request._copy_for(self)

    @property
    def session(self) -> Session:
        """The session of the request."""
        return self._exchange.session

    @property
    def token(self) -> bytes:
        """The token of the request."""
        return self._exchange.request.token

    @property
    def due(self) -> float:
        """When the handler is called next, by ``trio.current_time()``; ``inf`` if parked."""
        return self._due

    def set_delay(self, seconds: float) -> None:
        """Call the handler in this many seconds from now; 0 (or ``inf``) parks.

        While the handler runs, this asks for one more pass, should it return None. On an
        entry that has ended it does nothing: see ``reason``. Raises ValueError for a
        negative delay or NaN.
        """
        self._rearm(_due(seconds))

    def trigger(self) -> None:
        """Call the handler now. Otherwise like ``set_delay``."""
        self._rearm(trio.current_time())

    @property
    def reason(self) -> Ended | None:
        """Why it has ended; None while it has not."""
        return self._reason

    @property
    def ended(self) -> Awaitable[Ended]:
        """``await pending.ended`` waits for the end and gives the reason.

        Any number of tasks may wait, and one that comes late gets it at once.
        """
        return _Ending(self)

    def _rearm(self, due: float) -> None:
        if self._state is ENDED:
            return
        self._due = due
        if self._state is FIRING:
            self._rearmed = True
        else:
            self._request.asyncs._set_timer(self)

    def _deadline(self) -> float:
        """When the child task is to wake: not while the pass that registered it still runs."""
        if self._exchange.phase is _RUNNING:
            return math.inf
        return min(self._due, self._expires)

    def _wake(self, now: float | None = None) -> None:
        """Its time has come, or its end; a timer says when."""
        if self._is_asleep and self._task is not None:
            self._is_asleep = False
            trio.lowlevel.reschedule(self._task)

    def _abort(self, raise_cancel: object) -> trio.lowlevel.Abort:
        """The server ends while it sleeps."""
        self._is_asleep = False
        return trio.lowlevel.Abort.SUCCEEDED

    def _end(self, reason: Ended) -> None:
        self._state = ENDED
        self._reason = reason
        if self._ended is not None:
            self._ended.set()

    async def _wait_ended(self) -> Ended:
        if self._reason is None:
            # Most entries end unwatched: the event is made for those that are.
            if self._ended is None:
                self._ended = trio.Event()
            await self._ended.wait()
        else:
            await trio.lowlevel.checkpoint()
        assert self._reason is not None  # set before the event
        return self._reason

    def __repr__(self) -> str:
        state = self._reason or self._state
        return f"<PendingRequest {self._request!r} {state.name}>"


class _Ending:
    """What ``PendingRequest.ended`` gives: it can be awaited, and awaited again."""

    __slots__ = ("_pending",)

    def __init__(self, pending: PendingRequest) -> None:
        self._pending = pending

    def __await__(self) -> Generator[Any, None, Ended]:
        return self._pending._wait_ended().__await__()


def _due(delay: float) -> float:
    now = trio.current_time()  # also where it is not needed: another thread must not get on
    if not delay >= 0:
        raise ValueError(f"a delay is zero or more seconds, not {delay!r}")
    return math.inf if delay == 0 else now + delay
