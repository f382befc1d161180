"""When to look at a socket again, and when to sleep."""

from __future__ import annotations

import random

import pytest

from coapsep.transport.lookout import Lookout

SEEDS = pytest.mark.parametrize("seed", range(20))


def trying(seed: int) -> Lookout:
    """One that has just been given a few attempts, and made the first."""
    lookout = Lookout(random.Random(seed))
    while not lookout.looks():
        pass
    return lookout


@SEEDS
def test_a_quiet_socket_is_looked_at_now_and_then(seed: int) -> None:
    lookout = Lookout(random.Random(seed))
    looks = sum(bool(lookout.looks()) for _ in range(10_000))
    assert 0.03 < looks / 10_000 < 0.09


@SEEDS
def test_who_finds_something_goes_on_looking(seed: int) -> None:
    lookout = trying(seed)
    for _ in range(1000):
        lookout.found()
        assert lookout.looks()


@SEEDS
def test_who_misses_one_in_three_goes_on_looking(seed: int) -> None:
    lookout = trying(seed)
    lookout.found()
    for turn in range(1000):
        assert lookout.looks()
        if turn % 3:
            lookout.found()


@SEEDS
@pytest.mark.parametrize("found", [0, 1, 5, 1000])
def test_who_finds_nothing_any_more_sleeps_soon(found: int, seed: int) -> None:
    lookout = trying(seed)
    for _ in range(found):
        lookout.found()
        assert lookout.looks()
    assert not all(lookout.looks() for _ in range(20))


@SEEDS
def test_two_that_sleep_soon_look_at_the_same_time(seed: int) -> None:
    """Else each would find that it does not pay, since the other one was asleep."""
    one, two = Lookout(random.Random(seed)), Lookout(random.Random(seed + 1000))
    assert any(one.looks() and two.looks() for _ in range(4000))
