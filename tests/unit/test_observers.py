"""Observers, RFC 7641 section 4: who is told what, when, and how often."""

from __future__ import annotations

import random

import pytest

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Failure, ObserverEnded, ResponseUndelivered
from coapsep.protocol.held import Topic
from coapsep.protocol.records import Exchange, Phase
from tests.unit.scenario import OTHER, Longest, Scenario, ack, con, non, rst, session

KEY = "topic"
NONS = Tuning(confirm_every=1000, non_notification_gap=3.0)
#: With these, the nth repetition is due after 3 * (2**n - 1) seconds.
LAST = 93.0


def ask(
    mid: int,
    *,
    token: bytes = b"\x2a",
    kind: Type = Type.CON,
    observe: int | None = 0,
    code: Code = Code.GET,
    payload: bytes = b"",
    **options: object,
) -> Message:
    """A request to observe."""
    built = Options.build(
        uri_path=["temperature"],
        observe=observe,
        **options,  # type: ignore[arg-type]  # names of options, as build has them
    )
    return Message(code, kind, mid, token, built, payload)


def state(number: int) -> Response:
    return Response(Code.CONTENT, b"%d" % number)


def scenario(
    tuning: Tuning | None = None, limits: Limits | None = None, *, verified: bool = True
) -> Scenario:
    """A core whose timeouts are the longest ones. A client that has not shown that it gets
    what it is sent is sent CONs only: most of these tests are about others."""
    off = limits or Limits()
    s = Scenario(tuning, off, Longest())
    if verified:
        # It acknowledges something.
        _, response = s.answered(con(0xF000, token=b"first", path="other"))
        s.receive(ack(response.mid))
    return s


def registered(s: Scenario, **parts: object) -> Message:
    """The answer to a request to observe, piggybacked."""
    return s.observed(ask(1, **parts))  # type: ignore[arg-type]


def told(s: Scenario) -> Message:
    """The one notification since the last look."""
    [message] = s.sent()
    return message


def payload(s: Scenario) -> bytes:
    return told(s).payload


def observers(s: Scenario) -> int:
    assert s.core.statistics().observers == len(s.core.observers_of(KEY))
    return len(s.core.observers_of(KEY))


def ended(s: Scenario) -> int:
    """How many observers have ended since the last look."""
    return sum(isinstance(event, ObserverEnded) for event in s.events())


def number_of(message: Message) -> int:
    number = message.options.observe
    assert number is not None
    return number


# -- registering: section 4.1 --------------------------------------------------------------------


def test_the_answer_says_that_its_client_is_entered() -> None:
    s = scenario()
    answer = registered(s)
    assert (answer.type, answer.mid, answer.token) == (Type.ACK, 1, b"\x2a")
    assert answer.options.observe is not None
    assert observers(s) == 1
    s.notify(KEY, state(1))
    notification = told(s)
    assert (notification.type, notification.code) == (Type.CON, Code.CONTENT)
    assert (notification.token, notification.payload) == (b"\x2a", b"1")
    assert number_of(notification) > number_of(answer)
    s.receive(ack(notification.mid))
    assert observers(s) == 1
    s.lose()
    assert ended(s) == 1
    assert s.nothing_left()


def test_a_registration_by_a_separate_response() -> None:
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange, state(0))
    answer = told(s)
    assert answer.type is Type.CON
    assert answer.options.observe is not None
    # It is a notification like any other: the next one waits for it.
    s.notify(KEY, state(1))
    assert s.sent() == []
    s.receive(ack(answer.mid))
    assert exchange.phase is Phase.CLOSED
    notification = told(s)
    assert notification.payload == b"1"
    assert number_of(notification) > number_of(answer)


def test_a_separate_response_is_renewed_in_flight() -> None:
    """Section 4.5.2: the newest state takes its place."""
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange, state(0))
    first = told(s)
    s.notify(KEY, state(1))
    s.at(3.0)
    second = told(s)
    assert (second.payload, second.type) == (b"1", Type.CON)
    assert second.mid != first.mid
    s.receive(ack(second.mid))
    assert s.sent() == []
    assert exchange.phase is Phase.CLOSED
    assert observers(s) == 1


