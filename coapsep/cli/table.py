"""Links as a table, for people."""

from __future__ import annotations

from collections.abc import Sequence

from coapsep.cli.formats import name_of
from coapsep.message.linkformat import Link
from coapsep.trace.notation import printable
from coapsep.trace.wrapping import cells

#: Attributes that come first, in this order. The title is long, and comes last.
_FIRST = ("rt", "if", "ct", "sz", "obs")
_LAST = ("title",)


def table_of(links: Sequence[Link]) -> list[str]:
    """The lines of the table: a head, and one for each link."""
    present = {name for link in links for name, _ in link.attributes}
    others = sorted(present - {*_FIRST, *_LAST})
    names = [name for name in (*_FIRST, *others, *_LAST) if name in present]
    rows = [["path", *map(printable, names)]]
    rows += [[printable(link.target), *(_cell(link, name) for name in names)] for link in links]
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _cell(link: Link, name: str) -> str:
    values = [
        "yes" if value is None else value for known, value in link.attributes if known == name
    ]
    if name == "ct":
        values = [_format(number) for value in values for number in value.split()]
    return printable(" ".join(values))


def _format(number: str) -> str:
    return name_of(int(number)) if number.isascii() and number.isdecimal() else number
