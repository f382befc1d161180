"""Our own Confirmable messages: RFC 7252 sections 4.2, 4.7 and 4.8."""

from __future__ import annotations

import itertools
import random

import attrs
import pytest

from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Tuning
from coapsep.protocol.events import ResponseUndelivered, Undelivered
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import (
    CLIENT,
    CLIENT_ELSEWHERE,
    OTHER,
    Longest,
    Scenario,
    ack,
    con,
    non,
    rst,
)


def undelivered(s: Scenario) -> list[tuple[bytes, Undelivered]]:
    """The events since the last look: which requests, by token, and why."""
    events = s.events()
    assert all(isinstance(event, ResponseUndelivered) for event in events)
    return [(e.response.token, e.reason) for e in events if isinstance(e, ResponseUndelivered)]


def answer_all(s: Scenario, count: int) -> list[Exchange]:
    """Answer that many requests separately, with tokens 0, 1, 2 ..., at one time."""
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(count)]
    for exchange in exchanges:
        s.respond(exchange, Response(Code.CONTENT, exchange.request.token))
    return exchanges


def tokens(s: Scenario) -> list[int]:
    """The tokens of what was sent since the last look."""
    return [message.token[0] for message in s.sent()]


# -- retransmission ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_section_4_2_the_wait_begins_between_timeout_and_factor_and_doubles(seed: int) -> None:
    s = Scenario(rng=random.Random(seed))
    s.answered(con(1))
    s.at(100.0)
    times = [0.0, *(sent.at for sent in s.drain())]
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert 2.0 <= waits[0] <= 3.0
    assert waits == pytest.approx([waits[0] * factor for factor in (1, 2, 4, 8)])


def test_the_first_wait_is_drawn_anew_from_the_given_generator() -> None:
    def waits(seed: int) -> list[float]:
        s = Scenario(rng=random.Random(seed))
        drawn = []
        for n in range(20):
            _, response = s.answered(con(n))
            drawn.append(s.core._timers.next_deadline())
            s.receive(ack(response.mid))
        return drawn

    first = waits(3)
    assert len(set(first)) == 20
    assert max(first) - min(first) > 0.5
    assert waits(3) == first
    assert waits(4) != first


def test_a_message_is_sent_again_max_retransmit_times_and_then_given_up() -> None:
    s = Scenario(rng=Longest())
    exchange, response = s.answered(con(1))
    s.at(93.0 - 0.001)
    assert [sent.at for sent in s.drain()] == [3.0, 9.0, 21.0, 45.0]
    assert s.events() == []
    assert exchange.phase is Phase.ANSWERED
    s.at(s.tuning.max_transmit_wait)  # 93 s
    assert s.sent() == []
    assert s.events() == [ResponseUndelivered(exchange, response, Undelivered.TIMED_OUT)]
    counted = s.core.statistics()
    assert (counted.retransmissions, counted.timed_out, counted.open_requests) == (4, 1, 0)


@pytest.mark.parametrize("times", [0, 1, 7])
def test_max_retransmit_is_a_parameter(times: int) -> None:
    tuning = Tuning(max_retransmit=times, ack_timeout=1.0, ack_random_factor=1.0)
    s = Scenario(tuning)
    s.answered(con(1))
    s.at(tuning.max_transmit_wait)
    assert len(s.sent()) == times
    assert undelivered(s) == [(con(1).token, Undelivered.TIMED_OUT)]


def test_every_transmission_has_the_same_bytes() -> None:
    s = Scenario()
    exchange = s.deferred(con(1))
    s.respond(exchange, Response(Code.CONTENT, b"body", max_age=9))
    s.at(100.0)
    copies = s.drain()
    assert len(copies) == 5
    assert len({sent.data for sent in copies}) == 1
    assert {sent.session for sent in copies} == {CLIENT}


@pytest.mark.parametrize("after", [0, 1, 4])
def test_an_ack_ends_it_after_any_transmission(after: int) -> None:
    s = Scenario(rng=Longest())
    exchange, response = s.answered(con(1))
    s.at((0, 3, 9, 21, 45)[after])
    assert len(s.drain()) == after
    s.receive(ack(response.mid))
    assert exchange.phase is Phase.CLOSED
    assert s.core.statistics().delivered == 1
    s.at(200.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


def test_an_rst_ends_it_and_is_reported() -> None:
    s = Scenario()
    exchange, response = s.answered(con(1))
    s.receive(rst(response.mid))
    assert s.events() == [ResponseUndelivered(exchange, response, Undelivered.RESET)]
    assert s.core.statistics().reset == 1
    s.at(200.0)
    assert s.sent() == []
    assert s.nothing_left()


def test_a_copy_of_the_ack_is_ignored() -> None:
    s = Scenario()
    _, response = s.answered(con(1))
    s.receive(ack(response.mid))
    s.receive(ack(response.mid))
    s.receive(rst(response.mid))
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.delivered, counted.reset, counted.ignored) == (1, 0, 2)


