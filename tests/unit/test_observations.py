"""What we observe: RFC 7641 section 3, the client's side."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep.message.block import Block
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Failure, NotificationReceived, RequestFailed
from coapsep.protocol.observations import is_fresh
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import (
    Longest,
    Scenario,
    ack,
    noted,
    piggybacked,
    rst,
)

MID = 0x7B50


def client(tuning: Tuning | None = None, rng: random.Random | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(tuning, rng=rng, serves=False)


def notified(s: Scenario, exchange: ClientExchange, message: Message) -> list[Message]:
    """A notification arrives, and is a new state; what it draws."""
    s.receive(message)
    assert s.state(exchange) == message.payload
    return s.sent()


def over(s: Scenario, exchange: ClientExchange) -> None:
    """It is over, and nothing is left: a late notification draws an RST."""
    assert exchange.stage is Stage.OVER
    late = noted(exchange.request, 4000, mid=0x7FFF)
    s.receive(late)
    assert s.sent() == [rst(0x7FFF)]
    assert s.events() == []
    assert s.nothing_left()


# -- registering: section 3.1 -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_registration_is_a_request_with_observe_0(kind: Type) -> None:
    s = client()
    options = Options.build(uri_path=["t"], accept=50)
    exchange = s.ask(kind, code=Code.FETCH, options=options, payload=b"body", observe=True)
    [sent] = s.sent()
    wanted = Options.build(uri_path=["t"], accept=50, observe=0)
    assert sent == Message(Code.FETCH, kind, sent.mid, exchange.token, wanted, b"body")


def test_the_first_response_is_the_first_state() -> None:
    s = client()
    exchange, request = s.observing()
    assert exchange.stage is Stage.OBSERVING
    assert notified(s, exchange, noted(request, 2, b"newer")) == [ack(0x7000)]
    assert notified(s, exchange, noted(request, 3, b"third", kind=Type.NON, mid=1)) == []
    statistics = s.core.statistics()
    assert (statistics.notifications_received, statistics.responses) == (3, 3)
    assert statistics.own_requests == 1


def test_the_first_response_may_be_separate_or_in_a_non() -> None:
    s = client()
    exchange = s.ask(observe=True)
    [request] = s.sent()
    s.receive(ack(request.mid))
    assert notified(s, exchange, noted(request, 5)) == [ack(0x7000)]
    assert exchange.stage is Stage.OBSERVING

    s = client()
    exchange = s.ask(Type.NON, observe=True)
    [request] = s.sent()
    assert notified(s, exchange, noted(request, 5, kind=Type.NON)) == []
    assert exchange.stage is Stage.OBSERVING


def test_a_separate_response_stands_for_the_lost_ack() -> None:
    """RFC 7252 section 5.2.2."""
    s = client()
    exchange = s.ask(observe=True)
    [request] = s.sent()
    notified(s, exchange, noted(request, 5))
    s.at(50)
    assert s.sent() == []


def test_a_server_that_does_not_observe_has_one_response() -> None:
    s = client()
    exchange = s.ask(observe=True)
    [request] = s.sent()
    s.receive(piggybacked(request))
    assert s.response(exchange).payload == b"ok"
    over(s, exchange)


def test_an_error_with_an_observe_option_is_the_last_response_all_the_same() -> None:
    s = client()
    exchange = s.ask(observe=True)
    [request] = s.sent()
    s.receive(noted(request, 3, kind=Type.ACK, mid=request.mid, code=Code.NOT_FOUND))
    assert s.response(exchange).code is Code.NOT_FOUND
    over(s, exchange)


def test_an_observation_does_not_count_against_nstart() -> None:
    """Nothing is outstanding between two notifications (RFC 7252 section 4.7)."""
    s = client()
    s.observing()
    first, request = s.asked()
    s.receive(piggybacked(request))
    assert s.response(first).payload == b"ok"


def test_a_registration_waits_for_its_turn() -> None:
    s = client()
    _, request = s.asked()
    exchange = s.ask(observe=True)
    assert s.sent() == []
    s.receive(piggybacked(request))
    s.events()
    [registration] = s.sent()
    assert registration.options.observe == 0
    assert exchange.stage is Stage.SENT


def test_a_registration_that_cannot_be_written_is_refused() -> None:
    s = client()
    with pytest.raises(ValueError):
        s.ask(options=Options([(2048, b"x" * 70_000)]), observe=True)
    assert s.nothing_left()


@pytest.mark.parametrize("end", ["timeout", "reset", "unreachable", "session"])
def test_a_registration_fails_as_any_request_does(end: str) -> None:
    s = client()
    exchange = s.ask(observe=True)
    [sent] = s.drain()
    if end == "timeout":
        s.at(100)
    elif end == "reset":
        s.receive(rst(sent.message.mid))
    elif end == "unreachable":
        s.refused(sent.data)
    else:
        s.lose()
    failures = {
        "timeout": Failure.TIMED_OUT,
        "reset": Failure.RESET,
        "unreachable": Failure.UNREACHABLE,
        "session": Failure.SESSION_LOST,
    }
    assert s.failure(exchange) is failures[end]
    s.drain()
    assert s.nothing_left()


# -- notifications: section 3.2 -----------------------------------------------------------------


def test_a_copy_of_a_notification_is_acknowledged_and_not_shown_again() -> None:
    s = client()
    exchange, request = s.observing()
    message = noted(request, 2)
    notified(s, exchange, message)
    s.receive(message)
    assert s.sent() == [ack(message.mid)]
    assert s.events() == []


def test_the_last_one_without_observe_is_shown_and_ends_it() -> None:
    s = client()
    exchange, request = s.observing()
    s.receive(noted(request, None, b"last"))
    assert s.sent() == [ack(0x7000)]
    assert s.response(exchange).payload == b"last"
    over(s, exchange)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
@pytest.mark.parametrize("number", [None, 7])
def test_an_error_ends_it(kind: Type, number: int | None) -> None:
    s = client()
    exchange, request = s.observing()
    s.receive(noted(request, number, b"", kind=kind, code=Code.NOT_FOUND))
    assert s.sent() == ([ack(0x7000)] if kind is Type.CON else [])
    assert s.response(exchange).code is Code.NOT_FOUND
    over(s, exchange)


def test_a_notification_that_is_not_understood_is_rejected_and_ends_it() -> None:
    """RFC 7252 section 5.4.1: RST, which also takes us off the list (section 3.6)."""
    s = client()
    exchange, request = s.observing()
    options = Options.build(observe=2, extra=[(65_001, b"?")])
    s.receive(Message(Code.CONTENT, Type.CON, MID, request.token, options, b"ok"))
    assert s.sent() == [rst(MID)]
    assert s.failure(exchange) is Failure.BAD_OPTION
    over(s, exchange)


def test_a_first_block_is_never_shown_as_the_whole() -> None:
    """RFC 7959 section 2.6."""
    s = client()
    _, request = s.observing()
    options = Options.build(observe=2, block2=Block(0, True, 16))
    s.receive(Message(Code.CONTENT, Type.CON, MID, request.token, options, bytes(16)))
    assert not any(isinstance(event, NotificationReceived) for event in s.events())


def test_a_notification_from_elsewhere_or_with_another_token_is_rejected() -> None:
    """Section 3.2: the token and the endpoint say what it belongs to."""
    s = client()
    exchange, request = s.observing()
    stranger = Message(Code.CONTENT, Type.CON, MID, b"other", Options.build(observe=9), b"!")
    s.receive(stranger)
    assert s.sent() == [rst(MID)]
    assert s.events() == []
    assert notified(s, exchange, noted(request, 2)) == [ack(0x7000)]


def test_a_lost_session_ends_it() -> None:
    s = client()
    exchange, _ = s.observing()
    s.lose()
    assert s.failure(exchange) is Failure.SESSION_LOST
    assert s.nothing_left()


def test_several_observations_of_one_peer_are_kept_apart() -> None:
    s = client()
    one, first = s.observing()
    two, second = s.observing()
    notified(s, one, noted(first, 2, b"one", mid=1))
    notified(s, two, noted(second, 2, b"two", mid=2))
    s.cancel(one)
    [farewell] = s.sent()
    assert farewell.token == first.token
    notified(s, two, noted(second, 3, b"still", mid=3))


# -- in which order: section 3.4 ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "fresh"),
    [
        (1, 2, True),
        (2, 1, False),
        (2, 2, False),
        (0, (1 << 23) - 1, True),
        (0, 1 << 23, False),
        (1 << 23, 0, False),
        ((1 << 23) + 1, 0, True),
        ((1 << 24) - 1, 0, True),
        (0, (1 << 24) - 1, False),
    ],
)
def test_numbers_are_compared_on_a_circle(old: int, new: int, fresh: bool) -> None:
    s = client()
    exchange, request = s.observing(old)
    s.receive(noted(request, new, b"new"))
    assert s.sent() == [ack(0x7000)]
    assert len(s.events()) == fresh
    assert s.core.statistics().notifications_stale == (not fresh)
    assert exchange.stage is Stage.OBSERVING


def test_after_128_seconds_anything_is_newer() -> None:
    s = client()
    exchange, request = s.observing(9, max_age=1000)
    s.at(128.0)
    s.receive(noted(request, 8, mid=1))
    assert s.events() == []
    s.at(128.1)
    notified(s, exchange, noted(request, 8, b"newer", mid=2))
    s.receive(noted(request, 7, mid=3))
    assert s.events() == []


def test_a_stale_one_changes_nothing() -> None:
    """Its Max-Age says nothing, and the number of the newest still counts."""
    s = client(rng=Longest())
    _, request = s.observing(9, max_age=30)
    s.at(20)
    s.receive(noted(request, 5, max_age=1000))
    s.receive(noted(request, 6, mid=2))
    assert s.events() == []
    s.drain()
    s.at(44.9)
    assert s.sent() == []
    s.at(45)
    assert len(s.sent()) == 1


def test_a_copy_of_the_first_response_is_stale() -> None:
    s = client()
    _, request = s.observing()
    s.receive(noted(request, 1, kind=Type.ACK, mid=request.mid))
    assert s.events() == []
    assert s.core.statistics().notifications_stale == 1


@given(st.integers(0, (1 << 24) - 1), st.integers(1, (1 << 24) - 1))
def test_of_two_numbers_one_is_newer(number: int, distance: int) -> None:
    """But for those exactly half the circle apart, of which none is."""
    other = (number + distance) % (1 << 24)
    both = [is_fresh(number, 0, other, 0), is_fresh(other, 0, number, 0)]
    assert both.count(True) == (distance != 1 << 23)
    assert is_fresh(number, 0, other, 0) == (distance < 1 << 23)


# -- registering again: section 3.3.1 -----------------------------------------------------------


@pytest.mark.parametrize(
    ("max_age", "wait"), [(None, 60), (0, 0), (30, 30), (2**32 - 1, 2**32 - 1)]
)
def test_it_registers_again_some_time_after_max_age(max_age: int | None, wait: int) -> None:
    for seed in range(5):
        s = client(rng=random.Random(seed))
        exchange, request = s.observing(max_age=max_age)
        s.at(wait + 4.9)
        assert s.sent() == []
        s.at(wait + 15.1)
        again, *_ = s.drain()
        assert wait + 5 <= again.at <= wait + 15
        sent = again.message
        assert sent == Message(
            Code.GET, Type.CON, sent.mid, request.token, Options.build(observe=0)
        )
        assert sent.mid != request.mid
        assert exchange.stage is Stage.SENT


def test_a_notification_puts_it_off() -> None:
    s = client(rng=Longest())
    exchange, request = s.observing(1, max_age=10)
    for number in range(2, 20):
        s.at(s.now + 20)
        notified(s, exchange, noted(request, number, mid=number, max_age=10))
    s.at(s.now + 24)
    assert s.sent() == []
    s.at(s.now + 1)
    assert len(s.sent()) == 1


def test_the_response_to_a_registration_is_fresh_whatever_its_number() -> None:
    """The server may have begun anew."""
    s = client(rng=Longest())
    exchange, request = s.observing(1000, max_age=10)
    s.at(25)
    [again] = s.sent()
    s.receive(noted(again, 3, b"reborn", kind=Type.ACK, mid=again.mid))
    assert s.state(exchange) == b"reborn"
    notified(s, exchange, noted(request, 4, b"next"))
    assert exchange.stage is Stage.OBSERVING


def test_so_is_a_separate_one() -> None:
    s = client(rng=Longest())
    exchange, _ = s.observing(1000, max_age=10)
    s.at(25)
    [again] = s.sent()
    s.receive(ack(again.mid))
    notified(s, exchange, noted(again, 3, b"reborn"))
    assert exchange.stage is Stage.OBSERVING


def test_a_fresh_notification_meanwhile_stands_for_its_response() -> None:
    """It shows that the server still has us on its list."""
    s = client(rng=Longest())
    exchange, request = s.observing(1, max_age=10)
    s.at(25)
    s.drain()
    notified(s, exchange, noted(request, 2, b"newer", max_age=1000))
    s.at(200)
    assert s.sent() == []


def test_a_stale_one_meanwhile_does_not() -> None:
    s = client(rng=Longest())
    exchange, request = s.observing(9, max_age=10)
    s.at(25)
    [again] = s.sent()
    s.receive(noted(request, 5))
    assert s.sent() == [ack(0x7000)]
    assert s.events() == []
    s.at(29)
    assert s.sent() == [again]
    s.receive(noted(again, 10, b"new", kind=Type.ACK, mid=again.mid))
    assert s.state(exchange) == b"new"


def test_notifications_are_shown_while_it_waits_for_its_turn() -> None:
    s = client(rng=Longest())
    exchange, request = s.observing(1, max_age=10)
    s.at(24)
    _, blocking = s.asked()
    s.at(25)
    assert exchange.stage.name == "QUEUED"
    notified(s, exchange, noted(request, 2, b"newer", max_age=1000))
    assert exchange.stage is Stage.OBSERVING
    s.receive(piggybacked(blocking))
    assert s.sent() == []


def test_if_nobody_answers_it_has_failed() -> None:
    s = client(rng=Longest())
    exchange, _ = s.observing(1, max_age=10)
    s.at(25 + 93)
    assert s.failure(exchange) is Failure.TIMED_OUT
    assert len(s.drain()) == 5
    over(s, exchange)


@pytest.mark.parametrize("how", ["reset", "refused"])
def test_if_it_is_turned_away_it_has_failed(how: str) -> None:
    s = client(rng=Longest())
    exchange, _ = s.observing(1, max_age=10)
    s.at(25)
    [again] = s.drain()
    if how == "reset":
        s.receive(rst(again.message.mid))
        assert s.failure(exchange) is Failure.RESET
    else:
        s.refused(again.data)
        assert s.failure(exchange) is Failure.UNREACHABLE
    over(s, exchange)


def test_if_the_server_is_not_asked_successfully_it_is_over() -> None:
    s = client(rng=Longest())
    exchange, _ = s.observing(1, max_age=10)
    s.at(25)
    [again] = s.sent()
    s.receive(piggybacked(again, Code.SERVICE_UNAVAILABLE, b""))
    assert s.response(exchange).code is Code.SERVICE_UNAVAILABLE
    over(s, exchange)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_one_that_is_never_answered_is_given_up(kind: Type) -> None:
    """A NON that is lost draws nothing, and neither may one that was acknowledged."""
    s = client(Tuning(max_retransmit=2), rng=Longest())
    exchange = s.ask(kind, observe=True)
    [request] = s.sent()
    s.receive(noted(request, 1, kind=Type.NON, mid=1, max_age=10))
    s.state(exchange)
    for count in (1, 2, 3):
        s.at(count * 25)
        [again] = s.sent()
        assert (again.type, again.token) == (kind, request.token)
        if kind is Type.CON:
            s.receive(ack(again.mid))
    s.at(99)
    assert s.sent() == []
    s.at(100)
    assert s.failure(exchange) is Failure.TIMED_OUT
    over(s, exchange)


def test_an_answer_to_a_later_one_keeps_it() -> None:
    s = client(Tuning(max_retransmit=1), rng=Longest())
    exchange = s.ask(Type.NON, observe=True)
    [request] = s.sent()
    s.receive(noted(request, 1, kind=Type.NON, mid=1, max_age=10))
    s.state(exchange)
    for number in range(2, 8):
        s.at(s.now + 25)
        s.at(s.now + 25)
        s.drain()
        s.receive(noted(request, number, kind=Type.NON, mid=number, max_age=10))
        s.state(exchange)
    assert exchange.stage is Stage.OBSERVING


def test_response_timeout_holds_for_a_registration_again() -> None:
    s = client(Tuning(response_timeout=5), rng=Longest())
    exchange, _ = s.observing(1, max_age=10)
    s.at(25)
    [again] = s.sent()
    s.receive(ack(again.mid))
    s.at(31)
    assert s.failure(exchange) is Failure.TOO_LATE
    over(s, exchange)


# -- giving it up: section 3.6 ------------------------------------------------------------------


def deregistering(s: Scenario) -> tuple[ClientExchange, Message]:
    """An observation that the application has just given up, and what leaves for it."""
    exchange, request = s.observing(max_age=30)
    s.cancel(exchange)
    assert exchange.stage is Stage.OVER
    [farewell] = s.sent()
    assert farewell.mid != request.mid
    return exchange, farewell


def test_giving_it_up_tells_the_server() -> None:
    """The same request with Observe=1 and the same token."""
    s = client()
    options = Options.build(uri_path=["t"], uri_query=["a=b"])
    exchange = s.ask(code=Code.FETCH, options=options, payload=b"q", observe=True)
    [request] = s.sent()
    s.receive(noted(request, 1, kind=Type.ACK, mid=request.mid))
    s.state(exchange)
    s.cancel(exchange)
    [farewell] = s.sent()
    wanted = Options.build(uri_path=["t"], uri_query=["a=b"], observe=1)
    assert farewell == Message(Code.FETCH, Type.CON, farewell.mid, request.token, wanted, b"q")
    s.receive(piggybacked(farewell))
    assert s.events() == []
    assert s.core.statistics().own_requests == 0
    assert s.core.statistics().requests_cancelled == 1
    over(s, exchange)


def test_the_response_may_be_separate() -> None:
    s = client()
    exchange, farewell = deregistering(s)
    s.receive(ack(farewell.mid))
    s.receive(noted(farewell, None))
    assert s.sent() == [ack(0x7000)]
    assert s.events() == []
    over(s, exchange)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_a_notification_meanwhile_draws_an_rst(kind: Type) -> None:
    s = client()
    exchange, farewell = deregistering(s)
    s.receive(noted(farewell, 2, kind=kind))
    assert s.sent() == [rst(0x7000)]
    assert s.events() == []
    s.at(5)
    assert s.sent() == [farewell]
    s.receive(piggybacked(farewell))
    over(s, exchange)


@pytest.mark.parametrize("end", ["timeout", "reset", "unreachable", "unsent", "session", "bad"])
def test_nobody_hears_how_that_ends(end: str) -> None:
    s = client()
    exchange, farewell = deregistering(s)
    if end == "timeout":
        s.at(100)
        assert len(s.drain()) == 4
    elif end == "reset":
        s.receive(rst(farewell.mid))
    elif end in ("unreachable", "unsent"):
        (s.refused if end == "unreachable" else s.unsent)(encode(farewell))
    elif end == "session":
        s.lose()
    else:
        options = Options.build(extra=[(65_001, b"?")])
        s.receive(Message(Code.CONTENT, Type.ACK, farewell.mid, farewell.token, options))
    assert s.events() == []
    assert exchange.stage is Stage.OVER
    assert s.core.statistics().requests_failed == 0
    assert s.nothing_left()


def test_giving_it_up_twice_is_giving_it_up_once() -> None:
    s = client()
    exchange, _ = deregistering(s)
    s.cancel(exchange)
    assert s.sent() == []


@pytest.mark.parametrize("stage", [Stage.QUEUED, Stage.SENT, Stage.ACKNOWLEDGED])
def test_a_registration_without_a_response_is_only_given_up(stage: Stage) -> None:
    """Whether the server has entered us is unknown; its notification draws the RST."""
    s = client()
    if stage is Stage.QUEUED:
        s.asked()
    exchange = s.ask(observe=True)
    if stage is Stage.ACKNOWLEDGED:
        s.receive(ack(exchange.request.mid))
    assert exchange.stage is stage
    s.drain()
    s.cancel(exchange)
    assert s.sent() == []
    s.receive(noted(exchange.request, 1))
    assert s.sent() == [rst(0x7000)]


@pytest.mark.parametrize("stage", [Stage.QUEUED, Stage.SENT, Stage.ACKNOWLEDGED])
def test_given_up_while_it_registers_again(stage: Stage) -> None:
    """One message takes the place of the other."""
    s = client(rng=Longest())
    exchange, request = s.observing(max_age=10)
    s.at(24)
    blocking = s.asked()[1] if stage is Stage.QUEUED else None
    s.at(25)
    again = s.sent()
    if stage is Stage.ACKNOWLEDGED:
        s.receive(ack(again[0].mid))
    assert exchange.stage is stage
    s.cancel(exchange)
    if blocking is not None:
        assert s.sent() == []
        s.receive(piggybacked(blocking))
        s.events()
    [farewell] = s.sent()
    assert (farewell.token, farewell.options.observe) == (request.token, 1)
    s.receive(piggybacked(farewell))
    assert s.events() == []
    s.at(s.now + 100)
    assert s.sent() == []
    over(s, exchange)


def test_it_takes_its_turn_behind_the_others() -> None:
    s = client()
    exchange, request = s.observing()
    _, blocking = s.asked()
    waiting = s.ask()
    s.cancel(exchange)
    assert s.sent() == []
    s.receive(noted(request, 2, kind=Type.NON))
    assert s.sent() == [rst(0x7000)]
    s.receive(piggybacked(blocking))
    [second] = s.sent()
    assert second.token == waiting.token
    s.receive(piggybacked(second))
    [farewell] = s.sent()
    assert farewell.options.observe == 1


def test_the_peer_is_still_known_after_a_long_silence() -> None:
    """When its message IDs are free again, only the observation keeps it."""
    s = client()
    exchange, _ = s.observing(max_age=100_000)
    s.at(90_000)
    assert s.core.statistics().peers == 1
    s.cancel(exchange)
    [farewell] = s.sent()
    s.receive(piggybacked(farewell))
    over(s, exchange)


# -- bounds -------------------------------------------------------------------------------------


def test_a_flood_of_notifications_fills_no_table() -> None:
    limits = Limits(dedup_entries=50, dedup_entries_per_session=40)
    s = Scenario(limits=limits, serves=False)
    exchange, request = s.observing()
    for number in range(2, 300):
        s.receive(noted(request, number, mid=number))
        assert s.sent() == [ack(number)]
    statistics = s.core.statistics()
    assert statistics.dedup_entries <= 40
    assert statistics.timers == 1
    assert len(s.events()) == 298
    assert exchange.stage is Stage.OBSERVING


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["con", "non", "ack", "last", "error", "wait", "cancel", "empty", "rst"]
            ),
            st.integers(0, 40),
        ),
        max_size=30,
    ),
    st.sampled_from([Type.CON, Type.NON]),
)
def test_whatever_comes_it_ends_once_and_leaves_nothing(
    steps: list[tuple[str, int]], kind: Type
) -> None:
    """The invariants are checked after each step; the states that are shown are in order."""
    s = client(rng=random.Random(7))
    exchange = s.ask(kind, observe=True)
    events, cancelled = s.events(), False
    for mid, (step, number) in enumerate(steps):
        request = exchange.request
        if step in ("con", "non", "ack", "last", "error"):
            s.receive(
                noted(
                    request,
                    None if step == "last" else number,
                    kind={"non": Type.NON, "ack": Type.ACK}.get(step, Type.CON),
                    mid=request.mid if step == "ack" else 0x4000 + mid,
                    code=Code.NOT_FOUND if step == "error" else Code.CONTENT,
                )
            )
        elif step == "wait":
            s.at(s.now + 3 * number)
        elif step == "cancel" and not cancelled:
            events += s.events()
            s.cancel(exchange)
            cancelled = True
        elif step in ("empty", "rst"):
            s.receive((ack if step == "empty" else rst)(request.mid))
        if cancelled:
            assert s.events() == []
        events += s.events()
    if not cancelled:
        s.cancel(exchange)
    s.at(s.now + 100)
    assert s.events() == []
    endings = [event for event in events if not isinstance(event, NotificationReceived)]
    assert len(endings) <= 1
    assert not endings or events[-1] is endings[0]
    assert all(event.exchange is exchange for event in events if isinstance(event, RequestFailed))
    s.drain()
    assert s.nothing_left()
