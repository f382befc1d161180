"""Where the notifications to observers come from (RFC 7641 section 4.2).

A handler is asked again when ``Server.notify`` says that something has changed: once for all
observers that asked the same, and not again while it is at it. A handler that is an async
generator is asked for its next representation instead, by a task for each observer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Iterable
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, cast

import attrs
import trio

from coapsep.endpoint import Endpoint
from coapsep.message.response import Response
from coapsep.numbers import Code
from coapsep.protocol.held import Observer, Topic
from coapsep.server.pending import PendingRequest
from coapsep.server.request import Request
from coapsep.server.results import Answer, to_response
from coapsep.server.router import Result, resource_path, split

#: Paths of which it is known when they were last notified; of others it is taken to be late.
_REMEMBERED = 1024


@attrs.frozen(cache_hash=True)
class _Question:
    """What some observers have asked alike."""

    path: Hashable
    method: Code
    options: tuple[tuple[int, bytes], ...]
    payload: bytes


@attrs.frozen(eq=False)
class _Asking:
    """What is known of the request that has made an observer."""

    request: Request
    calls: int
    """Of ``notify``, when it came."""
    question: _Question


Settle: TypeAlias = Callable[[Request, Answer], None]


class Notifier:
    """Asks handlers for the state of what they serve, and hands it to the core."""

    def __init__(
        self,
        endpoint: Endpoint,
        nursery: trio.Nursery,
        ask: Callable[[Request], Answer | Coroutine[Any, Any, Answer]],
        settle: Settle,
        guard: Callable[[Request, Coroutine[Any, Any, None]], Awaitable[None]],
        failed: Callable[[Request, Exception], Response],
    ) -> None:
        self._endpoint = endpoint
        self._nursery = nursery
        self._ask_handler = ask
        self._settle = settle
        self._guard = guard
        self._failed = failed
        #: What is being asked, and whether it must be asked once more.
        self._asked: dict[_Question, bool] = {}
        self._generators: dict[Observer, trio.CancelScope] = {}
        #: When, in numbers of calls of ``notify``, paths were last notified: the latest last.
        self._notified: OrderedDict[Hashable, int] = OrderedDict()
        self._forgotten = 0  # every path that is not in it was last notified by then
        self._calls = 0

    def topic_of(self, request: Request) -> Topic:
        """What a request that has just come is to observe."""
        key, message = resource_path(request.path), request._exchange.request
        question = _Question(key, message.code, message.options.matchable, message.payload)
        return Topic(key, _Asking(request, self._calls, question))

    def entered(self, observer: Observer) -> None:
        """This client has its response. If something has changed while that was made, nobody
        knows which state it shows: the handler is asked again."""
        if observer.over:
            return
        notified = self._notified.get(observer.topic.key, self._forgotten)
        if notified > _asking(observer).calls:
            self._ask_for((observer,))

    def notify(self, path: str) -> None:
        """The state of this path has changed: ask its handler, and tell its observers.

        Raises ``trio.ClosedResourceError`` if the server has stopped.
        """
        key = resource_path(split(path))
        if self._endpoint.over:
            raise trio.ClosedResourceError("the server has stopped")
        self._calls += 1
        self._notified[key] = self._calls
        self._notified.move_to_end(key)
        if len(self._notified) > _REMEMBERED:
            _, self._forgotten = self._notified.popitem(last=False)
        self._ask_for(self._endpoint.core.observers_of(key))

    async def drive(self, generator: AsyncGenerator[Result, None], request: Request) -> None:
        """Answer a request with the first representation of a generator, and go on with the
        others for as long as the client observes."""
        scope = trio.CancelScope()  # around all of it: none of ours around a single step
        exchange = request._exchange
        observer: Observer | None = None
        last: Response | None = None
        with scope:
            try:
                async with aclosing(generator):
                    async for result in generator:
                        last = _whole(to_response(request, result))
                        if observer is None:
                            self._settle(request, last)
                            observer = exchange.observer
                            if observer is None or observer.over:
                                return
                            self._generators[observer] = scope
                        else:
                            self._endpoint.notify(observer, last, last=False)
                        await trio.lowlevel.checkpoint()
            except Exception as exc:
                last = self._failed(request, exc)
            finally:
                if observer is not None:
                    self._generators.pop(observer, None)
            if observer is None:
                self._settle(request, last)
            elif last is not None:
                # There is no more to come: the last representation again, without Observe.
                self._endpoint.notify(observer, last, last=True)

    def ended(self, observer: Observer) -> None:
        """This client is not kept up to date any more."""
        scope = self._generators.pop(observer, None)
        if scope is not None:
            scope.cancel()

    def _ask_for(self, observers: Iterable[Observer]) -> None:
        for observer in observers:
            question = _asking(observer).question
            if observer in self._generators:
                continue
            if question not in self._asked:
                self._begin(question)
            self._asked[question] = True

    def _begin(self, question: _Question) -> None:
        with suppress(RuntimeError):  # the nursery is closed: the server has just stopped
            self._nursery.start_soon(self._ask, question, name="a notification")

    async def _ask(self, question: _Question) -> None:
        core = self._endpoint.core
        self._asked[question] = False
        observers = tuple(
            observer
            for observer in core.observers_of(question.path)
            if observer not in self._generators and _asking(observer).question == question
        )
        try:
            if observers:
                exchange = core.open_notification(observers)
                request = _asking(observers[0]).request._copy(exchange, None, None)
                exchange.attachment = request
                await self._guard(request, self._pass(request))
        finally:
            # In another task: the handler may have left a scope open in this one.
            if self._asked[question]:
                self._begin(question)
            else:
                del self._asked[question]

    async def _pass(self, request: Request) -> None:
        exchange = request._exchange
        answer = self._ask_handler(request)
        self._settle(request, await answer if isinstance(answer, Coroutine) else answer)
        pending = exchange.attachment
        if isinstance(pending, PendingRequest):
            await pending.ended


def _asking(observer: Observer) -> _Asking:
    return cast("_Asking", observer.topic.attachment)


def _whole(answer: Answer) -> Response:
    if not isinstance(answer, Response):
        raise TypeError(f"an observable generator yields whole representations, not {answer!r}")
    return answer
