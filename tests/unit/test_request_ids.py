"""Message IDs and tokens of our requests: RFC 7252 sections 4.4 and 5.3.1."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from coapsep.numbers import Type
from coapsep.params import Tuning
from coapsep.protocol.records import Stage
from tests.unit.scenario import (
    OTHER_PEER,
    PEER,
    Longest,
    Scenario,
    piggybacked,
    rst,
    separate,
)


class Scripted(random.Random):
    """Draws these tokens, and 7 as the first message ID."""

    def __init__(self, tokens: Iterable[int]) -> None:
        super().__init__(0)
        self._tokens = iter(tokens)

    def getrandbits(self, k: int, /) -> int:
        return 7 if k == 16 else next(self._tokens)


def client(tuning: Tuning | None = None, rng: random.Random | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, rng=rng, serves=False)


# -- tokens: section 5.3.1 ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 5, 6, 7, 8])
def test_tokens_are_as_long_as_tuning_says(size: int) -> None:
    s = client(Tuning(token_bytes=size, nstart=200))
    tokens = {s.ask().request.token for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {size}
    for at in range(size):  # every byte of it is random
        assert len({token[at] for token in tokens}) > 64


def test_tokens_come_from_the_generator_that_was_handed_in() -> None:
    def tokens(seed: int) -> list[bytes]:
        s = client(Tuning(nstart=9), random.Random(seed))
        return [s.ask().token for _ in range(9)]

    assert tokens(1) == tokens(1)
    assert tokens(1) != tokens(2)


def test_a_token_is_written_whole_even_where_it_begins_with_zeros() -> None:
    s = client(rng=Scripted([1]))
    exchange, request = s.asked()
    assert request.token == exchange.token == b"\0\0\0\0\0\0\0\1"
    s.receive(piggybacked(request))
    assert s.response(exchange)


def test_section_5_3_1_no_two_open_requests_to_a_peer_have_one_token() -> None:
    s = client(rng=Scripted([1, 1, 1, 2, 2, 1, 3]))
    first, second, third = s.ask(), s.ask(), s.ask()
    assert [e.token[-1] for e in (first, second, third)] == [1, 2, 3]


def test_a_token_in_the_queue_and_that_of_an_acknowledged_request_are_taken_too() -> None:
    s = client(rng=Scripted([1, 1, 2, 1, 2, 3]))
    s.acknowledged()
    s.asked()
    assert s.ask().token[-1] == 3


def test_a_token_is_free_when_its_request_is_over() -> None:
    s = client(rng=Scripted([1, 1, 1]))
    first, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(first)
    second, _ = s.asked()
    s.cancel(second)
    third, _ = s.asked()
    assert first.token == second.token == third.token


def test_the_same_token_to_two_peers_is_two_tokens() -> None:
    s = client(rng=Scripted([1, 1]))
    one, request = s.asked()
    two, other = s.asked(Type.CON, OTHER_PEER)
    assert request.token == other.token
    s.receive(separate(other, 1), OTHER_PEER)
    assert s.response(two)
    s.receive(piggybacked(request), PEER)
    assert s.response(one)


# -- message IDs: section 4.4 -------------------------------------------------------------------


def test_the_first_message_id_is_random() -> None:
    def first(seed: int) -> int:
        return client(rng=random.Random(seed)).asked()[1].mid

    drawn = [first(seed) for seed in range(50)]
    assert len(set(drawn)) > 40
    assert min(drawn) < 10_000 < 50_000 < max(drawn)
    assert drawn == [first(seed) for seed in range(50)]


def test_message_ids_are_given_out_in_the_order_of_sending() -> None:
    s = client(Tuning(nstart=9), Longest(first=65533))
    sent = [s.asked()[1], s.asked(Type.NON)[1], s.asked()[1], s.asked()[1]]
    assert [request.mid for request in sent] == [65533, 65534, 65535, 0]
    assert s.ping().request.mid == 1


def test_each_peer_has_message_ids_of_its_own() -> None:
    s = client(Tuning(nstart=2))
    ours = s.asked()[1].mid
    theirs = s.asked(Type.CON, OTHER_PEER)[1].mid
    assert s.asked()[1].mid == (ours + 1) & 0xFFFF
    assert s.asked(Type.CON, OTHER_PEER)[1].mid == (theirs + 1) & 0xFFFF
    assert ours != theirs


@pytest.mark.parametrize("seconds", [0.0, 100.0, 247.0])
def test_a_message_id_is_not_used_again_within_its_lifetime(seconds: float) -> None:
    """Whatever became of its request; the peer is remembered for that long."""
    s = client(rng=Longest(first=500))
    first, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(first)
    s.at(seconds)
    second, request = s.asked()
    assert request.mid == 501
    s.cancel(second)
    assert s.asked()[1].mid == 502


def use_up(s: Scenario, count: int) -> None:
    """Give out so many message IDs to PEER now."""
    peer = s.core._peers.find(PEER)
    assert peer is not None
    ids = s.core._peers.message_ids(peer)
    for _ in range(count):
        ids.allocate(s.now)


def exhausted(left: int) -> Scenario:
    """At 10 s, all message IDs to PEER but so many were given out; the first one at 0 s."""
    s = Scenario(Tuning(nstart=2), rng=Longest(), serves=False)
    s.acknowledged()
    s.at(10.0)
    use_up(s, 65535 - left)
    return s


def test_when_all_message_ids_are_in_use_requests_wait_for_the_first_that_is_free() -> None:
    s = exhausted(left=1)
    exchanges = [s.ask(), s.ask(Type.NON), s.ping(), s.ask()]
    [last] = s.sent()
    assert last.mid == 65535
    s.receive(piggybacked(last))
    assert s.response(exchanges[0])
    s.at(s.tuning.exchange_lifetime)
    assert s.sent() == []
    assert [e.stage for e in exchanges[1:]] == [Stage.QUEUED] * 3
    s.at(s.tuning.exchange_lifetime + 2)
    [request] = s.sent()  # the one ID that was given out at 0 s
    assert request == exchanges[1].request
    assert request.mid == 0
    s.at(10.0 + s.tuning.exchange_lifetime)
    assert s.sent() == []
    s.at(10.0 + s.tuning.exchange_lifetime + 2)
    [request] = s.sent()
    assert request == exchanges[2].request
    assert request.mid == 1
    s.receive(rst(1))
    assert s.sent() == [exchanges[3].request]
    s.check()


def test_requests_that_are_cancelled_keep_their_message_ids() -> None:
    s = exhausted(left=3)
    for mid in (65533, 65534, 65535):
        exchange, request = s.asked()
        assert request.mid == mid
        s.cancel(exchange)
    waiting = s.ask()
    assert s.sent() == []
    assert waiting.stage is Stage.QUEUED
    s.at(250.0)
    assert s.sent() == [waiting.request]


def test_one_that_is_cancelled_while_it_waits_for_a_message_id_takes_none() -> None:
    s = exhausted(left=0)
    first, second, third = s.ask(), s.ask(), s.ask()
    s.cancel(first)
    s.cancel(third)
    assert s.sent() == []
    s.at(250.0)
    assert s.sent() == [second.request]
    assert second.request.mid == 0


def test_when_all_that_wait_for_a_message_id_are_cancelled_no_alarm_is_left() -> None:
    s = exhausted(left=0)
    exchanges = [s.ask(), s.ask()]
    assert s.core.statistics().timers == 1
    for exchange in exchanges:
        s.cancel(exchange)
    assert s.core.statistics().timers == 0
    s.at(1000.0)
    assert s.sent() == []


def test_another_peer_has_message_ids_left() -> None:
    s = exhausted(left=0)
    waiting = s.ask()
    exchange, request = s.asked(Type.CON, OTHER_PEER)
    s.receive(piggybacked(request), OTHER_PEER)
    assert s.response(exchange)
    assert waiting.stage is Stage.QUEUED


def test_a_request_may_be_open_longer_than_its_message_id_lives() -> None:
    """The ID is given out again after a whole round. Its token alone finds the old one then."""
    s = Scenario(rng=Longest(), serves=False)
    old, _ = s.acknowledged()
    use_up(s, 65535)
    s.at(250.0)
    new, request = s.asked()
    assert request.mid == old.request.mid
    s.receive(separate(old.request, 0x6000))
    assert s.response(old)
    s.receive(piggybacked(request))
    assert s.response(new)
