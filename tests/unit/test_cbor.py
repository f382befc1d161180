"""CBOR as far as problem details need it: RFC 8949."""

from __future__ import annotations

import math
from typing import Any

import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coapsep.cbor import DEEPEST, Tag, decode, encode

# Of the examples in RFC 8949 appendix A, those that differ in kind.
BOTH_WAYS = [
    ("00", 0),
    ("17", 23),
    ("1818", 24),
    ("18ff", 255),
    ("190100", 256),
    ("1903e8", 1000),
    ("1a000f4240", 1_000_000),
    ("1b000000e8d4a51000", 1_000_000_000_000),
    ("1bffffffffffffffff", 2**64 - 1),
    ("20", -1),
    ("3863", -100),
    ("3bffffffffffffffff", -(2**64)),
    ("fb3ff199999999999a", 1.1),
    ("fbc010666666666666", -4.1),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("c11a514b67b0", Tag(1, 1363896240)),
    ("d818456449455446", Tag(24, b"dIETF")),
    ("40", b""),
    ("4401020304", b"\1\2\3\4"),
    ("60", ""),
    ("62c3bc", "\u00fc"),
    ("80", ()),
    ("8301820203820405", (1, (2, 3), (4, 5))),
    ("a0", {}),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": (2, 3)}),
    ("a1410120", {b"\1": -1}),
]
# What is read, and would be written in another way.
READ = [
    ("f90000", 0.0),
    ("f93e00", 1.5),
    ("fa47c35000", 100_000.0),
    ("f97c00", math.inf),
    ("f7", None),
    ("1800", 0),  # not the shortest form
    ("1b0000000000000001", 1),
    ("5f42010243030405ff", b"\1\2\3\4\5"),
    ("5fff", b""),
    ("7f657374726561646d696e67ff", "streaming"),
    ("9fff", ()),
    ("9f018202039f0405ffff", (1, (2, 3), (4, 5))),
    ("bf61610161629f0203ffff", {"a": 1, "b": (2, 3)}),
]


@pytest.mark.parametrize(("data", "value"), BOTH_WAYS)
def test_examples(data: str, value: Any) -> None:
    assert decode(bytes.fromhex(data)) == value
    assert type(decode(bytes.fromhex(data))) is type(value)
    assert encode(value) == bytes.fromhex(data)


@pytest.mark.parametrize(("data", "value"), READ)
def test_other_forms_are_read(data: str, value: Any) -> None:
    assert decode(bytes.fromhex(data)) == value


def test_not_a_number() -> None:
    assert math.isnan(decode(bytes.fromhex("f97e00")))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("", "it ends in the middle of an item, at 0"),
        ("1901", "at 2"),
        ("4201", "at 2"),
        ("5bffffffffffffffff00", "at 10"),
        ("9bffffffffffffffff00", "at 10"),
        ("bbffffffffffffffff0000", "at 11"),
        ("9f01", "at 2"),
        ("0000", "more bytes follow the item, from 1 on"),
        ("1c", "no item begins like the one at 0"),
        ("1f", "no item begins like the one at 0"),
        ("df00", "no item begins like the one at 0"),
        ("ff", "a break at 0 ends nothing"),
        ("a1ff", "a break at 1 ends nothing"),
        ("f818", "the simple value at 0 is too long for its number"),
        ("f0", "a simple value that has no meaning: 16"),
        ("f8ff", "a simple value that has no meaning: 255"),
        ("5f01ff", "no piece of the string around it"),
        ("5f5fffff", "no piece of the string around it"),
        ("7f61c361bcff", "'utf-8' codec"),  # each piece is text (section 3.2.3)
        ("62c328", "'utf-8' codec"),
        ("a2010201" + "03", "a key that is there twice"),
        ("a18001", "no number and no string"),
        ("a1a001", "no number and no string"),
        ("a1f501", "no number and no string"),
        ("a1f93c0001", "no number and no string"),
        ("81" * (DEEPEST + 1) + "00", f"nested deeper than {DEEPEST}"),
        ("c1" * (DEEPEST + 1) + "00", f"nested deeper than {DEEPEST}"),
        ("a100" * (DEEPEST + 1) + "00", f"nested deeper than {DEEPEST}"),
        ("9f" * 100_000, f"nested deeper than {DEEPEST}"),
    ],
)
def test_what_is_not_read(data: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (2**64, ValueError, "64 bits"),
        (-(2**64) - 1, ValueError, "64 bits"),
        ("\ud800", ValueError, "surrogates"),
        (object(), TypeError, "there is no CBOR here for <object"),
        ({1, 2}, TypeError, "there is no CBOR here for"),
        (bytearray(b"x"), TypeError, "there is no CBOR here for"),
        ({None: 1}, TypeError, "the keys of a map"),
        ({True: 1}, TypeError, "the keys of a map"),
        ({(): 1}, TypeError, "the keys of a map"),
        ([[object()]], TypeError, "there is no CBOR"),
    ],
)
def test_what_is_not_written(value: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        encode(value)


def test_how_deep_it_goes() -> None:
    data = b"\x81" * DEEPEST + b"\x00"
    assert encode(decode(data)) == data
    with pytest.raises(ValueError, match="nested deeper"):
        encode([decode(data)])
    around: list[Any] = []
    around.append(around)
    with pytest.raises(ValueError, match="nested deeper"):
        encode(around)


@given(st.binary(max_size=100))
@example(b"\x9f" * 50)
def test_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    try:
        value = decode(data)
    except ValueError:
        return
    assert encode(decode(encode(value))) == encode(value)


KEYS = st.integers(-(2**64), 2**64 - 1) | st.text(max_size=4) | st.binary(max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | KEYS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@given(VALUES)
def test_another_decoder_reads_what_is_written(value: Any) -> None:
    data = encode(value)
    assert cbor2.dumps(cbor2.loads(data), canonical=True) == cbor2.dumps(value, canonical=True)
    assert encode(decode(data)) == data


@given(VALUES)
def test_what_another_encoder_writes_is_read(value: Any) -> None:
    assert encode(decode(cbor2.dumps(value))) == encode(value)
