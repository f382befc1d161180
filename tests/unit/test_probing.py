"""NON requests to a peer that does not answer: PROBING_RATE, RFC 7252 section 4.7."""

from __future__ import annotations

import itertools
import random

import pytest

from coapsep.message.message import Message
from coapsep.numbers import Type
from coapsep.params import Tuning
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import OTHER_PEER, PEER, Scenario, Sent, non, piggybacked, rst, separate

#: A request whose datagram has 100 bytes: 12 of header and token, the marker, and the payload.
PAYLOAD = b"x" * 87
SIZE = 100
#: What may be sent to a silent peer before the rate counts, bytes.
BURST = 1152


def client(nstart: int = 1000, probing_rate: float = 1.0, start: float = 0.0) -> Scenario:
    """A core that asks and does not serve; ``nstart`` leaves PROBING_RATE to limit it."""
    s = Scenario(Tuning(nstart=nstart, probing_rate=probing_rate), serves=False)
    s.at(start)
    return s


def ask_all(s: Scenario, count: int) -> list[ClientExchange]:
    """As many NON requests of 100 bytes at once."""
    exchanges = [s.ask(Type.NON, payload=PAYLOAD) for _ in range(count)]
    assert all(len(exchange.data) == SIZE for exchange in exchanges)
    return exchanges


def answer(s: Scenario, request: Message) -> None:
    """Its response arrives, as a NON."""
    s.receive(separate(request, request.mid ^ 0x8000, Type.NON))
    s.events()


def fastest(sent: list[Sent]) -> float:
    """The highest rate, bytes a second, from the first datagram to any later one: what was
    sent before that one, less the burst."""
    total = itertools.accumulate(len(one.data) for one in sent)
    first = sent[0].at
    return max(
        (so_far - BURST - SIZE) / (one.at - first)
        for one, so_far in zip(sent, total, strict=True)
        if one.at > first
    )


# -- a place for NSTART: when to expect a response no longer ---------------------------------------


def test_a_non_request_that_is_not_answered_holds_its_place_for_its_bytes() -> None:
    s = client(nstart=1)
    first, second = ask_all(s, 2)
    assert len(s.sent()) == 1
    s.at(SIZE - 0.01)
    assert s.sent() == []
    s.at(SIZE)
    assert s.sent() == [second.request]
    s.receive(separate(first.request, 1, Type.NON))  # which may still come
    assert s.response(first)
    s.at(10_000.0)
    assert s.sent() == []


def test_at_a_higher_rate_the_place_is_free_sooner() -> None:
    s = client(nstart=1, probing_rate=50.0)
    _, second = ask_all(s, 2)
    s.drain()
    s.at(1.99)
    assert s.sent() == []
    s.at(2.0)
    assert s.sent() == [second.request]


def test_a_response_frees_the_place_at_once_and_only_once() -> None:
    s = client(nstart=1)
    first, second, third = ask_all(s, 3)
    s.drain()
    s.at(1.0)
    answer(s, first.request)
    assert s.sent() == [second.request]
    s.at(100.5)  # when the place of the first would have been free
    assert s.sent() == []
    s.at(101.0)
    assert s.sent() == [third.request]


def test_a_late_response_frees_no_second_place() -> None:
    s = client(nstart=1)
    first, second, third = ask_all(s, 3)
    s.at(100.0)
    s.drain()
    assert second.stage is Stage.SENT
    answer(s, first.request)
    assert s.sent() == []
    assert third.stage is Stage.QUEUED


# -- the rate ------------------------------------------------------------------------------------


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    s = client()
    ask_all(s, 20)
    assert len(s.drain()) == 12  # the first that reaches past 1152 bytes is the last
    s.at(10_000.0)
    times = [sent.at for sent in s.drain()]
    assert times == pytest.approx([48.0 + n * SIZE for n in range(8)])


@pytest.mark.parametrize("rate", [0.5, 3.0, 1000.0])
def test_the_rate_is_that_of_tuning(rate: float) -> None:
    s = client(probing_rate=rate)
    ask_all(s, 20)
    s.at(10_000.0)
    times = [sent.at for sent in s.drain()][12:]
    assert times == pytest.approx([(48.0 + n * SIZE) / rate for n in range(8)])


@pytest.mark.parametrize("nstart", [1, 3, 1000])
def test_cancelling_does_not_get_round_the_rate(nstart: int) -> None:
    """An application that gives up soon and asks again, for three hours."""
    s = client(nstart)
    for _ in range(2000):
        exchange = s.ask(Type.NON, payload=PAYLOAD)
        s.at(s.now + 5.0)
        s.cancel(exchange)
    sent = s.drain()
    assert fastest(sent) <= 1.0 + 1e-6
    assert sum(len(one.data) for one in sent) > 10_000  # and no slower than allowed


def test_a_pause_earns_a_burst_and_no_more() -> None:
    s = client()
    ask_all(s, 12)
    s.at(600.0)
    assert len(s.drain()) == 12
    ask_all(s, 12)
    assert len(s.drain()) == 6  # 600 of the 1200 bytes were paid for
    s.at(100_000.0)
    assert len(s.drain()) == 6
    ask_all(s, 20)
    assert len(s.drain()) == 12