def test_what_does_not_match_does_not_end_it() -> None:
    s = Scenario()
    exchange, response = s.answered(con(1))
    mid = response.mid
    for session in (OTHER, CLIENT_ELSEWHERE):
        s.receive(ack(mid), session)
        s.receive(rst(mid), session)
    for other in (1, mid + 1 & 0xFFFF, mid - 1 & 0xFFFF, mid ^ 0x8000):
        s.receive(ack(other))
        s.receive(rst(other))
    for kind in (Type.ACK, Type.RST):
        s.receive(Message(Code.CONTENT, kind, mid, response.token))
        s.receive(Message(Code.GET, kind, mid))
        s.receive(encode(attrs.evolve(ack(mid), type=kind)) + b"\xffp")
        s.receive(bytes((0x41 | kind << 4,)) + encode(ack(mid))[1:] + b"t")
        s.receive(bytes((0x41 | kind << 4,)) + encode(ack(mid))[1:])
        s.receive(bytes((0x80 | kind << 4,)) + encode(ack(mid))[1:])
    assert exchange.phase is Phase.ANSWERED
    assert s.sent() == []
    assert s.events() == []
    s.at(100.0)
    assert len(s.sent()) == 4


# -- the window: section 4.7; docs/architecture.md, "Responses have a window of their own" ------


def test_the_window_is_full_and_the_next_leaves_when_one_is_acknowledged() -> None:
    s = Scenario(Tuning(response_window=2))
    answer_all(s, 4)
    first, second = s.sent()
    assert (first.token, second.token) == (b"\0", b"\1")
    s.at(1.0)
    s.receive(ack(second.mid))
    assert tokens(s) == [2]
    s.receive(ack(first.mid))
    assert tokens(s) == [3]


@pytest.mark.parametrize("end", ["rst", "replaced", "closed"])
def test_a_place_in_the_window_is_free_however_it_ended(end: str) -> None:
    s = Scenario(Tuning(response_window=1))
    first, _ = answer_all(s, 2)
    [response] = s.sent()
    if end == "rst":
        s.receive(rst(response.mid))
    elif end == "replaced":
        s.receive(con(99, token=b"\0", path="other"))
    else:
        s.finish(first)
    assert tokens(s) == [1]


def test_each_peer_has_a_window_of_its_own() -> None:
    s = Scenario(Tuning(response_window=1))
    s.answered(con(1))
    s.answered(con(1), OTHER)
    assert s.core.open_requests == 2


def test_one_lost_ack_does_not_hold_up_the_others() -> None:
    s = Scenario(Tuning(response_window=2))
    answer_all(s, 20)
    lost, response = s.sent()
    arrived = [response]
    while arrived:
        s.at(s.now + 0.05)
        s.receive(ack(arrived.pop().mid))
        arrived += (m for m in s.sent() if m.token != lost.token)
    assert s.now < 1.5
    assert s.core.statistics().delivered == 19


def test_a_message_gets_its_id_when_it_leaves_and_they_leave_in_order() -> None:
    s = Scenario(Tuning(response_window=1), rng=Longest(first=100))
    answer_all(s, 3)
    seen = []
    while sent := s.sent():
        [response] = sent
        seen.append((response.token[0], response.mid))
        s.receive(ack(response.mid))
    assert seen == [(0, 100), (1, 101), (2, 102)]


def test_what_waits_is_dropped_when_one_times_out_and_the_peer_was_silent() -> None:
    s = Scenario(Tuning(response_window=1), rng=Longest())
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(3)]
    s.at(1.0)
    for exchange in exchanges:
        s.respond(exchange)
    s.at(93.9)
    assert tokens(s) == [0] * 5
    s.at(94.0)
    assert s.sent() == []
    assert sorted(undelivered(s)) == [
        (b"\0", Undelivered.TIMED_OUT),
        (b"\1", Undelivered.DROPPED),
        (b"\2", Undelivered.DROPPED),
    ]
    counted = s.core.statistics()
    assert (counted.timed_out, counted.dropped, counted.open_requests) == (1, 2, 0)
    assert s.nothing_left()


def test_what_waits_goes_on_when_the_peer_was_heard_from() -> None:
    s = Scenario(Tuning(response_window=1), rng=Longest())
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(2)]
    s.at(1.0)
    for exchange in exchanges:
        s.respond(exchange)
    s.at(50.0)
    s.receive(non(9, token=b"\x09"))
    s.events()
    s.drain()
    s.at(94.0)
    assert undelivered(s) == [(b"\0", Undelivered.TIMED_OUT)]
    assert tokens(s) == [1]


