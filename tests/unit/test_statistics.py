"""Statistics as values: compared, shown, and added."""

from __future__ import annotations

import attrs
import pytest

from coapsep import Counters, Statistics


def test_they_add_up() -> None:
    one, two = Statistics(requests=1, peers=2), Statistics(requests=3, timers=4)
    assert one + two == Statistics(requests=4, peers=2, timers=4)
    assert sum([one, two, two], Statistics()).requests == 7
    for other in (1, Counters()):
        with pytest.raises(TypeError):
            one + other  # type: ignore[operator]  # that is the point


def test_they_are_compared() -> None:
    assert Statistics(requests=1) == Statistics(requests=1)
    assert Statistics(requests=1) != Statistics(requests=2)
    assert Statistics() != Counters()
    assert Counters() == Counters()


def test_what_is_not_zero_is_shown() -> None:
    assert repr(Statistics(requests=4, peers=2)) == "Statistics(requests=4, peers=2)"
    assert repr(Counters()) == "Counters()"


def test_they_do_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Statistics().requests = 1  # type: ignore[misc]  # that is the point
