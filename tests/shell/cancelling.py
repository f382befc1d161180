"""Runs a scenario again and again, each time cancelled a little later.

A step is a task's turn in Trio's scheduler, so between any two of them everything that
awaits is cancelled once at each of its awaits.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator

import trio
from trio.testing import MockClock

import coapsep


class CancelAtStep(trio.abc.Instrument):
    """Cancels a scope before the n-th turn of any task, counted from ``arm``; 0 is at once."""

    def __init__(self, step: int) -> None:
        self._left = step
        self._scope: trio.CancelScope | None = None

    def arm(self, scope: trio.CancelScope) -> None:
        self._scope = scope
        if self._left == 0:
            scope.cancel()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._scope is not None:
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()


def cancel_at_every_step(
    judge: Callable[[Callable[[trio.CancelScope], None]], Awaitable[bool]], *, least: int
) -> None:
    """Run ``judge`` in virtual time until it returns True: the cancellation came too late.

    It is handed a function to call with the scope that is to be cancelled. ``least`` is how
    many steps there must be, so that a scenario that does nothing does not pass.
    """
    for step in range(5000):
        cancel = CancelAtStep(step)
        clock = MockClock(autojump_threshold=0)
        if trio.run(judge, cancel.arm, clock=clock, instruments=[cancel]):
            assert step > least
            return
    raise AssertionError("it never finished")


def public_async_calls() -> Iterator[str]:
    """The name of everything public in ``coapsep`` that can be awaited, or entered with async."""
    for name in coapsep.__all__:
        thing = getattr(coapsep, name)
        if inspect.isclass(thing):
            if thing.__module__.startswith("coapsep") and not inspect.isabstract(thing):
                yield from (f"{name}.{method}" for method in _async_methods(thing))
        elif _is_async(thing):
            yield name


def _async_methods(cls: type) -> Iterator[str]:
    for name, member in inspect.getmembers(cls):
        if name.startswith("_") and not name.startswith(("__a", "__A")):
            continue
        if isinstance(member, property):
            returned = member.fget.__annotations__.get("return", "") if member.fget else ""
            if str(returned).startswith(("Awaitable", "Coroutine")):
                yield name
        elif callable(member) and _is_async(member):
            yield name


def _is_async(function: object) -> bool:
    unwrapped = inspect.unwrap(function) if callable(function) else function
    return inspect.iscoroutinefunction(unwrapped) or inspect.isasyncgenfunction(unwrapped)