@pytest.mark.parametrize("outcome", ["reset", "time"])
def test_a_separate_response_that_does_not_arrive(outcome: str) -> None:
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange, state(0))
    answer = told(s)
    if outcome == "reset":
        s.receive(rst(answer.mid))
    else:
        s.at(LAST)
    undelivered, gone = s.events()
    assert isinstance(undelivered, ResponseUndelivered)
    assert isinstance(gone, ObserverEnded)
    assert observers(s) == 0
    assert exchange.phase is Phase.CLOSED
    s.sent()
    s.notify(KEY)
    assert s.sent() == []
    assert s.nothing_left()


def test_a_registration_by_non() -> None:
    s = scenario()
    answer = registered(s, kind=Type.NON)
    assert answer.type is Type.NON
    assert answer.options.observe is not None
    assert observers(s) == 1
    # The answer is a NON, and the next one keeps its distance.
    s.notify(KEY, state(1))
    assert s.sent() == []
    s.at(3.0)
    assert payload(s) == b"1"


def test_the_answer_by_non_may_be_answered_with_rst() -> None:
    s = scenario()
    answer = registered(s, kind=Type.NON)
    s.receive(rst(answer.mid))
    assert observers(s) == 0
    assert s.nothing_left()


@pytest.mark.parametrize("code", [Code.NOT_FOUND, Code.SERVICE_UNAVAILABLE])
def test_an_error_enters_nobody(code: Code) -> None:
    s = scenario()
    answer = s.observed(ask(1), response=Response(code))
    assert answer.options.observe is None
    assert observers(s) == 0
    assert s.nothing_left()


def test_a_request_without_a_topic_enters_nobody() -> None:
    s = scenario()
    s.respond(s.open(ask(1)))
    assert told(s).options.observe is None
    assert observers(s) == 0


def test_valid_enters_too() -> None:
    s = scenario()
    answer = s.observed(ask(1, etags=[b"e"]), response=Response(Code.VALID, etag=b"e"))
    assert answer.options.observe is not None
    assert observers(s) == 1


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_the_same_token_registers_again(kind: Type) -> None:
    """Section 4.1: it is entered once, and the new request is the one that counts."""
    s = scenario()
    first = registered(s)
    again = ask(2, kind=kind, uri_query=["unit=f"])
    answer = s.observed(again, key="other")
    assert number_of(answer) > number_of(first)
    assert s.core.observers_of(KEY) == ()
    [observer] = s.core.observers_of("other")
    assert observer.request == again
    assert s.core.statistics().observers == 1


def test_whoever_registers_again_is_not_sent_what_is_under_way() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, state(2))
    s.sent()
    s.observed(ask(2), response=state(3))
    s.at(LAST)
    assert s.sent() == []
    s.notify(KEY, state(4))
    assert payload(s) == b"4"


def test_whoever_registers_again_in_vain_is_no_observer() -> None:
    s = scenario()
    registered(s)
    s.observed(ask(2), response=Response(Code.NOT_FOUND))
    assert observers(s) == 0
    s.notify(KEY)
    assert s.sent() == []
    assert s.nothing_left()


def test_whoever_registers_again_while_the_separate_answer_is_under_way() -> None:
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange, state(0))
    s.sent()
    new = s.open_after_end(ask(2))
    s.defer(new)
    s.sent()
    assert exchange.phase is Phase.CLOSED
    s.notify(KEY, state(1))
    assert s.sent() == []
    new.topic = Topic(KEY, None)
    s.respond(new, state(1))
    s.receive(ack(told(s).mid))
    s.notify(KEY, state(2))
    assert payload(s) == b"2"


def test_other_tokens_and_other_clients_are_other_observers() -> None:
    s = scenario()
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.receive(ask(1), OTHER)
    exchange = s.request()
    exchange.topic = Topic(KEY, None)
    s.respond(exchange)
    s.sent()
    assert observers(s) == 3
    s.notify(KEY, state(1))
    assert [(one.session.peer, one.message.token) for one in s.drain()] == [
        (s.peer.peer, b"\x2a"),
        (s.peer.peer, b"b"),
        (OTHER.peer, b"\x2a"),
    ]


def test_a_copy_of_the_request_draws_the_same_answer() -> None:
    s = scenario()
    answer = registered(s)
    s.receive(ask(1))
    assert s.sent() == [answer]
    assert observers(s) == 1


