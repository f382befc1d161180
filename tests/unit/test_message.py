"""Message (RFC 7252 section 3) and Response (sections 5.2, 5.5, 5.9 and 5.10)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import CODES, Code, ContentFormat, OptionNumber, Type


def respond(*arguments: Any, **keywords: Any) -> Response:
    """``Response`` for what the type checker would not let through."""
    return Response(*arguments, **keywords)


# -- Message ---------------------------------------------------------------------------


def test_a_message_has_no_token_options_or_payload_unless_given() -> None:
    message = Message(Code.GET, Type.CON, 1)
    assert (message.token, message.options, message.payload) == (b"", EMPTY, b"")


def test_messages_are_values() -> None:
    def one(path: str = "a") -> Message:
        return Message(Code.GET, Type.CON, 1, b"\x20", Options.build(uri_path=[path]), b"payload")

    assert one() == one()
    assert hash(one()) == hash(one())
    assert one() != one("b")


@pytest.mark.parametrize("name", ["code", "type", "mid", "token", "options", "payload"])
def test_a_message_is_frozen(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(Message(Code.GET, Type.CON, 1), name, None)


@pytest.mark.parametrize("name", ["type", "mid", "reason"])
def test_malformed_is_frozen(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(Malformed(Type.CON, 1, "why"), name, None)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Message(Code.GET, Type.CON, 0x7D34), "CON 0x7d34 GET /"),
        (
            Message(Code.GET, Type.CON, 0x7D35, b"\x20", Options.build(uri_path=["temperature"])),
            "CON 0x7d35 GET /temperature token=20",
        ),
        (
            Message(Code.PUT, Type.NON, 1, b"\0\xff", Options.build(uri_path=["a", "b"]), b"xyz"),
            "NON 0x0001 PUT /a/b token=00ff 3 bytes",
        ),
        (
            Message(Code.CONTENT, Type.ACK, 0x7D35, b"\x20", payload=b"22.3 C"),
            "ACK 0x7d35 2.05 Content token=20 6 bytes",
        ),
        (Message(Code.CONTENT, Type.ACK, 1, payload=b"22.3 C"), "ACK 0x0001 2.05 Content 6 bytes"),
        (Message(Code.CHANGED, Type.CON, 2), "CON 0x0002 2.04 Changed"),
        (Message(Code.EMPTY, Type.RST, 0xFFFF), "RST 0xffff 0.00 Empty"),
    ],
)
def test_a_message_prints_as_one_short_line(message: Message, text: str) -> None:
    """Type, message ID and code, then path, token and payload where there are any."""
    assert str(message) == text


@pytest.mark.parametrize("segment", ["a\nCON 0x0001 DELETE /all", "a\rb", "\x1b[2J", "a\u2028b"])
def test_a_peer_cannot_make_it_two_lines(segment: str) -> None:
    """The path is the peer's: it must not be able to write lines of its own into a log."""
    text = str(Message(Code.GET, Type.CON, 1, options=Options.build(uri_path=[segment])))
    assert len(text.splitlines()) == 1
    assert text.isprintable()


# -- Response: the code ----------------------------------------------------------------


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.dotted)
def test_a_response_has_a_code_of_class_2_to_5(code: Code) -> None:
    """Section 5.9 and 12.1."""
    if code >> 5 in (2, 3, 4, 5):
        response = Response(code)
        assert response == Response(code, b"", options=EMPTY)
        assert (response.code, response.payload, response.options) == (code, b"", EMPTY)
    else:
        with pytest.raises(ValueError, match="needs a code of class 2 to 5"):
            Response(code)


def test_a_code_may_be_a_number() -> None:
    assert Response(0x45).code is Code.CONTENT
    assert Response(0x5E).code.dotted == "2.30"


@pytest.mark.parametrize("code", [-1, 256, 404])
def test_a_number_that_is_no_code_is_refused(code: int) -> None:
    with pytest.raises(ValueError, match=str(code)):
        Response(code)


# -- Response: the payload -------------------------------------------------------------


def test_bytes_say_nothing_of_their_format() -> None:
    response = Response(Code.CONTENT, b"22.3 C")
    assert response.payload == b"22.3 C"
    assert response.options is EMPTY


@pytest.mark.parametrize("code", [c for c in CODES if c.is_response], ids=lambda c: c.dotted)
def test_text_is_text_plain_in_a_success_only(code: Code) -> None:
    """A diagnostic payload has no Content-Format (section 5.5.2)."""
    response = Response(code, "früh")
    assert response.payload == "früh".encode()
    assert response.options.content_format == (ContentFormat.TEXT if code.is_success else None)


@pytest.mark.parametrize(
    "response",
    [
        Response(Code.CONTENT, "[1]", content_format=ContentFormat.JSON),
        Response(Code.CONTENT, "[1]", options=Options.build(content_format=50)),
        Response(Code.CONTENT, b"[1]", content_format=50),
        Response(Code.BAD_REQUEST, "[1]", content_format=50),
    ],
)
def test_a_format_that_is_given_is_the_format(response: Response) -> None:
    assert response.options.content_format == ContentFormat.JSON
    assert response.payload == b"[1]"


@pytest.mark.parametrize(
    "payload", [None, 1, bytearray(b"x"), memoryview(b"x"), ["x"], {"a": 1}], ids=repr
)
def test_a_payload_is_bytes_or_text(payload: object) -> None:
    with pytest.raises(TypeError, match=f"bytes or str, not {type(payload).__name__}"):
        respond(Code.CONTENT, payload)


