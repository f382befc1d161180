"""What a datagram draws at once: RFC 7252 sections 3, 4.1 to 4.3, 5.4.1, 5.10 and 12.1."""

from __future__ import annotations

import pytest

from coapsep.message.codec import decode, empty, encode
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits
from tests.unit.scenario import (
    CLIENT,
    OTHER,
    TOKEN,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    ping,
    rst,
    session,
)

MID = 0x1CF5
#: What makes a message a format error, after the two bytes of its message ID.
FORMAT_ERRORS: dict[str, tuple[int, int, bytes]] = {
    "extended token cut short": (0x0D, Code.GET, b"\x00" + b"x" * 12),  # RFC 8974
    "length of a token cut short": (0x0E, Code.GET, b"\x00"),
    "token length 15": (0x0F, Code.GET, b"123456789abcdef"),
    "token cut short": (0x04, Code.GET, b"123"),
    "option delta 15": (0x00, Code.GET, b"\xf0"),
    "option length 15": (0x00, Code.GET, b"\x0f"),
    "option past the end": (0x00, Code.GET, b"\xb4abc"),
    "extended delta cut short": (0x00, Code.GET, b"\xe0\x01"),
    "extended length cut short": (0x00, Code.GET, b"\xbd"),
    "option number past 65535": (0x00, Code.GET, b"\xe0\xff\xff"),
    "payload marker without payload": (0x00, Code.GET, b"\xff"),
    "Empty with a token": (0x01, Code.EMPTY, b"t"),
    "Empty with a token length and no token": (0x01, Code.EMPTY, b""),
    "Empty with an option": (0x00, Code.EMPTY, b"\xb1a"),
    "Empty with a payload": (0x00, Code.EMPTY, b"\xffp"),
    "reserved class 1": (0x00, 0x21, b""),
    "reserved class 6": (0x00, 0xC0, b""),
    "reserved class 7": (0x00, 0xE1, b""),
}


def malformed(name: str, kind: Type) -> bytes:
    first, code, rest = FORMAT_ERRORS[name]
    data = bytes((0x40 | kind << 4 | first, code, MID >> 8, MID & 0xFF)) + rest
    assert isinstance(decode(data), Malformed)
    return data


def refusal(s: Scenario, code: Code) -> Message:
    """The one message that was sent, which must be a piggybacked refusal with this code."""
    [answer] = s.sent()
    assert (answer.type, answer.mid, answer.code) == (Type.ACK, MID, code)
    assert answer.token == TOKEN
    assert s.events() == []
    return answer


# -- message format errors: sections 4.2 and 4.3 -----------------------------------------


@pytest.mark.parametrize("name", FORMAT_ERRORS)
def test_a_malformed_con_is_rejected_with_an_rst_of_its_message_id(name: str) -> None:
    s = Scenario()
    s.receive(malformed(name, Type.CON))
    assert s.sent() == [rst(MID)]
    assert s.events() == []
    assert s.core.statistics().malformed == 1


@pytest.mark.parametrize("name", FORMAT_ERRORS)
@pytest.mark.parametrize("kind", [Type.NON, Type.ACK, Type.RST])
def test_a_malformed_message_of_another_type_is_ignored(name: str, kind: Type) -> None:
    s = Scenario()
    s.receive(malformed(name, kind))
    assert s.sent() == []
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.malformed, counted.ignored) == ((1, 0) if kind is Type.NON else (0, 1))


def test_every_copy_of_a_malformed_con_is_rejected_and_nothing_is_remembered() -> None:
    s = Scenario()
    for _ in range(3):
        s.receive(malformed("token cut short", Type.CON))
    assert s.sent() == [rst(MID)] * 3
    assert s.core.statistics().peers == 0


@pytest.mark.parametrize("version", [0, 2, 3])
@pytest.mark.parametrize("kind", Type)
def test_section_3_another_version_is_ignored_even_when_con(version: int, kind: Type) -> None:
    s = Scenario()
    for data in (encode(con(MID)), encode(ping(MID)), malformed("token cut short", Type.CON)):
        s.receive(bytes((version << 6 | kind << 4 | data[0] & 15,)) + data[1:])
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().ignored == 3