# -- deregistering: sections 3.6 and 4.1 ---------------------------------------------------------


@pytest.mark.parametrize("observe", [1, None, 2])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_any_other_request_with_the_token_deregisters(observe: int | None, kind: Type) -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    s.sent()
    exchange = s.open_after_end(ask(2, observe=observe, kind=kind))
    s.respond(exchange, state(1))
    answer = told(s)
    assert answer.options.observe is None
    assert observers(s) == 0
    s.at(LAST)
    assert s.sent() == []
    assert s.nothing_left()


def test_a_deregistration_for_something_else() -> None:
    """The token and the client name the entry, not the path."""
    s = scenario()
    registered(s)
    s.receive(con(9, path="elsewhere"))
    assert observers(s) == 0


def test_the_token_of_somebody_else_deregisters_nobody() -> None:
    s = scenario()
    registered(s)
    s.receive(ask(2, observe=1, token=b"b"))
    s.receive(ask(2, observe=1), OTHER)
    assert observers(s) == 1


def test_a_deregistration_while_the_separate_answer_is_under_way() -> None:
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange)
    s.sent()
    s.respond(s.open_after_end(ask(2, observe=1)))
    s.sent()
    assert exchange.phase is Phase.CLOSED
    assert observers(s) == 0
    assert s.core.open_requests == 0
    assert s.nothing_left()


def test_a_deregistration_that_is_refused_changes_nothing() -> None:
    s = scenario(limits=Limits(requests_per_session=1))
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange)
    answer = told(s)
    s.receive(ask(2, observe=1))
    assert told(s).code is Code.SERVICE_UNAVAILABLE
    assert observers(s) == 1
    s.receive(ack(answer.mid))
    assert s.core.open_requests == 0
    s.lose()
    s.events()
    assert s.nothing_left()


@pytest.mark.parametrize("tuning", [Tuning(), NONS])
def test_rst_deregisters(tuning: Tuning) -> None:
    s = scenario(tuning)
    registered(s)
    s.notify(KEY, state(1))
    s.receive(rst(told(s).mid))
    assert observers(s) == 0
    assert ended(s) == 1
    assert s.core.statistics().notifications_reset == 1
    s.notify(KEY, state(2))
    assert s.sent() == []
    assert s.nothing_left()


def test_rst_to_one_of_the_last_nons() -> None:
    s = scenario(NONS)
    registered(s)
    mids = []
    for number in range(6):
        s.notify(KEY, state(number))
        mids.append(told(s).mid)
        s.at(s.now + 3.0)
    for mid in mids[:2]:
        s.receive(rst(mid))
        assert observers(s) == 1
    s.receive(rst(mids[2]))
    assert observers(s) == 0
    assert s.nothing_left()


def test_rst_from_somebody_else() -> None:
    s = scenario(NONS)
    registered(s)
    s.notify(KEY)
    mid = told(s).mid
    s.receive(rst(mid), OTHER)
    assert observers(s) == 1


def test_rst_to_a_request_of_ours() -> None:
    """Who observes us may be asked something, too, and its RST is for that."""
    s = scenario(NONS)
    registered(s)
    exchange = s.ask(Type.NON)
    s.receive(rst(told(s).mid))
    assert s.failure(exchange) is Failure.RESET
    assert observers(s) == 1


def test_rst_to_one_token_leaves_the_others() -> None:
    s = scenario()
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.notify(KEY, state(1))
    a, b = s.sent()
    s.receive(rst(a.mid))
    s.receive(ack(b.mid))
    assert [one.token for one in s.core.observers_of(KEY)] == [b"b"]


# -- what is sent, and in which order: sections 4.2 to 4.4 ---------------------------------------


def test_the_numbers_increase_beyond_their_24_bits() -> None:
    class Large(random.Random):
        def getrandbits(self, k: int, /) -> int:
            return (1 << k) - 3 if k == 24 else super().getrandbits(k)

    s = Scenario(rng=Large(1))
    numbers = [number_of(s.observed(ask(1)))]
    for count in range(4):
        s.notify(KEY, state(count))
        notification = told(s)
        numbers.append(number_of(notification))
        s.receive(ack(notification.mid))
    assert numbers == [0xFFFFFE, 0xFFFFFF, 0, 1, 2]


