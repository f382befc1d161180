"""How much room text takes in a terminal, and how a label is broken into lines."""

from __future__ import annotations

import re
import unicodedata
from itertools import accumulate, takewhile

_AFTER_FIELD = re.compile(r"(?<=, )")
_INDENT = 2


def cells(text: str) -> int:
    """The width of printable text in a terminal, in cells."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):  # it goes onto the one before
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text, or as much of its beginning as goes into ``width`` cells with an ellipsis."""
    if cells(text) <= width:
        return text
    ends = accumulate(map(_cells_of, text))
    fitting = sum(1 for _ in takewhile(lambda end: end < width, ends))
    return text[:fitting] + "…"


def wrap(label: str, width: int, lines: int) -> list[str]:
    """The label on at most so many lines: broken between fields, and at last cut.

    All lines but the first are indented.
    """
    done: list[str] = []
    line = ""
    fields = _AFTER_FIELD.split(label)
    for position, field in enumerate(fields):
        if line.strip() and cells(line) + cells(field.rstrip()) > width:
            if len(done) == lines - 1:
                line += "".join(fields[position:])
                break
            done.append(line.rstrip())
            line = " " * _INDENT
        line += field
    return [*(cut(part, width) for part in done), cut(line.rstrip(), width)]
