"""Scripts: a whole sequence of messages in one text, as in the figures of the RFCs.

::

    --> CON [MID=0x7d34], GET, /temperature, T=20
    <-- ACK [MID=0x7d34], 2.05 Content, T=20, "22.3 C"

Each line begins with what happens, as the peer that plays the script sees it:

    =========== =====================================================================
    ``-->``     it sends this
    ``--X``     it sends this, and that is lost on the way
    ``<--``     the next that arrives is this
    ``X--``     the next that is sent to it is this, and lost on the way
    ``@ 5``     nothing arrives until 5 seconds after the beginning of the script
    ``@ 2..3``  the next one comes 2 to 3 seconds after the beginning: it arrives, or, if it
                is to be lost, it is sent
    ``#``       a remark; empty lines are skipped, too
    =========== =====================================================================

What follows an arrow is a line in the sense of line.py.
"""

from __future__ import annotations

import enum
import re

import attrs

from coapsep.testing.line import parse_line
from coapsep.testing.pattern import Pattern

_TIME = re.compile(r"@\s*(\d+(?:\.\d+)?)(?:\s*\.\.\s*(\d+(?:\.\d+)?))?")


class Action(enum.Enum):
    """What happens in a step, as it is written."""

    SEND = "-->"
    SEND_LOST = "--X"
    EXPECT = "<--"
    EXPECT_LOST = "X--"
    WAIT = "@"


@attrs.frozen
class Step:
    """One line of a script that says something."""

    action: Action

    row: int
    """Where it stands among all lines of the script, from 0."""

    text: str = ""
    """The line that follows an arrow."""

    pattern: Pattern | None = None
    """What that says; None for a wait."""

    earliest: float = 0.0
    """When it may happen, seconds after the beginning."""

    latest: float | None = None
    """When it has to have happened; None sets no limit."""


def parse_script(script: str) -> list[Step]:
    """Read a script. Raises ValueError that says what is wrong in which line."""
    steps: list[Step] = []
    span: Step | None = None
    for row, line in enumerate(script.splitlines()):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            step = _parse_step(row, text)
            if span is not None:
                step = _within(span, step)
        except ValueError as exc:
            raise ValueError(f"in line {row + 1} of the script: {exc}") from None
        span = step if step.action is Action.WAIT and step.latest is not None else None
        if span is None:
            steps.append(step)
    if span is not None:
        raise ValueError(f"in line {span.row + 1} of the script: nothing follows to be in time")
    return steps


def mark_step(script: str, step: Step) -> str:
    """The script as text for people, with a mark where this step is."""
    rows = script.splitlines()
    lines = [
        f"{'>' if row == step.row else ' '} {text.strip()}".rstrip()
        for row, text in enumerate(rows)
        if text.strip()
    ]
    return "\n".join(lines)


def _parse_step(row: int, text: str) -> Step:
    if text.startswith("@"):
        time = _TIME.fullmatch(text)
        if time is None:
            raise ValueError(f"expected a time, such as @ 5 or @ 2..3, not {text!r}")
        latest = None if time[2] is None else float(time[2])
        if latest is not None and latest < float(time[1]):
            raise ValueError(f"{text!r} ends before it begins")
        return Step(Action.WAIT, row, earliest=float(time[1]), latest=latest)
    arrow, _, line = text.partition(" ")
    if arrow not in [action.value for action in Action]:
        raise ValueError(f"expected -->, <--, --X, X--, @ or # at the beginning, not {text!r}")
    line = line.strip()
    return Step(Action(arrow), row, line, parse_line(line))


def _within(span: Step, step: Step) -> Step:
    if step.action not in (Action.EXPECT, Action.EXPECT_LOST):
        raise ValueError("after a span of time comes what the other side sends: <-- or X--")
    return attrs.evolve(step, earliest=span.earliest, latest=span.latest)