def test_text_that_has_no_utf8_is_refused() -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        Response(Code.CONTENT, "\ud800")


# -- Response: the options -------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"content_format": 0}, [(12, b"")]),
        ({"content_format": 65535}, [(12, b"\xff\xff")]),
        ({"max_age": 0}, [(14, b"")]),
        ({"max_age": 60}, [(14, b"\x3c")]),
        ({"etag": b"\0"}, [(4, b"\0")]),
        ({"etag": b"12345678"}, [(4, b"12345678")]),
        ({"location": ("a", "b")}, [(8, b"a"), (8, b"b")]),
        (
            {"location": ["a"], "location_query": ["q=1", "r"]},
            [(8, b"a"), (20, b"q=1"), (20, b"r")],
        ),
        ({"location": iter(["a"])}, [(8, b"a")]),
        ({"location": []}, []),
        ({"content_format": None, "max_age": None, "etag": None}, []),
    ],
    ids=str,
)
def test_named_options(keywords: dict[str, Any], expected: list[tuple[int, bytes]]) -> None:
    """Section 5.10."""
    assert list(respond(Code.CREATED, **keywords).options) == expected


def test_named_options_join_the_others() -> None:
    others = Options.build(etags=[b"old"], observe=3, extra=[(65000, b"x")])
    response = Response(Code.CONTENT, b"", max_age=5, etag=b"new", options=others)
    assert list(response.options) == [(4, b"new"), (6, b"\x03"), (14, b"\x05"), (65000, b"x")]
    assert others.etags == (b"old",)


def test_a_location_takes_the_place_of_another_as_a_whole() -> None:
    others = Options.build(location_path=["x", "y", "z"], location_query=["q"])
    response = Response(Code.CREATED, location=["a"], options=others)
    assert response.options.location_path == ("a",)
    assert response.options.location_query == ("q",)


def test_options_alone_are_taken_as_they_are() -> None:
    options = Options.build(max_age=5)
    assert Response(Code.CONTENT, options=options).options is options


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"content_format": 65536}, ValueError, "Content-Format"),
        ({"content_format": "text/plain"}, TypeError, "Content-Format"),
        ({"max_age": -1}, ValueError, "-1"),
        ({"max_age": 1 << 32}, ValueError, "Max-Age"),
        ({"max_age": 1.5}, TypeError, "Max-Age"),
        ({"etag": b""}, ValueError, "ETag"),
        ({"etag": b"123456789"}, ValueError, "ETag"),
        ({"etag": "tag"}, TypeError, "ETag"),
        ({"location": "a/b"}, TypeError, "Location-Path"),
        ({"location": ["x" * 256]}, ValueError, "Location-Path"),
        ({"location": [1]}, TypeError, "Location-Path"),
        ({"location_query": "q"}, TypeError, "Location-Query"),
        ({"options": Options([(4, b"a"), (4, b"b")])}, ValueError, "at most one ETag"),
    ],
    ids=str,
)
def test_what_no_response_can_hold(
    keywords: dict[str, Any], error: type[Exception], match: str
) -> None:
    """Section 5.10; at most one ETag by section 5.10.6.1."""
    with pytest.raises(error, match=match):
        respond(Code.CONTENT, **keywords)


@pytest.mark.parametrize("segment", [".", ".."])
def test_a_location_has_no_dot_segment(segment: str) -> None:
    """Section 5.10.7: "The value of a Location-Path Option MUST NOT be "." or ".."."."""
    with pytest.raises(ValueError, match="Location-Path"):
        Response(Code.CREATED, location=["a", segment])


def test_one_etag_that_is_named_settles_which_of_several() -> None:
    several = Options([(4, b"a"), (4, b"b")])
    assert Response(Code.CONTENT, etag=b"c", options=several).options.etags == (b"c",)


# -- Response: a value -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["code", "payload", "options"])
def test_a_response_is_frozen(name: str) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(Response(Code.CONTENT), name, None)


def test_responses_are_values() -> None:
    assert Response(Code.CONTENT, "x", max_age=1) == Response(0x45, "x", max_age=1)
    assert hash(Response(Code.CONTENT, "x")) == hash(Response(Code.CONTENT, "x"))
    assert Response(Code.CONTENT, "x") != Response(Code.CONTENT, b"x"), "the format differs"


def test_a_response_can_be_had_again_with_another_code() -> None:
    response = Response(Code.CONTENT, "x", max_age=1)
    other = attrs.evolve(response, code=Code.CHANGED)
    assert (other.code, other.payload) == (Code.CHANGED, b"x")
    assert other.options == response.options
    assert OptionNumber.MAX_AGE in other.options


# -- Response: sizes -------------------------------------------------------------------


def test_a_payload_is_as_long_as_it_is() -> None:
    """RFC 7959: what does not fit into a message is sent in blocks."""
    assert len(Response(Code.CONTENT, bytes(1_000_000)).payload) == 1_000_000


def test_options_must_leave_room_for_a_block() -> None:
    fits = Options([(65000, bytes(59_995))])
    assert Response(Code.CONTENT, bytes(100_000), options=fits).options is fits
    with pytest.raises(ValueError, match="options of 60001 bytes do not fit in a datagram"):
        Response(Code.CONTENT, options=Options([(65000, bytes(59_996))]))