def test_a_notification_has_the_options_of_its_response() -> None:
    s = scenario()
    s.observed(ask(1), response=Response(Code.CONTENT, b"0", content_format=50))
    s.notify(KEY, Response(Code.CONTENT, b"1", content_format=50, max_age=7, etag=b"e"))
    options = told(s).options
    assert options.without(OptionNumber.OBSERVE) == Options.build(
        content_format=50, max_age=7, etags=[b"e"]
    )


def test_one_is_under_way_and_the_newest_waits() -> None:
    """Section 4.5.1: no more than one is outstanding."""
    s = scenario()
    registered(s)
    for number in (1, 2, 3):
        s.notify(KEY, state(number))
    first = told(s)
    assert first.payload == b"1"
    s.at(2.9)
    assert s.sent() == []
    s.receive(ack(first.mid))
    second = told(s)
    assert second.payload == b"3"
    assert number_of(second) > number_of(first)
    s.receive(ack(second.mid))
    assert s.sent() == []
    assert s.core.statistics().notifications == 2
    s.notify(KEY, state(4))
    assert payload(s) == b"4"


def test_section_4_5_2_the_newest_goes_on_where_the_old_one_was() -> None:
    """A new message ID, but the count of attempts and the doubled timeout of the old one."""
    s = scenario()
    registered(s)
    start = s.now
    s.notify(KEY, state(1))
    sent = s.drain()
    s.at(start + 4.0)  # repeated once, after 3 s, as it was
    s.notify(KEY, state(2))
    s.notify(KEY, state(3))
    s.at(start + LAST)
    sent += s.drain()
    times = [one.at - start for one in sent]
    assert times == [0.0, 3.0, 9.0, 21.0, 45.0]
    assert [one.message.payload for one in sent] == [b"1", b"1", b"3", b"3", b"3"]
    mids = [one.message.mid for one in sent]
    assert mids[0] == mids[1] != mids[2] == mids[3] == mids[4]
    assert len({one.data for one in sent}) == 2
    numbers = [number_of(one.message) for one in sent]
    assert numbers == sorted(numbers)
    # When the count is used up, the client is removed, whatever was to be sent.
    assert observers(s) == 0
    assert ended(s) == 1
    assert s.core.statistics().observers_lost == 1
    assert s.nothing_left()


def test_section_4_5_2_what_comes_after_the_last_attempt_is_not_sent() -> None:
    s = scenario()
    registered(s)
    start = s.now
    s.notify(KEY, state(1))
    s.at(start + 50.0)
    assert len(s.sent()) == 5
    s.notify(KEY, state(2))
    s.at(start + LAST)
    assert s.sent() == []
    assert observers(s) == 0
    s.events()
    assert s.nothing_left()


def test_section_4_5_2_an_ack_of_the_new_one() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    old = told(s)
    s.notify(KEY, state(2))
    s.at(s.now + 3.0)
    new = told(s)
    s.receive(ack(old.mid))  # late: that one is not waited for
    s.at(s.now + 6.0)
    assert [m.mid for m in s.sent()] == [new.mid]
    s.receive(ack(new.mid))
    assert s.sent() == []
    s.at(s.now + LAST)
    assert s.sent() == []
    assert observers(s) == 1


def test_section_4_5_2_again_and_again() -> None:
    """What replaces another may be replaced itself; the count goes on."""
    s = scenario()
    registered(s)
    start = s.now
    s.notify(KEY, state(0))
    sent = s.sent()
    for number, due in enumerate((3.0, 9.0, 21.0, 45.0), 1):
        s.notify(KEY, state(number))
        s.at(start + due)
        sent += s.sent()
    assert [m.payload for m in sent] == [b"0", b"1", b"2", b"3", b"4"]
    assert len({m.mid for m in sent}) == 5
    s.at(start + LAST)
    assert observers(s) == 0


def test_an_ack_after_the_new_one_was_sent_and_a_newer_one_waits() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, state(2))
    s.at(s.now + 3.0)
    s.notify(KEY, state(3))
    _, new = s.sent()
    assert new.payload == b"2"
    s.receive(ack(new.mid))
    assert payload(s) == b"3"


