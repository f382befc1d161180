"""What a ladder shows row by row: where each datagram left, and where it arrived.

One row is enough for a datagram if nothing happened at its destination between its departure
and its arrival. If something did, the arrival has a row of its own, so that down each column
everything stands in the order in which it happened there.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from coapsep.trace.datagram import Datagram
from coapsep.trace.notation import printable


class Kind(Enum):
    """What a row shows of its datagram."""

    WHOLE = "it left and arrived"
    DEPARTURE = "it left"
    ARRIVAL = "it, or a copy, arrived"
    LOSS = "it left and did not arrive"


@attrs.frozen
class Row:
    """One row of a ladder."""

    time: float
    kind: Kind
    datagram: Datagram

    number: int = 0
    """What the rows of one datagram have in common; 0 if it has only this one."""

    note: str = ""
    """What is to be said of its fate; printable."""


def rows_of(ordered: Sequence[Datagram]) -> list[Row]:
    """The rows for these datagrams, which are in order of time."""
    keyed: list[tuple[float, int, Row]] = []
    pending: list[tuple[float, Datagram]] = []  # arrivals that have rows of their own
    numbered = 0
    for index, datagram in enumerate(ordered):
        pending = [late for late in pending if late[0] > datagram.time]
        arrivals = sorted(datagram.arrivals or ())
        prompt = sum(not _is_late(arrival, index, ordered, pending) for arrival in arrivals)
        late = arrivals[prompt:]
        numbered += bool(late)
        number = numbered if late else 0
        first = Row(
            datagram.time, _kind(datagram, prompt), datagram, number, note_of(datagram, prompt)
        )
        # Of what happens at one time, the arrival comes first: it may be the cause.
        keyed.append((datagram.time, 1, first))
        for copy, arrival in enumerate(late, prompt):
            note = "arrives again" if copy else "arrives"
            keyed.append((arrival, 0, Row(arrival, Kind.ARRIVAL, datagram, number, note)))
            pending.append((arrival, datagram))
    keyed.sort(key=lambda item: item[:2])
    return [row for _, _, row in keyed]


def _is_late(
    arrival: float,
    index: int,
    ordered: Sequence[Datagram],
    pending: Sequence[tuple[float, Datagram]],
) -> bool:
    """Whether something happens at the destination after the departure, before this arrival."""
    datagram = ordered[index]
    here = datagram.destination
    if arrival <= datagram.time:
        return False
    if any(other.destination == here and when <= arrival for when, other in pending):
        return True
    for position in range(index + 1, len(ordered)):
        other = ordered[position]
        if other.time >= arrival:
            return False
        if other.source == here:
            return True
        if other.destination == here and any(when < arrival for when in other.arrivals or ()):
            return True
    return False


def _kind(datagram: Datagram, prompt: int) -> Kind:
    if is_lost(datagram):
        return Kind.LOSS
    return Kind.WHOLE if prompt or datagram.arrivals is None else Kind.DEPARTURE


def note_of(datagram: Datagram, arrivals: int) -> str:
    """What is to be said where so many of its arrivals are drawn: copies and losses."""
    notes = []
    if arrivals > 1:
        notes.append(f"arrives {arrivals} times")
    if is_lost(datagram):
        notes.append(f"lost: {datagram.lost}" if datagram.lost else "lost")
    elif datagram.lost:
        notes.append(f"a copy was lost: {datagram.lost}")
    return printable(", ".join(notes))


def is_lost(datagram: Datagram) -> bool:
    """Whether it is known that not one copy arrived."""
    return not datagram.arrivals and (datagram.arrivals is not None or bool(datagram.lost))
