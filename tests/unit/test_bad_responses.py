"""Responses that cannot be taken: RFC 7252 sections 3, 4.2, 4.3 and 5.4."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits
from coapsep.protocol.events import Failure, RequestFailed
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import (
    Scenario,
    ack,
    piggybacked,
    rst,
    separate,
)

MID = 0x44CB
RESPONSES = ["ACK", "CON", "CON before the ACK", "NON", "NON before the ACK", "NON to a NON"]


def awaited(how: str, limits: Limits | None = None) -> tuple[Scenario, ClientExchange, Message]:
    """A request of ours, and the response to it that is on its way."""
    s = Scenario(limits=limits, serves=False)
    kind = Type[how[:3]]
    if how in ("CON", "NON"):
        exchange, request = s.acknowledged()
    else:
        exchange, request = s.asked(Type.NON if how == "NON to a NON" else Type.CON)
    response = piggybacked(request) if kind is Type.ACK else separate(request, MID, kind)
    return s, exchange, response


def rejection(response: Message) -> list[Message]:
    """Section 4.2: an RST for a CON, silence for the rest."""
    return [rst(response.mid)] if response.type is Type.CON else []


def goes_on(s: Scenario, exchange: ClientExchange, response: Message) -> bool:
    """Whether the request is open as before, and its response is still welcome."""
    assert s.events() == []
    assert exchange.stage in (Stage.SENT, Stage.ACKNOWLEDGED)
    if exchange.stage is Stage.SENT and exchange.request.type is Type.CON:
        s.at(s.now + 3.0)
        assert s.sent() == [exchange.request]
    s.receive(response)
    assert s.response(exchange) == response
    return s.sent() == ([ack(response.mid)] if response.type is Type.CON else [])


# -- truncated, reserved, misplaced: sections 3, 4.2 and 4.3 -------------------------------------


#: Header and token, two options of two and three bytes, the marker, and a payload of two.
LENGTH = 4 + 8 + 2 + 3 + 1 + 2
#: Between two options, before the marker and in the payload a cut leaves a shorter message that
#: is well-formed: nobody who gets it over UDP can tell.
UNNOTICED = (12, 14, 17, 19)


@pytest.mark.parametrize("how", RESPONSES)
@pytest.mark.parametrize("end", range(LENGTH))
def test_a_response_that_is_cut_short_anywhere_is_rejected_or_ignored(how: str, end: int) -> None:
    """And its request goes on; a cut in the header leaves no CoAP, which is ignored."""
    s, exchange, response = awaited(how)
    options = Options.build(content_format=40, max_age=300)
    response = attrs.evolve(response, options=options, payload=b"12")
    data = encode(response)
    assert len(data) == LENGTH
    s.receive(data[:end])
    if end in UNNOTICED:
        assert s.response(exchange) != response
    else:
        assert s.sent() == (rejection(response) if end >= 4 else [])
        assert goes_on(s, exchange, response)
    assert s.nothing_left()


@pytest.mark.parametrize("how", RESPONSES)
@pytest.mark.parametrize("code", [0x20, 0x21, 0x3F, 0xC0, 0xE1, 0xFF], ids=hex)
def test_section_12_1_a_reserved_code_is_a_format_error(how: str, code: int) -> None:
    s, exchange, response = awaited(how)
    s.receive(encode(attrs.evolve(response, code=Code(code))))
    assert s.sent() == rejection(response)
    assert goes_on(s, exchange, response)


@pytest.mark.parametrize("version", [0, 2, 3])
@pytest.mark.parametrize("how", RESPONSES)
def test_section_3_a_response_of_another_version_is_ignored(how: str, version: int) -> None:
    s, exchange, response = awaited(how)
    data = encode(response)
    s.receive(bytes([version << 6 | data[0] & 0x3F]) + data[1:])
    assert s.sent() == []
    assert goes_on(s, exchange, response)


@pytest.mark.parametrize("how", ["ACK", "CON", "NON to a NON"])
def test_a_request_with_the_token_of_ours_is_no_response(how: str) -> None:
    """Section 4.2: an ACK never carries a request. Whoever does not serve rejects the rest."""
    s, exchange, response = awaited(how)
    s.receive(attrs.evolve(response, code=Code.GET))
    assert s.sent() == rejection(response)
    assert goes_on(s, exchange, response)


@pytest.mark.parametrize("how", ["ACK", "CON", "NON to a NON"])
def test_section_4_2_an_rst_that_is_not_empty_is_ignored(how: str) -> None:
    s, exchange, response = awaited(how)
    for mid in (response.mid, exchange.request.mid):
        s.receive(attrs.evolve(response, type=Type.RST, mid=mid))
        s.receive(attrs.evolve(rst(mid), token=response.token))
        s.receive(encode(rst(mid)) + b"\xff!")
    assert s.sent() == []
    assert s.core.statistics().ignored == 6
    assert goes_on(s, exchange, response)


def test_section_4_1_an_empty_ack_that_is_not_empty_is_ignored() -> None:
    s, exchange, response = awaited("ACK")
    s.receive(attrs.evolve(ack(exchange.request.mid), token=response.token))
    s.receive(encode(ack(exchange.request.mid)) + b"\xff!")
    assert exchange.stage is Stage.SENT
    assert goes_on(s, exchange, response)


@pytest.mark.parametrize("how", RESPONSES)
def test_section_4_1_an_empty_message_with_the_token_is_a_format_error(how: str) -> None:
    s, exchange, response = awaited(how)
    s.receive(Message(Code.EMPTY, response.type, response.mid, response.token))
    assert s.sent() == rejection(response)
    assert goes_on(s, exchange, response)


# -- options: sections 5.4.1, 5.4.3 and 5.4.5 ---------------------------------------------------

_N = OptionNumber
REJECTED: dict[str, tuple[list[tuple[int, bytes]], str]] = {
    "unknown": ([(65001, b"x")], "Option 65001"),
    "unknown, of no length": ([(9999, b"")], "Option 9999"),
    "no option of a response": ([(_N.URI_PATH, b"a")], "Uri-Path"),
    "faulty: too long": ([(_N.URI_PORT, b"123")], "Uri-Port"),
    "faulty: not UTF-8": ([(_N.URI_HOST, b"\xff")], "Uri-Host"),
    "faulty: twice": ([(_N.ACCEPT, b""), (_N.ACCEPT, b"")], "Accept"),
    "two": ([(_N.IF_MATCH, b""), (65001, b"")], "If-Match, Option 65001"),
    "among others": ([(_N.CONTENT_FORMAT, b""), (65001, b""), (_N.MAX_AGE, b"")], "Option 65001"),
}


@pytest.mark.parametrize("how", RESPONSES)
@pytest.mark.parametrize("name", REJECTED)
def test_section_5_4_1_a_critical_option_not_understood_rejects_the_response(
    how: str, name: str
) -> None:
    """And the caller is told at once: nothing better will come."""
    s, exchange, response = awaited(how)
    pairs, names = REJECTED[name]
    response = attrs.evolve(response, options=Options(pairs))
    s.receive(response)
    assert s.sent() == rejection(response)
    assert s.events() == [RequestFailed(exchange, Failure.BAD_OPTION, names)]
    counted = s.core.statistics()
    assert (counted.rejected, counted.requests_failed, counted.responses) == (1, 1, 0)
    s.receive(response)  # as is every copy
    assert s.sent() == rejection(response)
    s.at(100_000.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


def test_no_more_than_a_few_of_the_options_are_named() -> None:
    s, exchange, response = awaited("ACK")
    s.receive(attrs.evolve(response, options=Options([(n, b"") for n in range(1001, 1060, 2)])))
    [event] = s.events()
    assert isinstance(event, RequestFailed)
    assert event.exchange is exchange
    assert event.detail == "Option 1001, Option 1003, Option 1005, Option 1007"


ACCEPTED: dict[str, list[tuple[int, bytes]]] = {
    "unknown": [(65000, b"x")],
    "unknown, repeated": [(65000, b"x"), (65000, b"y")],
    "no option of a response": [(_N.SIZE1, b"\1")],
    "faulty: too long": [(_N.ETAG, b"123456789")],
    "faulty: twice": [(_N.CONTENT_FORMAT, b"\x32"), (_N.CONTENT_FORMAT, b"")],
    "faulty: not UTF-8": [(_N.LOCATION_PATH, b"\xff")],
    "Observe, unasked": [(_N.OBSERVE, b"\1")],
}


@pytest.mark.parametrize("how", RESPONSES)
@pytest.mark.parametrize("name", ACCEPTED)
def test_section_5_4_1_an_elective_option_not_understood_is_ignored(how: str, name: str) -> None:
    s, exchange, response = awaited(how)
    mixed = Options([*ACCEPTED[name], (_N.MAX_AGE, b"\x09")])
    s.receive(attrs.evolve(response, options=mixed))
    assert s.response(exchange).options.max_age == 9


def test_a_bad_option_in_what_is_no_response_of_ours_ends_nothing() -> None:
    s, exchange, response = awaited("ACK")
    bad = Options([(65001, b"")])
    wrong = attrs.evolve(response, options=bad, token=b"wrong")
    s.receive(wrong)
    s.receive(attrs.evolve(response, options=bad, mid=response.mid ^ 1))
    assert s.sent() == []
    s.receive(attrs.evolve(wrong, type=Type.CON))
    assert s.sent() == [rst(response.mid)]
    assert goes_on(s, exchange, response)


# -- too large: section 4.6 -----------------------------------------------------------------------

SMALL = Limits(datagram_size=100)


@pytest.mark.parametrize("how", RESPONSES)
def test_a_response_of_the_largest_size_is_taken(how: str) -> None:
    s, exchange, response = awaited(how, SMALL)
    largest = attrs.evolve(response, payload=b"x" * (100 - len(encode(response)) + 2))
    assert len(encode(largest)) == 100
    s.receive(largest)
    assert s.response(exchange) == largest


@pytest.mark.parametrize("how", RESPONSES)
@pytest.mark.parametrize("size", [101, 2000])
def test_a_response_that_is_too_large_is_rejected_and_told(how: str, size: int) -> None:
    s, exchange, response = awaited(how, SMALL)
    data = encode(attrs.evolve(response, payload=b"x" * size))
    s.receive(data[:size])
    assert s.sent() == rejection(response)
    [event] = s.events()
    assert event == RequestFailed(exchange, Failure.TOO_LARGE, "it has more than 100 bytes")
    counted = s.core.statistics()
    assert (counted.datagrams_too_large, counted.requests_failed) == (1, 1)
    s.receive(data[:size])
    assert s.sent() == rejection(response)
    s.at(100_000.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


@pytest.mark.parametrize("how", RESPONSES)
def test_a_large_one_that_answers_nothing_ends_nothing(how: str) -> None:
    s, exchange, response = awaited(how, SMALL)
    large = attrs.evolve(response, payload=b"x" * 200)
    s.receive(attrs.evolve(large, token=b"wrong"))
    assert s.sent() == rejection(response)
    if response.type is Type.ACK:
        s.receive(attrs.evolve(large, mid=response.mid ^ 1))
        s.receive(attrs.evolve(large, code=Code.GET))
        s.receive(attrs.evolve(large, code=Code.EMPTY))
        s.receive(attrs.evolve(large, code=Code(0x21)))
    assert s.sent() == []
    assert goes_on(s, exchange, response)


def test_a_copy_of_a_separate_con_is_acknowledged_whatever_its_size() -> None:
    """It is known by its header, and its message ID was acknowledged (section 4.5)."""
    s, exchange, response = awaited("CON", SMALL)
    s.receive(response)
    s.response(exchange)
    s.receive(attrs.evolve(response, payload=b"x" * 200))
    assert s.sent() == [ack(MID)] * 2
    assert s.events() == []