@pytest.mark.parametrize("data", [b"", b"\x40", b"\x40\x01", b"\x40\x01\x00"])
def test_less_than_a_header_is_ignored(data: bytes) -> None:
    s = Scenario()
    s.receive(data)
    assert s.sent() == []
    assert s.core.statistics().ignored == 1


# -- messages that are well-formed and out of place ----------------------------------------


def test_section_4_3_a_ping_draws_an_rst_each_time() -> None:
    s = Scenario()
    s.receive(ping(MID))
    s.receive(ping(MID))
    assert s.sent() == [rst(MID), rst(MID)]
    assert s.core.statistics().pings == 2
    assert s.core.statistics().peers == 0


def test_a_ping_with_the_message_id_of_a_request_is_a_ping() -> None:
    s = Scenario()
    s.respond(s.open(con(MID)))
    s.drain()
    s.receive(ping(MID))
    assert s.sent() == [rst(MID)]


def test_section_4_3_an_empty_non_is_ignored() -> None:
    s = Scenario()
    s.receive(empty(Type.NON, MID))
    assert s.sent() == []
    assert s.core.statistics().ignored == 1


@pytest.mark.parametrize("code", [Code.CONTENT, Code.NOT_FOUND, Code.SERVICE_UNAVAILABLE])
def test_section_5_3_2_an_unexpected_con_response_is_rejected(code: Code) -> None:
    s = Scenario()
    s.receive(con(MID, code, payload=b"unasked"))
    assert s.sent() == [rst(MID)]
    assert s.events() == []
    assert s.core.statistics().rejected == 1


def test_section_5_3_2_an_unexpected_non_response_is_ignored() -> None:
    s = Scenario()
    s.receive(non(MID, Code.CONTENT, payload=b"unasked"))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().ignored == 1


@pytest.mark.parametrize("kind", [Type.ACK, Type.RST])
@pytest.mark.parametrize("code", [Code.EMPTY, Code.GET, Code.CONTENT, Code(0x21), Code(0xE1)])
def test_an_ack_or_rst_that_belongs_to_nothing_is_ignored(kind: Type, code: Code) -> None:
    s = Scenario()
    s.receive(bytes((0x40 | kind << 4, code, MID >> 8, MID & 0xFF)))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().ignored == 1
    assert s.core.statistics().peers == 0


def test_an_rst_with_the_message_id_of_a_request_does_not_end_it() -> None:
    """The message IDs of the two sides have nothing to do with each other (section 4.4)."""
    s = Scenario()
    exchange = s.deferred(con(MID))
    s.receive(rst(MID))
    s.receive(ack(MID))
    assert s.events() == []
    assert s.core.find(CLIENT, TOKEN) is exchange
    assert s.core.statistics().ignored == 2


# -- options: sections 5.4.1, 5.4.3, 5.4.5 ---------------------------------------------

_N = OptionNumber
NOT_TAKEN: dict[str, list[tuple[int, bytes]]] = {
    "unknown critical": [(65001, b"x")],
    "unknown critical of no length": [(9999, b"")],
    "OSCORE": [(_N.OSCORE, b"\x09")],
    "Uri-Host of no length": [(_N.URI_HOST, b"")],
    "Uri-Host too long": [(_N.URI_HOST, b"h" * 256)],
    "Uri-Port too long": [(_N.URI_PORT, b"\0\x16\x33")],
    "Uri-Path too long": [(_N.URI_PATH, b"p" * 256)],
    "Accept too long": [(_N.ACCEPT, b"\0\0\0")],
    "Uri-Host twice": [(_N.URI_HOST, b"a"), (_N.URI_HOST, b"a")],
    "Accept twice": [(_N.ACCEPT, b""), (_N.ACCEPT, b"\x32")],
    "Uri-Path that is not UTF-8": [(_N.URI_PATH, b"\xff\xfe")],
    "Uri-Query that is not UTF-8": [(_N.URI_QUERY, b"a=\xc3")],
    "Proxy-Uri too long": [(_N.PROXY_URI, b"c" * 1035)],
}
IGNORED: dict[str, list[tuple[int, bytes]]] = {
    "unknown elective": [(65000, b"x")],
    "ETag too long": [(_N.ETAG, b"123456789")],
    "ETag of no length": [(_N.ETAG, b"")],
    "Content-Format too long": [(_N.CONTENT_FORMAT, b"\0\0\0")],
    "Content-Format twice": [(_N.CONTENT_FORMAT, b""), (_N.CONTENT_FORMAT, b"\x32")],
    "Max-Age too long": [(_N.MAX_AGE, b"12345")],
    "Location-Path that is not UTF-8": [(_N.LOCATION_PATH, b"\xff")],
    "Size1 too long": [(_N.SIZE1, b"12345")],
    "Observe too long": [(_N.OBSERVE, b"1234")],
}


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_critical_option_not_understood_in_a_con_draws_4_02(name: str) -> None:
    s = Scenario()
    s.receive(con(MID, options=Options(NOT_TAKEN[name])))
    answer = refusal(s, Code.BAD_OPTION)
    assert b"not understood: " in answer.payload
    assert answer.options == EMPTY
    assert s.core.statistics().bad_options == 1
    assert s.core.statistics().peers == 0


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_a_critical_option_not_understood_in_a_non_is_met_with_silence(name: str) -> None:
    s = Scenario()
    s.receive(non(MID, options=Options(NOT_TAKEN[name])))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().rejected == 1


