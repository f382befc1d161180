"""How handlers share a task, and what none of them must notice of it: coapsep/server/runner.py."""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep.server.request import Request
from coapsep.server.runner import Runner, innermost_scope

COLOUR: contextvars.ContextVar[str] = contextvars.ContextVar("COLOUR", default="none")


class Ask:
    """As much of a request as a runner looks at."""

    def __init__(self, handler: Any, name: str = "a handler") -> None:
        self._route = self
        self.handler = handler
        self.is_async = inspect.iscoroutinefunction(handler)
        self.name = name
        self.result: object = None


class Bench:
    """A runner, and what came of what it ran."""

    def __init__(self, nursery: trio.Nursery, *, shares: bool = True) -> None:
        self.settled: list[tuple[Ask, object]] = []
        self.runner = Runner(
            nursery,
            lambda request, result: result if hasattr(result, "send") else None,
            lambda request, result: self.settled.append((cast("Ask", request), result)),
            lambda request, exc: self.settled.append((cast("Ask", request), exc)),
            shares=shares,
        )

    def submit(self, handler: Any, name: str = "a handler") -> Ask:
        ask = Ask(handler, name)
        self.runner.submit(cast("Request", ask))
        self.runner.step_over()
        return ask

    @property
    def results(self) -> list[object]:
        return [result for _, result in self.settled]


@asynccontextmanager
async def open_bench(*, shares: bool = True) -> AsyncGenerator[Bench, None]:
    async with trio.open_nursery() as nursery:
        yield Bench(nursery, shares=shares)
        nursery.cancel_scope.cancel()


def tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


both = pytest.mark.parametrize("shares", [True, False])


@both
async def test_first_steps_are_taken_in_order(shares: bool) -> None:
    order: list[int] = []

    def handler(number: int) -> Any:
        async def step(request: object) -> int:
            order.append(number)
            if number % 3 == 0:
                await trio.sleep_forever()
            return number

        return step

    async with open_bench(shares=shares) as bench:
        for number in range(200):
            bench.submit(handler(number))
        await wait_all_tasks_blocked()
        assert order == list(range(200))
        assert sorted(cast("list[int]", bench.results)) == [n for n in range(200) if n % 3]


async def test_those_that_do_not_wait_share_one_task_and_the_others_have_their_own() -> None:
    seen: list[trio.lowlevel.Task] = []

    async def quick(request: object) -> None:
        seen.append(trio.lowlevel.current_task())

    async def slow(request: object) -> None:
        seen.append(trio.lowlevel.current_task())
        await trio.sleep_forever()

    async with open_bench() as bench:
        await wait_all_tasks_blocked()
        before = tasks()
        for _ in range(20):
            bench.submit(quick)
        await wait_all_tasks_blocked()
        assert len(set(seen)) == 1
        assert tasks() == before
        seen.clear()
        for number in range(20):
            bench.submit(slow, f"slow {number}")
        await wait_all_tasks_blocked()
        assert len(set(seen)) == 20
        assert [task.name for task in seen] == [f"slow {number}" for number in range(20)]
        assert tasks() == before + 20


async def test_many_that_wait_take_few_passes_of_the_scheduler() -> None:
    """Each pass asks the system for events; one for each handler would double its price."""
    passes = 0

    class Count(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            nonlocal passes
            passes += 1

    async def slow(request: object) -> None:
        await trio.sleep_forever()

    async with open_bench() as bench:
        await wait_all_tasks_blocked()
        count = Count()
        trio.lowlevel.add_instrument(count)
        for _ in range(64):
            bench.submit(slow)
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(count)
        assert passes < 24


@both
async def test_context_variables_are_each_handlers_own(
    autojump_clock: MockClock, shares: bool
) -> None:
    async def paint(request: object) -> str:
        COLOUR.set("red")
        return COLOUR.get()

    async def paint_and_wait(request: object) -> str:
        COLOUR.set("blue")
        await trio.sleep(1)
        COLOUR.set(COLOUR.get() + "ish")
        await trio.sleep(1)
        return COLOUR.get()

    async def look(request: object) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.5)
        return COLOUR.get()

    async with open_bench(shares=shares) as bench:
        for handler in (paint, paint_and_wait, look, lambda request: COLOUR.get()):
            bench.submit(handler)
        await trio.sleep(3)
        assert sorted(cast("list[str]", bench.results)) == ["blueish", "none", "none", "red"]
    assert COLOUR.get() == "none"


