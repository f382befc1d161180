"""The async registry: requests that are answered later, each a child task that sleeps.

libcoap's ``coap_async`` functions live here, one home for each. All are synchronous, so
nothing can be cancelled half way, and none costs more when more is pending. The table of
what is open, and of tokens, is the core's, and so is the heap of timers; this file owns the
tasks. A cancel scope with a deadline would do to sleep in, but costs as much as all the rest of
a pending request, so there is a scope only while an entry fires.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import trio

from coapsep.address import Session
from coapsep.endpoint import Endpoint
from coapsep.errors import (
    AsyncAlreadyRegistered,
    LocalProtocolError,
    TooManyPending,
)
from coapsep.message.response import Response
from coapsep.numbers import Code
from coapsep.params import Limits
from coapsep.protocol.records import Exchange, Phase
from coapsep.server.pending import ENDED, FIRING, WAITING, Ended, PendingRequest
from coapsep.server.request import Request
from coapsep.server.results import Answer
from coapsep.server.runner import innermost_scope
from coapsep.server.streaming import StreamingResponse

_logger = logging.getLogger("coapsep.server")

# To look up a member of an enum costs more than to compare it.
_RUNNING = Phase.RUNNING


class AsyncRegistry:
    """All pending requests of one server: ``server.asyncs``, or ``request.asyncs``.

    Call it from the server's Trio thread only; from another one through
    ``trio.from_thread.run_sync``. Iterating gives the entries, oldest first.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        nursery: trio.Nursery,
        limits: Limits,
        run_pass: Callable[[Request], Answer | Coroutine[Any, Any, Answer]],
        respond: Callable[[Request, Exchange, Response | StreamingResponse], None],
        failed: Callable[[Request, Exception], Response],
    ) -> None:
        self._endpoint = endpoint
        self._nursery = nursery
        self._limits = limits
        self._run_pass = run_pass
        self._respond = respond
        self._failed = failed
        self._entries: dict[PendingRequest, None] = {}
        self._per_session: dict[Session, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[PendingRequest]:
        return iter(list(self._entries))

    # -- libcoap's functions ---------------------------------------------------------

    def register_async(
        self, request: Request, delay: float = 0, *, app_data: Any = None
    ) -> PendingRequest:
        """Answer this request later (libcoap: ``coap_register_async``).

        The handler then returns None: the client gets an empty ACK, and the handler is
        called again with a copy of the request in ``delay`` seconds. With 0 (or ``inf``) it
        is parked: nothing happens until ``set_delay`` or ``trigger``.

        Raises AsyncAlreadyRegistered if this session and token have a pending request,
        TooManyPending over a limit; both are 5.03 for the client unless caught. Raises
        LocalProtocolError if the request has been answered, ``trio.ClosedResourceError`` if
        the server has stopped, ValueError for a negative delay or NaN.
        """
        exchange = request._exchange
        counters = self._endpoint.core.counters
        retry_after = self._limits.retry_after
        if request._body is not None and not request._body.is_whole:
            raise LocalProtocolError("too early to register: read all of request.body first")
        if exchange.phase in (Phase.ANSWERED, Phase.CLOSED):
            raise LocalProtocolError(f"too late to register: {request!r} has been answered")
        if isinstance(exchange.attachment, PendingRequest):
            counters.async_refused += 1
            raise AsyncAlreadyRegistered(
                "a request with this token is pending", max_age=retry_after
            )
        if exchange.abandoned:
            counters.async_refused += 1
            raise AsyncAlreadyRegistered("another request took this token", max_age=retry_after)
        session = request.session
        held = self._per_session.get(session, 0)
        if len(self._entries) >= self._limits.pending or held >= self._limits.pending_per_session:
            counters.async_refused += 1
            raise TooManyPending(max_age=retry_after)
        expires = trio.current_time() + self._limits.pending_age
        pending = PendingRequest(request, delay, app_data, expires)
        try:
            self._nursery.start_soon(self._live, pending, name=request._route.name)
        except RuntimeError as exc:
            raise trio.ClosedResourceError("the server has stopped") from exc
        exchange.attachment = pending
        self._entries[pending] = None
        self._per_session[session] = held + 1
        counters.async_registered += 1
        return pending

    def find_async(self, session: Session, token: bytes) -> PendingRequest | None:
        """The pending request of this session and token (libcoap: ``coap_find_async``)."""
        exchange = self._endpoint.core.find(session, token)
        attachment = None if exchange is None else exchange.attachment
        return attachment if isinstance(attachment, PendingRequest) else None

    def free_async(self, pending: PendingRequest, outcome: Response | None = None) -> None:
        """End a pending request (libcoap: ``coap_free_async``). Freeing twice does nothing.

        The client gets ``outcome``; without one, nothing after its ACK. Whatever the entry's
        handler does is cancelled, with one exception: freed by its own handler, the entry
        is gone, and the pass goes on to its end and its response is sent. Raises TypeError,
        and changes nothing, for an outcome that is no Response.
        """
        if outcome is not None and not isinstance(outcome, Response):
            raise TypeError(f"outcome is a Response or None, not {outcome!r}")
        if pending._state is ENDED:
            return
        exchange = pending._exchange
        own = pending._task is not None and pending._task is trio.lowlevel.current_task()
        # The first pass of its handler may still run: the request is that one's to answer.
        passing = own or (exchange.phase is Phase.RUNNING and pending._state is WAITING)
        self._remove(pending, Ended.FREED)
        if pending._scope is not None and not own:
            pending._scope.cancel()
        if exchange.phase is Phase.CLOSED:
            return  # the core has ended it in this very step, and its event is on the way
        if outcome is not None:
            self._endpoint.respond(exchange, outcome)
        elif not passing:
            self._endpoint.close(exchange)

    # -- for the server --------------------------------------------------------------

    def end(self, pending: PendingRequest, reason: Ended) -> None:
        """Its exchange has ended. A handler that runs finishes; one that waits never starts."""
        if pending._state is WAITING:
            self._remove(pending, reason)

    def settle(self, request: Request, response: Answer) -> None:
        """A pass of its handler is over: send the response, or go on pending.

        None from a handler that neither registered nor re-armed is 5.00: a client that was
        told to wait must not wait in vain.
        """
        exchange, body = request._exchange, request._body
        if body is not None and not body.is_whole:
            early = response or self._failed(request, TypeError("returned None too early"))
            self._respond(request, exchange, early)
            return
        if exchange.phase is not _RUNNING:
            return  # free_async has answered it, or let it go, while the handler ran
        pending = exchange.attachment
        if isinstance(pending, PendingRequest):
            registered = pending._state is WAITING
            if response is None and not exchange.abandoned and (registered or pending._rearmed):
                pending._state = WAITING
                self._endpoint.defer(exchange)
                self._set_timer(pending)
                return
            if registered and response is not None:
                _logger.warning("freed: its handler registered it and answered too: %r", pending)
            self._remove(pending, Ended.REPLACED if exchange.abandoned else Ended.ANSWERED)
        if response is None and not exchange.abandoned:
            response = self._failed(request, TypeError("returned None without a pending request"))
        if response is None:
            self._endpoint.close(exchange)
        else:
            self._respond(request, exchange, response)

    # -- the child task --------------------------------------------------------------

    async def _live(self, pending: PendingRequest) -> None:
        """One pending request, from registration to its end."""
        task = pending._task = trio.lowlevel.current_task()
        try:
            while pending._state is not ENDED:
                now = trio.current_time()
                if pending._deadline() > now:
                    pending._is_asleep = True
                    await trio.lowlevel.wait_task_rescheduled(pending._abort)
                elif pending._due > now:
                    self._expire(pending)
                else:
                    await self._fire(pending, task)
        except RuntimeError:
            # A handler left a cancel scope open: Trio's word for it, or ours. The task it
            # has corrupted is its own, and ends here.
            _logger.exception("a handler corrupted its cancel scopes: %r", pending)
            self._endpoint.core.counters.handler_errors += 1
            if pending._exchange.phase in (Phase.RUNNING, Phase.DEFERRED):
                self._endpoint.respond(pending._exchange, Response(Code.INTERNAL_SERVER_ERROR))
        finally:
            pending._task = pending._scope = None
            if pending._state is not ENDED:
                self._remove(pending, Ended.SHUTDOWN)

    async def _fire(self, pending: PendingRequest, task: trio.lowlevel.Task) -> None:
        """It is due: call the handler."""
        pending._state = FIRING
        pending._rearmed = False
        pending._due = math.inf
        self._endpoint.core.resume(pending._exchange)
        request = pending.request
        scope = innermost_scope(task)
        answer = self._run_pass(request)
        if isinstance(answer, Coroutine):
            with trio.CancelScope() as pending._scope:  # free_async cancels it
                self.settle(request, await answer)
            pending._scope = None
        else:
            self.settle(request, answer)
        if innermost_scope(task) is not scope:
            raise RuntimeError("a cancel scope was left open")

    def _expire(self, pending: PendingRequest) -> None:
        self._endpoint.core.counters.async_expired += 1
        self._remove(pending, Ended.EXPIRED)
        outcome = Response(Code.SERVICE_UNAVAILABLE, max_age=self._limits.retry_after)
        self._endpoint.respond(pending._exchange, outcome)

    def _set_timer(self, pending: PendingRequest) -> None:
        """Wake its task when it is due. While it fires, it looks at that itself."""
        if pending._timer is not None:
            self._endpoint.cancel_call(pending._timer)
            pending._timer = None
        deadline = pending._deadline()
        if deadline <= trio.current_time():
            pending._wake()
        elif deadline < math.inf:
            pending._timer = self._endpoint.call_at(deadline, pending._wake)

    def _remove(self, pending: PendingRequest, reason: Ended) -> None:
        del self._entries[pending]
        if pending._timer is not None:
            self._endpoint.cancel_call(pending._timer)
            pending._timer = None
        session = pending.session
        left = self._per_session[session] - 1
        if left:
            self._per_session[session] = left
        else:
            del self._per_session[session]
        exchange = pending._exchange
        if exchange.attachment is pending:
            exchange.attachment = None
        pending._end(reason)
        pending._wake()
