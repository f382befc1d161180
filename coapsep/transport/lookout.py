"""Whether to look at a socket again before going to sleep on it.

To sleep, and be woken, costs some 50 us of CPU time, and what has arrived waits for twice that.
Where the next datagram comes sooner, as it does when both ends of a block-wise transfer are on one
machine or in one room, it pays to look again a few times, each time after the other tasks. Where
it does not, it would only warm the room: so whoever looks in vain too often is let sleep, and may
try again later.
"""

from __future__ import annotations

import random

#: Looks before a sleep, some 100 us if no other task has anything to do: long enough for a peer
#: like this one to answer.
_LOOKS = 16
#: What one success earns, and the most that is saved, in attempts that may fail.
_EARNED, _MOST = 3, 8
#: Whoever has nothing left is given a few, once in so many times. By chance: a peer that does the
#: same answers fast enough only while it tries as well.
_GIVEN, _SELDOM = 4, 64


class Lookout:
    """Decides that for one socket, by how it went so far."""

    __slots__ = ("_credit", "_rng")

    def __init__(self, rng: random.Random | None = None) -> None:
        self._credit = 0
        self._rng = rng or random.Random()

    def looks(self) -> int:
        """How often to look before the next sleep."""
        if not self._credit:
            if self._rng.random() * _SELDOM >= 1:
                return 0
            self._credit = _GIVEN
        self._credit -= 1
        return _LOOKS

    def found(self) -> None:
        """One of these looks has found something."""
        self._credit = min(self._credit + _EARNED, _MOST)