def test_one_that_waits_for_the_window_is_followed_by_the_newest() -> None:
    s = scenario(Tuning(response_window=1))
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.notify(KEY, state(1))
    first = told(s)  # the other one waits
    s.notify(KEY, state(2))
    seen = []
    s.receive(ack(first.mid))
    for _ in range(5):
        for message in s.sent():
            seen.append((message.token, message.payload))
            s.receive(ack(message.mid))
    assert dict(seen) == {b"\x2a": b"2", b"b": b"2"}  # the last of each
    assert observers(s) == 2


def test_what_is_under_way_for_a_silent_client_is_dropped() -> None:
    s = scenario(Tuning(response_window=1))
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.at(s.now + 1.0)
    s.notify(KEY, state(1))
    s.at(s.now + LAST)
    assert observers(s) == 0
    assert ended(s) == 2
    assert s.core.statistics().observers_lost == 2
    s.sent()
    assert s.nothing_left()


# -- the end: section 4.2 ------------------------------------------------------------------------


@pytest.mark.parametrize("tuning", [Tuning(), NONS])
def test_an_error_is_the_last_notification(tuning: Tuning) -> None:
    s = scenario(tuning)
    registered(s)
    s.notify(KEY, Response(Code.NOT_FOUND))
    last = told(s)
    assert (last.type, last.code, last.token) == (Type.CON, Code.NOT_FOUND, b"\x2a")
    assert last.options.observe is None
    assert s.core.observers_of(KEY) == ()
    assert ended(s) == 1
    s.notify(KEY)
    s.at(s.now + 3.0)
    assert s.sent() == [last]
    s.receive(ack(last.mid))
    assert s.core.statistics().observers == 0
    assert s.nothing_left()


def test_a_last_state_has_no_observe() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(9), last=True)
    last = told(s)
    assert (last.code, last.payload, last.options.observe) == (Code.CONTENT, b"9", None)
    s.at(s.now + LAST)  # nobody acknowledges it
    assert s.core.statistics().observers == 0
    assert ended(s) == 1
    s.sent()
    assert s.nothing_left()


def test_an_error_waits_for_the_one_before() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, Response(Code.NOT_FOUND))
    first = told(s)
    s.receive(ack(first.mid))
    last = told(s)
    assert (last.code, last.options.observe) == (Code.NOT_FOUND, None)
    s.receive(ack(last.mid))
    assert s.nothing_left()


def test_an_error_takes_the_place_of_the_one_before() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, Response(Code.NOT_FOUND))
    s.at(s.now + 3.0)
    _, last = s.sent()
    assert (last.code, last.options.observe) == (Code.NOT_FOUND, None)
    s.receive(ack(last.mid))
    assert s.sent() == []
    assert s.nothing_left()


def test_an_error_does_not_wait_for_the_gap() -> None:
    s = scenario(NONS)
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, state(2))
    s.sent()
    s.notify(KEY, Response(Code.NOT_FOUND))
    assert told(s).code is Code.NOT_FOUND
    s.at(s.now + 2.9)
    assert s.sent() == []
    s.lose()
    assert s.nothing_left()


def test_rst_to_the_last_notification() -> None:
    s = scenario()
    registered(s)
    s.notify(KEY, Response(Code.NOT_FOUND))
    s.receive(rst(told(s).mid))
    assert ended(s) == 1
    assert s.nothing_left()


def test_whoever_registers_again_is_not_told_of_the_end_before() -> None:
    """It would take the error for the end of what it has just begun."""
    s = scenario()
    registered(s)
    s.notify(KEY, Response(Code.NOT_FOUND))
    s.sent()
    s.observed(ask(2))
    s.at(s.now + LAST)
    assert s.sent() == []
    assert observers(s) == 1


def test_another_format_is_not_acceptable() -> None:
    """Section 4.2: all notifications have the format of the first response."""
    s = scenario()
    s.observed(ask(1), response=Response(Code.CONTENT, b"0", content_format=0))
    s.notify(KEY, Response(Code.CONTENT, b"{}", content_format=50))
    last = told(s)
    assert (last.code, last.payload, last.options.observe) == (Code.NOT_ACCEPTABLE, b"", None)
    assert s.core.observers_of(KEY) == ()


