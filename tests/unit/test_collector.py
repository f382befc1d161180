"""The policies for the cyclic garbage collector: what they set, and what they leave behind."""

from __future__ import annotations

import gc
from typing import cast

import pytest

from coapsep import GcPolicy, gc_policy


def test_frozen_is_for_a_block() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), gc_policy("frozen"):
        assert gc.get_threshold() == (5_000, 5, 100_000)
        assert gc.get_freeze_count() > 1000
        raise KeyError
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


def test_default_does_nothing() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    with gc_policy("default"):
        assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_no_such_policy() -> None:
    with (
        pytest.raises(ValueError, match="one of default, frozen, not 'never'"),
        gc_policy(cast(GcPolicy, "never")),
    ):
        raise AssertionError