def test_what_is_heard_from_the_peer_is_a_burst_again() -> None:
    s = client()
    exchanges = ask_all(s, 12)
    s.drain()
    s.at(1.0)
    answer(s, exchanges[5].request)
    ask_all(s, 20)
    assert len(s.drain()) == 12


@pytest.mark.parametrize("what", ["a response to another", "nonsense", "a request"])
def test_anything_that_is_heard_will_do(what: str) -> None:
    s = Scenario(Tuning(nstart=1000))
    ask_all(s, 12)
    s.drain()
    s.at(1.0)
    if what == "nonsense":
        s.receive(b"\x70\xff\0\0")
    elif what == "a request":
        s.receive(non(1))
    else:
        s.receive(non(1, token=b"unasked"))
    s.at(2.0)
    ask_all(s, 20)
    assert len(s.drain()) == 12


def test_what_is_heard_before_a_burst_does_not_pay_for_it() -> None:
    s = client()
    exchange, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(exchange)
    s.at(1.0)
    ask_all(s, 12)
    s.at(2.0)
    ask_all(s, 12)
    assert len(s.drain()) == 12


def test_what_is_heard_from_another_peer_does_not_count() -> None:
    s = client()
    ask_all(s, 12)
    s.drain()
    exchange, request = s.asked(Type.NON, OTHER_PEER)
    s.receive(separate(request, 1, Type.NON), OTHER_PEER)
    assert s.response(exchange)
    ask_all(s, 2)
    assert s.drain() == []


def test_a_peer_that_answers_is_asked_as_fast_as_it_answers() -> None:
    s = client(nstart=1)
    exchanges = ask_all(s, 100)
    for exchange in exchanges:
        assert s.sent() == [exchange.request]
        answer(s, exchange.request)
    assert s.now == 0.0


def test_a_confirmable_request_waits_behind_one_that_is_held_back() -> None:
    """One queue: it would otherwise overtake. Its turn comes as soon as the other has left."""
    s = client()
    ask_all(s, 13)
    assert len(s.drain()) == 12
    confirmable = s.ask()
    assert s.sent() == []
    s.at(47.9)
    assert s.sent() == []
    s.at(48.1)
    assert len(s.sent()) == 2
    assert confirmable.stage is Stage.SENT


def test_when_the_one_that_is_held_back_is_cancelled_a_confirmable_one_leaves() -> None:
    s = client()
    exchanges = ask_all(s, 13)
    s.drain()
    confirmable = s.ask()
    s.cancel(exchanges[12])
    assert s.sent() == [confirmable.request]
    s.cancel(confirmable)
    for exchange in exchanges:
        s.cancel(exchange)
    assert s.core.statistics().timers == 1  # which is for the message IDs
    assert s.nothing_left()


def test_when_one_that_was_sent_is_answered_the_one_that_is_held_back_leaves() -> None:
    s = client()
    exchanges = ask_all(s, 14)
    s.drain()
    s.at(1.0)
    answer(s, exchanges[0].request)
    assert s.sent() == [exchanges[12].request, exchanges[13].request]


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_when_a_late_response_comes_the_one_that_is_held_back_leaves(kind: Type) -> None:
    """It answers nothing any more, and says that somebody is there."""
    s = client()
    exchanges = ask_all(s, 14)
    late = exchanges[0]
    s.cancel(late)
    s.drain()
    s.at(1.0)
    s.receive(separate(late.request, 1, kind))
    assert [m for m in s.sent() if m.code.is_request] == [e.request for e in exchanges[12:]]
    assert s.events() == []


def test_when_an_rst_comes_the_one_that_is_held_back_leaves() -> None:
    s = client()
    exchanges = ask_all(s, 13)
    s.cancel(exchanges[0])
    s.drain()
    s.at(1.0)
    s.receive(rst(exchanges[0].request.mid))
    assert s.sent() == [exchanges[12].request]


def test_a_pause_in_which_the_peer_is_forgotten_earns_no_more_than_any_other() -> None:
    """Not while the rate has not paid for what it was sent, though all is over and the message
    IDs are free again."""
    s = client()
    for _ in range(20):
        for exchange in ask_all(s, 12):
            s.cancel(exchange)
        s.at(s.now + 300.0)
    assert fastest(s.drain()) <= 1.0 + 1e-6
    s.at(s.now + 2000.0)
    assert s.core.statistics().peers == 0


def test_requests_to_other_peers_are_not_held_back() -> None:
    s = client()
    ask_all(s, 13)
    s.drain()
    for n in range(3):
        exchange, request = s.asked(Type.NON, OTHER_PEER)
        s.receive(separate(request, n, Type.NON), OTHER_PEER)
        assert s.response(exchange)
    assert PEER != OTHER_PEER


def test_whatever_the_clock_says_the_queue_goes_on() -> None:
    """The time to go on is rounded to what a float can hold, and may be a little early for it:
    what is then left to wait for must not be waited for at that same moment, for ever."""
    rng = random.Random(1)
    for _ in range(200):
        start, rate = rng.uniform(0, 1e6), rng.uniform(0.1, 100)
        s = client(probing_rate=rate, start=start)
        for _ in range(20):
            s.ask(Type.NON, payload=b"x" * rng.randrange(50, 300))
        s.at(start + 20 * 313 / rate)
        assert len(s.drain()) == 20
        assert s.core.statistics().timers == 0
