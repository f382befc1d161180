"""The ladder diagram as a picture: one standalone SVG, without scripts and outside resources.

Arrows slope from departure to arrival; a label stands where its datagram left. Pointing at
either shows the whole message and its times. It follows the reader's choice of light or dark.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape

from coapsep.address import Address
from coapsep.message.message import Malformed
from coapsep.trace.columns import Columns
from coapsep.trace.datagram import Datagram
from coapsep.trace.notation import describe_datagram
from coapsep.trace.rows import is_lost, note_of
from coapsep.trace.scene import Scene, scene_of
from coapsep.trace.timeline import SILENCE, timeline_of
from coapsep.trace.wrapping import cells, wrap

# Lengths are in pixels.
_CHARACTER = 7.3  # of a monospaced font of 12 pixels
_LINE = 15  # from one line of text to the next
_PAD = 16
_TITLE = 26  # height of the box around a title
_GAP = 130  # between two columns, at least
_ROW = 24  # between two departures, at least
_ARROWHEAD = 9
_CROSS = 4.5
#: Characters in one line of a label.
_LABEL = 84
_LABEL_LINES = 3

_STYLE = """\
.coapsep-ladder .ground { fill: #ffffff }
.coapsep-ladder text { fill: #1f2328; font: 12px ui-monospace, "DejaVu Sans Mono", Menlo,
  Consolas, monospace }
.coapsep-ladder .muted { fill: #59636e }
.coapsep-ladder .box { fill: #f6f8fa; stroke: #818b98 }
.coapsep-ladder .life { stroke: #818b98 }
.coapsep-ladder .silent { stroke-dasharray: 1 5 }
.coapsep-ladder .shaft { stroke: currentColor; stroke-width: 1.5; fill: none }
.coapsep-ladder .lost { stroke-dasharray: 5 4 }
.coapsep-ladder .head { fill: currentColor }
.coapsep-ladder .hover { stroke: transparent; stroke-width: 14; fill: none }
.coapsep-ladder g:hover .shaft { stroke-width: 3 }
.coapsep-ladder .con { color: #0969da }
.coapsep-ladder .non { color: #1a7f37 }
.coapsep-ladder .ack { color: #6639ba }
.coapsep-ladder .rst { color: #cf222e }
.coapsep-ladder .bad { color: #bc4c00 }
@media (prefers-color-scheme: dark) {
  .coapsep-ladder .ground { fill: #0d1117 }
  .coapsep-ladder text { fill: #f0f6fc }
  .coapsep-ladder .muted { fill: #9198a1 }
  .coapsep-ladder .box { fill: #151b23; stroke: #656c76 }
  .coapsep-ladder .life { stroke: #656c76 }
  .coapsep-ladder .con { color: #4493f8 }
  .coapsep-ladder .non { color: #3fb950 }
  .coapsep-ladder .ack { color: #ab7df8 }
  .coapsep-ladder .rst { color: #f85149 }
  .coapsep-ladder .bad { color: #db6d28 }
}
"""


def draw_svg(
    datagrams: Iterable[Datagram],
    *,
    names: Mapping[Address, str] | None = None,
    start: float | None = None,
    limit: int | None = 200,
    payload_limit: int = 32,
) -> str:
    """The ladder of these datagrams, as the text of an SVG file.

    The arguments are those of ``draw_ladder``.
    """
    picture = _Picture(scene_of(datagrams, names, start, limit), payload_limit)
    return "\n".join(picture.lines()) + "\n"


class _Picture:
    """A scene, measured."""

    def __init__(self, scene: Scene, payload_limit: int) -> None:
        self._scene = scene
        self._labels = [_label(scene.columns, d, payload_limit) for d in scene.datagrams]
        self._times = [self._time(datagram.time) for datagram in scene.datagrams]
        self._timeline = timeline_of(
            scene.datagrams, [_ROW + _LINE * (len(label) - 1) for label in self._labels]
        )
        titles = scene.columns.titles
        sizes = [cells(title) * _CHARACTER + _PAD for title in titles]
        gap = max(_GAP, *(size + _PAD for size in sizes), 0)
        latest = max((when for d in scene.datagrams for when in d.arrivals or ()), default=0.0)
        longest = max(len(time) for time in (*self._times, self._time(latest)))
        self._time_right = _PAD + _CHARACTER * longest
        left = self._time_right + _PAD + max(sizes[0] / 2 if sizes else 0, _PAD)
        self._x = [left + gap * position for position in range(len(titles))]
        self._sizes = sizes
        self._label_x = (self._x[-1] if self._x else left) + 2 * _PAD
        widest = max((cells(line) for label in self._labels for line in label), default=40)
        self._width = self._label_x + widest * _CHARACTER + _PAD
        self._titles_top = _PAD + (_LINE + _PAD if scene.left_out else 0)
        self._top = self._titles_top + _TITLE + 2 * _PAD
        self._height = self._top + self._timeline.bottom + _PAD

    def lines(self) -> Iterator[str]:
        """The file, line by line."""
        width, height = _n(self._width), _n(self._height)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="coapsep-ladder" '
            f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        )
        count = len(self._scene.datagrams)
        yield f"<title>Ladder diagram of {count} datagram{'s' * (count != 1)}</title>"
        yield f"<desc>{escape(self._description())}</desc>"
        yield f"<style>\n{_STYLE}</style>"
        yield f'<rect class="ground" width="{width}" height="{height}"/>'
        yield from self._columns()
        if not count:
            yield _text(_PAD, self._top, "no datagrams", "muted")
        if self._scene.left_out:
            note = f"{self._scene.left_out} earlier datagrams are left out"
            yield _text(_PAD, _PAD + _LINE / 2, note, "muted")
        for index in range(count):
            yield from self._datagram(index)
        yield "</svg>"

    def _description(self) -> str:
        if not self._scene.datagrams:
            return "Nothing was sent."
        titles = ", ".join(self._scene.columns.titles)
        return f"Between {titles}, from {self._times[0]} s to {self._times[-1]} s."

    def _columns(self) -> Iterator[str]:
        for x, size, title in zip(self._x, self._sizes, self._scene.columns.titles, strict=True):
            y: float = self._titles_top + _TITLE
            for silence in self._timeline.silences:
                top, bottom = (self._top + at for at in (silence.top, silence.bottom))
                yield _line(x, y, x, top + 6, "life")
                yield _line(x, top + 6, x, bottom - 6, "life silent")
                y = bottom - 6
            yield _line(x, y, x, self._height - _PAD / 2, "life")
            yield (
                f'<rect class="box" x="{_n(x - size / 2)}" y="{_n(self._titles_top)}" '
                f'width="{_n(size)}" height="{_TITLE}" rx="5"/>'
            )
            yield _text(x, self._titles_top + _TITLE / 2, title, anchor="middle")
        for silence in self._timeline.silences:
            middle = self._top + (silence.top + silence.bottom) / 2
            yield _text(self._time_right, middle, f"{silence.seconds:.1f} s", "muted", anchor="end")

    def _datagram(self, index: int) -> Iterator[str]:
        datagram = self._scene.datagrams[index]
        y = self._top + self._timeline.departures[index]
        yield f'<g class="{_class(datagram)}">'
        yield f"<title>{escape(self._hover(datagram))}</title>"
        x1 = self._x[self._scene.columns[datagram.source]]
        x2 = self._x[self._scene.columns[datagram.destination]]
        if x1 == x2:
            yield f'<circle class="head" cx="{_n(x1)}" cy="{_n(y)}" r="4"/>'
        elif is_lost(datagram):
            yield from _lost(x1, x2, y)
        elif datagram.arrivals is None:
            yield from _arrow(x1, y, x2, y)
        else:
            for arrival in self._timeline.arrivals[index]:
                yield from _arrow(x1, y, x2, self._top + arrival)
        yield _text(self._time_right, y, self._times[index], anchor="end")
        yield from self._late_arrivals(index)
        label = self._labels[index]
        yield (
            f'<rect class="head" x="{_n(self._label_x - 9)}" y="{_n(y - 6)}" '
            f'width="3" height="{_n(_LINE * len(label) - 3)}"/>'
        )
        for position, line in enumerate(label):
            text = line.lstrip()  # viewers drop the spaces it begins with
            x = self._label_x + _CHARACTER * (len(line) - len(text))
            yield _text(x, y + _LINE * position, text)
        yield "</g>"

    def _late_arrivals(self, index: int) -> Iterator[str]:
        """The times of arrivals that are far below their departure, where there is room."""
        datagram = self._scene.datagrams[index]
        places = zip(sorted(datagram.arrivals or ()), self._timeline.arrivals[index], strict=True)
        for when, y in places:
            if when - datagram.time >= SILENCE and self._is_free(y):
                time = self._time(when)
                yield _text(self._time_right, self._top + y, time, "muted", anchor="end")

    def _is_free(self, y: float) -> bool:
        """Whether no departure is so near that its time would stand in the way."""
        near = bisect_right(self._timeline.departures, y - _LINE)
        return not any(other < y + _LINE for other in self._timeline.departures[near : near + 1])

    def _time(self, when: float) -> str:
        return f"{when - self._scene.start:.3f}"

    def _hover(self, datagram: Datagram) -> str:
        start, columns = self._scene.start, self._scene.columns
        ends = f"{columns.name(datagram.source)} -> {columns.name(datagram.destination)}"
        fate = f"left at {datagram.time - start:.6f} s"
        for arrival in sorted(datagram.arrivals or ()):
            fate += f", arrived at {arrival - start:.6f} s"
        note = note_of(datagram, 1)
        return "\n".join([ends, describe_datagram(datagram.data), fate + (note and f", {note}")])


def _label(columns: Columns, datagram: Datagram, payload_limit: int) -> list[str]:
    message = describe_datagram(datagram.data, payload_limit=payload_limit)
    lines = wrap(columns.ends(datagram) + message, _LABEL, _LABEL_LINES)
    note = note_of(datagram, len(datagram.arrivals or ()))
    return [*lines, f"  {note}"] if note else lines


def _class(datagram: Datagram) -> str:
    message = datagram.message
    return "bad" if isinstance(message, Malformed) else message.type.name.lower()


def _arrow(x1: float, y1: float, x2: float, y2: float) -> Iterator[str]:
    angle = math.atan2(y2 - y1, x2 - x1)
    base = [
        (x2 - _ARROWHEAD * math.cos(angle + turn), y2 - _ARROWHEAD * math.sin(angle + turn))
        for turn in (-0.4, 0.4)
    ]
    points = " ".join(f"{_n(x)},{_n(y)}" for x, y in [(x2, y2), *base])
    back = _ARROWHEAD / 2  # the shaft ends inside the head
    yield _line(x1, y1, x2 - back * math.cos(angle), y2 - back * math.sin(angle), "shaft")
    yield _line(x1, y1, x2, y2, "hover")
    yield f'<polygon class="head" points="{points}"/>'


def _lost(x1: float, x2: float, y: float) -> Iterator[str]:
    x = x1 + (x2 - x1) * 0.7
    yield _line(x1, y, x, y, "shaft lost")
    yield _line(x1, y, x, y, "hover")
    for up in (_CROSS, -_CROSS):
        yield _line(x - _CROSS, y - up, x + _CROSS, y + up, "shaft")


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _text(x: float, middle: float, text: str, kind: str = "", *, anchor: str = "start") -> str:
    # The baseline is placed by hand: not every viewer knows dominant-baseline.
    kind = f' class="{kind}"' if kind else ""
    anchor = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(middle + 4)}"{anchor}>{escape(text)}</text>'


def _n(value: float) -> str:
    """A length to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
