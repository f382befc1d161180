"""Requests with long tokens, and with a path that is a number: what the core makes of them."""

from __future__ import annotations

import pytest

from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Limits
from tests.unit.scenario import Scenario, ack, con, non, piggybacked, rst

LONG = bytes(range(64))
#: One byte more than Limits.token_size.
TOO_LONG = bytes(range(65))

# -- RFC 8974 ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 8, 9, 12, 13, 64])
def test_a_token_of_any_length_comes_back(size: int) -> None:
    """Section 2.1; RFC 7252 section 5.3.1: "echoed without modification"."""
    s = Scenario()
    s.receive(con(1, token=LONG[:size]))
    s.respond(s.request())
    [answer] = s.sent()
    assert (answer.type, answer.mid, answer.token) == (Type.ACK, 1, LONG[:size])


def test_a_separate_response_has_it_as_well() -> None:
    s = Scenario()
    s.receive(con(1, token=LONG))
    exchange = s.request()
    s.at(0.1)
    assert s.sent() == [ack(1)]
    s.respond(exchange)
    [answer] = s.sent()
    assert (answer.type, answer.token) == (Type.CON, LONG)
    s.receive(ack(answer.mid))
    assert s.core.statistics().open_requests == 0


def test_tokens_that_begin_alike_are_two() -> None:
    s = Scenario()
    for mid, token in enumerate((LONG, LONG[:-1], LONG[:8])):
        s.receive(con(mid, token=token))
        s.defer(s.request())
    assert s.core.statistics().open_requests == 3


def test_a_copy_draws_the_same_answer() -> None:
    s = Scenario()
    s.receive(con(1, token=LONG))
    s.respond(s.request())
    first = s.sent()
    s.receive(con(1, token=LONG))
    assert s.sent() == first
    assert s.events() == []


def test_one_that_is_too_long_is_answered_and_not_rejected() -> None:
    """Section 2.2.2: a reset would say that there is no support for extended tokens at all."""
    s = Scenario()
    s.receive(con(1, token=TOO_LONG))
    [answer] = s.sent()
    assert (answer.type, answer.mid, answer.code) == (Type.ACK, 1, Code.BAD_REQUEST)
    assert answer.token == TOO_LONG
    assert s.events() == []
    assert s.core.statistics().peers == 0, "nothing is remembered"


def test_a_non_with_one_that_is_too_long_is_ignored() -> None:
    s = Scenario()
    s.receive(non(1, token=TOO_LONG))
    assert s.sent() == []
    assert s.events() == []


@pytest.mark.parametrize("size", [8, 9, 200])
def test_how_long_is_too_long_can_be_said(size: int) -> None:
    s = Scenario(limits=Limits(token_size=size))
    s.receive(con(1, token=bytes(size)))
    s.respond(s.request())
    s.receive(con(2, token=bytes(size + 1)))
    first, second = s.sent()
    assert (first.code, second.code) == (Code.CONTENT, Code.BAD_REQUEST)


def test_a_datagram_that_is_too_large_has_its_token_read() -> None:
    s = Scenario(limits=Limits(datagram_size=200))
    s.receive(con(1, Code.PUT, token=LONG, payload=bytes(200)))
    [answer] = s.sent()
    assert (answer.code, answer.token) == (Code.REQUEST_ENTITY_TOO_LARGE, LONG)


def test_a_response_with_a_long_token_is_for_nobody() -> None:
    """Our own tokens have eight bytes; a CON with another one is rejected."""
    s = Scenario(serves=False)
    exchange, request = s.asked()
    s.receive(Message(Code.CONTENT, Type.CON, 7, request.token + LONG, payload=b"forged"))
    assert s.sent() == [rst(7)]
    s.receive(piggybacked(request))
    assert s.response(exchange).payload == b"ok"


def test_a_token_length_of_15_is_a_format_error() -> None:
    s = Scenario()
    s.receive(b"\x4f\x01\x00\x01" + bytes(20))
    assert s.sent() == [rst(1)]


# -- Uri-Path-Abbrev ---------------------------------------------------------------------


def test_a_number_is_handed_up_as_its_path() -> None:
    """draft-ietf-core-uri-path-abbrev section 2.1."""
    s = Scenario()
    s.receive(con(1, options=Options.build(uri_path_abbrev=0, uri_query=["rt=x"])))
    request = s.request().request
    assert request.options.uri_path == (".well-known", "core")
    assert request.options.uri_query == ("rt=x",)
    assert OptionNumber.URI_PATH_ABBREV not in request.options


@pytest.mark.parametrize(
    "options",
    [
        Options.build(uri_path_abbrev=3),
        Options.build(uri_path_abbrev=0, uri_path=["a"]),
        Options([(13, b""), (13, b"")]),
    ],
    ids=["unknown", "with a path", "twice"],
)
def test_a_number_without_a_path_is_a_bad_option(options: Options) -> None:
    """Sections 2.1 and 2.4: 4.02, and never 4.04."""
    s = Scenario()
    s.receive(con(1, options=options))
    [answer] = s.sent()
    assert (answer.type, answer.code) == (Type.ACK, Code.BAD_OPTION)
    assert b"Uri-Path-Abbrev" in answer.payload
    assert s.events() == []
