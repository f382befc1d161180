"""The heap of deadlines."""

from __future__ import annotations

import math
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from coapsep.protocol.timers import Timer, Timers


class Bell:
    """Notes when it was rung, and by which timer."""

    def __init__(self, timers: Timers) -> None:
        self.timers = timers
        self.rung: list[tuple[str, float]] = []

    def set(self, when: float, name: str = "") -> None:
        self.timers.set(when, lambda now: self.rung.append((name, now)))


def test_without_timers_there_is_no_deadline() -> None:
    timers = Timers()
    assert timers.next_deadline() == math.inf
    assert len(timers) == 0
    timers.run(1e9)
    assert timers.next_deadline() == math.inf


def test_a_timer_runs_at_its_time_and_not_before() -> None:
    bell = Bell(timers := Timers())
    bell.set(2.0)
    timers.run(1.999)
    assert bell.rung == []
    timers.run(2.0)
    assert bell.rung == [("", 2.0)]


def test_a_timer_runs_once() -> None:
    bell = Bell(timers := Timers())
    bell.set(2.0)
    timers.run(2.0)
    timers.run(3.0)
    assert bell.rung == [("", 2.0)]
    assert len(timers) == 0


def test_an_action_is_told_the_time_it_is_and_not_the_time_it_was_due() -> None:
    bell = Bell(timers := Timers())
    bell.set(2.0)
    timers.run(7.5)
    assert bell.rung == [("", 7.5)]


def test_timers_run_in_order_of_time_and_then_of_setting() -> None:
    bell = Bell(timers := Timers())
    for when, name in ((3.0, "d"), (1.0, "a"), (2.0, "b"), (2.0, "c")):
        bell.set(when, name)
    timers.run(3.0)
    assert [name for name, _ in bell.rung] == ["a", "b", "c", "d"]


def test_a_cancelled_timer_does_not_run_and_is_no_deadline() -> None:
    bell = Bell(timers := Timers())
    early = timers.set(1.0, lambda now: bell.rung.append(("early", now)))
    bell.set(2.0, "late")
    timers.cancel(early)
    assert timers.next_deadline() == 2.0
    assert len(timers) == 1
    timers.run(2.0)
    assert bell.rung == [("late", 2.0)]


def test_cancelling_twice_or_after_the_run_does_nothing() -> None:
    timers = Timers()
    ran = timers.set(1.0, lambda now: None)
    twice = timers.set(2.0, lambda now: None)
    timers.set(3.0, lambda now: None)
    timers.run(1.0)
    timers.cancel(ran)
    timers.cancel(twice)
    timers.cancel(twice)
    assert len(timers) == 1
    assert timers.next_deadline() == 3.0


def test_an_action_may_cancel_a_timer_that_is_due_in_the_same_run() -> None:
    timers = Timers()
    rung: list[str] = []
    second = timers.set(2.0, lambda now: rung.append("second"))
    timers.set(1.0, lambda now: timers.cancel(second))
    timers.run(2.0)
    assert rung == []
    assert len(timers) == 0


def test_an_action_may_set_a_timer_that_is_due_in_the_same_run() -> None:
    bell = Bell(timers := Timers())
    timers.set(1.0, lambda now: bell.set(2.0, "child"))
    timers.run(2.0)
    assert bell.rung == [("child", 2.0)]


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers()
    timers.set(1.0, lambda now: None)
    for _ in range(10_000):
        timers.cancel(timers.set(1e6, lambda now: None))
    assert len(timers) == 1
    assert len(timers._heap) < 200
    assert timers.next_deadline() == 1.0


def _ring(rung: list[int], number: int) -> Callable[[float], None]:
    return lambda now: rung.append(number)


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 50)),
        st.tuples(st.just("cancel"), st.integers(0, 300)),
        st.tuples(st.just("run"), st.integers(0, 5)),
    ),
    max_size=300,
)


@given(_STEPS)
def test_it_behaves_like_a_sorted_list(steps: list[tuple[str, int]]) -> None:
    timers = Timers()
    rung: list[int] = []
    made: list[Timer] = []
    expected: dict[int, int] = {}  # number: when
    now = 0
    for step, value in steps:
        if step == "set":
            number = len(made)
            made.append(timers.set(now + value, _ring(rung, number)))
            expected[number] = now + value
        elif step == "cancel" and made:
            timers.cancel(made[value % len(made)])
            expected.pop(value % len(made), None)
        elif step == "run":
            now += value
            timers.run(now)
            due = sorted((when, n) for n, when in expected.items() if when <= now)
            assert rung == [n for _, n in due]
            rung.clear()
            for _, n in due:
                del expected[n]
        assert len(timers) == len(expected)
        assert timers.next_deadline() == min(expected.values(), default=math.inf)