def test_the_format_of_the_first_state_counts_if_that_comes_later() -> None:
    s = scenario()
    s.observed(ask(1, etags=[b"e"]), response=Response(Code.VALID, etag=b"e"))
    for content_format in (50, 50):
        s.notify(KEY, Response(Code.CONTENT, b"{}", content_format=content_format))
        s.receive(ack(told(s).mid))
    s.notify(KEY, Response(Code.VALID, etag=b"e"))
    notification = told(s)
    assert notification.code is Code.VALID
    s.receive(ack(notification.mid))
    s.notify(KEY, Response(Code.CONTENT, b"x"))
    assert told(s).code is Code.NOT_ACCEPTABLE


def test_a_separate_answer_that_is_not_repeated_any_more() -> None:
    """The server closes, and with the request goes what it was to begin."""
    s = scenario()
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange)
    s.sent()
    s.finish(exchange)
    assert observers(s) == 0
    assert ended(s) == 1
    assert s.nothing_left()


def test_dismissed() -> None:
    s = scenario()
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.notify(KEY, state(1))
    s.sent()
    s.core.dismiss_observers(Response(Code.SERVICE_UNAVAILABLE, max_age=5), s.now)
    s._after()
    goodbyes = s.sent()
    assert [(m.type, m.code, m.token) for m in goodbyes] == [
        (Type.NON, Code.SERVICE_UNAVAILABLE, b"\x2a"),
        (Type.NON, Code.SERVICE_UNAVAILABLE, b"b"),
    ]
    assert all(m.options.observe is None for m in goodbyes)
    assert observers(s) == 0
    s.at(s.now + LAST)
    assert s.sent() == []
    assert ended(s) == 2
    assert s.nothing_left()


# -- CON or NON: sections 4.5 and 4.5.1 ----------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 5])
def test_every_which_is_a_con(every: int) -> None:
    s = scenario(Tuning(confirm_every=every, non_notification_gap=0))
    registered(s)
    kinds = []
    for number in range(2 * every):
        s.notify(KEY, state(number))
        notification = told(s)
        kinds.append(notification.type)
        if notification.type is Type.CON:
            s.receive(ack(notification.mid))
    assert kinds == ([Type.NON] * (every - 1) + [Type.CON]) * 2


def test_one_a_day_is_a_con() -> None:
    s = scenario(NONS)
    registered(s)
    start = s.now
    s.at(start + 24 * 3600.0 - 0.1)
    s.notify(KEY, state(1))
    assert told(s).type is Type.NON
    s.at(start + 24 * 3600.0 + 5)
    s.notify(KEY, state(2))
    notification = told(s)
    assert notification.type is Type.CON
    s.receive(ack(notification.mid))
    s.at(s.now + 24 * 3600.0 - 0.1)
    s.notify(KEY, state(3))
    assert told(s).type is Type.NON


def test_nons_keep_their_distance_and_the_newest_wins() -> None:
    s = scenario(NONS)
    registered(s)
    start = s.now
    for number in range(1, 11):
        s.notify(KEY, state(number))
        s.at(start + number)
    s.at(start + 60.0)
    assert [(one.at - start, one.message.payload) for one in s.drain()] == [
        (0.0, b"1"),
        (3.0, b"3"),
        (6.0, b"6"),
        (9.0, b"9"),
        (12.0, b"10"),
    ]


def test_no_gap_no_distance() -> None:
    s = scenario(Tuning(confirm_every=1000, non_notification_gap=0))
    registered(s)
    for number in range(5):
        s.notify(KEY, state(number))
    assert [m.payload for m in s.sent()] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_client_that_has_acknowledged_nothing_is_sent_cons() -> None:
    s = scenario(NONS, verified=False)
    registered(s)
    s.notify(KEY, state(1))
    first = told(s)
    assert first.type is Type.CON
    s.receive(ack(first.mid))
    s.notify(KEY, state(2))
    assert told(s).type is Type.NON


