# SPDX-License-Identifier: MIT
"""Pictures of the results, as PNG and SVG: bars that compare servers, and curves of growth.

Needs matplotlib (the extra ``bench``); without it nothing is drawn, and that is told.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from report import COUNTS, is_ours, number
from results import Results, Setting, Spread, group, setting_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BARS = ("req/s", "CPU us/req", "up MB/s", "down MB/s")
AXES = {("pending", "N"): "pending requests", ("observers", "N"): "observers"}
FLOOR = "echo-"  # how the names of floors begin

# From the palette of Okabe and Ito, which people tell apart whatever colours they see.
OURS, PEER, FLOORS = "#0072B2", "#E69F00", "#BBBBBB"
LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*"
KNOWN = ("coapsep", "coapsep-frozen", "libcoap", "aiocoap")  # look the same in each picture
WORDS = {
    "req/s": "requests per second",
    "CPU us/req": "CPU time per request, µs",
    "CPU us/registration": "CPU time per registration, µs",
    "CPU us/notification": "CPU time per notification, µs",
    "registered/s": "registrations per second",
    "last/first tenth": "rate of the last tenth to that of the first",
    "late p50 ms": "lateness, median, ms",
    "late p99 ms": "lateness, 99th percentile, ms",
    "late max ms": "lateness, largest, ms",
    "notified s": "time until the last is notified, s",
    "first s": "time until the first is notified, s",
    "B/observer": "bytes per observer",
    "up MB/s": "up, MB/s",
    "down MB/s": "down, MB/s",
}
WIDE = 15  # an axis whose largest value is so many times the smallest is logarithmic

#: For one metric and one numeric part of the setting: by line, the spread at each value.
Curves = dict[str, dict[float, Spread]]


def draw(results: Results, directory: Path) -> list[Path]:
    """Draw everything that has a picture; returns the files, which are named on stderr, too."""
    try:
        import matplotlib
    except ImportError:
        print("nothing is drawn: matplotlib is missing (pip install matplotlib)", file=sys.stderr)
        return []
    matplotlib.use("agg")
    style: dict[Any, Any] = {
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "coapsep",  # the same results make the same file
    }
    files = []
    with matplotlib.rc_context(style):
        for suite, samples in results.suites.items():
            groups = group(samples)
            for name, figure in (*_bars(suite, groups), *_curves(suite, groups)):
                files += _save(figure, directory / _file_name(name))
    for file in files:
        print(f"drawn: {file}", file=sys.stderr)
    return files


def _file_name(name: str) -> str:
    """A name with nothing in it that a shell or a link could stumble over."""
    words = "".join(c if c.isalnum() else " " for c in name.lower().replace("/", " per ")).split()
    return "-".join(words)


def _save(figure: Figure, path: Path) -> list[Path]:
    import matplotlib.pyplot as plt

    files = [path.with_suffix(suffix) for suffix in (".png", ".svg")]
    figure.savefig(files[0], dpi=150)
    figure.savefig(files[1], metadata={"Date": None})
    plt.close(figure)
    return files


def _bars(
    suite: str, groups: Mapping[Setting, Mapping[str, Mapping[str, Spread]]]
) -> Iterator[tuple[str, Figure]]:
    """One picture for each setting in which several subjects can be compared."""
    import matplotlib.pyplot as plt

    for setting, subjects in groups.items():
        metrics = [m for m in BARS if sum(m in spreads for spreads in subjects.values()) > 1]
        if not metrics or "N" in dict(setting):  # how it grows with N is a curve's to show
            continue
        where = setting_text(setting)
        size = (4 * max(len(metrics), 2), 0.9 + 0.33 * len(subjects))
        figure, row = plt.subplots(
            1, len(metrics), figsize=size, sharey=True, squeeze=False, layout="constrained"
        )
        for axes, metric in zip(row[0], metrics, strict=True):
            _bar_panel(axes, metric, subjects)
        figure.suptitle(", ".join(filter(None, [suite, where])))
        yield f"{suite} {where}", figure


def _bar_panel(axes: Axes, metric: str, subjects: Mapping[str, Mapping[str, Spread]]) -> None:
    found = {name: spreads[metric] for name, spreads in subjects.items() if metric in spreads}
    names, medians = list(found), [spread.median for spread in found.values()]
    axes.barh(names, medians, color=[_colour(name) for name in names])
    for name, spread in found.items():
        axes.plot([spread.min, spread.max], [name, name], color="#333333", linewidth=1)
        axes.annotate(
            number(spread.median),
            (spread.max, name),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_xlabel(f"{_in_words(metric)} ({_better(metric)} is better)")
    axes.set_xlim(0, max(spread.max for spread in found.values()) * 1.22)
    axes.xaxis.set_major_locator(_few_ticks())
    axes.xaxis.set_major_formatter(lambda value, position: number(value))
    axes.yaxis.set_inverted(True)
    axes.tick_params(axis="y", length=0)


def _curves(
    suite: str, groups: Mapping[Setting, Mapping[str, Mapping[str, Spread]]]
) -> Iterator[tuple[str, Figure]]:
    """One picture for each metric and each numeric part of the setting that takes three values."""
    import matplotlib.pyplot as plt

    for (metric, key), curves in _all_curves(groups).items():
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        for name, points in _in_fixed_order(curves):
            _line(axes, name, points)
        xs = {x for points in curves.values() for x in points}
        ys = [y for points in curves.values() for s in points.values() for y in (s.min, s.max)]
        _scale_x(axes, xs)
        _scale_y(axes, ys)
        axes.set_xlabel(AXES.get((suite, key), key))
        axes.set_ylabel(_in_words(metric))
        axes.set_title(f"{suite}: {_in_words(metric)} (medians; shaded: min to max)")
        axes.grid(True, which="major", color="#DDDDDD", linewidth=0.6)
        if len(curves) > 1:
            axes.legend(frameon=False)
        yield f"{suite} {metric} by {key}", figure


def _all_curves(
    groups: Mapping[Setting, Mapping[str, Mapping[str, Spread]]],
) -> dict[tuple[str, str], Curves]:
    found: dict[tuple[str, str], Curves] = {}
    for setting, subjects in groups.items():
        for key, x in setting:
            if isinstance(x, str):
                continue
            rest = setting_text(tuple(part for part in setting if part[0] != key))
            for subject, spreads in subjects.items():
                name = ", ".join(filter(None, [subject, rest]))
                for metric, spread in spreads.items():
                    if metric in COUNTS:  # mostly 0; where not, the tables tell
                        continue
                    found.setdefault((metric, key), {}).setdefault(name, {})[x] = spread
    return {
        which: {name: curve for name, curve in curves.items() if len(curve) > 1}
        for which, curves in found.items()
        if max(map(len, curves.values())) > 2
        and any(s.max for c in curves.values() for s in c.values())
    }


def _in_fixed_order(curves: Curves) -> list[tuple[str, dict[float, Spread]]]:
    """The known ones first, each in its place, whoever else is in the picture."""
    return sorted(curves.items(), key=lambda curve: _place(curve[0]))


def _place(name: str) -> int:
    subject = name.partition(",")[0]
    return KNOWN.index(subject) if subject in KNOWN else len(KNOWN)


def _line(axes: Axes, name: str, points: Mapping[float, Spread]) -> None:
    xs = sorted(points)
    taken = {line.get_color() for line in axes.lines}
    index = _place(name)
    while LINES[index % len(LINES)] in taken and len(taken) < len(LINES):
        index += 1
    colour, marker = LINES[index % len(LINES)], MARKERS[index % len(MARKERS)]
    medians = [points[x].median for x in xs]
    axes.plot(xs, medians, color=colour, marker=marker, markersize=5, label=name)
    low, high = [points[x].min for x in xs], [points[x].max for x in xs]
    axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)


def _scale_x(axes: Axes, values: Iterable[float]) -> None:
    """Ticks where something was measured."""
    found = sorted(values)
    if found[0] > 0 and found[-1] > WIDE * found[0]:
        axes.set_xscale("log")
    axes.set_xticks(found, [f"{value:,g}" for value in found])
    axes.set_xticks([], minor=True)


def _scale_y(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the small values would else all be at the edge."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = min(values), max(values)
    if low > 0 and high > WIDE * low:
        axes.set_yscale("log")
        steps = (1, 2, 5) if high < 200 * low else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=steps))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, high * 1.1)
    axes.yaxis.set_major_formatter(lambda value, position: f"{value:,g}")


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def _colour(subject: str) -> str:
    if is_ours(subject):
        return OURS
    return FLOORS if subject.startswith(FLOOR) else PEER


def _in_words(metric: str) -> str:
    return WORDS.get(metric, metric)


def _better(metric: str) -> str:
    return "more" if metric.endswith("/s") else "less"