@both
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_scope_that_is_left_open_costs_nobody_else_anything(
    autojump_clock: MockClock, shares: bool, is_async: bool
) -> None:
    scopes: list[trio.CancelScope] = []

    def leave_open(request: object) -> str:
        scope = trio.CancelScope()
        scope.__enter__()
        scopes.append(scope)
        return "left"

    async def leave_open_async(request: object) -> str:
        return leave_open(request)

    async def wait(request: object) -> str:
        await trio.sleep(5)
        return "undisturbed"

    async with open_bench(shares=shares) as bench:
        for handler in (wait, leave_open_async if is_async else leave_open, wait, wait):
            bench.submit(handler)
        await trio.sleep(1)
        scopes[0].cancel()
        bench.submit(wait)
        await trio.sleep(10)
        [error] = [result for result in bench.results if result != "undisturbed"]
        assert isinstance(error, RuntimeError)
        assert len(bench.settled) == 5


async def test_a_sync_handler_is_called_at_once_and_what_it_returns_may_take_time(
    autojump_clock: MockClock,
) -> None:
    async def slow() -> str:
        await trio.sleep(1)
        return "later"

    async with open_bench() as bench:
        bench.submit(lambda request: "now")
        assert bench.results == ["now"]
        bench.submit(lambda request: slow())
        await trio.sleep(2)
        assert bench.results == ["now", "later"]


async def test_a_sync_handler_that_leaves_a_scope_open_and_returns_a_coroutine() -> None:
    async def never() -> None:
        raise AssertionError("it is not run")

    def leave_open(request: object) -> object:
        trio.CancelScope().__enter__()
        return never()

    async with open_bench() as bench:
        bench.submit(leave_open)
        assert [type(result) for result in bench.results] == [RuntimeError]


async def test_scopes_nurseries_locks_and_threads_work_after_the_first_step() -> None:
    done = trio.Event()

    async def handler(request: object) -> str:
        with trio.move_on_after(0.001) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery, trio.Lock():
            nursery.start_soon(trio.sleep, 0.001)
        COLOUR.set("green")
        assert await trio.to_thread.run_sync(COLOUR.get) == "green"
        done.set()
        return "all right"

    async with open_bench() as bench:
        bench.submit(handler)
        await done.wait()
        await wait_all_tasks_blocked()
        assert bench.results == ["all right"]


async def test_what_it_raises_before_and_after_it_waits(autojump_clock: MockClock) -> None:
    async def at_once(request: object) -> None:
        raise KeyError(1)

    async def later(request: object) -> None:
        await trio.sleep(1)
        raise KeyError(2)

    def sync(request: object) -> None:
        raise StopIteration(3)

    async with open_bench() as bench:
        for handler in (at_once, later, sync):
            bench.submit(handler)
        await trio.sleep(2)
        assert [repr(error) for error in bench.results] == [
            "StopIteration(3)",
            "KeyError(1)",
            "KeyError(2)",
        ]


async def test_when_the_nursery_is_cancelled_nothing_is_left(autojump_clock: MockClock) -> None:
    ended: list[str] = []

    async def handler(request: object) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("ended")

    before = tasks()
    async with open_bench() as bench:
        for _ in range(10):
            bench.submit(handler)
        await wait_all_tasks_blocked()
    assert len(ended) == 10
    assert bench.results == []
    assert tasks() == before


def test_this_trio_tells_the_innermost_scope() -> None:
    """If it does not, each handler gets a task of its own, which is safe, and slow."""

    async def main() -> None:
        task = trio.lowlevel.current_task()
        outside = innermost_scope(task)
        assert outside is not None
        with trio.CancelScope():
            await trio.lowlevel.checkpoint()
            assert innermost_scope(task) is not outside
        assert innermost_scope(task) is outside

    trio.run(main)
