"""How our requests leave, and when they are given up: RFC 7252 sections 4.2, 4.8 and 5.2.2."""

from __future__ import annotations

import itertools
import random

import pytest

from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.params import Tuning
from coapsep.protocol.events import Failure
from coapsep.protocol.records import Stage
from tests.unit.scenario import (
    PEER,
    Longest,
    Scenario,
    ack,
    piggybacked,
    rst,
    separate,
)

MID = 0x44CB
DAY = 86_400.0


def client(tuning: Tuning | None = None, rng: random.Random | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, rng=rng, serves=False)


# -- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("code", [Code.GET, Code.POST, Code.FETCH, Code(0x1F)], ids=str)
def test_the_request_is_what_was_asked_for(kind: Type, code: Code) -> None:
    s = client()
    options = Options.build(uri_path=["a", "b"], uri_query=["c=d"], accept=50)
    exchange = s.ask(kind, code=code, options=options, payload=b"body")
    [sent] = s.drain()
    assert sent.session == PEER
    assert sent.data == exchange.data
    assert sent.message == exchange.request
    mid = sent.message.mid
    assert sent.message == Message(code, kind, mid, exchange.token, options, b"body")
    assert s.core.statistics().requests_sent == 1


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_request_that_cannot_be_written_is_refused_and_nothing_has_changed(kind: Type) -> None:
    s = client()
    no_option = Options([(2048, b"x" * 70_000)])
    with pytest.raises(ValueError):
        s.ask(kind, options=no_option)
    s.check()
    assert s.sent() == []
    held = s.core.statistics()
    assert (held.own_requests, held.peers, held.timers) == (0, 0, 0)
    exchange, request = s.asked()
    with pytest.raises(ValueError):
        s.ask(kind, options=no_option)
    s.check()
    assert s.core.statistics().own_requests == 1
    s.receive(piggybacked(request))
    assert s.response(exchange)
    assert s.nothing_left()


# -- retransmission: section 4.2 ----------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_section_4_2_the_wait_begins_between_timeout_and_factor_and_doubles(seed: int) -> None:
    s = client(rng=random.Random(seed))
    s.asked()
    s.at(100.0)
    times = [0.0, *(sent.at for sent in s.drain())]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert 2.0 <= waits[0] <= 3.0
    assert waits == pytest.approx([waits[0] * factor for factor in (1, 2, 4, 8)])


def test_a_request_is_sent_again_max_retransmit_times_and_then_given_up() -> None:
    s = client(rng=Longest())
    exchange, _ = s.asked()
    s.at(93.0 - 0.001)
    assert [sent.at for sent in s.drain()] == [3.0, 9.0, 21.0, 45.0]
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    s.at(s.tuning.max_transmit_wait)  # 93 s
    assert s.failure(exchange) is Failure.TIMED_OUT
    assert s.sent() == []
    counted = s.core.statistics()
    assert (counted.retransmissions, counted.requests_failed) == (4, 1)
    assert counted.timed_out == 0  # that counts responses
    assert s.nothing_left()


@pytest.mark.parametrize("times", [0, 1, 7])
def test_the_parameters_of_retransmission_are_those_of_tuning(times: int) -> None:
    tuning = Tuning(max_retransmit=times, ack_timeout=1.0, ack_random_factor=1.0)
    s = client(tuning)
    exchange, _ = s.asked()
    s.at(tuning.max_transmit_wait)
    assert [sent.at for sent in s.drain()] == [2.0**n - 1 for n in range(1, times + 1)]
    assert s.failure(exchange) is Failure.TIMED_OUT


def test_every_transmission_has_the_same_bytes() -> None:
    s = client()
    exchange = s.ask(options=Options.build(uri_path=["a"]), payload=b"body")
    s.at(100.0)
    copies = s.drain()
    assert len(copies) == 5
    assert {sent.data for sent in copies} == {exchange.data}
    assert {sent.session for sent in copies} == {PEER}


def test_a_non_request_is_sent_once() -> None:
    """Section 4.3: no retransmission."""
    s = client()
    s.asked(Type.NON)
    s.at(DAY)
    assert s.sent() == []
    assert s.core.statistics().retransmissions == 0


@pytest.mark.parametrize("after", range(5))
def test_section_4_2_after_an_empty_ack_nothing_is_sent_again_ever(after: int) -> None:
    s = client(rng=Longest())
    exchange, request = s.asked()
    s.at((0, 3, 9, 21, 45)[after])
    assert s.sent() == [request] * after
    s.receive(ack(request.mid))
    assert exchange.stage is Stage.ACKNOWLEDGED
    s.at(DAY)
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().own_requests == 1


@pytest.mark.parametrize("after", range(5))
def test_a_response_or_rst_may_come_after_any_transmission(after: int) -> None:
    for reset in (False, True):
        s = client(rng=Longest())
        exchange, request = s.asked()
        s.at((0, 3, 9, 21, 45)[after])
        s.drain()
        if reset:
            s.receive(rst(request.mid))
            assert s.failure(exchange) is Failure.RESET
        else:
            s.receive(piggybacked(request))
            assert s.response(exchange)
        s.at(DAY)
        assert s.sent() == []
        assert s.events() == []
        assert s.nothing_left()


