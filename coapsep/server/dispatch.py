"""From a request to its handler, and from what that returns to a response."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Literal, NoReturn, TypeAlias

import attrs
import trio

from coapsep.address import Session
from coapsep.endpoint import Endpoint
from coapsep.errors import (
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    ResponseError,
    ServiceUnavailable,
)
from coapsep.message.definitions import option_name
from coapsep.message.message import Message
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber
from coapsep.params import Limits
from coapsep.protocol.events import (
    EndReason,
    Event,
    RequestEnded,
    RequestReceived,
    ResponseUndelivered,
    Undelivered,
)
from coapsep.protocol.records import Exchange
from coapsep.server.discovery import PATH, discovery
from coapsep.server.pending import AsyncRegistry, Ended, PendingRequest
from coapsep.server.request import Request
from coapsep.server.results import error_response, from_error, to_response
from coapsep.server.router import Result, Router

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

_logger = logging.getLogger("coapsep.server")

#: What happens to an exception of a handler that is no ResponseError.
HandlerErrors: TypeAlias = Literal["respond", "raise"]

_Pass: TypeAlias = Callable[[Request], Awaitable[Response | None]]

_PROXY = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})
_NAMED_METHODS = frozenset(range(Code.GET, Code.IPATCH + 1))
_ENDED = {EndReason.REPLACED: Ended.REPLACED, EndReason.SESSION_LOST: Ended.SESSION_LOST}


@attrs.frozen
class UndeliveredResponse:
    """A separate response that is not known to have arrived.

    The client may have got it all the same: an ACK can be lost too.
    """

    session: Session
    request: Message
    response: Message
    reason: Undelivered


class Dispatcher:
    """Runs handlers: sync ones at once, each async one in a child task of the nursery."""

    def __init__(
        self,
        endpoint: Endpoint,
        router: Router,
        nursery: trio.Nursery,
        limits: Limits,
        handler_errors: HandlerErrors,
        on_undelivered: Callable[[UndeliveredResponse], None] | None,
    ) -> None:
        self._endpoint = endpoint
        self._router = router
        self._discovery = discovery(router)
        self._nursery = nursery
        self._retry_after = limits.retry_after
        self._raise = handler_errors == "raise"
        self._on_undelivered = on_undelivered
        self.asyncs: AsyncRegistry = AsyncRegistry(
            endpoint, nursery, limits, self._run, self._error
        )
        #: Set by ``Server.drain``: what comes from now on is answered 5.03.
        self.draining = False

    def handle(self, event: Event) -> None:
        """Deal with one event of the core. Does not await."""
        if isinstance(event, RequestReceived):
            self._start(event.exchange)
        elif isinstance(event, RequestEnded):
            self._ended(event)
        elif isinstance(event, ResponseUndelivered):
            self._undelivered(event)

    # -- a new request ---------------------------------------------------------------

    def _start(self, exchange: Exchange) -> None:
        try:
            request = self._route(exchange)
        except ResponseError as exc:
            self._endpoint.refuse(exchange, error_response(exc))
            return
        exchange.attachment = request
        if request._route.is_async:
            self._start_task(request, self._run)
            return
        try:
            # A scope that the handler leaves open would go with this task, which receives;
            # inside another one, Trio raises RuntimeError. An async handler ruins its own task.
            with trio.CancelScope():  # noqa: ASYNC100  # it is there to be misused
                result = request._route.handler(request)
            if inspect.isawaitable(result):  # a lambda around an async function, say
                self._start_task(request, partial(self._finish, result))
                return
            response = to_response(request, result)
        except Exception as exc:
            response = self._error(request, exc)
        self.asyncs.settle(request, response)

    def _route(self, exchange: Exchange) -> Request:
        """The request and who handles it; raises the ResponseError if nobody does."""
        message = exchange.request
        options, method = message.options, message.code
        if self.draining:
            raise ServiceUnavailable("shutting down", max_age=self._retry_after)
        if not _PROXY.isdisjoint(options.critical):
            names = ", ".join(option_name(n) for n in sorted(_PROXY & options.critical))
            raise ResponseError(Code.PROXYING_NOT_SUPPORTED, names)
        path = options.uri_path
        if path == ("",):  # the same URI as no segment at all (section 6.5)
            path = ()
        found = self._router.find(path)
        if found is not None and (path != PATH or not found[0].names):
            resource, params = found
            route = resource.routes.get(method)
        elif path == PATH:
            params = {}
            route = self._discovery if method is Code.GET else None
        elif method in _NAMED_METHODS:
            raise NotFound("Not Found")
        else:  # an unknown method is refused whatever the path (section 5.8)
            raise MethodNotAllowed("unknown method")
        if route is None:
            raise MethodNotAllowed("Method Not Allowed")
        accept = options.accept
        if accept is not None and route.content_formats and accept not in route.content_formats:
            raise NotAcceptable("Not Acceptable")
        return Request(exchange, route, params, self.asyncs)

    def _start_task(self, request: Request, run: _Pass) -> None:
        try:
            self._nursery.start_soon(self._first_pass, request, run, name=request._route.name)
        except RuntimeError:  # the nursery is closed: the server has just stopped
            self._endpoint.close(request._exchange)

    async def _first_pass(self, request: Request, run: _Pass) -> None:
        try:
            response = await run(request)
        except BaseException as exc:
            if not _is_cancellation(exc):
                raise
            # Either the server ends, and the new task does not get far; or the handler has
            # left a scope open that was cancelled, and nobody else may suffer for it.
            with suppress(RuntimeError):  # the nursery may be closed by now
                self._nursery.start_soon(self._forgotten_scope, request)
            return
        self.asyncs.settle(request, response)

    async def _forgotten_scope(self, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        error = RuntimeError("cancelled by a cancel scope that the handler had left open")
        self.asyncs.settle(request, self._error(request, error))

    # -- a pass of a handler ---------------------------------------------------------

    async def _run(self, request: Request) -> Response | None:
        """Call the handler, sync or async; whatever it raises becomes a response."""
        try:
            result = request._route.handler(request)
            if inspect.isawaitable(result):
                result = await result
            return to_response(request, result)
        except Exception as exc:
            return self._error(request, exc)

    async def _finish(self, result: Awaitable[Result], request: Request) -> Response | None:
        try:
            return to_response(request, await result)
        except Exception as exc:
            return self._error(request, exc)

    def _error(self, request: Request, exc: Exception) -> Response:
        """A ResponseError is the answer; anything else is 5.00, and stays in the log."""
        try:
            response = from_error(exc)
        except Exception as bad:  # a max_age that no option holds, say
            response, exc = None, bad
        if response is None:
            self._endpoint.core.counters.handler_errors += 1
            _logger.error("the handler of %r failed", request, exc_info=exc)
            response = Response(Code.INTERNAL_SERVER_ERROR)
            if self._raise:
                self._nursery.start_soon(_raise, exc)
        return response

    # -- the end of one --------------------------------------------------------------

    def _ended(self, event: RequestEnded) -> None:
        holder = event.attachment
        if isinstance(holder, PendingRequest):
            holder.request._abandon()
            self.asyncs.end(holder, _ENDED[event.reason])
        elif isinstance(holder, Request):
            holder._abandon()

    def finish(self, exchange: Exchange, response: Response) -> None:
        """The server closes: send what can be sent once, and end a pending request."""
        holder = exchange.attachment
        self._endpoint.finish(exchange, response)
        if isinstance(holder, PendingRequest):
            self.asyncs.end(holder, Ended.SHUTDOWN)

    def _undelivered(self, event: ResponseUndelivered) -> None:
        exchange = event.exchange
        _logger.info("%s: %s to %s", event.reason.value, event.response, exchange.session.peer)
        if self._on_undelivered is None:
            return
        told = UndeliveredResponse(exchange.session, exchange.request, event.response, event.reason)
        try:
            self._on_undelivered(told)
        except Exception:
            # It is called in the middle of a step. Its failure must not cost the others.
            _logger.exception("on_undelivered failed")


def _is_cancellation(exc: BaseException) -> bool:
    if isinstance(exc, BaseExceptionGroup):
        return all(map(_is_cancellation, exc.exceptions))
    return isinstance(exc, trio.Cancelled)


async def _raise(exc: Exception) -> NoReturn:
    raise exc
