"""How far down each moment stands in a picture of a ladder.

Time runs down, but not at one pace: each step is the logarithm of the time that passed, so
that a round trip of 10 ms and a lifetime of 247 s can both be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from coapsep.trace.datagram import Datagram

#: A silence of this many seconds is marked as one.
SILENCE = 1.0
#: What is added to one, for the words that say how long it was.
_WORDS = 16


@attrs.frozen
class Silence:
    """A while in which nothing happened, and nothing was under way."""

    top: float
    bottom: float
    seconds: float


@attrs.frozen
class Timeline:
    """Distances from the top."""

    departures: list[float]
    """One for each datagram."""

    arrivals: list[list[float]]
    """One for each arrival of each datagram."""

    silences: list[Silence]

    bottom: float
    """Below the last of all."""


def timeline_of(datagrams: Sequence[Datagram], heights: Sequence[float]) -> Timeline:
    """The places of these datagrams, which are in order of time.

    ``heights`` says how much room each needs between its departure and the next one.
    """
    # Of what happens at one time, arrivals come first: they may be the cause.
    moments: list[tuple[float, bool, int]] = []
    for index, datagram in enumerate(datagrams):
        moments.append((datagram.time, True, index))
        moments += ((when, False, index) for when in _later(datagram))
    moments.sort()
    departures = [0.0] * len(datagrams)
    arrivals: list[list[float]] = [[] for _ in datagrams]
    silences = []
    y = floor = 0.0
    previous = moments[0][0] if moments else 0.0
    under_way = 0
    for when, is_departure, index in moments:
        above, passed = y, when - previous
        y += _step(passed)
        if passed >= SILENCE and not under_way:
            y += _WORDS
            silences.append(Silence(above, y, passed))
        if is_departure:
            departures[index] = y = max(y, floor)
            floor = y + heights[index]
            under_way += len(_later(datagrams[index]))
            at_once = len(datagrams[index].arrivals or ()) - len(_later(datagrams[index]))
            arrivals[index] = [y] * at_once
        else:
            arrivals[index].append(y)
            under_way -= 1
        previous = when
    return Timeline(departures, arrivals, silences, max(y, floor))


def _later(datagram: Datagram) -> list[float]:
    return [when for when in datagram.arrivals or () if when > datagram.time]


def _step(seconds: float) -> float:
    # 16 for 10 ms, 33 for a second, 55 for 247 seconds.
    return 6 + 9 * math.log10(1 + 1000 * seconds) if seconds > 0 else 0.0