def test_a_gap_ends_with_its_observer() -> None:
    s = scenario(NONS)
    registered(s)
    s.notify(KEY, state(1))
    s.notify(KEY, state(2))
    s.sent()
    s.respond(s.open_after_end(ask(2, observe=1)))
    s.sent()
    assert s.core.statistics().timers == 0
    s.at(s.now + 10.0)
    assert s.sent() == []
    assert s.nothing_left()


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [Limits(observers=1), Limits(observers_per_session=1)])
def test_one_more_is_answered_and_not_entered(limits: Limits) -> None:
    s = scenario(limits=limits)
    registered(s)
    answer = s.observed(ask(2, token=b"b"))
    assert (answer.code, answer.options.observe) == (Code.CONTENT, None)
    assert observers(s) == 1
    assert s.core.statistics().observers_refused == 1
    # Whoever is in may register again.
    assert s.observed(ask(3)).options.observe is not None
    s.respond(s.open_after_end(ask(4, observe=1)))
    s.sent()
    assert s.observed(ask(5, token=b"b")).options.observe is not None


def test_the_limit_of_one_session_is_not_that_of_another() -> None:
    s = scenario(limits=Limits(observers_per_session=1))
    registered(s)
    s.receive(ask(2), OTHER)
    exchange = s.request()
    exchange.topic = Topic(KEY, None)
    s.respond(exchange)
    assert told(s).options.observe is not None


def test_what_a_request_holds_is_counted() -> None:
    """A FETCH has a payload, which is kept for as long as it observes."""
    s = scenario(limits=Limits(body_bytes_per_session=3000))
    for mid in (1, 2):
        answer = s.observed(ask(mid, token=bytes([mid]), code=Code.FETCH, payload=bytes(1400)))
        assert answer.options.observe is not None
    assert s.core.statistics().body_bytes == 2800
    answer = s.observed(ask(3, token=b"c", code=Code.FETCH, payload=bytes(1400)))
    assert (answer.code, answer.options.observe) == (Code.CONTENT, None)
    s.notify(KEY, Response(Code.NOT_FOUND))
    for message in s.sent():
        s.receive(ack(message.mid))
    assert s.core.statistics().body_bytes == 0
    s.events()
    assert s.nothing_left()


def test_many_clients() -> None:
    """They are told in lots, so that others have their turn in between."""
    s = Scenario(checked=False)
    for number in range(600):
        s.receive(ask(1), session(number))
        exchange = s.request()
        exchange.topic = Topic(KEY, None)
        s.respond(exchange)
    s.drain()
    s.notify(KEY, state(1))
    sent = s.drain()
    assert len(sent) == 256
    for so_far in (512, 600):
        s.at(s.core.next_deadline())
        sent += s.drain()
        assert len(sent) == so_far
    assert len({one.session for one in sent}) == 600
    for one in sent:
        s.receive(ack(one.message.mid), one.session)
    s.check()
    assert observers(s) == 600
    for number in range(600):
        s.lose(session(number))
    s.check()
    assert observers(s) == 0


# -- with blocks: RFC 7959 section 2.6 -----------------------------------------------------------


def test_a_long_notification_is_fetched_from_what_is_kept() -> None:
    s = scenario(Tuning(block_size=64))
    body = bytes(range(150))
    s.observed(ask(1), response=Response(Code.CONTENT, bytes(150)))
    s.notify(KEY, Response(Code.CONTENT, body))
    first = told(s)
    assert first.options.observe is not None
    assert (first.options.block2, first.payload) == (Block(0, True, 64), body[:64])
    [etag] = first.options.etags
    s.receive(ack(first.mid))
    s.receive(ask(2, token=b"b", observe=None, block2=Block(1, False, 64)))
    rest = told(s)
    assert (rest.payload, rest.options.etags) == (body[64:128], (etag,))
    assert rest.options.observe is None
    assert s.events() == []
    assert observers(s) == 1


def test_the_size_is_the_one_the_client_asked_for() -> None:
    s = scenario()
    answer = s.observed(
        ask(1, block2=Block(0, False, 32)), response=Response(Code.CONTENT, bytes(40))
    )
    assert answer.options.block2 == Block(0, True, 32)
    s.notify(KEY, Response(Code.CONTENT, bytes(40)))
    assert told(s).options.block2 == Block(0, True, 32)


