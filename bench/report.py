# SPDX-License-Identifier: MIT
"""From measurements to medians and ratios, and from those to text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from load import Measurement

OURS = ("coapsep", "coapsep-sync")


@dataclass(frozen=True)
class Metric:
    """A figure of a measurement: its attribute, its heading, its digits after the point."""

    key: str
    title: str
    digits: int


METRICS = (
    Metric("rps", "req/s", 0),
    Metric("cpu_us", "CPU us/req", 1),
    Metric("p50_us", "p50 us", 0),
    Metric("p99_us", "p99 us", 0),
    Metric("rss_mb", "RSS MB", 1),
)
RATIO_METRICS = METRICS[:4]
BUSY = Metric("busy", "share of the server's core in use", 2)

UNSTEADY = 1.25  # req/s of the best repeat to that of the worst
IDLE = 0.85  # a server that used less of its core was not what limited the figures
SATURATING = 16  # from this window on a server is expected to use all of its core


@dataclass(frozen=True)
class Spread:
    """The median of some repeats and how far they lie apart."""

    median: float
    min: float
    max: float

    def text(self, digits: int) -> str:
        """For the table; the range is left out where it would say nothing."""
        middle, low, high = (f"{v:.{digits}f}" for v in (self.median, self.min, self.max))
        return middle if low == high else f"{middle} ({low}-{high})"


@dataclass(frozen=True)
class Summary:
    """All repeats of one server at one window."""

    server: str
    window: int
    spreads: dict[str, Spread]
    lost: int
    resent: int

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        spreads = {key: vars(spread) for key, spread in self.spreads.items()}
        counts = {"lost": self.lost, "resent": self.resent}
        return {"server": self.server, "window": self.window, **spreads, **counts}


@dataclass(frozen=True)
class Ratio:
    """The medians of one server divided by those of another."""

    ours: str
    peer: str
    window: int
    values: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return {"of": self.ours, "to": self.peer, "window": self.window, **self.values}


def summarise(measurements: Iterable[Measurement]) -> list[Summary]:
    """One summary for each window and server, in the order in which they were measured."""
    groups: dict[tuple[int, str], list[Measurement]] = {}
    for m in measurements:
        groups.setdefault((m.window, m.server), []).append(m)
    return [_summary(server, window, group) for (window, server), group in groups.items()]


def _summary(server: str, window: int, group: Sequence[Measurement]) -> Summary:
    spreads = {}
    for metric in (*METRICS, BUSY):
        values = [float(getattr(m, metric.key)) for m in group]
        spreads[metric.key] = Spread(median(values), min(values), max(values))
    lost, resent = sum(m.lost for m in group), sum(m.resent for m in group)
    return Summary(server, window, spreads, lost, resent)


def ratios(summaries: Sequence[Summary]) -> list[Ratio]:
    """Each coapsep variant to each peer at the same window; none where coapsep is missing."""
    return [
        Ratio(ours.server, peer.server, ours.window, _divide(ours, peer))
        for ours in summaries
        if ours.server in OURS
        for peer in summaries
        if peer.server not in OURS and peer.window == ours.window
    ]


def _divide(ours: Summary, peer: Summary) -> dict[str, float]:
    values = {}
    for metric in RATIO_METRICS:
        below = peer.spreads[metric.key].median
        if below:
            values[metric.key] = ours.spreads[metric.key].median / below
    return values


def doubts(summaries: Iterable[Summary]) -> list[str]:
    """Figures that say more about the machine than about the server."""
    found = []
    for summary in summaries:
        name = f"{summary.server}, W={summary.window}"
        rps, busy = summary.spreads["rps"], summary.spreads[BUSY.key]
        if rps.max > UNSTEADY * rps.min:
            found.append(f"{name}: unsteady, best repeat / worst = {rps.max / rps.min:.1f}")
        if summary.window >= SATURATING and busy.min < IDLE:
            share = f"{busy.min:.0%} of its core in one repeat"
            found.append(f"{name}: the server used {share}, so it was not the limit there")
    return found


def figures_text(summaries: Sequence[Summary], window: int) -> str:
    """The table of one window."""
    rows = [["server", *(metric.title for metric in METRICS), "lost", "resent"]]
    for summary in summaries:
        if summary.window == window:
            figures = [summary.spreads[metric.key].text(metric.digits) for metric in METRICS]
            rows.append([summary.server, *figures, str(summary.lost), str(summary.resent)])
    return _table(rows)


def ratios_text(found: Sequence[Ratio], window: int) -> str:
    """The ratios of one window, as a table."""
    rows = [["", *(metric.title for metric in RATIO_METRICS)]]
    for ratio in found:
        if ratio.window == window:
            figures = (ratio.values.get(metric.key) for metric in RATIO_METRICS)
            cells = ["-" if value is None else f"{value:.2f}x" for value in figures]
            rows.append([f"{ratio.ours} / {ratio.peer}", *cells])
    return _table(rows)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as needed, under a rule, indented by two."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  "
        + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return "\n".join(lines)