@pytest.mark.parametrize("name", IGNORED)
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
def test_an_elective_option_not_understood_is_ignored(name: str, kind: Type) -> None:
    s = Scenario()
    mixed = Options([*IGNORED[name], (_N.URI_PATH, b"a"), (_N.URI_QUERY, b"q")])
    received = s.open(Message(Code.GET, kind, MID, TOKEN, mixed, b"body")).request
    assert received.options.uri_path == ("a",)
    assert received.options.uri_query == ("q",)
    assert received.payload == b"body"


def test_the_diagnostic_names_the_options() -> None:
    s = Scenario()
    s.receive(con(MID, options=Options([(_N.OSCORE, b""), (9999, b""), (65001, b"")])))
    assert (
        refusal(s, Code.BAD_OPTION).payload == b"not understood: OSCORE, Option 9999, Option 65001"
    )


def test_every_copy_draws_the_same_4_02() -> None:
    s = Scenario()
    for _ in range(3):
        s.receive(con(MID, options=Options(NOT_TAKEN["OSCORE"])))
    copies = {sent.data for sent in s.drain()}
    assert len(copies) == 1
    assert s.core.statistics().bad_options == 3


def test_a_refused_option_does_not_touch_the_request_that_holds_the_token() -> None:
    s = Scenario()
    exchange = s.deferred(con(1))
    s.receive(con(MID, options=Options(NOT_TAKEN["OSCORE"])))
    refusal(s, Code.BAD_OPTION)
    assert s.core.find(CLIENT, TOKEN) is exchange


@pytest.mark.parametrize("number", [_N.PROXY_URI, _N.PROXY_SCHEME])
def test_section_5_7_proxy_options_pass_to_the_application(number: OptionNumber) -> None:
    s = Scenario()
    exchange = s.open(con(MID, options=Options([(number, b"coap")])))
    assert number in exchange.request.options


def test_section_5_4_1_the_understood_critical_options_pass() -> None:
    s = Scenario()
    options = Options.build(
        uri_host="example.com", uri_port=5683, uri_path=["a", "b"], uri_query=["x=1"], accept=50
    )
    assert s.open(con(MID, options=options)).request.options == options


@pytest.mark.parametrize("number", [*range(8, 32)])
def test_section_5_8_a_method_without_a_name_is_for_the_application(number: int) -> None:
    s = Scenario()
    assert s.open(con(MID, Code(number))).request.code == number


# -- too large: section 4.6 and 5.9.2.9 --------------------------------------------------

SMALL = Limits(datagram_size=100)


def test_a_request_of_the_largest_size_is_taken() -> None:
    s = Scenario(limits=SMALL)
    request = con(MID, payload=b"x" * (100 - len(encode(con(MID))) - 1))
    assert len(encode(request)) == 100
    assert s.open(request).request == request