def test_whoever_asks_for_the_rest_has_the_beginning() -> None:
    """Its ACK is lost; the request for the next block, with the same token, says as much."""
    s = scenario(Tuning(block_size=64))
    registered(s)
    s.notify(KEY, Response(Code.CONTENT, bytes(150)))
    s.sent()
    s.receive(ask(2, observe=None, block2=Block(1, False, 64)))
    assert told(s).options.block2 == Block(1, True, 64)
    s.at(s.now + LAST)
    assert s.sent() == []
    assert observers(s) == 1
    s.notify(KEY, state(1))
    assert payload(s) == b"1"


def test_whoever_asks_for_the_rest_of_a_separate_answer() -> None:
    s = scenario(Tuning(block_size=64))
    exchange = s.deferred(ask(1))
    exchange.topic = Topic(KEY, None)
    s.respond(exchange, Response(Code.CONTENT, bytes(150)))
    s.sent()
    s.receive(ask(2, observe=None, block2=Block(1, False, 64)))
    assert told(s).options.block2 == Block(1, True, 64)
    assert exchange.phase is Phase.CLOSED
    assert observers(s) == 1
    s.notify(KEY, state(1))
    assert payload(s) == b"1"


def test_a_long_notification_has_one_etag_for_all() -> None:
    s = scenario(Tuning(block_size=64))
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.notify(KEY, Response(Code.CONTENT, bytes(150)))
    a, b = s.sent()
    assert a.options.etags == b.options.etags


# -- who answers for the application -------------------------------------------------------------


def notifying(s: Scenario) -> Exchange:
    exchange = s.core.open_notification(s.core.observers_of(KEY))
    s._after()
    return exchange


def test_an_answer_that_is_for_all_who_ask_the_same() -> None:
    s = scenario()
    registered(s)
    s.observed(ask(2, token=b"b"))
    exchange = notifying(s)
    s.respond(exchange, state(1))
    assert [m.token for m in s.sent()] == [b"\x2a", b"b"]
    assert exchange.phase is Phase.CLOSED
    assert s.core.open_requests == 0


def test_an_answer_that_comes_later() -> None:
    s = scenario()
    registered(s)
    exchange = notifying(s)
    s.defer(exchange)
    assert s.sent() == []
    s.at(1000.0)
    assert s.sent() == []
    s.core.resume(exchange)
    s.respond(exchange, state(1))
    assert payload(s) == b"1"


def test_an_answer_after_its_observers_have_ended() -> None:
    s = scenario()
    registered(s)
    exchange = notifying(s)
    s.lose()
    s.respond(exchange, state(1))
    assert s.sent() == []
    assert s.core.open_requests == 0
    s.events()
    assert s.nothing_left()


def test_no_answer_tells_nobody() -> None:
    s = scenario()
    registered(s)
    s.close(notifying(s))
    assert s.sent() == []
    assert observers(s) == 1


def test_notifying_nobody() -> None:
    s = scenario()
    s.notify("nothing")
    assert s.sent() == []
    assert s.nothing_left()


def test_a_lost_session_ends_all_its_observers() -> None:
    s = scenario(NONS)
    registered(s)
    s.observed(ask(2, token=b"b"))
    s.notify(KEY, state(1))
    s.notify(KEY, state(2))
    s.sent()
    s.lose()
    assert ended(s) == 2
    s.at(10.0)
    assert s.sent() == []
    assert observers(s) == 0
    assert s.nothing_left()


def test_a_request_by_non_with_the_mids_of_notifications() -> None:
    """Our message IDs and those of the client are not the same ones (RFC 7252 section 4.4)."""
    s = scenario(NONS)
    registered(s)
    s.notify(KEY, state(1))
    mid = told(s).mid
    s.receive(non(mid, token=b"b", path="other"))
    assert observers(s) == 1


def test_a_first_response_that_waits_when_all_is_over_makes_no_observer_again() -> None:
    """It goes out itself, as a NON; whoever it is for has just been told the end."""
    s = Scenario(Tuning(response_window=1))
    exchanges = [s.deferred(ask(number, token=bytes([number]))) for number in (1, 2)]
    for exchange in exchanges:
        exchange.topic = Topic(KEY, None)
        s.respond(exchange)
    s.drain()
    s.core.dismiss_observers(Response(Code.SERVICE_UNAVAILABLE), s.now)
    for exchange in exchanges:
        s.finish(exchange)
    s.drain()
    s.events()
    assert observers(s) == 0
    assert s.nothing_left()
