"""What a ladder shows, whether it is drawn as text or as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from coapsep.address import Address
from coapsep.trace.columns import Columns
from coapsep.trace.datagram import Datagram


@attrs.frozen
class Scene:
    """The datagrams that are drawn, and where they stand."""

    datagrams: list[Datagram]
    """In order of time."""

    columns: Columns

    start: float
    """The time that is drawn as zero."""

    left_out: int
    """How many earlier datagrams there are."""


def scene_of(
    datagrams: Iterable[Datagram],
    names: Mapping[Address, str] | None,
    start: float | None,
    limit: int | None,
) -> Scene:
    """The last ``limit`` of these datagrams, or all; see ``draw_ladder``."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is how many datagrams are drawn, one or more, not {limit}")
    everything = sorted(datagrams, key=lambda datagram: datagram.time)
    shown = everything if limit is None else everything[-limit:]
    if start is None:
        start = everything[0].time if everything else 0.0
    columns = Columns(names)
    for datagram in shown:
        columns.add((datagram.source, datagram.destination))
    return Scene(shown, columns, start, len(everything) - len(shown))
