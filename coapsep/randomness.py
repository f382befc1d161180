"""The random numbers of an endpoint that is not told where to take them from."""

from __future__ import annotations

import random


class Randomness(random.SystemRandom):
    """Bits that nobody can guess, for tokens, message IDs and keys (RFC 7252 section 11.4).

    Floats, which are drawn for each timeout, are ordinary ones: to guess those is of no use, and
    the system's would cost a system call each.
    """

    def __init__(self) -> None:
        super().__init__()
        self._jitter = random.Random()

    def random(self) -> float:
        """A float from 0 to 1; ``uniform`` and its like are made of it."""
        return self._jitter.random()
