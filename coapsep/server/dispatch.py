"""From a request to its handler, and from what that returns to a response."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any, Literal, NoReturn, TypeAlias

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
from coapsep.server.asyncs import AsyncRegistry
from coapsep.server.discovery import PATH, discovery
from coapsep.server.notifier import Notifier
from coapsep.server.pending import Ended, PendingRequest
from coapsep.server.request import Request
from coapsep.server.results import SETTLED, Answer, error_response, from_error, to_response
from coapsep.server.router import Result, Route, Router, resource_path
from coapsep.server.runner import Runner
from coapsep.server.streaming import Stream, StreamingResponse

_logger = logging.getLogger("coapsep.server")

#: What happens to an exception of a handler that is no ResponseError.
HandlerErrors: TypeAlias = Literal["respond", "raise"]

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
    """Finds the handler of a request, and makes a response of what it does."""

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
            endpoint, nursery, limits, self._pass, self._respond, self._error
        )
        self._runner = Runner(nursery, self._start, self._returned, self._raised)
        self.notifier: Notifier = Notifier(
            endpoint, nursery, self._pass, self.asyncs.settle, self._runner.guard, self._error
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
                if event.last:
                    event.upload.attachment = None  # the two hold each other
        elif isinstance(event, UploadEnded):
            request = event.upload.attachment
            if isinstance(request, Request):
                request.body.fail(event.reason)
                event.upload.attachment = None
        elif isinstance(event, BodyWanted | BodyEnded):
            stream = event.body.attachment
            if isinstance(stream, Stream):
                tell = stream.wanted if isinstance(event, BodyWanted) else stream.ended
                tell()
        elif isinstance(event, ObserverEnded):
            self.notifier.ended(event.observer)

    def step_over(self) -> None:
        """All events that came together are dealt with."""
        self._runner.step_over()

    # -- a new request ---------------------------------------------------------------

    def _open(self, exchange: Exchange) -> None:
        try:
            request = self._route(exchange)
        except ResponseError as exc:
            self._endpoint.refuse(exchange, error_response(exc))
            return
        if request is None:
            return
        exchange.attachment = request
        route, options = request._route, exchange.request.options
        if route.stream:
            request._open_body(self._endpoint)
            if exchange.phase is not Phase.RUNNING:
                return  # there was no room for one more stream
        elif exchange.upload is not None:
            self._endpoint.accept_body(exchange)  # it comes again when it is whole
            return
        if not options.is_plain and (
            route.observable
            and options.observe == 0
            and request.method in SAFE
            and not (options.block2 is not None and options.block2.number)
            and not exchange.by_group
        ):
            exchange.topic = self.notifier.topic_of(request)
        self._runner.submit(request)

    def _route(self, exchange: Exchange) -> Request | None:
        """The request and who handles it; raises the ResponseError if nobody does.

        None if it was refused for conditions that its handler does not look at.
        """
        message = exchange.request
        options, method = message.options, message.code
        if self.draining:
            raise ServiceUnavailable("shutting down", max_age=self._retry_after)
        if not (options.is_plain or _PROXY.isdisjoint(options.critical)):
            names = ", ".join(option_name(n) for n in sorted(_PROXY & options.critical))
            raise ResponseError(Code.PROXYING_NOT_SUPPORTED, names)
        path = resource_path(options.uri_path)
        found = self._router.find(path)
        if found is not None and (path != PATH or not found[0].names):
            resource, params = found
            route = resource.routes.get(method)
        elif path == PATH:
            params = {}
            route = self._discovery if method == Code.GET else None
        elif method in _NAMED_METHODS:
            raise NotFound("Not Found")
        else:  # an unknown method is refused whatever the path (section 5.8)
            raise MethodNotAllowed("unknown method")
        if route is None:
            raise MethodNotAllowed("Method Not Allowed")
        if not options.is_plain and not self._may_handle(exchange, route):
            return None
        return Request(exchange, route, params, self.asyncs)

    def _may_handle(self, exchange: Exchange, route: Route) -> bool:
        """Whether what the client asks for beside the resource is in the power of its handler;
        if it is not, that has been answered, or is raised."""
        options = exchange.request.options
        accept = options.accept
        if accept is not None and route.content_formats and accept not in route.content_formats:
            raise NotAcceptable("Not Acceptable")
        if not (route.conditional or _CONDITIONS.isdisjoint(options.critical)):
            names = ", ".join(option_name(n) for n in sorted(_CONDITIONS & options.critical))
            self._endpoint.refuse_options(exchange, names)
            return False
        return True

    # -- a pass of a handler ---------------------------------------------------------

    def _start(self, request: Request, result: Any) -> Coroutine[Any, Any, Any] | None:
        """What has to be waited for if a handler has returned this; None for nothing."""
        if isinstance(result, CoroutineType):
            return result
        if inspect.isawaitable(result):  # of another framework's making, say
            return _wait_for(result)
        if request._route.observable and isinstance(result, AsyncGenerator):
            return self.notifier.drive(result, request)
        return None

    def _returned(self, request: Request, result: Any) -> None:
        try:
            answer = to_response(request, result)
        except Exception as exc:
            answer = self._error(request, exc)
        self.asyncs.settle(request, answer)

    def _raised(self, request: Request, exc: Exception) -> None:
        self.asyncs.settle(request, self._error(request, exc))

    def _pass(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """Call the handler, sync or async; whatever it raises becomes a response.

        A coroutine has to be awaited for the answer.
        """
        try:
            result: Any = request._route.handler(request)
            if type(result) not in SETTLED and inspect.isawaitable(result):
                return self._finish(request, result)
            return to_response(request, result)
        except Exception as exc:
            return self._error(request, exc)

    async def _finish(self, request: Request, result: Awaitable[Any]) -> Answer:
        try:
            return to_response(request, await result)
        except Exception as exc:
            return self._error(request, exc)

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


async def _wait_for(awaitable: Awaitable[Result]) -> Result:
    return await awaitable


async def _raise(exc: Exception) -> NoReturn:
    raise exc
