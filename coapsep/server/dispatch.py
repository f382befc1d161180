"""From a request to its handler, and from what that returns to a response."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
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
from coapsep.numbers import SAFE, Code, OptionNumber
from coapsep.params import Limits
from coapsep.protocol.events import (
    BlockReceived,
    BodyEnded,
    BodyWanted,
    EndReason,
    Event,
    ObserverEnded,
    RequestEnded,
    RequestReceived,
    ResponseUndelivered,
    Undelivered,
    UploadEnded,
)
from coapsep.protocol.records import Exchange, Phase
from coapsep.server.discovery import PATH, discovery
from coapsep.server.notifier import Notifier
from coapsep.server.pending import AsyncRegistry, Ended, PendingRequest
from coapsep.server.request import Request
from coapsep.server.results import Answer, error_response, from_error, to_response
from coapsep.server.router import Result, Router, resource_path
from coapsep.server.streaming import Stream, StreamingResponse

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

_logger = logging.getLogger("coapsep.server")

#: What happens to an exception of a handler that is no ResponseError.
HandlerErrors: TypeAlias = Literal["respond", "raise"]

_Pass: TypeAlias = Callable[[Request], Awaitable[None]]

_PROXY = frozenset({OptionNumber.PROXY_URI, OptionNumber.PROXY_SCHEME})
_NAMED_METHODS = frozenset(range(Code.GET, Code.IPATCH + 1))
_CONDITIONS = frozenset({OptionNumber.IF_MATCH, OptionNumber.IF_NONE_MATCH})
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
            endpoint, nursery, limits, self._run, self._respond, self._error
        )
        self.notifier: Notifier = Notifier(
            endpoint, nursery, self._first_pass, self._run, self.asyncs.settle, self._error
        )
        #: Set by ``Server.drain``: what comes from now on is answered 5.03.
        self.draining = False

    def handle(self, event: Event) -> None:
        """Deal with one event of the core. Does not await."""
        if isinstance(event, RequestReceived):
            self._open(event.exchange)
        elif isinstance(event, RequestEnded):
            self._ended(event)
        elif isinstance(event, ResponseUndelivered):
            self._undelivered(event)
        elif isinstance(event, BlockReceived):
            request = event.upload.attachment
            if isinstance(request, Request):
                request._receive(event.exchange, event.data, last=event.last)
        elif isinstance(event, UploadEnded):
            request = event.upload.attachment
            if isinstance(request, Request):
                request.body.fail(event.reason)
        elif isinstance(event, BodyWanted | BodyEnded):
            stream = event.body.attachment
            if isinstance(stream, Stream):
                tell = stream.wanted if isinstance(event, BodyWanted) else stream.ended
                tell()
        elif isinstance(event, ObserverEnded):
            self.notifier.ended(event.observer)

    # -- a new request ---------------------------------------------------------------

    def _open(self, exchange: Exchange) -> None:
        try:
            request = self._route(exchange)
        except ResponseError as exc:
            self._endpoint.refuse(exchange, error_response(exc))
            return
        route, options = request._route, request.options
        if not (route.conditional or _CONDITIONS.isdisjoint(options.critical)):
            names = ", ".join(option_name(n) for n in sorted(_CONDITIONS & options.critical))
            self._endpoint.refuse_options(exchange, names)
            return
        exchange.attachment = request
        if route.stream:
            request._open_body(self._endpoint)
            if exchange.phase is not Phase.RUNNING:
                return  # there was no room for one more stream
        elif exchange.upload is not None:
            self._endpoint.accept_body(exchange)  # it comes again when it is whole
            return
        if (
            route.observable
            and options.observe == 0
            and request.method in SAFE
            and not (options.block2 is not None and options.block2.number)
            and not exchange.by_group
        ):
            exchange.topic = self.notifier.topic_of(request)
        if route.is_async:
            self._start_task(request, self._run_and_settle)
            return
        try:
            # A scope that the handler leaves open would go with this task, which receives;
            # inside another one, Trio raises RuntimeError. An async handler ruins its own task.
            with trio.CancelScope():  # noqa: ASYNC100  # it is there to be misused
                result = route.handler(request)
            if inspect.isawaitable(result):  # a lambda around an async function, say
                self._start_task(request, partial(self._finish, result))
                return
            if route.observable and isinstance(result, AsyncGenerator):
                self._start_task(request, partial(self.notifier.drive, result))
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
        path = resource_path(options.uri_path)
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
            await run(request)
        except BaseException as exc:
            if not _is_cancellation(exc):
                raise
            # Either the server ends, and the new task does not get far; or the handler has
            # left a scope open that was cancelled, and nobody else may suffer for it.
            with suppress(RuntimeError):  # the nursery may be closed by now
                self._nursery.start_soon(self._forgotten_scope, request)

    async def _forgotten_scope(self, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        error = RuntimeError("cancelled by a cancel scope that the handler had left open")
        self.asyncs.settle(request, self._error(request, error))

    # -- a pass of a handler ---------------------------------------------------------

    async def _run_and_settle(self, request: Request) -> None:
        self.asyncs.settle(request, await self._run(request))

    async def _run(self, request: Request) -> Answer:
        """Call the handler, sync or async; whatever it raises becomes a response."""
        try:
            result = request._route.handler(request)
            if inspect.isawaitable(result):
                result = await result
            return to_response(request, result)
        except Exception as exc:
            return self._error(request, exc)

    async def _finish(self, result: Awaitable[Result], request: Request) -> None:
        try:
            response = to_response(request, await result)
        except Exception as exc:
            response = self._error(request, exc)
        self.asyncs.settle(request, response)

    def _respond(
        self, request: Request, exchange: Exchange, answer: Response | StreamingResponse
    ) -> None:
        body = request._body
        is_early = body is not None and not body.is_whole
        if isinstance(answer, StreamingResponse):
            if not (is_early or exchange.notifies):
                stream = Stream(self._endpoint, answer, partial(self._error, request))
                stream.start(exchange, self._nursery)
                return
            answer = self._error(request, TypeError("a body can be streamed to one request only"))
        upload = None if body is None else body.upload
        if is_early and upload is not None and not upload.over:
            self._endpoint.decide(upload, answer)
        elif exchange.phase is Phase.RUNNING:
            self._endpoint.respond(exchange, answer)
            if exchange.observer is not None:
                self.notifier.entered(exchange.observer)

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
