"""A heap of deadlines. Whoever owns a clock asks for the next one and says when it is due."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable


class Timer:
    """One deadline, until it has run or was cancelled."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[float], None]) -> None:
        self.action: Callable[[float], None] | None = action


class Timers:
    """Deadlines in order of time; equal ones in the order in which they were set."""

    __slots__ = ("_cancelled", "_heap", "_sequence", "wake_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._cancelled = 0
        #: Nothing is due before; whoever looks at the clock sets it to what is next then.
        self.wake_at: float = math.inf

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    def set(self, when: float, action: Callable[[float], None]) -> Timer:
        """Call ``action(now)`` once it is ``when``."""
        timer = Timer(action)
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, timer))
        if when < self.wake_at:
            self.wake_at = when
        return timer

    def wake_by(self, when: float) -> None:
        """Something is due then that is no timer."""
        if when < self.wake_at:
            self.wake_at = when

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; one that has run or was cancelled before is none."""
        if timer.action is None:
            return
        timer.action = None
        self._cancelled += 1
        # Taking it out of the middle would cost a search. It is skipped when its time comes,
        # unless such ghosts outnumber the living.
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap = [item for item in self._heap if item[2].action is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def next_deadline(self) -> float:
        """When the next timer is due; ``inf`` if there is none."""
        heap = self._heap
        while heap and heap[0][2].action is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else math.inf

    def run(self, now: float) -> None:
        """Run all that is due."""
        while self.next_deadline() <= now:
            timer = heapq.heappop(self._heap)[2]
            action, timer.action = timer.action, None
            if action is not None:
                action(now)
