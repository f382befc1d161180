"""Payloads for people: what stands on a terminal, and in the line of an error."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep import ContentFormat
from coapsep.cli.layout import DEEPEST
from coapsep.cli.payloads import for_terminal, in_few_words, is_text

JSON = ContentFormat.JSON
CBOR = ContentFormat.CBOR
ESCAPE = re.compile("\x1b\\[[0-9]+m")


def shown(payload: bytes, content_format: int | None) -> str:
    return for_terminal(payload, content_format, colours=False)


# -- JSON ----------------------------------------------------------------------------------


def test_json_is_laid_out_and_otherwise_left_alone() -> None:
    payload = (
        b' {"a":[1,2.50,-0,1E9, []], "a" : {"nested":{ } },\r\n"\\u00e4\\"":"[,:{",'
        b'"big":123456789012345678901234567890} '
    )
    assert shown(payload, JSON) == (
        "{\n"
        '  "a": [\n    1,\n    2.50,\n    -0,\n    1E9,\n    []\n  ],\n'
        '  "a": {\n    "nested": {}\n  },\n'
        '  "\\u00e4\\"": "[,:{",\n'
        '  "big": 123456789012345678901234567890\n'
        "}"
    )


@pytest.mark.parametrize("payload", [b"1", b'"x"', b"null", b" [] ", b"9" * 5000])
def test_json_that_is_short(payload: bytes) -> None:
    assert shown(payload, JSON) == payload.decode().strip()


def test_json_cannot_steer_the_terminal() -> None:
    text = '"\N{RIGHT-TO-LEFT OVERRIDE}\N{NO-BREAK SPACE}\x7f"'
    assert shown(text.encode(), JSON) == r'"\u202e\u00a0\u007f"'


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"{not json\x1b}", "00000000  7b 6e 6f 74 20 6a 73 6f  6e 1b 7d"),
        (b'{"a":', '{"a":'),
        (b'\xef\xbb\xbf{"a":1}', '\\ufeff{"a":1}'),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "[" * (DEEPEST + 1)),
        (b"[" * 50_000 + b"]" * 50_000, "[" * 50_000),
        (b'"\xff"', "00000000  22 ff 22"),
    ],
)
def test_what_is_no_json_is_text_or_bytes(payload: bytes, text: str) -> None:
    assert shown(payload, JSON).startswith(text)


def test_colours() -> None:
    tokens = '{"key": ["s", -1, null]}'
    assert for_terminal(tokens.encode(), JSON, colours=True) == (
        '{\n  \x1b[34m"key"\x1b[0m: [\n    \x1b[32m"s"\x1b[0m,\n    \x1b[36m-1\x1b[0m,\n'
        "    \x1b[35mnull\x1b[0m\n  ]\n}"
    )
    assert for_terminal(b"\x82\x41\x00\xf9\xfc\x00", CBOR, colours=True) == (
        "[\n  \x1b[33mh'00'\x1b[0m,\n  \x1b[35m-Infinity\x1b[0m\n]"
    )


VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.booleans())
def test_json_means_the_same_when_it_is_laid_out(value: object, ascii_only: bool) -> None:
    payload = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")
    laid_out = shown(payload, JSON)
    assert json.loads(laid_out) == json.loads(payload)
    coloured = for_terminal(payload, JSON, colours=True)
    assert ESCAPE.sub("", coloured) == laid_out


# -- the other formats ---------------------------------------------------------------------


def test_cbor() -> None:
    payload = bytes.fromhex("a36161830102c0617802420102029fff")
    assert shown(payload, CBOR) == (
        '{\n  "a": [\n    1,\n    2,\n    0("x")\n  ],\n  2: h\'0102\',\n  2: [_ ]\n}'
    )
    tagged = bytes.fromhex("d83da1018101")
    assert shown(tagged, ContentFormat.CWT) == "61({\n  1: [\n    1\n  ]\n})"
    pieces = bytes.fromhex("815f41014102ff")
    assert shown(pieces, CBOR) == "[\n  (_ h'01', h'02')\n]"
    assert shown(b"\x01\x02", ContentFormat.CBOR_SEQ) == "1,\n2"
    assert shown(b"\x01\x02", CBOR) == (
        "00000000  01 02                                             |..|"
    )


def test_links_are_one_a_line() -> None:
    payload = b'</a>;rt="x,y" , </b>;title="\x1b[2J\xe2\x80\xae"'
    assert shown(payload, ContentFormat.LINK_FORMAT) == (
        '</a>;rt="x,y",\n</b>;title="\\\\u001b[2J\\u202e"'
    )
    assert shown(b"not links", ContentFormat.LINK_FORMAT) == "not links"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"a\tb\nc", "a\tb\nc"),
        (b"line\n", "line"),
        (b"\n\n", "\n"),
        (b"a\r\nb\r\n", "a\nb"),
        (b"a\rb", r"a\rb"),
        (b"\x1b[31mred\x00", r"\u001b[31mred\u0000"),
        ("\N{SNOWMAN}\u2028x".encode(), "\N{SNOWMAN}\\u2028x"),
        (b"\xff", "00000000  ff"),
    ],
)
def test_text(payload: bytes, text: str) -> None:
    assert shown(payload, ContentFormat.TEXT).startswith(text)
    assert shown(payload, ContentFormat.XML).startswith(text)


@pytest.mark.parametrize("content_format", [None, 65000])
def test_a_format_that_says_nothing(content_format: int | None) -> None:
    assert shown(b"text\n", content_format) == "text"
    assert shown(b"{}", content_format) == "{}"
    assert shown(b"te\x00t", content_format).startswith("00000000  74 65 00 74 ")


def test_bytes() -> None:
    assert shown(bytes(range(0x18, 0x38)) + b"\x7f", ContentFormat.OCTET_STREAM) == (
        "00000000  18 19 1a 1b 1c 1d 1e 1f  20 21 22 23 24 25 26 27  |........ !\"#$%&'|\n"
        "00000010  28 29 2a 2b 2c 2d 2e 2f  30 31 32 33 34 35 36 37  |()*+,-./01234567|\n"
        "00000020  7f                                                |.|"
    )
    assert shown(b"text", ContentFormat.OCTET_STREAM).startswith("00000000  74 65 78 74")


FORMATS = st.none() | st.sampled_from([*ContentFormat, 65000])
PAYLOADS = st.binary(max_size=100) | st.text(max_size=100).map(
    lambda text: text.encode(errors="replace")
)


@given(PAYLOADS, FORMATS)
def test_nothing_raises_or_steers_the_terminal(payload: bytes, content_format: int | None) -> None:
    for_a_terminal = shown(payload, content_format)
    assert all(c.isprintable() or c in "\n\t" for c in for_a_terminal)
    assert in_few_words(payload, content_format).isprintable()
    if is_text(payload, content_format):
        payload.decode()


# -- in a line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "content_format", "words"),
    [
        (b"no such\n\tsensor \x7f", None, "(17 bytes)"),
        (b"no such\n\tsensor ", None, "no such sensor"),
        (b'{"a":  1}', JSON, '{"a": 1}'),
        (b"\xa1\x01\x9f\xff", CBOR, "{1: [_ ]}"),
        (b"\xa1\x01", CBOR, "(2 bytes)"),
        (b"text", ContentFormat.OCTET_STREAM, "(4 bytes)"),
        (b"\xff", ContentFormat.TEXT, "(1 byte)"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}".encode(), None, r"\u202e"),
        (b"x" * 200, None, "x" * 200),
        (b"x" * 201, None, "x" * 200 + "…"),
    ],
)
def test_in_few_words(payload: bytes, content_format: int | None, words: str) -> None:
    assert in_few_words(payload, content_format) == words
