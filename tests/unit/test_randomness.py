"""Where random numbers come from: RFC 7252 section 11.4."""

from __future__ import annotations

import random

import pytest

from coapsep.randomness import Randomness


def test_bits_are_the_systems() -> None:
    assert isinstance(Randomness(), random.SystemRandom)
    assert Randomness.getrandbits is random.SystemRandom.getrandbits


def test_floats_need_no_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = Randomness()
    monkeypatch.setattr(random, "_urandom", None)
    drawn = [rng.uniform(2.0, 3.0) for _ in range(1000)]
    assert all(2.0 <= x <= 3.0 for x in drawn)
    assert len(set(drawn)) > 990
    with pytest.raises(TypeError):
        rng.getrandbits(64)


def test_two_endpoints_draw_different_timeouts() -> None:
    assert Randomness().random() != Randomness().random()
