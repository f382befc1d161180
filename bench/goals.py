# SPDX-License-Identifier: MIT
"""What coapsep is to reach, and whether it does: each goal is computed from samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from report import number, table
from results import Results

Measure = Callable[[Results], "float | None"]

#: coapsep with the policy of the garbage collector that is meant for many pending requests.
FROZEN = "coapsep-frozen"


@dataclass(frozen=True)
class Goal:
    """A figure that must be reached, if any, and one that is aimed at.

    They are bounds from below if the aim is the larger of the two, else from above.
    """

    what: str
    must: float | None
    aim: float
    measure: Measure
    unit: str = ""

    @property
    def more_is_better(self) -> bool:
        """Whether it is a bound from below."""
        return self.must is not None and self.aim > self.must

    def verdict(self, measured: float | None) -> str:
        """``aim`` reached, ``must`` reached, ``not met`` or ``not measured``."""
        if measured is None:
            return "not measured"
        for name, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and (
                measured >= bound if self.more_is_better else measured <= bound
            ):
                return name
        return "not met"


def value(suite: str, metric: str, subject: str = "coapsep", **setting: float | str) -> Measure:
    """A median of ours."""

    def measure(results: Results) -> float | None:
        spread = results.spread(suite, subject, metric, **setting)
        return None if spread is None else spread.median

    return measure


def worst(suite: str, metric: str, subject: str = "coapsep", **setting: float | str) -> Measure:
    """The largest of ours: for what must never happen."""

    def measure(results: Results) -> float | None:
        spread = results.spread(suite, subject, metric, **setting)
        return None if spread is None else spread.max

    return measure


def ratio(
    suite: str, metric: str, peer: str, ours: str = "coapsep", **setting: float | str
) -> Measure:
    """A median of ours to one of a peer's."""

    def measure(results: Results) -> float | None:
        above = results.spread(suite, ours, metric, **setting)
        below = results.spread(suite, peer, metric, **setting)
        return above.median / below.median if above and below and below.median else None

    return measure


GOALS = (
    Goal("req/s to aiocoap's", 8, 12, ratio("hello", "req/s", "aiocoap", W=64)),
    Goal(
        "CPU/req to the codec floor's", 1.6, 1.3, ratio("hello", "CPU us/req", "echo-codec", W=64)
    ),
    Goal("CPU/req to libcoap's", 3.2, 2.4, ratio("hello", "CPU us/req", "libcoap", W=64)),
    Goal("req/s to node-coap's", 1.3, 2, ratio("hello", "req/s", "node-coap", W=64)),
    Goal("p50 at W=1 to aiocoap's", 0.5, 0.35, ratio("hello", "p50 us", "aiocoap", W=1)),
    Goal(
        "CPU/req of a separate response to the codec floor's",
        3.5,
        2.5,
        ratio("separate", "CPU us/req", "echo-codec", W=2048),
    ),
    Goal(
        "registering 100,000 pending: last tenth to first",
        0.8,
        0.95,
        value("pending", "last/first tenth", FROZEN, N=100_000, rate="max"),
    ),
    Goal(
        "registering 20,000 pending to libcoap",
        3,
        5,
        ratio("pending", "registered/s", "libcoap", FROZEN, N=20_000, rate="max"),
    ),
    Goal(
        "p99 lateness of 20,000 to libcoap's",
        1 / 10,
        1 / 50,
        ratio("pending", "late p99 ms", "libcoap", FROZEN, N=20_000, rate="max"),
    ),
    Goal(
        "100,000 pending, 5,000 new/s: p99 lateness",
        50,
        10,
        value("pending", "late p99 ms", FROZEN, N=100_000, rate=5_000),
        "ms",
    ),
    Goal("100,000 pending: lost", 0, 0, worst("pending", "lost", FROZEN, N=100_000)),
    Goal("100,000 pending: sent twice", 0, 0, worst("pending", "sent twice", FROZEN, N=100_000)),
    Goal(
        "memory of a pending request",
        7000,
        4500,
        value("memory", "B/pending", FROZEN, N=10_000),
        "B",
    ),
    Goal(
        "1,000,000 pending: not answered once", 0, 0, worst("million", "not answered once", FROZEN)
    ),
    Goal(
        "1,000,000 pending: p99 lateness", None, 100, value("million", "late p99 ms", FROZEN), "ms"
    ),
    Goal("free 100,000 pending", 6, 3, value("memory", "free s", FROZEN, N=100_000), "s"),
    Goal("dedup entry", 400, 200, value("dedup", "B/entry", peers=1), "B"),
    Goal("a change to 10,000 observers", 2, 0.5, value("observers", "notified s", N=10_000), "s"),
    Goal(
        "client: req/s to aiocoap's client's",
        5,
        10,
        ratio("client", "req/s", "aiocoap", servers=64),
    ),
    Goal(
        "block-wise, up: MB/s to aiocoap's",
        5,
        10,
        ratio("blockwise", "up MB/s", "aiocoap", end="both", clients=1),
    ),
    Goal(
        "block-wise, down: MB/s to aiocoap's",
        5,
        10,
        ratio("blockwise", "down MB/s", "aiocoap", end="both", clients=1),
    ),
    Goal(
        "import coapsep to trio, aiocoap and attrs",
        1.10,
        1.05,
        ratio("imports", "ms", "trio+aiocoap+attrs"),
    ),
    # A bare import puts off the most; what an application that uses all of it pays is held
    # against the same bounds, so that putting it off is not taken for saving it.
    Goal(
        "import all names of coapsep to the same",
        1.10,
        1.05,
        ratio("imports", "ms", "trio+aiocoap+attrs", "coapsep, all of it"),
    ),
)


def goals_text(results: Results) -> str:
    """The table of all goals."""
    rows = [["goal", "must", "aim", "measured", "reached"]]
    for goal in GOALS:
        measured = goal.measure(results)
        figures = (goal.must, goal.aim, measured)
        cells = ("-" if each is None else f"{_short(each)} {goal.unit}" for each in figures)
        rows.append([goal.what, *cells, goal.verdict(measured)])
    return table(rows)


def _short(figure: float) -> str:
    return f"{figure:.3g}" if abs(figure) < 10 else number(figure)


def goals_json(results: Results) -> list[dict[str, Any]]:
    """The same, for the file."""
    found = []
    for goal in GOALS:
        measured = goal.measure(results)
        verdict = goal.verdict(measured)
        bounds = {"must": goal.must, "aim": goal.aim, "unit": goal.unit}
        found.append({"goal": goal.what, **bounds, "measured": measured, "verdict": verdict})
    return found
