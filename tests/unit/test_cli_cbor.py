"""CBOR for people: the diagnostic notation of RFC 8949 section 8."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep.cli.cbor import cbor_tokens
from coapsep.cli.layout import DEEPEST, in_line

# Of the examples in RFC 8949 appendix A, those that differ in kind. A bignum is shown as the
# tag that it is.
EXAMPLES = [
    ("00", "0"),
    ("17", "23"),
    ("1818", "24"),
    ("1903e8", "1000"),
    ("1a000f4240", "1000000"),
    ("1bffffffffffffffff", "18446744073709551615"),
    ("c249010000000000000000", "2(h'010000000000000000')"),
    ("3bffffffffffffffff", "-18446744073709551616"),
    ("20", "-1"),
    ("3903e7", "-1000"),
    ("f90000", "0.0"),
    ("f98000", "-0.0"),
    ("f93e00", "1.5"),
    ("fb3ff199999999999a", "1.1"),
    ("fa47c35000", "100000.0"),
    ("fb7e37e43c8800759c", "1e+300"),
    ("f90001", "5.960464477539063e-08"),
    ("f97c00", "Infinity"),
    ("f97e00", "NaN"),
    ("f9fc00", "-Infinity"),
    ("fb7ff0000000000000", "Infinity"),
    ("f4", "false"),
    ("f5", "true"),
    ("f6", "null"),
    ("f7", "undefined"),
    ("f0", "simple(16)"),
    ("f8ff", "simple(255)"),
    ("c11a514b67b0", "1(1363896240)"),
    ("d74401020304", "23(h'01020304')"),
    ("d82076687474703a2f2f7777772e6578616d706c652e636f6d", '32("http://www.example.com")'),
    ("40", "h''"),
    ("4401020304", "h'01020304'"),
    ("60", '""'),
    ("62225c", r'"\"\\"'),
    ("62c3bc", '"\N{LATIN SMALL LETTER U WITH DIAERESIS}"'),
    ("80", "[]"),
    ("8301820203820405", "[1, [2, 3], [4, 5]]"),
    ("a0", "{}"),
    ("a201020304", "{1: 2, 3: 4}"),
    ("a26161016162820203", '{"a": 1, "b": [2, 3]}'),
    ("5f42010243030405ff", "(_ h'0102', h'030405')"),
    ("7f657374726561646d696e67ff", '(_ "strea", "ming")'),
    ("9fff", "[_ ]"),
    ("9f018202039f0405ffff", "[_ 1, [2, 3], [_ 4, 5]]"),
    ("83018202039f0405ff", "[1, [2, 3], [_ 4, 5]]"),
    ("bf61610161629f0203ffff", '{_ "a": 1, "b": [_ 2, 3]}'),
    ("bf6346756ef563416d7421ff", '{_ "Fun": true, "Amt": -2}'),
]


@pytest.mark.parametrize(("data", "notation"), EXAMPLES)
def test_examples(data: str, notation: str) -> None:
    assert in_line(cbor_tokens(bytes.fromhex(data))) == notation


def test_a_text_cannot_steer_a_terminal() -> None:
    (token,) = cbor_tokens(b"\x67\x1b[2J\x7f\xc2\x9b")
    assert token == r'"\u001b[2J\u007f\u009b"'


def test_a_sequence() -> None:
    assert cbor_tokens(b"\x01\x02\x80", sequence=True) == ["1", ",", "2", ",", "[", "]"]
    with pytest.raises(ValueError, match="more bytes follow the item, from 1 on"):
        cbor_tokens(b"\x01\x02")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "it ends in the middle of an item, at 0"),
        ("18", "it ends in the middle of an item, at 1"),
        ("1901", "at 2"),
        ("4201", "at 2"),
        ("5bffffffffffffffff00", "at 10"),
        ("9bffffffffffffffff00", "at 10"),
        ("82", "at 1"),
        ("9f01", "at 2"),
        ("c1", "at 1"),
        ("1c", "no item begins like the one at 0"),
        ("001d", "more bytes follow"),
        ("811e", "no item begins like the one at 1"),
        ("1f", "no item begins like the one at 0"),
        ("df00", "no item begins like the one at 0"),
        ("ff", "a break at 0 ends nothing"),
        ("81ff", "a break at 1 ends nothing"),
        ("bf01ff", "a break at 2 ends nothing"),
        ("f818", "the simple value at 0 is too long for its number"),
        ("fc", "no item begins like the one at 0"),
        ("5f01ff", "the item at 1 is no piece of the string around it"),
        ("5f6161ff", "the item at 1 is no piece of the string around it"),
        ("5f5fffff", "the item at 1 is no piece of the string around it"),
        ("62c328", "'utf-8' codec"),
        ("81" * (DEEPEST + 1) + "00", f"nested deeper than {DEEPEST}"),
        ("c1" * (DEEPEST + 1) + "00", f"nested deeper than {DEEPEST}"),
        ("9f" * 100_000, f"nested deeper than {DEEPEST}"),
    ],
)
def test_what_is_no_cbor(data: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        cbor_tokens(bytes.fromhex(data))


def test_the_deepest_nesting() -> None:
    tokens = cbor_tokens(b"\x81" * DEEPEST + b"\x00")
    assert in_line(tokens) == "[" * DEEPEST + "0" + "]" * DEEPEST


@given(st.binary(max_size=200), st.booleans())
def test_bytes_are_printable_tokens_or_a_value_error(data: bytes, sequence: bool) -> None:
    try:
        tokens = cbor_tokens(data, sequence=sequence)
    except ValueError:
        return
    assert all(token.isprintable() for token in tokens)


VALUES: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_another_encoder_writes_is_read(value: object) -> None:
    assert cbor_tokens(cbor2.dumps(value))
