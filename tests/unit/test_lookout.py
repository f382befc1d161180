"""When to look at a socket again, and when to sleep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coapsep.transport.lookout import Lookout


def test_a_quiet_socket_is_looked_at_once_in_a_while() -> None:
    lookout = Lookout()
    looks = [bool(lookout.looks()) for _ in range(128)]
    assert sum(looks) == 4


def test_who_finds_something_goes_on_looking() -> None:
    lookout = Lookout()
    while not lookout.looks():
        pass
    for _ in range(1000):
        lookout.found()
        assert lookout.looks()


def test_who_misses_one_in_three_goes_on_looking() -> None:
    lookout = Lookout()
    while not lookout.looks():
        pass
    lookout.found()
    for turn in range(1000):
        assert lookout.looks()
        if turn % 3:
            lookout.found()


@given(st.integers(0, 1000))
def test_who_finds_nothing_any_more_gives_up(found: int) -> None:
    lookout = Lookout()
    for _ in range(found):
        lookout.looks()
        lookout.found()
    assert sum(bool(lookout.looks()) for _ in range(64)) <= 8 + 2
