"""The benchmark's arithmetic: medians, ratios, doubts and goals from samples that are given."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import suites
from goals import FROZEN, GOALS, Goal, goals_text
from plot import draw
from record import Record, SuiteRecord, read
from report import doubts, number, ratios, suite_text
from results import Results, Spread, group, setting_text
from sample import Sample


def repeats(subject: str, metric: str, *values: float, **setting: float | str) -> list[Sample]:
    return [Sample(subject, metric, value, setting) for value in values]


SAMPLES = [
    *repeats("coapsep", "req/s", 90, 120, 100, W=64),
    *repeats("libcoap", "req/s", 400, 400, 401, W=64),
    *repeats("coapsep", "CPU us/req", 10, 10, 10, W=64),
    *repeats("coapsep", "lost", 0, 0, 0, W=64),
    *repeats("libcoap", "lost", 0, 3, 0, W=64),
    *repeats("coapsep", "req/s", 9, 9, 9, W=1),
]


def test_repeats_become_medians_in_the_order_in_which_they_were_measured() -> None:
    groups = group(SAMPLES)
    assert [setting_text(setting) for setting in groups] == ["W=64", "W=1"]
    at_64 = groups[(("W", 64),)]
    assert list(at_64) == ["coapsep", "libcoap"]
    assert at_64["coapsep"]["req/s"] == Spread(100, 90, 120)


def test_a_ratio_is_one_of_medians_within_a_setting() -> None:
    assert ratios(group(SAMPLES)) == {("W=64", "coapsep", "libcoap"): {"req/s": 0.25}}


def test_a_peer_that_measured_zero_has_no_ratio() -> None:
    samples = [*repeats("coapsep", "req/s", 1), *repeats("aiocoap", "req/s", 0)]
    assert ratios(group(samples)) == {}


def test_unsteady_idle_and_lossy_servers_are_doubtful() -> None:
    samples = [
        *SAMPLES,
        *repeats("libcoap", "core used %", 99, 60, 98, W=64),
        *repeats("coapsep", "core used %", 99, 99, 98, W=64),
        *repeats("coapsep", "core used %", 20, 20, 20, W=1),
    ]
    unsteady, lossy = doubts(group(samples))
    assert unsteady == "coapsep, W=64: req/s from 90 to 120"
    assert lossy.startswith("libcoap, W=64: used 60 % of its core")
    assert lossy.endswith("3 requests without an answer in one repeat")


def test_the_text_of_a_suite() -> None:
    gc = {"enabled": True, "threshold": [700, 10, 10], "frozen": 5}
    notes = {"coapsep": {"versions": {"python": "3.10"}, "gc": gc}, "libcoap": {}}
    text = suite_text("hello", SAMPLES, notes, {"aiocoap": "not installed"})
    assert "coapsep  python 3.10, gc 700/10/10 with 5 frozen" in text
    assert "aiocoap  left out: not installed" in text
    assert ["coapsep", "100", "(90-120)", "10", "0"] in [line.split() for line in text.split("\n")]
    assert "coapsep / libcoap  0.250x" in text
    assert suite_text("million", [], {}, {}) == "million: nothing measured"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (3, "3"),
        (0.25, "0.250"),
        (0.0123, "0.0123"),
        (1.234, "1.23"),
        (43.98, "44.0"),
        (43_980.4, "43,980"),
        (-0.5, "-0.500"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_goal_is_a_bound_from_the_side_that_its_aim_tells() -> None:
    more = Goal("speed", 8, 12, lambda results: None)
    assert [more.verdict(x) for x in (12, 8, 7.9)] == ["aim", "must", "not met"]
    less = Goal("memory", 7, 4.5, lambda results: None)
    assert [less.verdict(x) for x in (4.5, 7, 7.1)] == ["aim", "must", "not met"]
    never = Goal("lost", 0, 0, lambda results: None)
    assert [never.verdict(x) for x in (0, 1)] == ["aim", "not met"]
    wish = Goal("lateness", None, 100, lambda results: None)
    assert [wish.verdict(x) for x in (100, 101)] == ["aim", "not met"]
    assert wish.verdict(None) == "not measured"


def test_goals_are_computed_from_the_samples_of_their_suite() -> None:
    samples = (
        *repeats("coapsep", "req/s", 90, 100, 110, W=64),
        *repeats("aiocoap", "req/s", 11, 10, 9, W=64),
        *repeats("aiocoap", "req/s", 1, W=1),
    )
    measured = {goal.what: goal.measure(Results({"hello": samples})) for goal in GOALS}
    first, *others = measured.values()
    assert first == 10
    assert others == [None] * (len(GOALS) - 1)


def test_what_must_never_happen_counts_if_it_happened_once() -> None:
    lost = next(goal for goal in GOALS if goal.what == "100,000 pending: lost")
    results = Results({"pending": tuple(repeats(FROZEN, "lost", 0, 0, 1, N=100_000))})
    assert lost.measure(results) == 1


def test_every_goal_is_in_the_table() -> None:
    lines = goals_text(Results({})).splitlines()[2:]
    assert [line.split("  ")[1] for line in lines] == [goal.what for goal in GOALS]
    assert all(line.endswith("not measured") for line in lines)


def test_a_record_is_read_back_and_later_files_win(tmp_path: Path) -> None:
    record = Record({"command": "first"})
    record.suites["hello"] = SuiteRecord("hello", SAMPLES, {"coapsep": {}}, {"x": "gone"})
    record.suites["micro"] = SuiteRecord("micro", repeats("coapsep", "ns", 7))
    record.write(tmp_path / "1.json")
    later = Record({"command": "second"})
    later.suites["micro"] = SuiteRecord("micro", repeats("coapsep", "ns", 5))
    later.write(tmp_path / "2.json")
    both = read([tmp_path / "1.json", tmp_path / "2.json"])
    assert [run["command"] for run in both.about["runs"]] == ["first", "second"]
    assert both.suites["hello"] == record.suites["hello"]
    assert both.suites["micro"] == later.suites["micro"]


def test_suites_are_listed_with_what_they_measure() -> None:
    assert suites.names()[:2] == ["hello", "separate"]
    assert suites.about("hello").startswith("GET /hello")


def test_without_matplotlib_nothing_is_drawn_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw(Results({"hello": tuple(SAMPLES)}), tmp_path) == []
    assert "matplotlib is missing" in capsys.readouterr().err


def test_bars_where_there_is_a_peer_and_curves_where_there_are_three_points(
    tmp_path: Path,
) -> None:
    pytest.importorskip("matplotlib", reason="only the extra bench installs it")
    growth = [s for n in (10, 100, 1000) for s in repeats("coapsep", "late ms", n, 2 * n, N=n)]
    files = draw(Results({"hello": tuple(SAMPLES), "pending": tuple(growth)}), tmp_path)
    assert [file.name for file in files if file.suffix == ".svg"] == [
        "hello-w-64.svg",
        "pending-late-ms-by-n.svg",
    ]
    assert all(file.stat().st_size for file in files)