def test_a_con_request_that_is_too_large_draws_4_13_with_size1() -> None:
    s = Scenario(limits=SMALL)
    s.receive(con(MID, Code.PUT, payload=b"x" * 101))
    answer = refusal(s, Code.REQUEST_ENTITY_TOO_LARGE)
    assert answer.options.size1 == 0  # what 100 bytes leave for a payload, all else reckoned in
    counted = s.core.statistics()
    assert (counted.datagrams_too_large, counted.peers) == (1, 0)


def test_a_non_request_that_is_too_large_is_ignored() -> None:
    s = Scenario(limits=SMALL)
    s.receive(non(MID, Code.PUT, payload=b"x" * 101))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().datagrams_too_large == 1


@pytest.mark.parametrize(
    "head",
    [b"\x4f\x01", b"\x40\x21", b"\x41\x00", b"\x40\x00", b"\x40\x45"],
    ids=["token length 15", "reserved class", "Empty with a token", "Empty", "response"],
)
def test_a_con_that_is_too_large_and_no_request_is_rejected(head: bytes) -> None:
    """Sections 4.2 and 5.3.2: whatever its size, a CON that cannot be processed draws an RST."""
    s = Scenario(limits=SMALL)
    s.receive(head + MID.to_bytes(2, "big") + b"x" * 200)
    assert s.sent() == [rst(MID)]
    assert s.events() == []


# -- limits: 5.03 ------------------------------------------------------------------------


def refused(s: Scenario, request: Message, client: int) -> None:
    before = s.core.statistics()
    s.receive(request, session(client))
    answer = refusal(s, Code.SERVICE_UNAVAILABLE)
    assert answer.options.max_age == s.limits.retry_after
    s.receive(non(request.mid + 1, token=b"non"), session(client))
    assert s.sent() == []
    assert s.events() == []
    after = s.core.statistics()
    assert after.refused == before.refused + 2
    assert (after.peers, after.dedup_entries) == (before.peers, before.dedup_entries)


def test_more_sessions_than_the_limit_are_refused_while_all_have_open_requests() -> None:
    s = Scenario(limits=Limits(peers=2))
    first = s.open(con(1), session(1))
    s.open(con(1), session(2))
    refused(s, con(MID), 3)
    s.open(con(2, token=b"2"), session(1))  # who is known is served
    s.respond(first)
    s.drain()
    refused(s, con(MID), 3)


def test_a_full_table_of_peers_forgets_one_of_which_only_done_gets_are_left() -> None:
    s = Scenario(limits=Limits(peers=3))
    s.open(con(1), session(1))
    s.respond(s.open(con(1, Code.POST), session(2)))
    s.respond(s.open(con(1), session(3)))
    s.drain()
    assert s.open(con(MID), session(4))
    assert s.core.statistics().peers == 3
    assert s.core.statistics().dedup_evicted == 1
    refused(s, con(MID), 5)  # the POST must not run twice, so its peer stays


def test_more_open_requests_than_the_limit_are_refused_until_one_ends() -> None:
    s = Scenario(limits=Limits(requests=2))
    first = s.open(con(1), session(1))
    s.open(con(1), session(2))
    refused(s, con(MID), 3)
    s.respond(first)
    assert s.sent() == [piggybacked(con(1))]
    assert s.open(con(MID), session(3))


def test_more_open_requests_of_a_session_than_the_limit_are_refused() -> None:
    s = Scenario(limits=Limits(requests_per_session=2))
    first = s.open(con(1, token=b"1"), session(1))
    s.open(non(2, token=b"2"), session(1))
    refused(s, con(MID), 1)
    assert s.open(con(MID), OTHER)
    s.close(first)
    s.drain()
    assert s.open(con(MID), session(1))


def test_a_response_that_is_not_acknowledged_counts_as_open() -> None:
    s = Scenario(limits=Limits(requests_per_session=1))
    _, response = s.answered(con(1, token=b"1"), session(1))
    refused(s, con(MID), 1)
    s.receive(ack(response.mid), session(1))
    assert s.open(con(MID), session(1))


def test_every_copy_of_a_refused_request_is_answered_again() -> None:
    s = Scenario(limits=Limits(requests=1))
    s.open(con(1), OTHER)
    s.receive(con(MID))
    s.receive(con(MID))
    first, second = s.drain()
    assert first.data == second.data
    assert s.core.statistics().refused == 2
