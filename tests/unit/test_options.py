"""Options: RFC 7252 sections 3.2, 5.4 and 5.10, table 4, and the RFCs that add options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep.message.block import Block
from coapsep.message.definitions import (
    DEFINITIONS,
    Format,
    encode_uint,
    encode_value,
    is_critical,
    option_name,
)
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import ContentFormat, OptionNumber

UNKNOWN_CRITICAL, UNKNOWN_ELECTIVE = 65001, 65000

# Number, name, C, R, format, length: the columns of table 4, from the RFCs and not from the code.
TABLE: list[tuple[int, str, bool, bool, str, int, int]] = [
    (1, "If-Match", True, True, "opaque", 0, 8),
    (3, "Uri-Host", True, False, "string", 1, 255),
    (4, "ETag", False, True, "opaque", 1, 8),
    (5, "If-None-Match", True, False, "empty", 0, 0),
    (6, "Observe", False, False, "uint", 0, 3),  # RFC 7641 section 2
    (7, "Uri-Port", True, False, "uint", 0, 2),
    (8, "Location-Path", False, True, "string", 0, 255),
    (9, "OSCORE", True, False, "opaque", 0, 255),  # RFC 8613 section 2
    (11, "Uri-Path", True, True, "string", 0, 255),
    (12, "Content-Format", False, False, "uint", 0, 2),
    (13, "Uri-Path-Abbrev", True, False, "uint", 0, 4),  # draft-ietf-core-uri-path-abbrev
    (14, "Max-Age", False, False, "uint", 0, 4),
    (15, "Uri-Query", True, True, "string", 0, 255),
    (16, "Hop-Limit", False, False, "uint", 1, 1),  # RFC 8768 section 3
    (17, "Accept", True, False, "uint", 0, 2),
    (20, "Location-Query", False, True, "string", 0, 255),
    (23, "Block2", True, False, "uint", 0, 3),  # RFC 7959 section 2.1
    (27, "Block1", True, False, "uint", 0, 3),
    (28, "Size2", False, False, "uint", 0, 4),  # RFC 7959 section 4
    (35, "Proxy-Uri", True, False, "string", 1, 1034),
    (39, "Proxy-Scheme", True, False, "string", 1, 255),
    (60, "Size1", False, False, "uint", 0, 4),
    (252, "Echo", False, False, "opaque", 1, 40),  # RFC 9175 section 2.2.1
    (258, "No-Response", False, False, "uint", 0, 1),  # RFC 7967 section 2
    (292, "Request-Tag", False, True, "opaque", 0, 8),  # RFC 9175 section 3.2.1
]

# Every keyword of build() that names an option: a value, its number, what is on the wire.
BUILT: list[tuple[str, Any, int, tuple[bytes, ...]]] = [
    ("if_match", (b"", b"tag"), 1, (b"", b"tag")),
    ("uri_host", "bücher.example", 3, (b"b\xc3\xbccher.example",)),
    ("etags", (b"\x01", b"12345678"), 4, (b"\x01", b"12345678")),
    ("if_none_match", True, 5, (b"",)),
    ("observe", 0, 6, (b"",)),
    ("observe", 0xFFFFFF, 6, (b"\xff\xff\xff",)),
    ("uri_port", 5683, 7, (b"\x16\x33",)),
    ("location_path", ("a", "", "ü"), 8, (b"a", b"", b"\xc3\xbc")),
    ("uri_path", ("sensors", "1"), 11, (b"sensors", b"1")),
    ("content_format", 0, 12, (b"",)),
    ("content_format", ContentFormat.CBOR, 12, (b"\x3c",)),
    ("content_format", 65000, 12, (b"\xfd\xe8",)),
    ("uri_path_abbrev", 0, 13, (b"",)),
    ("uri_path_abbrev", 301, 13, (b"\x01\x2d",)),
    ("max_age", 0, 14, (b"",)),
    ("max_age", 256, 14, (b"\x01\x00",)),
    ("max_age", 0xFFFFFFFF, 14, (b"\xff\xff\xff\xff",)),
    ("uri_query", ("a=1", "b"), 15, (b"a=1", b"b")),
    ("hop_limit", 1, 16, (b"\x01",)),
    ("hop_limit", 255, 16, (b"\xff",)),
    ("accept", ContentFormat.LINK_FORMAT, 17, (b"\x28",)),
    ("location_query", ("page=2",), 20, (b"page=2",)),
    # RFC 7959 section 2.2: number, more, size exponent
    ("block2", Block(0, False, 16), 23, (b"",)),
    ("block2", Block(1, True, 64), 23, (b"\x1a",)),
    ("block1", Block(0, True, 1024), 27, (b"\x0e",)),
    ("block1", Block(1048575, False, 512), 27, (b"\xff\xff\xf5",)),
    ("size2", 0, 28, (b"",)),
    ("size2", 0xFFFFFFFF, 28, (b"\xff\xff\xff\xff",)),
    ("proxy_uri", "coap://[::1]/x", 35, (b"coap://[::1]/x",)),
    ("proxy_scheme", "coap", 39, (b"coap",)),
    ("size1", 1024, 60, (b"\x04\x00",)),
    ("echo", b"\x00", 252, (b"\x00",)),
    ("echo", b"e" * 40, 252, (b"e" * 40,)),
    ("no_response", 0, 258, (b"",)),
    ("no_response", 26, 258, (b"\x1a",)),
    ("request_tags", (b"",), 292, (b"",)),
    ("request_tags", (b"\x02", b"\x01", b"12345678"), 292, (b"\x02", b"\x01", b"12345678")),
]


def build(**arguments: Any) -> Options:
    """``Options.build`` for what the type checker would not let through."""
    return Options.build(**arguments)


# -- the table -------------------------------------------------------------------------


def test_the_table_has_every_option_that_has_a_name() -> None:
    assert {row[0] for row in TABLE} == set(DEFINITIONS) == set(OptionNumber)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[1])
def test_table_4(row: tuple[int, str, bool, bool, str, int, int]) -> None:
    """Section 5.10, table 4."""
    number, name, critical, repeatable, format_, shortest, longest = row
    definition = DEFINITIONS[number]
    assert option_name(number) == name
    assert is_critical(number) is critical
    assert definition.repeatable is repeatable
    assert definition.format.value == format_
    assert (definition.shortest, definition.longest) == (shortest, longest)


@pytest.mark.parametrize(("number", "critical"), [(65001, True), (65000, False), (0, False)])
def test_an_odd_number_is_critical(number: int, critical: bool) -> None:
    """Section 5.4.6, of an option that nobody knows."""
    assert is_critical(number) is critical
    assert option_name(number) == f"Option {number}"


# -- values ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "raw"),
    [(0, ""), (1, "01"), (255, "ff"), (256, "0100"), (0xFFFF, "ffff"), (0x10000, "010000")],
)
def test_a_uint_has_no_leading_zero_bytes(value: int, raw: str) -> None:
    """Section 3.2."""
    assert encode_uint(value) == bytes.fromhex(raw)


@given(st.integers(0, 2**64))
def test_every_uint_can_be_read_again(value: int) -> None:
    raw = encode_uint(value)
    assert int.from_bytes(raw, "big") == value
    assert not raw.startswith(b"\0")


def test_a_uint_is_not_negative() -> None:
    with pytest.raises(ValueError, match="-1"):
        encode_uint(-1)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[1])
def test_lengths_of_table_4_are_checked(
    row: tuple[int, str, bool, bool, str, int, int],
) -> None:
    """Section 5.10: both ends of the range are in, what is next to them is not."""
    number, name, _, _, _, shortest, longest = row
    assert encode_value(number, b"x" * shortest) == b"x" * shortest
    assert encode_value(number, b"x" * longest) == b"x" * longest
    for length in {shortest - 1, longest + 1} - {-1}:
        with pytest.raises(ValueError, match=f"{name} must be {shortest} to {longest} bytes"):
            encode_value(number, b"x" * length)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[1])
def test_each_format_takes_its_own_type(row: tuple[int, str, bool, bool, str, int, int]) -> None:
    """Section 3.2; bytes are the exception, as what every option is in the end."""
    number, name, _, _, format_, _, _ = row
    own: dict[str, Any] = {"string": "x", "uint": 7, "empty": True}
    raw = {"string": b"x", "uint": b"\x07", "empty": b""}
    for of, value in own.items():
        if of == format_:
            assert encode_value(number, value) == raw[of]
        else:
            with pytest.raises(TypeError, match=f"{name} is {format_}"):
                encode_value(number, value)
    nothing: list[Any] = [None, 1.5, bytearray(b"x"), False, ["x"]]
    for value in nothing:
        with pytest.raises(TypeError, match=f"{name} is {format_}"):
            encode_value(number, value)


def test_an_option_outside_the_table_takes_bytes_of_any_length() -> None:
    assert encode_value(UNKNOWN_CRITICAL, b"") == b""
    assert encode_value(UNKNOWN_CRITICAL, b"x" * 2000) == b"x" * 2000
    with pytest.raises(TypeError, match="Option 65001 is opaque"):
        encode_value(UNKNOWN_CRITICAL, 1)


@pytest.mark.parametrize("row", [row for row in TABLE if row[4] == "string"], ids=lambda r: r[1])
def test_a_string_is_utf8(row: tuple[int, str, bool, bool, str, int, int]) -> None:
    """Section 3.2: bytes that are no UTF-8 are no string, whoever gives them."""
    with pytest.raises(ValueError, match=row[1]):
        encode_value(row[0], b"\xff")


# -- building --------------------------------------------------------------------------


@pytest.mark.parametrize(("keyword", "value", "number", "raw"), BUILT)
def test_build(keyword: str, value: Any, number: int, raw: tuple[bytes, ...]) -> None:
    """Section 5.10: what goes on the wire, and comes back by the same name."""
    options = build(**{keyword: value})
    assert list(options) == [(number, item) for item in raw]
    assert getattr(options, keyword) == value
    assert options.values(number) == raw
    assert options.value(number) == raw[0]
    assert number in options
    assert options.critical == ({number} if number % 2 else set())
    assert options.faulty == ()


def test_build_with_every_keyword_there_is() -> None:
    arguments = {keyword: value for keyword, value, _, _ in BUILT}
    options = build(**arguments, extra=[(65001, b"?")])
    assert {keyword: getattr(options, keyword) for keyword in arguments} == arguments
    assert options.value(65001) == b"?"
    assert [number for number, _ in options] == sorted(number for number, _ in options)


def test_build_takes_any_iterable() -> None:
    assert build(uri_path=iter(["a", "b"])).uri_path == ("a", "b")
    assert build(uri_path=["a", "b"]) == build(uri_path=("a", "b"))


def test_build_without_values_is_the_empty_set() -> None:
    nothing = build(uri_path=(), uri_host=None, if_none_match=False, extra=())
    assert nothing is EMPTY
    assert nothing == Options()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"if_match": [b"123456789"]}, "If-Match"),
        ({"uri_host": ""}, "Uri-Host"),
        ({"uri_host": "x" * 256}, "Uri-Host"),
        ({"etags": [b""]}, "ETag"),
        ({"etags": [b"ok", b"123456789"]}, "ETag"),
        ({"observe": 1 << 24}, "Observe"),
        ({"observe": -1}, "Observe"),
        ({"uri_port": 65536}, "Uri-Port"),
        ({"uri_port": -1}, "Uri-Port"),
        ({"location_path": ["ü" * 128]}, "Location-Path"),
        ({"uri_path": ["x" * 256]}, "Uri-Path"),
        ({"uri_path": ["\ud800"]}, "Uri-Path"),
        ({"content_format": 65536}, "Content-Format"),
        ({"content_format": -1}, "Content-Format"),
        ({"max_age": 1 << 32}, "Max-Age"),
        ({"max_age": -1}, "Max-Age"),
        ({"uri_query": ["x" * 256]}, "Uri-Query"),
        ({"accept": 65536}, "Accept"),
        ({"location_query": ["x" * 256]}, "Location-Query"),
        ({"proxy_uri": ""}, "Proxy-Uri"),
        ({"proxy_uri": "x" * 1035}, "Proxy-Uri"),
        ({"proxy_scheme": ""}, "Proxy-Scheme"),
        ({"size1": 1 << 32}, "Size1"),
        ({"size2": 1 << 32}, "Size2"),
        ({"size2": -1}, "Size2"),
        ({"uri_path_abbrev": 1 << 32}, "Uri-Path-Abbrev"),
        ({"uri_path_abbrev": -1}, "Uri-Path-Abbrev"),
        ({"echo": b""}, "Echo"),
        ({"echo": b"e" * 41}, "Echo"),
        ({"no_response": 256}, "No-Response"),
        ({"request_tags": [b"123456789"]}, "Request-Tag"),
        ({"hop_limit": 0}, "Hop-Limit"),  # RFC 8768 section 3: from 1 to 255
        ({"hop_limit": 256}, "Hop-Limit"),
        ({"extra": [(OptionNumber.ECHO, b"")]}, "Echo"),
        ({"extra": [(65536, b"")]}, "65536"),
        ({"extra": [(-1, b"")]}, "-1"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_build_refuses_a_value_and_says_of_which_option(
    arguments: dict[str, Any], name: str
) -> None:
    """Section 5.10."""
    with pytest.raises(ValueError, match=name):
        build(**arguments)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"if_match": ["tag"]}, "If-Match"),
        ({"if_match": b"tag"}, "If-Match"),
        ({"uri_host": 1}, "Uri-Host"),
        ({"etags": b"tag"}, "ETag"),
        ({"etags": "tag"}, "ETag"),
        ({"etags": [1]}, "ETag"),
        ({"observe": "0"}, "Observe"),
        ({"observe": True}, "Observe"),
        ({"uri_port": 5683.0}, "Uri-Port"),
        ({"location_path": "a/b"}, "Location-Path"),
        ({"uri_path": "a/b"}, "Uri-Path"),
        ({"uri_path": [None]}, "Uri-Path"),
        ({"content_format": "text/plain"}, "Content-Format"),
        ({"max_age": 1.5}, "Max-Age"),
        ({"uri_query": "a=1"}, "Uri-Query"),
        ({"uri_query": [1]}, "Uri-Query"),
        ({"accept": "40"}, "Accept"),
        ({"location_query": ""}, "Location-Query"),
        ({"proxy_uri": 1}, "Proxy-Uri"),
        ({"proxy_scheme": ["coap"]}, "Proxy-Scheme"),
        ({"size1": "1"}, "Size1"),
        ({"size2": "1"}, "Size2"),
        ({"uri_path_abbrev": "core"}, "Uri-Path-Abbrev"),
        ({"echo": "text"}, "Echo"),
        ({"echo": 1}, "Echo"),
        ({"no_response": "26"}, "No-Response"),
        ({"request_tags": b"tag"}, "Request-Tag"),
        ({"request_tags": ["tag"]}, "Request-Tag"),
        ({"hop_limit": 1.0}, "Hop-Limit"),
        ({"extra": [(65001, "text")]}, "Option 65001"),
    ],
    ids=str,
)
def test_build_refuses_a_type_and_says_of_which_option(
    arguments: dict[str, Any], name: str
) -> None:
    with pytest.raises(TypeError, match=name):
        build(**arguments)


# -- as a collection -------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=4)), max_size=12)


@given(PAIRS)
def test_options_are_sorted_by_number_and_keep_the_order_of_values(
    pairs: list[tuple[int, bytes]],
) -> None:
    """Section 3.1 wants ascending numbers; 5.10.1 gives the order of segments a meaning."""
    options = Options(pairs)
    assert [number for number, _ in options] == sorted(number for number, _ in pairs)
    for number in {number for number, _ in pairs}:
        assert options.values(number) == tuple(v for n, v in pairs if n == number)
    assert len(options) == len(pairs)


@given(PAIRS)
def test_critical_is_every_odd_number(pairs: list[tuple[int, bytes]]) -> None:
    """Section 5.4.1 and 5.4.6."""
    assert Options(pairs).critical == {number for number, _ in pairs if number % 2}


@given(PAIRS, PAIRS)
def test_equal_options_have_equal_hashes(
    one: list[tuple[int, bytes]], two: list[tuple[int, bytes]]
) -> None:
    assert Options(one) == Options(list(Options(one)))
    assert hash(Options(one)) == hash(Options(list(Options(one))))
    assert (Options(one) == Options(two)) == (list(Options(one)) == list(Options(two)))


def test_the_order_of_segments_counts_in_a_comparison() -> None:
    assert build(uri_path=("a", "b")) != build(uri_path=("b", "a"))
    assert build(uri_path=("a", "b")) != build(uri_path=("a",))


def test_what_was_taken_out_counts_in_a_comparison() -> None:
    """Or else a memory of results would hand out a good message for a bad one."""
    assert Options() != Options(faulty=(11,))
    assert Options(faulty=(11,)) == Options(faulty=(11,))
    assert hash(Options(faulty=(11,))) == hash(Options(faulty=(11,)))


def test_options_are_not_equal_to_something_else() -> None:
    options = Options([(11, b"a")])
    assert options != [(11, b"a")]
    assert options != ((11, b"a"),)


def test_options_can_be_keys() -> None:
    table = {build(uri_path=["a"]): 1, EMPTY: 2}
    assert table[build(uri_path=["a"])] == 1
    assert table[Options()] == 2


@pytest.mark.parametrize("number", [-1, 65536])
def test_a_number_has_16_bits(number: int) -> None:
    """Section 12.2."""
    with pytest.raises(ValueError, match=f"from 0 to 65535, not {number}"):
        Options([(number, b"")])


def test_repr_names_the_options() -> None:
    options = build(uri_path=["a"], etags=[b"\x01"], extra=[(65001, b"?")])
    assert repr(options) == r"Options(ETag: b'\x01', Uri-Path: b'a', Option 65001: b'?')"
    assert repr(EMPTY) == "Options()"


def test_options_know_nothing_of_the_list_they_were_made_from() -> None:
    pairs = [(11, b"a")]
    options = Options(pairs)
    pairs.append((11, b"b"))
    assert list(options) == [(11, b"a")]


@pytest.mark.parametrize("name", ["critical", "faulty", "uri_path", "max_age", "anything"])
def test_options_cannot_be_changed(name: str) -> None:
    """One object is shared by all messages with these options, and EMPTY by the rest."""
    options = build(uri_path=["a"])
    with pytest.raises(AttributeError):
        setattr(options, name, ())
    with pytest.raises(AttributeError):
        delattr(options, name)


def test_iterating_and_reading_leave_options_as_they_are() -> None:
    options = build(uri_path=["a", "b"], uri_query=["c"])
    before = (list(options), hash(options))
    assert (options.uri_path, options.uri_query) == (("a", "b"), ("c",))
    assert options.uri_path is options.uri_path
    assert (list(options), hash(options)) == before


# -- replacing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "values", "expected"),
    [
        (OptionNumber.MAX_AGE, (5,), [(11, b"a"), (11, b"b"), (14, b"\x05")]),
        (OptionNumber.MAX_AGE, (), [(11, b"a"), (11, b"b")]),
        (OptionNumber.URI_PATH, ("x",), [(11, b"x"), (14, b"\x3c")]),
        (OptionNumber.URI_PATH, ("x", b"y", "z"), [(11, b"x"), (11, b"y"), (11, b"z"), (14, b"<")]),
        (OptionNumber.ETAG, (b"\x01",), [(4, b"\x01"), (11, b"a"), (11, b"b"), (14, b"<")]),
        (OptionNumber.IF_NONE_MATCH, (True,), [(5, b""), (11, b"a"), (11, b"b"), (14, b"<")]),
        (OptionNumber.SIZE1, (), [(11, b"a"), (11, b"b"), (14, b"<")]),
    ],
)
def test_replace(
    number: int, values: tuple[bytes | str | int, ...], expected: list[tuple[int, bytes]]
) -> None:
    options = build(uri_path=("a", "b"), max_age=60)
    assert list(options.replace(number, *values)) == expected
    assert list(options) == [(11, b"a"), (11, b"b"), (14, b"<")], "the original is left alone"


def test_replace_checks_the_value() -> None:
    with pytest.raises(ValueError, match="ETag must be 1 to 8 bytes"):
        EMPTY.replace(OptionNumber.ETAG, b"")
    with pytest.raises(TypeError, match="Max-Age is uint"):
        EMPTY.replace(OptionNumber.MAX_AGE, "60")


def test_replace_keeps_criticals_up_to_date() -> None:
    options = build(uri_path=["a"])
    assert options.replace(OptionNumber.URI_PATH).critical == frozenset()
    assert options.replace(OptionNumber.ACCEPT, 40).critical == {11, 17}


def test_replace_keeps_what_is_faulty_elsewhere() -> None:
    """Or else a request that must be refused would pass."""
    options = Options([(11, b"a")], faulty=(3, 7))
    assert options.replace(OptionNumber.URI_PATH, "b").faulty == (3, 7)
    assert options.replace(OptionNumber.URI_PORT, 5683).faulty == (3,)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((14,), [(4, b"\x01"), (4, b"\x02"), (11, b"a")]),
        ((4, 11), [(14, b"<")]),
        ((4, 11, 14), []),
        ((14, 65001), [(4, b"\x01"), (4, b"\x02"), (11, b"a")]),
    ],
)
def test_without(numbers: tuple[int, ...], expected: list[tuple[int, bytes]]) -> None:
    options = build(etags=[b"\x01", b"\x02"], uri_path=["a"], max_age=60)
    assert list(options.without(*numbers)) == expected
    assert len(options) == 4, "the original is left alone"


def test_without_what_is_not_there_is_the_same() -> None:
    options = build(uri_path=["a"])
    assert options.without(OptionNumber.ETAG) is options
    assert options.without() is options


def test_without_keeps_what_is_faulty() -> None:
    options = Options([(11, b"a"), (14, b"<")], faulty=(3,))
    assert options.without(OptionNumber.MAX_AGE).faulty == (3,)


# -- transfers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["observe", "block1", "block2"])
def test_blocks_and_observe_say_nothing_of_what_is_asked(name: str) -> None:
    """RFC 9175 section 1.1: matchable requests differ in no more than these, and Observe."""
    values: dict[str, Any] = {
        "observe": 0,
        "block1": Block(1, True, 16),
        "block2": Block(1, False, 16),
    }
    plain = build(uri_path=["a"], content_format=0)
    assert build(uri_path=["a"], content_format=0, **{name: values[name]}).matchable == (
        plain.matchable
    )


@pytest.mark.parametrize(
    ("number", "counts"),
    [
        (11, True),  # Uri-Path
        (12, True),  # Content-Format
        (6, False),  # Observe, by RFC 7641 section 2
        (13, True),  # Uri-Path-Abbrev
        (17, True),  # Accept
        (23, False),  # Block2
        (27, False),  # Block1
        (28, False),  # Size2: of the elective ones that end in 11100, none
        (60, False),  # Size1
        (252, False),  # Echo
        (258, True),  # No-Response
        (292, True),  # Request-Tag, which is there to keep transfers apart
        (16, True),  # Hop-Limit
        (65001, True),
        (65020, False),  # 65020 ends in 11100, whoever knows it
        (65019, True),
    ],
)
def test_what_keeps_two_transfers_apart(number: int, counts: bool) -> None:
    """RFC 9175 section 1.1: what is no part of the cache key does not (RFC 7252 5.4.6)."""
    one, two = Options([(number, b"\x01")]), Options([(number, b"\x02")])
    assert (one.matchable != two.matchable) == counts
    assert (one.matchable != EMPTY.matchable) == counts


@given(PAIRS)
def test_no_cache_key_is_a_pattern_of_bits(pairs: list[tuple[int, bytes]]) -> None:
    """Section 5.4.6, figure 11: NoCacheKey = ((onum & 0x1e) == 0x1c), and not critical."""
    options = Options(pairs)
    for number, _ in set(options) - set(options.matchable):
        assert number in (6, 23, 27) or (number & 0x1E == 0x1C and number % 2 == 0)
    for number, _ in options.matchable:
        assert number not in (6, 23, 27)
        assert number & 0x1E != 0x1C or number % 2 == 1


def test_the_order_of_values_keeps_transfers_apart() -> None:
    assert build(uri_path=["a", "b"]).matchable != build(uri_path=["b", "a"]).matchable


SOME_BLOCKS = st.none() | st.builds(
    Block, st.integers(0, 2**20 - 1), st.booleans(), st.sampled_from([16, 1024])
)


@given(PAIRS, SOME_BLOCKS, SOME_BLOCKS)
def test_options_with_blocks_are_like_any_others(
    pairs: list[tuple[int, bytes]], block1: Block | None, block2: Block | None
) -> None:
    faulty = (3,)
    made = Options(pairs, faulty=faulty).with_blocks(block1, block2)
    blocks = [(n, block) for n, block in ((27, block1), (23, block2)) if block is not None]
    plain = [pair for pair in pairs if pair[0] not in (23, 27)]
    alike = Options(
        [*plain, *((n, encode_uint(block.value)) for n, block in blocks)], faulty=faulty
    )
    assert made == alike
    assert hash(made) == hash(alike)
    assert list(made) == list(alike)
    assert (made.critical, made.faulty) == (alike.critical, faulty)
    assert made.matchable == alike.matchable
    assert made.is_plain is alike.is_plain is False
    assert (made.block1, made.block2) == (block1, block2)
    assert (made.accept, made.size1, made.etags) == (alike.accept, alike.size1, alike.etags)
    assert made.with_blocks(block2, block1) == alike.with_blocks(block2, block1)
    assert made.with_blocks(None, None) == Options(plain, faulty=faulty)
    assert made.without(27).block1 is None
    assert made.without(27).block2 == block2
    assert made.replace(23, 0).block2 == Block(0, False, 16)


def test_with_other_blocks_the_rest_is_the_same_object() -> None:
    frame = build(uri_path=["a"])
    one = frame.with_blocks(Block(0, True, 16), None)
    two = one.with_blocks(None, Block(1, True, 16))
    assert one.frame is two.frame is two.with_blocks(None, None) is frame
    assert one.matchable is two.matchable
    assert EMPTY.with_blocks(Block(0, True, 16), None).frame is EMPTY


@pytest.mark.parametrize(
    ("arguments", "plain"),
    [
        ({}, True),
        ({"uri_host": "h", "uri_port": 1, "uri_path": ["a"], "uri_query": ["q"]}, True),
        ({"content_format": 0}, True),
        ({"accept": 0}, False),
        ({"echo": b"e"}, False),
        ({"etags": [b"e"]}, False),
        ({"if_match": [b""]}, False),
        ({"if_none_match": True}, False),
        ({"proxy_scheme": "coap"}, False),
        ({"uri_path_abbrev": 0}, False),
        ({"request_tags": [b""]}, False),
        ({"size1": 10}, False),
        ({"hop_limit": 1}, False),
        ({"extra": [(65000, b"")]}, False),
        ({"extra": [(65001, b"")]}, False),
        ({"observe": 0}, False),
        ({"block1": Block(0, False, 16)}, False),
        ({"block2": Block(0, False, 16)}, False),
        ({"no_response": 0}, False),
    ],
)
def test_a_plain_request_needs_no_more_than_its_response(
    arguments: dict[str, Any], plain: bool
) -> None:
    assert build(**arguments).is_plain is plain


# -- typed views -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("uri_path", "uri_query", "location_path", "location_query"),
        *("etags", "if_match", "request_tags"),
    ],
)
def test_a_repeatable_option_that_is_absent_is_an_empty_tuple(name: str) -> None:
    assert getattr(EMPTY, name) == ()


@pytest.mark.parametrize(
    "name",
    [
        *("uri_host", "uri_port", "content_format", "accept", "max_age", "observe"),
        *("proxy_uri", "proxy_scheme", "size1", "size2", "block1", "block2"),
        *("echo", "no_response", "hop_limit", "uri_path_abbrev"),
    ],
)
def test_any_other_option_that_is_absent_is_none(name: str) -> None:
    assert getattr(EMPTY, name) is None


def test_views_of_what_is_not_there() -> None:
    assert EMPTY.if_none_match is False
    assert EMPTY.value(OptionNumber.ETAG) is None
    assert EMPTY.values(OptionNumber.ETAG) == ()
    assert OptionNumber.ETAG not in EMPTY
    assert len(EMPTY) == 0
    assert EMPTY.critical == frozenset()


@pytest.mark.parametrize(("raw", "value"), [(b"", 0), (b"\0\0\x05", 5), (b"\x01\0", 256)])
def test_a_uint_is_read_with_leading_zeros_and_without(raw: bytes, value: int) -> None:
    """Section 3.2: "A recipient MUST be prepared to process values with leading zeros"."""
    assert Options([(OptionNumber.MAX_AGE, raw)]).max_age == value


def test_zero_is_a_value_and_not_an_absence() -> None:
    options = build(observe=0, content_format=0, max_age=0)
    assert (options.observe, options.content_format, options.max_age) == (0, 0, 0)


def test_an_empty_segment_is_a_segment() -> None:
    """Section 5.10.1: a path may have empty segments."""
    assert build(uri_path=["", "a", ""]).uri_path == ("", "a", "")


def test_formats_have_the_names_of_the_specification() -> None:
    """Section 3.2."""
    assert {format_.value for format_ in Format} == {"empty", "opaque", "uint", "string"}


def test_a_block_of_the_reserved_size_can_be_read() -> None:
    """RFC 7959 section 2.2: SZX 7 "MUST NOT be sent"; who does is told so, see is_valid."""
    block = Options([(OptionNumber.BLOCK2, b"\x1f")]).block2
    assert block == Block(1, True, 2048)
    assert block is not None
    assert not block.is_valid
