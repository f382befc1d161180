"""The ladder diagram as text: a column for each address, and time runs down.

As in the figures of RFC 7252 appendix A. What the arrows say::

    +------->|   it arrived, before anything else happened at its destination
    +-----X  |   it was lost
    +--(1)   |   it arrived later: a row below says when
    |  (1)-->|
    +--(2)-->|   it arrived, and once more: a row below says when
    |        o   it was sent to where it came from

A datagram of which nobody knows whether it arrived is drawn like the first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from coapsep.address import Address
from coapsep.trace.columns import Columns
from coapsep.trace.datagram import Datagram
from coapsep.trace.notation import describe_datagram
from coapsep.trace.rows import Kind, Row, rows_of
from coapsep.trace.scene import scene_of
from coapsep.trace.wrapping import cells, cut, wrap

#: Characters from one column to the next, at least.
_NARROWEST = 9
#: Characters for the time, unless one takes more.
_TIME = 9
#: A label has this much room, however narrow the ladder has to be.
_NARROWEST_LABEL = 24
_LABEL_LINES = 3
_MARGIN = "   "


def draw_ladder(
    datagrams: Iterable[Datagram],
    *,
    names: Mapping[Address, str] | None = None,
    start: float | None = None,
    width: int = 100,
    limit: int | None = 200,
    payload_limit: int = 32,
) -> str:
    """The ladder of these datagrams, as lines that end in a newline each.

    ``names`` stand above the columns in place of addresses. Times are seconds since
    ``start``, or since the first datagram. ``width`` is in characters: labels are wrapped
    at it, and cut after three lines. Only the last ``limit`` datagrams are drawn; None draws
    all. ``payload_limit`` is that of ``describe``.
    """
    scene = scene_of(datagrams, names, start, limit)
    if not scene.datagrams:
        return "(no datagrams)\n"
    rows = rows_of(scene.datagrams)
    pen = _Pen(scene.columns, rows, scene.start, width, payload_limit)
    lines = pen.head()
    if scene.left_out:
        lines.insert(0, f"({scene.left_out} earlier datagrams are left out)")
    for row in rows:
        lines += pen.draw(row)
    lines.append(pen.lifelines())
    return "\n".join(lines) + "\n"


class LadderWriter:
    """A ladder that grows: each datagram is drawn as soon as it is known.

    The arguments are those of ``draw_ladder``. An address that was not seen before gets a
    column, and the head of the ladder is written once more.
    """

    def __init__(
        self,
        *,
        names: Mapping[Address, str] | None = None,
        start: float | None = None,
        width: int = 100,
        payload_limit: int = 32,
    ) -> None:
        self._columns = Columns(names)
        self._start = start
        self._width = width
        self._payload_limit = payload_limit
        self._pen: _Pen | None = None

    def draw(self, datagram: Datagram) -> str:
        """The lines for one more datagram, each with its newline.

        It has one arrow, drawn where it left: what others do before it arrives is not known.
        """
        if self._start is None:
            self._start = datagram.time
        rows = rows_of([datagram])
        lines = []
        if self._columns.add((datagram.source, datagram.destination)) or self._pen is None:
            self._pen = _Pen(self._columns, (), self._start, self._width, self._payload_limit)
            lines = self._pen.head()
        return "\n".join([*lines, *self._pen.draw(rows[0])]) + "\n"


class _Pen:
    """Draws on a fixed set of columns, wide enough for these rows."""

    def __init__(
        self,
        columns: Columns,
        rows: Sequence[Row],
        start: float,
        width: int,
        payload_limit: int,
    ) -> None:
        self._columns = columns
        self._start = start
        self._payload_limit = payload_limit
        sizes = [cells(title) for title in columns.titles]
        # Titles are centred, unless labels would lack the room: then they take a line each.
        wanted = max((a + b) // 2 + 3 for a, b in zip(sizes, sizes[1:] or sizes, strict=False))
        self._centred = wanted <= max(_NARROWEST, width // 3 // max(len(sizes) - 1, 1))
        tag = max((len(_tag(row)) for row in rows), default=0)
        gap = max(_NARROWEST, tag + 6, wanted if self._centred else 0)
        self._time_width = max((len(self._time(row)) for row in rows), default=_TIME)
        left = max(self._time_width + 3, sizes[0] // 2 if self._centred else 0)
        self._at = [left + gap * position for position in range(len(sizes))]
        self._label_width = max(_NARROWEST_LABEL, width - self._at[-1] - 1 - len(_MARGIN))

    def head(self) -> list[str]:
        """What stands above the columns, and their first piece."""
        lines = []
        line = ""
        for position, title in enumerate(self._columns.titles):
            if self._centred:
                line += " " * (self._at[position] - cells(title) // 2 - cells(line)) + title
            else:
                lines.append(self.lifelines(position).ljust(self._at[position]) + title)
        return [*lines, *([line] if line else []), self.lifelines()]

    def lifelines(self, count: int | None = None) -> str:
        """A line on which nothing happens; only the first so many columns, if that is given."""
        line = ""
        for at in self._at[:count]:
            line = line.ljust(at) + "|"
        return line

    def draw(self, row: Row) -> list[str]:
        """The lines of one row."""
        time = self._time(row)
        first, *rest = self._label(row)
        lines = [f"{time}{self._arrow(row)[self._time_width :]}{_MARGIN}{first}"]
        return lines + [f"{self.lifelines()}{_MARGIN}{line}" for line in rest]

    def _time(self, row: Row) -> str:
        return f"{row.time - self._start:{_TIME}.3f}"

    def _label(self, row: Row) -> list[str]:
        ends = self._columns.ends(row.datagram)
        message = describe_datagram(row.datagram.data, payload_limit=self._payload_limit)
        if row.kind is Kind.ARRIVAL:
            # The message stands with its departure; its first field is enough to find it.
            text = f"{_tag(row)} {row.note}: {ends}{message.split(',')[0]}"
            return [cut(text, self._label_width)]
        lines = wrap(ends + message, self._label_width, _LABEL_LINES)
        if row.note and cells(lines[-1]) + 2 + cells(row.note) <= self._label_width:
            lines[-1] += f"  {row.note}"
        elif row.note:
            lines.append(cut(f"  {row.note}", self._label_width))
        return lines

    def _arrow(self, row: Row) -> str:
        """The lifelines of a row, with its arrow."""
        source = self._at[self._columns[row.datagram.source]]
        destination = self._at[self._columns[row.datagram.destination]]
        line = list(self.lifelines())
        tag = _tag(row)
        if source < destination:
            shaft = _shaft(row.kind, tag, line[source + 1 : destination])
            line[source + 1 : destination] = shaft
        elif source > destination:  # the same in a mirror
            shaft = _shaft(row.kind, tag[::-1], line[source - 1 : destination : -1])
            line[destination + 1 : source] = ["<" if c == ">" else c for c in reversed(shaft)]
        if source == destination:
            line[source] = "o"
        elif row.kind is not Kind.ARRIVAL:
            line[source] = "+"
        return "".join(line)


def _tag(row: Row) -> str:
    return f"({row.number})" if row.number else ""


def _shaft(kind: Kind, tag: str, between: list[str]) -> list[str]:
    """An arrow to the right, over what there is between its columns."""
    if kind is Kind.DEPARTURE:
        return [*"--", *tag, *between[2 + len(tag) :]]
    if kind is Kind.ARRIVAL:
        return [*between[: -3 - len(tag)], *tag, *"-->"]
    dashes = ["-" if c == " " else c for c in between]
    if kind is Kind.LOSS:
        return [*dashes[:-3], *"X  "]
    return [*"--", *tag, *dashes[2 + len(tag) : -1], ">"]
