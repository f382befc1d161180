"""Runs handlers. A sync one is called where its request arrives. Async ones run one after the
other in a task that they share, until one of them waits.

A task of its own would cost a request more than all the rest of it, and most handlers never
wait. So one task, the *host*, takes their first steps, in the order in which the requests came.
A handler that waits has the host for itself from then on: a coroutine cannot change its task,
to which Trio ties cancel scopes and nurseries. The others go on in the next host.

No handler must notice that it shares:

- Each runs in a copy of the server's context: what it sets in a context variable is its own.
- One that leaves a cancel scope open has ruined its task: the scope may be cancelled later,
  and with it whoever is in it. The host looks after each step, and is not used again. What it
  looks at is not public in Trio; where it is not found, each handler gets a task of its own.
  Sync ones are called inside a scope that is left at the end of the endpoint's step, and
  whatever they have left open with it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from types import coroutine
from typing import Any

import trio

from coapsep.server.request import Request
from coapsep.server.results import SETTLED

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

#: Whether a task tells its innermost cancel scope.
_TELLS_SCOPE: bool = hasattr(trio.lowlevel.Task, "_cancel_status")
#: Hosts that are on their way at the same time, at most.
_MOST_HOSTS = 64
#: What a host is called, until a handler has it for itself.
_NAME = "handlers"
_LEFT_OPEN = "the handler corrupted its cancel scopes: it left one open"


class Runner:
    """Calls handlers, and hands on what they return or raise.

    ``start`` makes a coroutine of a handler's result that has to be waited for, and None of any
    other; ``returned`` and ``raised`` settle the request.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        start: Callable[[Request, Any], Coroutine[Any, Any, Any] | None],
        returned: Callable[[Request, Any], None],
        raised: Callable[[Request, Exception], None],
        *,
        shares: bool = _TELLS_SCOPE,
    ) -> None:
        self._nursery = nursery
        self._start = start
        self._returned = returned
        self._raised = raised
        self._shares = shares
        self._context = copy_context()
        #: Requests whose handlers are to be called, or what is to be awaited for them.
        self._queue: deque[tuple[Request, Coroutine[Any, Any, Any] | None]] = deque()
        self._over = False
        #: Around the sync handlers of a step.
        self._guard: trio.CancelScope | None = None
        #: The host, while it waits for work.
        self._idle: trio.lowlevel.Task | None = None
        #: Hosts that have been started, and have not begun.
        self._coming = 0
        #: How many of them are to come when a handler waits.
        self._wanted = 1
        self._start_hosts()

    def submit(self, request: Request) -> None:
        """Call the handler of this request: a sync one now, an async one soon."""
        if request._route.is_async:
            self._enqueue(request, None)
        else:
            self._call(request)

    def step_over(self) -> None:
        """The endpoint's step is over, in which some requests may have been submitted."""
        guard, self._guard = self._guard, None
        if guard is not None:
            with suppress(RuntimeError):  # a scope was left open, and that was told
                guard.__exit__(None, None, None)

    def _call(self, request: Request) -> None:
        if self._guard is None:
            self._guard = trio.CancelScope()
            self._guard.__enter__()
        task = trio.lowlevel.current_task()
        scope = innermost_scope(task)
        try:
            result = self._context.copy().run(request._route.handler, request)
            started = None if type(result) in SETTLED else self._start(request, result)
            if innermost_scope(task) is not scope:
                if started is not None:
                    started.close()
                raise RuntimeError(_LEFT_OPEN)
        except Exception as exc:
            self._raised(request, exc)
            return
        if started is None:
            self._returned(request, result)
        else:
            self._enqueue(request, started)

    def _enqueue(self, request: Request, started: Coroutine[Any, Any, Any] | None) -> None:
        if self._over:
            if started is not None:
                started.close()
            return
        self._queue.append((request, started))
        if self._idle is not None:
            idle, self._idle = self._idle, None
            trio.lowlevel.reschedule(idle)

    async def _host(self) -> None:
        """Until a handler needs it for itself, or has ruined it. There is always another."""
        self._coming -= 1
        task = trio.lowlevel.current_task()
        scope = innermost_scope(task)
        try:
            waiting = await self._work(task, scope)
        except trio.Cancelled:  # the server ends, and what is queued is not called any more
            self._over = True
            for _, started in self._queue:
                if started is not None:
                    started.close()
            self._queue.clear()
            raise
        if waiting is not None:
            request, rest = waiting
            task.name = request._route.name
            await self.guard(request, rest)

    async def _work(
        self, task: trio.lowlevel.Task, scope: object
    ) -> tuple[Request, Coroutine[Any, Any, None]] | None:
        """Take first steps, until this task is needed or ruined; others are on their way then."""
        while True:
            if not self._queue:
                if self._idle is not None:
                    return None
                await self._park(task)
            waiting = self._take_first_steps(task, scope)
            if waiting is not None or not self._shares or innermost_scope(task) is not scope:
                break
            self._wanted = 1
            if self._queue:
                await trio.lowlevel.checkpoint()
        self._start_hosts()
        return waiting

    def _start_hosts(self) -> None:
        """Where one handler waits, others may, and each pass of Trio's scheduler has its price:
        so twice as many hosts come each time, until one of them can do all the rest."""
        with suppress(RuntimeError):  # the nursery is closed: the server has just stopped
            while self._coming < max(1, min(self._wanted, len(self._queue))):
                self._nursery.start_soon(self._host, name=_NAME)
                self._coming += 1
        self._wanted = min(2 * self._wanted, _MOST_HOSTS)

    def _take_first_steps(
        self, task: trio.lowlevel.Task, scope: object
    ) -> tuple[Request, Coroutine[Any, Any, None]] | None:
        """Until a handler waits, with what is left of it; or this task is ruined; or all had
        their turn. What comes meanwhile has to wait: other tasks want their turn, too."""
        queue = self._queue
        for _ in range(len(queue) if self._shares else 1):
            request, started = queue.popleft()
            rest = self._first_step(request, started, task, scope)
            if rest is not None:
                return request, rest
            if innermost_scope(task) is not scope:
                return None
        return None

    def _first_step(
        self,
        request: Request,
        started: Coroutine[Any, Any, Any] | None,
        task: trio.lowlevel.Task,
        scope: object,
    ) -> Coroutine[Any, Any, None] | None:
        """Call the handler, or go on with what it gave; what is left of it if it waits."""
        context = self._context.copy()
        try:
            result: Any = None
            if started is None:
                result = context.run(request._route.handler, request)
                if type(result) not in SETTLED:
                    started = self._start(request, result)
            if started is not None:
                try:
                    trap = context.run(started.send, None)
                    return self._rest(request, started, context, trap)
                except StopIteration as end:
                    result = end.value
            if innermost_scope(task) is not scope:
                raise RuntimeError(_LEFT_OPEN)
        except Exception as exc:
            self._raised(request, exc)
        else:
            self._returned(request, result)
        return None

    async def _rest(
        self, request: Request, started: Coroutine[Any, Any, Any], context: Context, trap: Any
    ) -> None:
        try:
            result = await _go_on(started, context, trap)
        except Exception as exc:
            self._raised(request, exc)
        else:
            self._returned(request, result)

    async def guard(self, request: Request, passing: Coroutine[Any, Any, None]) -> None:
        """Await a pass of a handler, the last thing that the task does.

        If it was cancelled, the server ends, or the handler has left a scope open that was
        cancelled: nobody else may suffer for it.
        """
        try:
            await passing
        except BaseException as exc:
            if not _is_cancellation(exc):
                raise
            # If the server ends, the new task does not get far, or the nursery is closed by now.
            with suppress(RuntimeError):
                self._nursery.start_soon(self._forgotten_scope, request)

    async def _forgotten_scope(self, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        error = RuntimeError("cancelled by a cancel scope that the handler had left open")
        self._raised(request, error)

    async def _park(self, task: trio.lowlevel.Task) -> None:
        """Wait until there is work."""

        def abort(_: object) -> trio.lowlevel.Abort:
            self._idle = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._idle = task
        await trio.lowlevel.wait_task_rescheduled(abort)


def _is_cancellation(exc: BaseException) -> bool:
    """Whether this is Trio's Cancelled, or nothing but several of them."""
    if isinstance(exc, BaseExceptionGroup):
        return all(map(_is_cancellation, exc.exceptions))
    return isinstance(exc, trio.Cancelled)


def innermost_scope(task: trio.lowlevel.Task) -> object:
    """What Trio holds against the scope that is left; None if it does not tell."""
    return getattr(task, "_cancel_status", None)


@coroutine
def _go_on(
    started: Coroutine[Any, Any, Any], context: Context, trap: Any
) -> Generator[Any, Any, Any]:
    """What ``await started`` does after the first step, in the coroutine's own context."""
    while True:
        try:
            sent = yield trap
        except BaseException as exc:
            step = partial(started.throw, exc)
        else:
            step = partial(started.send, sent)
            del sent
        try:
            trap = context.run(step)
        except StopIteration as end:
            return end.value
        finally:
            del step  # an exception that was sent would hold this frame, which holds it
