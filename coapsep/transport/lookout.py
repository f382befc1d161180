"""Whether to look at a socket again before going to sleep on it.

To sleep, and be woken, costs some 50 us of CPU time, and the answer is later by twice that. Where
the next datagram comes sooner, as it does when both ends of a block-wise transfer are on one
machine or in one room, it pays to look again a few times, each time after the other tasks. Where
it does not, it would only warm the room: so whoever looks in vain too often is let sleep, and may
try again later.
"""

from __future__ import annotations

#: Looks before a sleep, some 100 us if no other task has anything to do: long enough for a peer
#: like this one to answer.
_LOOKS = 16
#: What one success earns, and the most that is saved, in attempts that may fail.
_EARNED, _MOST = 3, 8
#: One who has nothing left may try once in so many times.
_SELDOM = 32


class Lookout:
    """Decides that for one socket, by how it went so far."""

    __slots__ = ("_credit", "_sleeps")

    def __init__(self) -> None:
        self._credit = 0
        self._sleeps = 0

    def looks(self) -> int:
        """How often to look before the next sleep."""
        if self._credit:
            self._credit -= 1
            return _LOOKS
        self._sleeps = (self._sleeps + 1) % _SELDOM
        return 0 if self._sleeps else _LOOKS

    def found(self) -> None:
        """One of these looks has found something."""
        self._credit = min(self._credit + _EARNED, _MOST)
