# SPDX-License-Identifier: MIT
"""From samples to text: tables of medians, ratios, and what is doubtful."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from math import floor, log10
from typing import Any

from results import Groups, Spread, group, setting_text
from sample import Sample

OURS = "coapsep"  # how the names of our subjects begin
CORE_USED = "core used %"
# Mostly 0, so that a ratio says nothing.
COUNTS = ("lost", "resent", "sent twice", "not answered once")

STEADY = ("req/s", "up MB/s", "down MB/s", "CPU us/req")  # what should repeat well
UNSTEADY = 1.25  # the largest repeat to the smallest
IDLE = 85  # % of its core: a server that used less was not what limited the figures
SATURATING = 16  # from this window on a server is expected to use all of its core


def ratios(groups: Groups) -> dict[tuple[str, str, str], dict[str, float]]:
    """The medians of each subject of ours to those of each peer in the same setting.

    By setting (as text), ours and peer; then by metric.
    """
    found = {}
    for setting, subjects in groups.items():
        for ours in filter(is_ours, subjects):
            for peer in subjects:
                if not is_ours(peer):
                    values = _divide(subjects[ours], subjects[peer])
                    if values:
                        found[setting_text(setting), ours, peer] = values
    return found


def is_ours(subject: str) -> bool:
    """Whether a subject is coapsep in one of its forms."""
    return subject.startswith(OURS)


def _divide(ours: dict[str, Spread], peer: dict[str, Spread]) -> dict[str, float]:
    return {
        metric: spread.median / peer[metric].median
        for metric, spread in ours.items()
        if metric not in (*COUNTS, CORE_USED) and metric in peer and peer[metric].median
    }


def doubts(groups: Groups) -> list[str]:
    """Figures that say more about the machine, or of losses, than about the subject."""
    found = []
    for setting, subjects in groups.items():
        for subject, metrics in subjects.items():
            doubtful = "; ".join(_doubts(metrics, dict(setting).get("W", 0)))
            if doubtful:
                name = ", ".join(filter(None, [subject, setting_text(setting)]))
                found.append(f"{name}: {doubtful}")
    return found


def _doubts(metrics: dict[str, Spread], window: float | str) -> Iterable[str]:
    for metric in STEADY:
        spread = metrics.get(metric)
        if spread and spread.max > UNSTEADY * spread.min:
            yield f"{metric} from {number(spread.min)} to {number(spread.max)}"
    used = metrics.get(CORE_USED)
    if used and not isinstance(window, str) and window >= SATURATING and used.min < IDLE:
        yield f"used {used.min:.0f} % of its core in one repeat, so was not the limit there"
    lost = metrics.get("lost")
    if lost and lost.max:
        yield f"{number(lost.max)} requests without an answer in one repeat"


def number(value: float) -> str:
    """Three digits that count, or all before the point."""
    return f"{value:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    """After the point."""
    if value == int(value):
        return 0
    return max(0, 2 - floor(log10(abs(value))))


def suite_text(
    name: str,
    samples: Iterable[Sample],
    notes: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
) -> str:
    """One suite: its subjects; medians and ratios of each setting; what is doubtful."""
    groups = group(samples)
    measured = {subject for subjects in groups.values() for subject in subjects}
    parts = []
    if notes or left_out:
        parts.append(f"{name}: subjects\n{_subjects(measured, notes, left_out)}")
    found = ratios(groups)
    for setting, subjects in groups.items():
        where = setting_text(setting)
        title = ", ".join(filter(None, [name, where]))
        parts.append(f"{title}: median (min-max)\n{_medians(subjects)}")
        here = {(ours, peer): v for (at, ours, peer), v in found.items() if at == where}
        if here:
            parts.append(f"{title}: ratios of medians\n{_ratios(here)}")
    doubtful = doubts(groups)
    if doubtful:
        parts.append("\n  ".join([f"{name}: doubtful", *doubtful]))
    return "\n\n".join(parts) or f"{name}: nothing measured"


def _subjects(
    measured: Container[str],
    notes: Mapping[str, Mapping[str, Any]],
    left_out: Mapping[str, str],
) -> str:
    """Versions and the garbage collector's state at the end; what is missing, and why."""
    lines = []
    for subject, note in notes.items():
        if subject in measured:
            versions = (f"{what} {which}" for what, which in note.get("versions", {}).items())
            lines.append([subject, ", ".join(filter(None, [*versions, _gc(note.get("gc"))]))])
    for subject, reason in left_out.items():
        how = "left out of the rest" if subject in measured else "left out"
        lines.append([subject, f"{how}: {reason}"])
    width = max((len(subject) for subject, _ in lines), default=0)
    return "\n".join(f"  {subject:<{width}}  {text}".rstrip() for subject, text in lines)


def _gc(state: Mapping[str, Any] | None) -> str:
    """The state of a Python peer's garbage collector in a few words."""
    if state is None:
        return ""
    if not state["enabled"]:
        return "gc off"
    frozen = f" with {state['frozen']} frozen" if state["frozen"] else ""
    return f"gc {'/'.join(map(str, state['threshold']))}{frozen}"


def _medians(subjects: dict[str, dict[str, Spread]]) -> str:
    metrics = [metric for metric in _union(subjects.values()) if metric != CORE_USED]
    rows = [["", *metrics]]
    for subject, spreads in subjects.items():
        rows.append([subject, *(_cell(spreads.get(metric)) for metric in metrics)])
    return table(rows)


def _cell(spread: Spread | None) -> str:
    """The range is left out where it would say nothing."""
    if spread is None:
        return "-"
    found = (spread.median, spread.min, spread.max)
    digits = 0 if found == tuple(map(int, found)) else _digits(spread.median + 1e-9)
    middle, low, high = (f"{value:,.{digits}f}" for value in found)
    return middle if low == high else f"{middle} ({low}-{high})"


def _ratios(found: dict[tuple[str, str], dict[str, float]]) -> str:
    metrics = _union(found.values())
    rows = [["", *metrics]]
    for (ours, peer), values in found.items():
        cells = (f"{number(values[metric])}x" if metric in values else "-" for metric in metrics)
        rows.append([f"{ours} / {peer}", *cells])
    return table(rows)


def _union(parts: Iterable[Iterable[str]]) -> list[str]:
    """All keys, in the order in which they first occur."""
    return list(dict.fromkeys(key for part in parts for key in part))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as needed, under a rule, indented by two."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return "\n".join(lines)