def test_the_last_moment_to_answer_is_max_transmit_wait() -> None:
    s = client(rng=Longest())
    exchange, request = s.asked()
    s.at(92.999)
    s.receive(piggybacked(request))
    assert s.response(exchange)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON, Type.ACK])
def test_a_response_after_giving_up_answers_nothing(kind: Type) -> None:
    """Section 5.3.2: nobody expects it any more; a CON is rejected."""
    s = client()
    exchange, request = s.asked()
    s.at(100.0)
    s.drain()
    assert s.failure(exchange) is Failure.TIMED_OUT
    s.receive(piggybacked(request) if kind is Type.ACK else separate(request, MID, kind))
    assert s.sent() == ([rst(MID)] if kind is Type.CON else [])
    s.receive(ack(request.mid))
    assert s.events() == []
    assert s.nothing_left()


# -- how long to wait for the response: section 5.2.2 ---------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("days", [1, 400])
def test_by_default_a_response_may_take_days(days: int, kind: Type) -> None:
    s = client()
    exchange, request = s.acknowledged() if kind is Type.CON else s.asked(kind)
    s.at(days * DAY)
    assert s.sent() == []
    assert s.events() == []
    s.receive(separate(request, MID))
    assert s.response(exchange)
    assert s.sent() == [ack(MID)]
    assert s.nothing_left()


def test_response_timeout_counts_from_the_acknowledgement_of_a_con() -> None:
    s = client(Tuning(response_timeout=10.0), Longest())
    exchange, request = s.asked()
    s.at(40.0)
    assert len(s.sent()) == 3
    s.receive(ack(request.mid))
    s.at(49.999)
    assert s.events() == []
    s.at(50.0)
    assert s.failure(exchange) is Failure.TOO_LATE
    assert s.sent() == []
    assert s.nothing_left()


def test_response_timeout_counts_from_the_sending_of_a_non() -> None:
    s = client(Tuning(response_timeout=10.0))
    s.at(5.0)
    exchange, _ = s.asked(Type.NON)
    s.at(14.999)
    assert s.events() == []
    s.at(15.0)
    assert s.failure(exchange) is Failure.TOO_LATE
    assert s.core.statistics().requests_failed == 1
    assert s.nothing_left()


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_response_timeout_does_not_count_while_the_request_waits_for_its_turn(kind: Type) -> None:
    s = client(Tuning(response_timeout=10.0), Longest())
    _, first = s.asked()
    s.at(20.0)
    s.drain()
    waiting = s.ask(kind)
    s.at(80.0)
    assert waiting.stage is Stage.QUEUED
    s.receive(piggybacked(first))
    s.events()
    s.at(89.0)
    if kind is Type.CON:
        s.receive(ack(waiting.request.mid))
    assert s.events() == []
    s.at(99.1)
    assert s.failure(waiting) is Failure.TOO_LATE


def test_response_timeout_does_not_shorten_the_wait_for_an_acknowledgement() -> None:
    s = client(Tuning(response_timeout=1.0), Longest())
    exchange, _ = s.asked()
    s.at(92.0)
    assert s.events() == []
    s.at(93.0)
    assert s.failure(exchange) is Failure.TIMED_OUT


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_response_in_time_ends_response_timeout(kind: Type) -> None:
    s = client(Tuning(response_timeout=10.0))
    exchange, request = s.acknowledged() if kind is Type.CON else s.asked(kind)
    s.at(9.9)
    s.receive(separate(request, MID))
    assert s.response(exchange)
    s.at(DAY)
    assert s.events() == []


def test_a_response_after_response_timeout_is_rejected() -> None:
    s = client(Tuning(response_timeout=10.0))
    exchange, request = s.acknowledged()
    s.at(10.0)
    assert s.failure(exchange) is Failure.TOO_LATE
    s.receive(separate(request, MID))
    assert s.sent() == [rst(MID)]
    assert s.events() == []


# -- what stays: section 4.4 --------------------------------------------------------------------


def test_a_request_may_be_open_when_the_message_ids_of_others_are_free_again() -> None:
    """The peer is looked at then, and must neither be forgotten nor looked at for ever."""
    s = client()
    first, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(first)
    second, request = s.acknowledged()
    s.exchange_lifetime_later()
    s.exchange_lifetime_later()
    assert s.core.statistics().timers == 0
    s.receive(separate(request, MID))
    assert s.response(second)
    assert s.nothing_left()


def test_a_request_may_be_open_when_the_last_copy_of_a_response_is_forgotten() -> None:
    s = client()
    first, request = s.acknowledged()
    second, other = s.acknowledged()
    s.at(100.0)
    s.receive(separate(request, MID))
    assert s.response(first)
    for _ in range(3):
        s.exchange_lifetime_later()
    held = s.core.statistics()
    assert (held.dedup_entries, held.timers, held.peers) == (0, 0, 1)
    s.receive(separate(other, MID))
    assert s.response(second)
    assert s.nothing_left()


@pytest.mark.parametrize("seconds", [1.0, 247.0, 248.0, 500.0])
def test_a_request_may_be_on_its_way_when_message_ids_are_free_again(seconds: float) -> None:
    s = client()
    _, request = s.asked()
    s.receive(piggybacked(request))
    s.events()
    s.at(seconds)
    exchange, _ = s.asked()
    s.at(seconds + 93.0)
    assert s.failure(exchange) is Failure.TIMED_OUT
    assert s.nothing_left()
