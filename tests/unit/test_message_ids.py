"""Message IDs: RFC 7252 section 4.4, lifetimes of section 4.8.2."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep.errors import LocalProtocolError, MessageIdsExhausted
from coapsep.params import Limits, Tuning
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.peers import Peers
from coapsep.protocol.timers import Timers
from tests.unit.scenario import CLIENT, OTHER, Scenario, con

LIFETIME = Tuning().exchange_lifetime  # 247 s


def test_they_come_in_sequence_from_the_first() -> None:
    ids = MessageIds(7, LIFETIME)
    assert [ids.allocate(0.0) for _ in range(3)] == [7, 8, 9]


def test_after_65535_comes_0() -> None:
    ids = MessageIds(65534, LIFETIME)
    assert [ids.allocate(0.0) for _ in range(4)] == [65534, 65535, 0, 1]


def test_the_first_one_is_random_and_of_16_bits() -> None:
    def first(seed: int) -> int:
        s = Scenario(rng=random.Random(seed))
        return s.answered(con(1))[1].mid

    drawn = [first(seed) for seed in range(50)]
    assert len(set(drawn)) > 40
    assert all(0 <= mid <= 65535 for mid in drawn)
    assert max(drawn) > 40_000
    assert drawn[:5] == [first(seed) for seed in range(5)]


def test_each_peer_has_a_sequence_of_its_own() -> None:
    s = Scenario()
    ours = s.answered(con(1))[1].mid
    theirs = s.answered(con(1), OTHER)[1].mid
    assert s.answered(con(2, token=b"b"))[1].mid == (ours + 1) & 0xFFFF
    assert s.answered(con(2, token=b"b"), OTHER)[1].mid == (theirs + 1) & 0xFFFF
    assert theirs != (ours + 1) & 0xFFFF


def test_the_65537th_within_a_lifetime_is_refused() -> None:
    ids = MessageIds(100, LIFETIME)
    assert {ids.allocate(n / 1000) for n in range(65536)} == set(range(65536))
    with pytest.raises(MessageIdsExhausted, match="65,536"):
        ids.allocate(100.0)


def test_exhaustion_is_an_error_of_ours() -> None:
    assert issubclass(MessageIdsExhausted, LocalProtocolError)


def test_an_exhausted_sequence_goes_on_when_the_first_lifetime_is_over() -> None:
    ids = MessageIds(100, LIFETIME)
    for _ in range(65535):
        ids.allocate(0.0)
    ids.allocate(50.0)
    free = ids.free_at()
    assert LIFETIME <= free <= LIFETIME + 2
    with pytest.raises(MessageIdsExhausted):
        ids.allocate(math.nextafter(free, 0))
    assert ids.allocate(free) == 100
    assert ids.in_use == 2


def test_nothing_in_use_means_nothing_to_wait_for() -> None:
    ids = MessageIds(0, LIFETIME)
    assert ids.free_at() == math.inf
    ids.allocate(0.0)
    ids.expire(ids.free_at())
    assert ids.in_use == 0
    assert ids.free_at() == math.inf


def test_the_records_of_a_full_sequence_stay_few() -> None:
    ids = MessageIds(0, LIFETIME)
    for n in range(65536):
        ids.allocate(n * LIFETIME / 65536)
    assert len(ids._runs) <= LIFETIME + 2


@given(st.lists(st.floats(0, 30), max_size=300), st.integers(0, 65535))
def test_none_is_given_out_twice_within_its_lifetime(gaps: list[float], first: int) -> None:
    # A sequence of 65,536 hides a reuse from a short test; `in_use` tells of one.
    ids = MessageIds(first, LIFETIME)
    now, given_out = 0.0, []
    for gap in gaps:
        now += gap
        given_out.append((now, ids.allocate(now)))
        alive = {mid for at, mid in given_out if now < at + LIFETIME}
        assert ids.in_use >= len(alive)
        assert ids.in_use <= sum(now < at + LIFETIME + 2 for at, _ in given_out)


def test_an_id_is_not_free_again_while_its_message_may_still_be_retransmitted() -> None:
    """Section 4.4: not within EXCHANGE_LIFETIME, which a small MAX_LATENCY makes shorter
    than MAX_TRANSMIT_WAIT: the ID of a message in flight would be given out again."""
    tuning = Tuning(max_latency=0.5)
    assert tuning.exchange_lifetime < tuning.max_transmit_wait
    peers = Peers(tuning, Limits(), Timers(), random.Random(1))
    peer = peers.obtain(CLIENT, 0.0)
    assert peer is not None
    ids = peers.message_ids(peer)
    ids.allocate(0.0)
    assert ids.free_at() >= tuning.max_transmit_wait
