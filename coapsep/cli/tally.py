"""What is to be said of many round trips at the end, as ping(8) does."""

from __future__ import annotations


class Tally:
    """Counts what was asked and what came, and the seconds that it took."""

    def __init__(self) -> None:
        self.asked: int = 0
        self.answered: int = 0
        self.shortest: float = 0.0
        self.longest: float = 0.0
        self._sum = 0.0

    def answer(self, seconds: float) -> None:
        """One was answered, after so many seconds."""
        self.asked += 1
        self.shortest = min(self.shortest, seconds) if self.answered else seconds
        self.longest = max(self.longest, seconds)
        self._sum += seconds
        self.answered += 1

    def loss(self) -> None:
        """One was not answered."""
        self.asked += 1

    @property
    def average(self) -> float:
        """Seconds; 0 if there is no answer."""
        return self._sum / self.answered if self.answered else 0.0

    @property
    def lost(self) -> float:
        """The part that was not answered, from 0 to 1."""
        return 1 - self.answered / self.asked if self.asked else 0.0
