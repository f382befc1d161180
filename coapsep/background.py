"""A task beside a block, as the ``open_*`` functions need it."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import trio

from coapsep.errors import EndpointCrashed

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

T = TypeVar("T")


@asynccontextmanager
async def open_background(run: Callable[..., Awaitable[object]]) -> AsyncGenerator[Any, None]:
    """Run ``run(task_status=...)`` for the length of a block; gives what it started with.

    A nursery alone would wrap an exception of the block in a group, and mix it with a
    failure of the task. Here the block's leaves as it is. If the task fails, the block is
    cancelled, and EndpointCrashed is raised from the cause; if both fail, an ExceptionGroup.
    """
    body: BaseException | None = None
    crash: EndpointCrashed | None = None
    started = False

    async def contain(*, task_status: trio.TaskStatus[Any]) -> None:
        nonlocal crash
        try:
            await run(task_status=task_status)
        except Exception as exc:
            cause = _alone(exc)
            crash = EndpointCrashed(f"failed in the background: {cause!r}")
            crash.__cause__ = cause
            if started:
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        try:
            value = await nursery.start(contain)
            started = True
            if crash is None:
                yield value
        except (Exception, KeyboardInterrupt, SystemExit) as exc:
            body = exc  # Cancelled passes: it is the nursery's own to catch
            if not started and crash is not None:
                body, crash = crash.__cause__, None  # it never got as far as the background
        nursery.cancel_scope.cancel()
    if body is None:
        if crash is not None:
            raise crash
    elif crash is None:
        raise body
    elif isinstance(body, Exception):
        raise ExceptionGroup("the block and the background failed", [body, crash])
    else:
        raise BaseExceptionGroup("the block and the background failed", [body, crash])


def _alone(exc: BaseException) -> BaseException:
    """The one exception in nested groups of one: a cause reads better without them."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    return exc
