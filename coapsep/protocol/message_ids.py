"""Message IDs for one peer: never one twice within its lifetime (RFC 7252 section 4.4)."""

from __future__ import annotations

import math

from coapsep.errors import MessageIdsExhausted

#: Seconds that share one record: 65,536 IDs then need a few hundred records at most.
_GRAIN = 1.0


class MessageIds:
    """Hands out IDs in sequence, so the ones still in use are always one run of them.

    How long a run is follows from when its IDs were given out; no ID is stored.
    """

    __slots__ = ("_lifetime", "_next", "_runs", "_used")

    def __init__(self, first: int, lifetime: float) -> None:
        self._next = first & 0xFFFF
        self._lifetime = lifetime
        self._runs: list[tuple[float, int]] = []  # (free again at, how many)
        self._used = 0

    def allocate(self, now: float) -> int:
        """The next ID. Raises MessageIdsExhausted when the oldest one is still in use."""
        self.expire(now)
        if self._used >= 65536:
            raise MessageIdsExhausted(
                f"all 65,536 message IDs to this peer are in use for another "
                f"{self.free_at() - now:.0f} s: send less, or from another local port"
            )
        free_at = now + self._lifetime + _GRAIN
        if self._runs and free_at - self._runs[-1][0] < _GRAIN:
            free_at, count = self._runs.pop()
            self._runs.append((free_at, count + 1))
        else:
            self._runs.append((free_at, 1))
        self._used += 1
        mid = self._next
        self._next = (mid + 1) & 0xFFFF
        return mid

    def expire(self, now: float) -> None:
        """Take back the IDs whose lifetime is over."""
        while self._runs and self._runs[0][0] <= now:
            self._used -= self._runs.pop(0)[1]

    def free_at(self) -> float:
        """When the oldest IDs in use become free; ``inf`` if none is in use."""
        return self._runs[0][0] if self._runs else math.inf

    def all_free_at(self) -> float:
        """When the last IDs in use become free; ``-inf`` if none is in use."""
        return self._runs[-1][0] if self._runs else -math.inf

    @property
    def in_use(self) -> int:
        """IDs whose lifetime is not over, as of the last ``expire``."""
        return self._used