def test_hearing_another_peer_is_not_hearing_this_one() -> None:
    s = Scenario(Tuning(response_window=1), rng=Longest())
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(2)]
    s.at(1.0)
    for exchange in exchanges:
        s.respond(exchange)
    s.at(50.0)
    s.receive(non(9), OTHER)
    s.receive(non(9), CLIENT_ELSEWHERE)
    s.events()
    s.at(94.0)
    assert (b"\1", Undelivered.DROPPED) in undelivered(s)


def test_the_ack_that_let_a_message_go_was_heard_before_it_and_not_since() -> None:
    """In a full window every CON is sent at the very time of the ACK before it."""
    s = Scenario(Tuning(response_window=1), rng=Longest())
    answer_all(s, 3)
    [first] = s.sent()
    s.at(1.0)
    s.receive(ack(first.mid))
    assert tokens(s) == [1]
    s.at(94.0)
    assert tokens(s) == [1] * 4
    assert sorted(undelivered(s)) == [
        (b"\1", Undelivered.TIMED_OUT),
        (b"\2", Undelivered.DROPPED),
    ]


def test_when_a_whole_window_times_out_each_is_reported_once() -> None:
    s = Scenario(Tuning(response_window=3))
    exchanges = [s.deferred(con(n, token=bytes((n,)))) for n in range(6)]
    s.at(1.0)
    for exchange in exchanges:
        s.respond(exchange)
    s.at(100.0)
    reported = dict(undelivered(s))
    assert [reported[bytes((n,))] for n in range(6)] == (
        [Undelivered.TIMED_OUT] * 3 + [Undelivered.DROPPED] * 3
    )
    assert s.nothing_left()


# -- message IDs run out: section 4.4 ---------------------------------------------------------


def exhausted() -> Scenario:
    """At 10 s, all message IDs to CLIENT but one were given out."""
    s = Scenario(Tuning(response_window=4), rng=Longest(), checked=False)
    s.open(non(0xFFFF, token=b"holder"))
    s.at(10.0)
    peer = s.core._peers.find(CLIENT)
    assert peer is not None
    ids = s.core._peers.message_ids(peer)
    assert [ids.allocate(s.now) for _ in range(65535)] == list(range(65535))
    return s


def test_con_responses_wait_for_free_message_ids_and_then_leave() -> None:
    s = exhausted()
    answer_all(s, 7)
    [last] = s.sent()
    assert (last.token, last.mid) == (b"\0", 65535)
    s.receive(ack(last.mid))
    assert s.sent() == []
    s.at(10.0 + s.tuning.exchange_lifetime)
    assert s.sent() == []
    s.at(10.0 + s.tuning.exchange_lifetime + 2)
    left = s.sent()
    assert [(m.token, m.mid) for m in left] == [(bytes((n,)), n - 1) for n in (1, 2, 3, 4)]
    for message in left:
        s.receive(ack(message.mid))
    assert tokens(s) == [5, 6]
    assert s.events() == []
    s.check()


def test_non_responses_are_dropped_and_counted() -> None:
    s = exhausted()
    for n in range(3):
        s.respond(s.open(non(n, token=bytes((n,)))))
    assert tokens(s) == [0]
    counted = s.core.statistics()
    assert (counted.non_responses, counted.dropped) == (1, 2)
    assert counted.open_requests == 1  # the holder
    s.check()


def test_another_peer_has_message_ids_of_its_own_left() -> None:
    s = exhausted()
    s.answered(con(1))
    assert s.answered(con(1, token=b"x"), OTHER)[1].mid == 0


def test_a_peer_is_remembered_while_message_ids_to_it_are_in_use() -> None:
    """Otherwise the next sequence could begin among them (section 4.4)."""
    s = Scenario(Tuning(max_latency=1.0), rng=Longest(first=500))
    s.at(40.0)
    _, response = s.answered(con(1))
    s.receive(ack(response.mid))
    later = 40.0 + s.tuning.exchange_lifetime - 0.5
    s.at(later)
    assert s.answered(con(2))[1].mid == 501


# -- what cannot be written ---------------------------------------------------------------------


def test_a_response_that_cannot_be_written_is_refused_when_it_is_given() -> None:
    """And not when the window opens, in the middle of receiving something else."""
    s = Scenario(Tuning(response_window=1), checked=False)
    _, first = s.answered(con(1, token=b"1"))
    exchange = s.deferred(con(2, token=b"2"))
    no_option = Options([(2048, b"x" * 70_000)])
    with pytest.raises(ValueError):
        s.respond(exchange, Response(Code.CONTENT, options=no_option))
    s.receive(ack(first.mid))
    assert exchange.phase is Phase.DEFERRED
    s.respond(exchange)
    assert [message.token for message in s.sent()] == [b"2"]
