"""Lines of a script: what a ladder shows can be read back, and parts of it can be left open."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coapsep import Code, Message, Options, Type
from coapsep.message.codec import encode
from coapsep.message.definitions import encode_uint
from coapsep.numbers import CODES, OptionNumber
from coapsep.testing.line import parse_line
from coapsep.testing.pattern import Difference
from coapsep.trace import describe
from tests.unit.test_trace_notation import MESSAGES

BLOCK2 = int(OptionNumber.BLOCK2)


def read(line: str, **names: bytes) -> Message:
    return parse_line(line).message(names)


def differences(line: str, message: str, **names: bytes) -> list[Difference]:
    return parse_line(line).compare(read(message), names)[0]


def fits(line: str, message: str, **names: bytes) -> bool:
    return not differences(line, message, **names)


# -- what notation.py writes ---------------------------------------------------------------


@settings(deadline=None)
@given(MESSAGES)
@example(Message(Code.EMPTY, Type.RST, 0))
@example(Message(Code.EMPTY, Type.CON, 1, b"t", Options([(11, b"a")]), b"\xff"))
@example(Message(CODES[0x20], Type.NON, 1))
@example(Message(Code.GET, Type.CON, 1, b"123456789"))
def test_every_message_is_read_back_and_fits(message: Message) -> None:
    pattern = parse_line(describe(message))
    assert pattern.message({}) == message
    assert pattern.compare(message, {}) == ([], {})


@settings(deadline=None)
@given(MESSAGES, MESSAGES)
def test_a_line_without_open_parts_fits_one_message_only(one: Message, other: Message) -> None:
    assert bool(parse_line(describe(one)).compare(other, {})[0]) == (one != other)


@settings(deadline=None)
@given(st.text() | st.text('CON [MID=0x7d34], GET/T"$*.=\\').map("CON [MID=0x0001], ".__add__))
def test_nothing_but_value_error_for_any_text(text: str) -> None:
    try:
        parse_line(text)
    except ValueError as exc:
        assert str(exc).startswith("expected ")


# -- what is shorter -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("ACK [MID=0x0001], 2.05", "ACK [MID=0x0001], 2.05 Content"),
        ("CON [MID=0x0001], 0.01, /", "CON [MID=0x0001], GET, /"),
        ("ACK [MID=0x0001], 0.00", "ACK [MID=0x0001]"),
        ("  NON [MID=0xABCD],GET,/ ,T=0A  ", "NON [MID=0xabcd], GET, /, T=0a"),
        (
            'CON [MID=0x0001], GET, /, "x", Accept=0, T=01',
            'CON [MID=0x0001], GET, /, T=01, Accept=0, "x"',
        ),
        ('ACK [MID=0x0001], 2.05, ETag="ab"', "ACK [MID=0x0001], 2.05, ETag=0x6162"),
        ("ACK [MID=0x0001], 2.05, Max-Age=0x3c", "ACK [MID=0x0001], 2.05, Max-Age=60"),
        ('ACK [MID=0x0001], 2.05, T=, ""', "ACK [MID=0x0001], 2.05"),
        ("ACK [MID=0x0001], 2.05, Option 4=0x01", "ACK [MID=0x0001], 2.05, ETag=0x01"),
        ("CON [MID=0x0001], PUT, /, 1:0/0/16", "CON [MID=0x0001], PUT, /, Block1=0"),
        ("ACK [MID=0x0001], 2.05, 2:1/1/64", "ACK [MID=0x0001], 2.05, Block2=0x1a"),
        ("ACK [MID=0x0001], 2.05, Observe=0x0c", "ACK [MID=0x0001], 2.05, Observe=12"),
        ("CON [MID=0x0001], GET, /, Option 13=0x", "CON [MID=0x0001], GET, /, Uri-Path-Abbrev=0"),
    ],
)
def test_shorter_forms(line: str, same: str) -> None:
    assert read(line) == read(same)


def test_an_extended_token_is_written_like_any_other() -> None:
    """RFC 8974 section 2.1: how its length is announced is not for a line to say."""
    message = read(f"CON [MID=0x0001], GET, /, T={'ab' * 40}")
    assert message.token == b"\xab" * 40
    assert encode(message)[:5] == bytes.fromhex("4d0100011b")


def test_blocks_echo_and_the_rest_can_be_open() -> None:
    line = "CON [MID=$a], PUT, /, T=$t, Block1=$b, Echo=$e, No-Response=*, Request-Tag=$r"
    text = "CON [MID=0x0001], PUT, /, T=01, 1:2/1/64, Echo=0x0203, No-Response=26, Request-Tag=0x"
    wrong, names = parse_line(line).compare(read(text), {})
    assert not wrong
    assert names == {"a": b"\0\1", "t": b"\1", "b": b"\x2a", "e": b"\2\3", "r": b""}


@pytest.mark.parametrize(
    ("line", "message", "field", "expected", "got"),
    [
        ("2:0/1/64", "2:0/0/64", "Block2", "2:0/1/64", "2:0/0/64"),
        ("1:3/0/16", "1:4/0/16", "Block1", "1:3/0/16", "1:4/0/16"),
        ("Observe=12", "Observe=13", "Observe", "12", "13"),
        ("Echo=0x01", "Echo=0x02", "Echo", "0x01", "0x02"),
        ("Hop-Limit=16", "Hop-Limit=15", "Hop-Limit", "16", "15"),
    ],
)
def test_what_differs_is_in_the_same_words(
    line: str, message: str, field: str, expected: str, got: str
) -> None:
    start = "CON [MID=0x0001], 2.05, "
    assert differences(start + line, start + message) == [Difference(field, expected, got)]


def test_the_largest_block() -> None:
    value = encode_uint(1048575 << 4 | 8 | 7)
    options = Options([(BLOCK2, value)])
    assert read("ACK [MID=0x0001], 2.05, 2:1048575/1/2048").options == options


# -- what is open --------------------------------------------------------------------------


def test_a_name_remembers_what_it_fitted() -> None:
    line = parse_line("CON [MID=$a], GET, /slow, T=$t, ETag=$e, $p")
    message = read('CON [MID=0x7d34], GET, /slow, T=20, ETag=0x1f, "x"')
    wrong, names = line.compare(message, {})
    assert not wrong
    assert names == {"a": b"\x7d\x34", "t": b"\x20", "e": b"\x1f", "p": b"x"}
    assert line.message(names) == message
    follows = parse_line("CON [MID=0x0001], PUT, /slow, T=$t, If-Match=$e, $p")
    assert follows.message(names) == read('CON [MID=0x0001], PUT, /slow, T=20, If-Match=0x1f, "x"')


def test_a_name_that_is_known_must_be_equal() -> None:
    assert fits("ACK [MID=$a]", "ACK [MID=0x7d34]", a=b"\x7d\x34")
    assert differences("ACK [MID=$a]", "ACK [MID=0x7d35]", a=b"\x7d\x34") == [
        Difference("MID", "$a, which is 0x7d34", "0x7d35")
    ]


def test_a_name_twice_in_a_line_is_one_value() -> None:
    line = "ACK [MID=*], 2.05, ETag=$e, $e"
    assert fits(line, 'ACK [MID=0x0001], 2.05, ETag=0x61, "a"')
    assert not fits(line, 'ACK [MID=0x0001], 2.05, ETag=0x61, "b"')


@pytest.mark.parametrize(
    "message",
    [
        'CON [MID=0x0001], 2.05, T=01, ETag=0x, "x"',
        "CON [MID=0xffff], GET, /, ETag=0x01",  # an empty token, and no payload
    ],
)
def test_a_star_fits_anything(message: str) -> None:
    assert fits("CON [MID=*], *, T=*, ETag=*, *", message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /a, T=01"),
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /a, Accept=0"),
        ("CON [MID=*], GET, /a", 'CON [MID=0x0001], GET, /a, "x"'),
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /a?b"),
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /a, Uri-Port=invalid"),
    ],
)
def test_what_is_not_mentioned_must_not_be_there(line: str, message: str) -> None:
    assert len(differences(line, message)) == 1
    if "?" not in message:
        assert fits(line + ", ...", message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CON [MID=*], GET, /a, ...", "CON [MID=0x0001], GET, /b"),
        ("CON [MID=*], GET, /a, ...", "CON [MID=0x0001], GET, /a/b"),
        ("CON [MID=*], GET, /a, ...", "CON [MID=0x0001], GET, /a?b"),
        ("CON [MID=*], GET, /a, ...", "NON [MID=0x0001], GET, /a"),
        ("CON [MID=*], GET, ...", "CON [MID=0x0001], PUT, /a"),
        ("CON [MID=*], 2.05, ETag=0x01, ...", "CON [MID=0x0001], 2.05, ETag=0x01, ETag=0x02"),
        ("CON [MID=*], 2.05, ETag=*, ...", "CON [MID=0x0001], 2.05"),
        ("CON [MID=*], 2.05, T=, ...", "CON [MID=0x0001], 2.05, T=01"),
        ('CON [MID=*], 2.05, "", ...', 'CON [MID=0x0001], 2.05, "x"'),
        ("CON [MID=*], GET, /, Uri-Port=invalid, ...", "CON [MID=0x0001], GET, /"),
    ],
)
def test_what_is_mentioned_must_match_before_dots(line: str, message: str) -> None:
    assert len(differences(line, message)) == 1


@pytest.mark.parametrize("line", ["CON [MID=*], ...", "CON [MID=*], GET, ..."])
def test_dots_stand_for_a_path_or_a_code_as_well(line: str) -> None:
    assert fits(line, 'CON [MID=0x0001], GET, /a?b, T=01, "x"')


# -- differences ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message", "field", "expected", "got"),
    [
        ("CON [MID=*]", "NON [MID=0x0001]", "type", "CON", "NON"),
        ("CON [MID=*]", "CON [MID=0x0001], 2.05", "code", "Empty", "2.05 Content"),
        (
            "CON [MID=*], 2.05, T=$t",
            "CON [MID=0x0001], 2.04, T=01",
            "code",
            "2.05 Content",
            "2.04 Changed",
        ),
        ("CON [MID=*], 2.05", "CON [MID=0x0001], 2.05, T=0123", "token", "none", "0123"),
        ('CON [MID=*], 2.05, "a"', 'CON [MID=0x0001], 2.05, "b"', "payload", '"a"', '"b"'),
        ('CON [MID=*], 2.05, "a"', "CON [MID=0x0001], 2.05", "payload", '"a"', "none"),
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /b", "Uri-Path", '"a"', '"b"'),
        ("CON [MID=*], GET, /a", "CON [MID=0x0001], GET, /a?b", "Uri-Query", "none", '"b"'),
        ("CON [MID=*], 2.05, Max-Age=*", "CON [MID=0x0001], 2.05", "Max-Age", "*", "none"),
        ("CON [MID=*], 2.05, Max-Age=$m", "CON [MID=0x0001], 2.05", "Max-Age", "$m", "none"),
        ("CON [MID=*], 2.05", "CON [MID=0x0001], 2.05, 2:0/1/64", "Block2", "none", "2:0/1/64"),
        (
            "CON [MID=*], GET, /",
            "CON [MID=0x0001], GET, /, If-None-Match",
            "If-None-Match",
            "none",
            "If-None-Match",
        ),
        (
            "CON [MID=*], GET, /, Uri-Port=invalid",
            "CON [MID=0x0001], GET, /",
            "invalid",
            "Uri-Port",
            "none",
        ),
        (
            "CON [MID=*], 2.05, ETag=0x01, ETag=*",
            "CON [MID=0x0001], 2.05, ETag=0x01",
            "ETag",
            "0x01, *",
            "0x01",
        ),
    ],
)
def test_differences_are_in_the_words_of_the_notation(
    line: str, message: str, field: str, expected: str, got: str
) -> None:
    assert differences(line, message) == [Difference(field, expected, got)]


# -- what cannot be sent -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("ACK [MID=*]", "no open fields"),
        ("ACK [MID=0x0001], 2.05, ETag=*", "no open fields"),
        ("ACK [MID=0x0001], 2.05, ...", "no open fields"),
        ("ACK [MID=$b]", r"\$b stands for nothing yet"),
        ("ACK [MID=$t]", r"\$t is no message ID, but 0x20"),
        ("ACK [MID=0x0001], $a", r"\$a is no code, but 0x7d34"),
    ],
)
def test_only_what_is_known_can_be_sent(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(line, t=b"\x20", a=b"\x7d\x34")


# -- what is wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "a type and a message ID"),
        ("GET /", "a type and a message ID"),
        ("CON [MID=7d34], GET, /", "a type and a message ID"),
        ("CON [MID=$1], GET, /", "a type and a message ID"),
        ("CON [MID=0x7d34] GET, /", "a comma, or the end"),
        ("CON [MID=0x7d34],", "a field between the commas"),
        ("CON [MID=0x7d34], GET, , T=01", "a field between the commas"),
        ('CON [MID=0x7d34], GET, /, "a', "a string that ends"),
        ('CON [MID=0x7d34], GET, /, "a"b"', "a string that ends"),
        ("CON [MID=0x7d34], GTE, /", "a method such as GET"),
        ("CON [MID=0x7d34], 2.5", "a method such as GET"),
        ("CON [MID=0x7d34], 2.32", "a method such as GET"),
        ("CON [MID=0x7d34], 2.05 Contents", "'2.05 Content', or the number alone"),
        ("CON [MID=0x7d34], GET", "the path after the method"),
        ("CON [MID=0x7d34], GET, T=01", "the path after the method"),
        ("CON [MID=0x7d34], /", "no path, since only requests"),
        ("CON [MID=0x7d34], 2.05, /", "no path, since only requests"),
        ("CON [MID=0x7d34], GET, /a b", "a path as in a URI"),
        ("CON [MID=0x7d34], GET, /100%", "a path as in a URI"),
        ("CON [MID=0x7d34], GET, /, T=2", "a token in hex digits"),
        ("CON [MID=0x7d34], GET, /, T=01, T=01", "one token"),
        ('CON [MID=0x7d34], GET, /, "a", *', "one payload"),
        ("CON [MID=0x7d34], GET, /, 0x1", "an even number of hex digits"),
        (r'CON [MID=0x7d34], GET, /, "\x"', "a JSON string"),
        (r'CON [MID=0x7d34], GET, /, "\ud800"', "a JSON string"),
        ('CON [MID=0x7d34], GET, /, "a" b', "a JSON string"),
        ('CON [MID=0x7d34], GET, /, "cut sh"… (120 bytes)', "the whole payload"),
        ("CON [MID=0x7d34], GET, /, Content-format=0", "is it Content-Format?"),
        ("CON [MID=0x7d34], GET, /, Option 65536=0x", "an option such as"),
        ("CON [MID=0x7d34], GET, /, malformed: version 2", "an option such as"),
        ("CON [MID=0x7d34], GET, ..., T=01", "the path after the method"),
        ("CON [MID=0x7d34], GET, /, ..., T=01", "an option such as"),
        ("CON [MID=0x7d34], GET, /, Accept", "a value: Accept=60"),
        ("CON [MID=0x7d34], GET, /, Accept=x", "a value such as Accept=60"),
        ('CON [MID=0x7d34], GET, /, Accept="60"', "a value such as Accept=60"),
        ("CON [MID=0x7d34], GET, /, Accept=65536", "at most 2 bytes"),
        ("CON [MID=0x7d34], GET, /, Uri-Host=a", 'a value such as Uri-Host="text"'),
        ("CON [MID=0x7d34], GET, /, ETag=1", "a value such as ETag=0x1f2e"),
        ("CON [MID=0x7d34], GET, /, 2:0/1/65", "a block as in"),
        ("CON [MID=0x7d34], GET, /, 2:1048576/1/64", "a block as in"),
    ],
)
def test_a_wrong_line_says_what_belongs_there(line: str, expected: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_line(line)
    assert expected in str(caught.value)
    assert line in str(caught.value)


def test_blanks_before_a_string_without_end_cost_no_time() -> None:
    with pytest.raises(ValueError, match="a string that ends"):
        parse_line("ACK [MID=0x0001], 2.05," + " " * 20_000 + '"')


def test_a_wrong_line_says_where() -> None:
    with pytest.raises(ValueError) as caught:
        parse_line("ACK [MID=$a], 2.05, ETag=1, T=$t")
    assert str(caught.value).splitlines() == [
        "expected a value such as ETag=0x1f2e",
        "    ACK [MID=$a], 2.05, ETag=1, T=$t",
        "                             ^",
    ]
