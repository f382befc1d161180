"""What is due at which time, and the one task that sees to it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

_T = TypeVar("_T")


class Schedule(Generic[_T]):
    """Hands over everything that is due at one time at once, in the order in which it was added.

    One task does that, so that it does not matter how Trio shuffles tasks. ``hand_over`` must
    not await and must not raise.
    """

    def __init__(self, hand_over: Callable[[list[tuple[float, int, _T]]], None]) -> None:
        self._hand_over = hand_over
        self._heap: list[tuple[float, int, _T]] = []
        self._sequence = 0
        self._alarm = trio.CancelScope()
        #: When the task wakes by itself; while it is awake, nothing is to wake it.
        self._wakes_at = -math.inf

    def add(self, when: float, thing: _T) -> None:
        """Hand it over at this time, or as soon as the task runs if that has passed."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, thing))
        if when < self._wakes_at:
            self._wakes_at = self._alarm.deadline = when

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Hand over what falls due, until cancelled."""
        task = trio.lowlevel.current_task()

        def wake(raise_cancel: object) -> trio.lowlevel.Abort:
            # Cancelled need not be raised to be caught by the very next line: that would be
            # a fifth of what a wake-up costs, and in virtual time most datagrams cost one.
            trio.lowlevel.reschedule(task)
            return trio.lowlevel.Abort.FAILED

        task_status.started()
        heap = self._heap
        while True:
            self._wakes_at = heap[0][0] if heap else math.inf
            with trio.CancelScope(deadline=self._wakes_at) as self._alarm:
                await trio.lowlevel.wait_task_rescheduled(wake)
            self._wakes_at = -math.inf
            await trio.lowlevel.checkpoint_if_cancelled()  # for it may have been a scope around
            now = trio.current_time()
            due = []
            while heap and heap[0][0] <= now:
                due.append(heapq.heappop(heap))
            self._hand_over(due)
