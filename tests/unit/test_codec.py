"""Bytes and messages: RFC 7252 sections 3, 4.1 to 4.3 and 5.4, appendix A, and RFC 8974.

What a datagram means is also written down here a second time, as slowly and as close to the
words of the RFC as can be (``specified``), and hypothesis compares the codec with it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import aiocoap
import aiocoap.options
import attrs
import pytest
from aiocoap.numbers.contentformat import ContentFormat as AiocoapContentFormat
from aiocoap.numbers.optionnumbers import OptionNumber as AiocoapOptionNumber
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coapsep.message.block import Block
from coapsep.message.codec import (
    LONGEST_TOKEN,
    MAX_OPTIONS,
    Codec,
    decode,
    empty,
    encode,
    token_place,
)
from coapsep.message.definitions import DEFINITIONS, Format, encode_uint
from coapsep.message.memo import Memo
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import CODES, Code, ContentFormat, OptionNumber, Type

MID = 0x1234
UNKNOWN_CRITICAL, UNKNOWN_ELECTIVE = 65001, 65000
SOME_PATH = (int(OptionNumber.URI_PATH), b"some")

Pair = tuple[int, bytes]

patient = settings(deadline=None, max_examples=200)


# -- writing datagrams by hand, the good and the bad -------------------------------------


def extended(value: int) -> tuple[int, bytes]:
    """The nibble of a delta or length, and the bytes that extend it (section 3.1).

    That of a token is written alike (RFC 8974 section 2.1).
    """
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, (value - 269).to_bytes(2, "big")


def written(pairs: Iterable[Pair]) -> bytes:
    """Options in ascending order, as section 3.1 writes them."""
    out, previous = b"", 0
    for number, value in pairs:
        delta, more_delta = extended(number - previous)
        length, more_length = extended(len(value))
        out += bytes([delta << 4 | length]) + more_delta + more_length + value
        previous = number
    return out


def datagram(
    *pairs: Pair,
    payload: bytes = b"",
    kind: Type = Type.CON,
    code: int = Code.GET,
    token: bytes = b"",
    raw: bytes = b"",
) -> bytes:
    """A message; ``raw`` stands in place of the options and the payload."""
    length, more = extended(len(token))
    head = bytes([0x40 | kind << 4 | length, code]) + MID.to_bytes(2, "big") + more + token
    return head + (raw or written(pairs) + (b"\xff" + payload if payload else b""))


def read(data: bytes) -> Message:
    message = decode(data)
    assert isinstance(message, Message), message
    return message


# -- the specification -------------------------------------------------------------------


class FormatError(Exception):
    """Section 3: "MUST be processed as a message format error"."""


def specified(data: bytes) -> Message:
    """What the datagram means, or FormatError."""
    source = io.BytesIO(data)

    def take(count: int) -> bytes:
        part = source.read(count)
        if len(part) < count:
            raise FormatError
        return part

    def number(nibble: int) -> int:
        if nibble == 15:
            raise FormatError
        width, base = {13: (1, 13), 14: (2, 269)}.get(nibble, (0, nibble))
        return base + int.from_bytes(take(width), "big")

    first, code, high, low = take(4)
    if first // 64 != 1 or code // 32 in (1, 6, 7):
        raise FormatError
    if code == 0 and len(data) > 4:
        raise FormatError
    token = take(number(first % 16))  # RFC 8974 section 2.1
    at, options, payload = 0, list[Pair](), b""
    while head := source.read(1):
        if head == b"\xff":
            payload = source.read()
            if not payload:
                raise FormatError
            break
        at += number(head[0] // 16)
        options.append((at, take(number(head[0] % 16))))
        if at > 0xFFFF or len(options) > 64:
            raise FormatError
    return Message(
        CODES[code], Type(first // 16 % 4), high * 256 + low, token, judged(options), payload
    )


def judged(options: list[Pair]) -> Options:
    """Sections 5.4.1, 5.4.3 and 5.4.5, and of section 3.2 what a value looks like."""
    good: list[Pair] = []
    faulty: list[int] = []
    seen: set[int] = set()
    for number, value in options:
        rule = DEFINITIONS.get(number)
        if rule is not None:
            bad = len(value) not in range(rule.shortest, rule.longest + 1)
            bad = bad or (number in seen and not rule.repeatable)
            if rule.format is Format.STRING:
                bad = bad or value.decode(errors="replace").encode() != value
            bad = bad or (number in (8, 11) and value in (b".", b".."))  # 5.10.1 and 5.10.7
            if rule.format is Format.UINT:
                value = value.lstrip(b"\0")
                bad = bad or len(value) < rule.shortest  # a Hop-Limit of 0: RFC 8768 section 3
            seen.add(number)
            if bad:
                faulty += [number] * (number % 2)
                continue
        good.append((number, value))
    return Options(good, faulty=tuple(faulty))


# -- messages and bytes, by hypothesis -----------------------------------------------------

SIZES = st.sampled_from([0, 1, 12, 13, 14, 268, 269, 270, 1034])
NUMBERS = st.sampled_from(sorted(DEFINITIONS)) | st.integers(0, 65535)


def values_of(number: int) -> st.SearchStrategy[bytes]:
    """Every value that the option can have."""
    rule = DEFINITIONS.get(number)
    if rule is None:
        return st.binary(max_size=20) | SIZES.map(bytes)
    low, high = rule.shortest, rule.longest
    if rule.format is Format.STRING:
        longest = st.sampled_from([low, high]).map(lambda size: b"x" * size)
        text = st.text(min_size=low, max_size=40).map(str.encode)
        return text.filter(lambda value: low <= len(value) <= high) | longest
    if rule.format is Format.UINT:
        return st.integers(low, 256**high - 1).map(encode_uint)
    return st.binary(min_size=low, max_size=high)


@st.composite
def valid_options(draw: st.DrawFn) -> Options:
    pairs: list[Pair] = []
    for number in sorted(draw(st.lists(NUMBERS, max_size=8))):
        rule = DEFINITIONS.get(number)
        if rule is None or rule.repeatable or number not in dict(pairs):
            pairs.append((number, draw(values_of(number))))
    return Options(pairs)


MESSAGES = st.builds(
    Message,
    code=st.sampled_from([code for code in CODES if code.is_request or code.is_response]),
    type=st.sampled_from(Type),
    mid=st.integers(0, 0xFFFF),
    token=st.binary(max_size=8) | SIZES.map(bytes),
    options=valid_options(),
    payload=st.binary(max_size=30) | SIZES.map(bytes),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good message to which a few things have happened."""
    data = bytearray(encode(draw(MESSAGES)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = start + draw(st.integers(0, 6))
        what = draw(st.sampled_from(["flip", "drop", "insert", "repeat", "cut"]))
        if what == "flip" and start < len(data):
            data[start] ^= draw(st.integers(1, 255))
        elif what == "drop":
            del data[start:stop]
        elif what == "insert":
            data[start:start] = draw(st.binary(min_size=1, max_size=6))
        elif what == "repeat":
            data[stop:stop] = data[start:stop]
        elif what == "cut":
            del data[start:]
    return bytes(data)


# Well-formed, but any value may stand in any option, as often as it likes.
UNRULY = st.lists(
    st.tuples(NUMBERS, st.binary(max_size=10) | st.text(max_size=4).map(str.encode)), max_size=12
).map(lambda pairs: datagram(*sorted(pairs, key=lambda pair: pair[0]), token=b"\x20"))

# Ill-formed in the options only: heads with lengths that fit or do not.
GRAMMAR = st.lists(
    st.tuples(st.integers(0, 255).map(lambda byte: bytes([byte])), st.binary(max_size=14)),
    min_size=1,
    max_size=8,
).map(lambda parts: datagram(raw=b"".join(head + rest for head, rest in parts)))

HEADED = st.tuples(st.sampled_from([b"\x42", b"\x4d", b"\x4e\x01"]), st.binary(max_size=40)).map(
    b"".join
)

DATAGRAMS = st.one_of(
    st.binary(max_size=60), HEADED, GRAMMAR, UNRULY, damaged(), MESSAGES.map(encode)
)

HOP_LIMIT_0 = datagram((OptionNumber.HOP_LIMIT, b"\0"))


@patient
@given(DATAGRAMS)
@example(b"")
@example(HOP_LIMIT_0)
@example(datagram(raw=b"\xff" * 40))
@example(datagram(raw=b"\x00" * 2000))
@example(datagram(raw=b"\xee" * 2000))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    """Nothing raises, and the outcome is the one that is specified."""
    outcome = decode(data)
    assert type(outcome) in (Message, Malformed)
    try:
        expected = specified(data)
    except FormatError:
        assert isinstance(outcome, Malformed)
        assert outcome.reason
    else:
        assert outcome == expected


@patient
@given(DATAGRAMS)
def test_malformed_tells_type_and_message_id_if_there_is_a_header(data: bytes) -> None:
    """Section 4.2 and 4.3: it takes both to reject the message."""
    outcome = decode(data)
    if len(data) < 4 or data[0] >> 6 != 1:
        assert isinstance(outcome, Malformed)
        assert (outcome.type, outcome.mid) == (None, None)
    else:
        assert outcome.type == Type(data[0] >> 4 & 3)
        assert outcome.mid == int.from_bytes(data[2:4], "big")


@patient
@given(MESSAGES)
def test_round_trip(message: Message) -> None:
    assert decode(encode(message)) == message


@patient
@given(DATAGRAMS)
@example(HOP_LIMIT_0)
def test_what_was_decoded_can_be_sent_on(data: bytes) -> None:
    """All that is left after decoding is valid, and stays as it is."""
    message = decode(data)
    if isinstance(message, Message):
        again = read(encode(message))
        assert again.options.faulty == ()
        assert list(again.options) == list(message.options)
        assert (again.token, again.payload) == (message.token, message.payload)


SHARED = Codec()


@patient
@given(DATAGRAMS)
def test_a_shared_codec_decodes_as_a_new_one_does(data: bytes) -> None:
    """What it remembers of others, and of the same datagram, makes no difference."""
    expected = decode(data)
    assert SHARED.decode(data) == expected
    assert SHARED.decode(data) == expected


@patient
@given(MESSAGES)
def test_a_shared_codec_encodes_as_a_new_one_does(message: Message) -> None:
    expected = encode(message)
    assert SHARED.encode(message) == expected
    assert SHARED.encode(message) == expected


BLOCKS = st.none() | st.builds(
    Block, st.sampled_from([0, 1, 15, 16, 4095, 4096, 2**20 - 1]), st.booleans(), st.just(1024)
)
# A few sets of options, so that they are often those of another message, with blocks of its own.
BLOCKWISE = st.builds(
    lambda message, options, block1, block2: attrs.evolve(
        message, options=options.with_blocks(block1, block2)
    ),
    MESSAGES,
    st.sampled_from(
        [
            EMPTY,
            Options([SOME_PATH]),
            Options([SOME_PATH, (UNKNOWN_ELECTIVE, b"x")]),
            Options([(24, b"between"), (25, b""), (28, b"\x04")]),
            Options([(22, b"")]),
            Options.build(uri_query=["q" * 100], size1=70_000, request_tags=[b"1"]),
            Options.build(proxy_uri="x" * 300),
        ]
    ),
    BLOCKS,
    BLOCKS,
)
# Blocks that are too long, that are repeated, or that begin with zeros.
BLOCKS_OF_ALL_SORTS = st.lists(
    st.tuples(st.sampled_from([11, 22, 23, 24, 26, 27, 28]), st.binary(max_size=4)), max_size=6
).map(lambda pairs: datagram(*sorted(pairs, key=lambda pair: pair[0]), payload=b"p"))


@patient
@given(BLOCKWISE)
def test_a_shared_codec_reads_and_writes_blocks_as_a_new_one_does(message: Message) -> None:
    """RFC 7959: it remembers the options around them, and puts them in by hand."""
    alike = attrs.evolve(message, options=Options(message.options))
    expected = encode(alike)
    assert decode(expected) == alike
    for _ in range(2):
        assert SHARED.encode(message) == expected
        assert SHARED.decode(expected) == alike


@patient
@given(BLOCKS_OF_ALL_SORTS)
def test_a_shared_codec_judges_blocks_as_is_specified(data: bytes) -> None:
    for _ in range(2):
        outcome = SHARED.decode(data)
        assert outcome == specified(data)
        assert isinstance(outcome, Message)
        again = SHARED.decode(SHARED.encode(outcome))
        assert isinstance(again, Message)
        assert list(again.options) == list(outcome.options)


@pytest.mark.parametrize("token", [b"", b"\x20"], ids=["no token", "token"])
def test_a_shared_codec_does_not_confuse_token_and_options(token: bytes) -> None:
    codec = Codec()
    for mid, kind in enumerate(Type):
        message = Message(Code.GET, kind, mid, token, Options.build(uri_path=["a"]), b"\x20")
        assert codec.decode(encode(message)) == message


# -- the figures of appendix A -------------------------------------------------------------

TEMPERATURE = Options.build(uri_path=["temperature"])

FIGURES = [
    pytest.param(
        "40 01 7d34 bb 74656d7065726174757265",
        Message(Code.GET, Type.CON, 0x7D34, options=TEMPERATURE),
        id="figure 16, request",
    ),
    pytest.param(
        "60 45 7d34 ff 32322e332043",
        Message(Code.CONTENT, Type.ACK, 0x7D34, payload=b"22.3 C"),
        id="figure 16, response",
    ),
    pytest.param(
        "41 01 7d35 20 bb 74656d7065726174757265",
        Message(Code.GET, Type.CON, 0x7D35, b"\x20", TEMPERATURE),
        id="figure 17, request",
    ),
    pytest.param(
        "61 45 7d35 20 ff 32322e332043",
        Message(Code.CONTENT, Type.ACK, 0x7D35, b"\x20", payload=b"22.3 C"),
        id="figure 17, response",
    ),
    pytest.param(
        "41 01 7d38 53 bb 74656d7065726174757265",
        Message(Code.GET, Type.CON, 0x7D38, b"\x53", TEMPERATURE),
        id="figure 20, request",
    ),
    pytest.param(
        "60 00 7d38",
        Message(Code.EMPTY, Type.ACK, 0x7D38),
        id="figure 20, ACK of the request",
    ),
    pytest.param(
        "41 45 ad7b 53 ff 32322e332043",
        Message(Code.CONTENT, Type.CON, 0xAD7B, b"\x53", payload=b"22.3 C"),
        id="figure 20, separate response",
    ),
    pytest.param(
        "60 00 ad7b",
        Message(Code.EMPTY, Type.ACK, 0xAD7B),
        id="figure 20, ACK of the response",
    ),
    pytest.param(
        "70 00 ad7c",
        Message(Code.EMPTY, Type.RST, 0xAD7C),
        id="figure 21, RST",
    ),
    pytest.param(
        "51 01 7d40 75 bb 74656d7065726174757265",
        Message(Code.GET, Type.NON, 0x7D40, b"\x75", TEMPERATURE),
        id="figure 22, request",
    ),
    pytest.param(
        "51 45 ad7d 75 ff 32322e332043",
        Message(Code.CONTENT, Type.NON, 0xAD7D, b"\x75", payload=b"22.3 C"),
        id="figure 22, response",
    ),
]


@pytest.mark.parametrize(("text", "message"), FIGURES)
def test_appendix_a(text: str, message: Message) -> None:
    """16 and 17 show the bytes; for the others they follow from the header that is shown."""
    data = bytes.fromhex(text)
    assert decode(data) == message
    assert encode(message) == data


# -- message format errors -------------------------------------------------------------------


@pytest.mark.parametrize("size", range(4))
def test_less_than_a_header(size: int) -> None:
    """Section 3: the header has four bytes. There is nobody to answer to."""
    assert decode(bytes.fromhex("40011234")[:size]) == Malformed(
        None, None, "shorter than a header"
    )


@pytest.mark.parametrize("version", [0, 2, 3])
def test_unknown_version(version: int) -> None:
    """Section 3: such a message "MUST be silently ignored", so it has no type and no ID."""
    assert decode(bytes([version << 6, 1, 0x12, 0x34])) == Malformed(
        None, None, f"version {version}"
    )


# Token length, code, what follows the header, and why that is wrong.
FORMAT_ERRORS = [
    (15, 0x01, "00" * 15, "token length 15"),  # and by RFC 8974 section 2.1
    (15, 0x01, "", "token length 15"),
    (15, 0x00, "", "token length 15"),
    (9, 0x00, "", "Empty message that is not empty"),
    (13, 0x00, "00" * 14, "Empty message that is not empty"),
    (12, 0x01, "00" * 11, "token cut short"),
    (13, 0x01, "", "token cut short"),
    (13, 0x01, "00" + "00" * 12, "token cut short"),
    (13, 0x01, "ff" + "00" * 267, "token cut short"),
    (14, 0x01, "", "token cut short"),
    (14, 0x01, "00", "token cut short"),
    (14, 0x01, "0000" + "00" * 268, "token cut short"),
    (14, 0x01, "ffff" + "00" * 1000, "token cut short"),
    (1, 0x01, "", "token cut short"),
    (8, 0x01, "00" * 7, "token cut short"),
    (4, 0x45, "ffff", "token cut short"),
    (0, 0x01, "f0", "option delta 15"),
    (0, 0x01, "fe0000", "option delta 15"),
    (0, 0x01, "b161f161", "option delta 15"),
    (0, 0x01, "0f", "option length 15"),
    (0, 0x01, "bf" + "61" * 20, "option length 15"),
    (0, 0x01, "df00", "option length 15"),
    (0, 0x01, "b1", "option past the end"),
    (0, 0x01, "bb6161", "option past the end"),
    (0, 0x01, "b161b2ff", "option past the end"),
    (0, 0x01, "d0", "option past the end"),  # delta: one more byte was announced
    (0, 0x01, "e0", "option past the end"),  # two
    (0, 0x01, "e000", "option past the end"),
    (0, 0x01, "bd", "option past the end"),  # the same for the length
    (0, 0x01, "be", "option past the end"),
    (0, 0x01, "be00", "option past the end"),
    (0, 0x01, "dd00", "option past the end"),  # both: delta read, length missing
    (0, 0x01, "dd0000", "option past the end"),  # 13 bytes are missing
    (0, 0x01, "beffff", "option past the end"),
    (0, 0x01, "e0fef3", "option number past 65535"),  # 65267 + 269
    (0, 0x01, "e0ffff", "option number past 65535"),
    (0, 0x01, "e0fef210", "option number past 65535"),  # 65535, and one more
    (0, 0x01, "ff", "payload marker without payload"),
    (0, 0x45, "ff", "payload marker without payload"),
    (2, 0x01, "6162ff", "payload marker without payload"),
    (0, 0x01, "b161ff", "payload marker without payload"),
    (1, 0x00, "20", "Empty message that is not empty"),
    (0, 0x00, "b161", "Empty message that is not empty"),
    (0, 0x00, "ff61", "Empty message that is not empty"),
    (0, 0x00, "ff", "Empty message that is not empty"),
    (0, 0x00, "00", "Empty message that is not empty"),
]


@pytest.mark.parametrize("kind", Type, ids=lambda kind: kind.name)
@pytest.mark.parametrize(
    ("token_length", "code", "rest", "reason"),
    FORMAT_ERRORS,
)
def test_message_format_errors(
    token_length: int, code: int, rest: str, reason: str, kind: Type
) -> None:
    """Sections 3, 3.1 and 4.1. Section 4.2 needs type and message ID for the answer."""
    data = bytes([0x40 | kind << 4 | token_length, code, 0x12, 0x34]) + bytes.fromhex(rest)
    assert decode(data) == Malformed(kind, MID, reason)


@pytest.mark.parametrize("length", range(1, 15))
def test_an_empty_message_announces_no_token(length: int) -> None:
    """Section 4.1: "The Token Length field MUST be set to 0"."""
    outcome = decode(bytes([0x60 | length, 0, 0x12, 0x34]))
    assert isinstance(outcome, Malformed)
    assert (outcome.type, outcome.mid) == (Type.ACK, MID)


@pytest.mark.parametrize("code", [c for c in CODES if c >> 5 in (1, 6, 7)], ids=lambda c: c.dotted)
def test_reserved_code_classes(code: Code) -> None:
    """Section 4.2 and 4.3: a reserved class is to be rejected, as a format error is."""
    for kind in Type:
        outcome = decode(datagram(SOME_PATH, code=code, kind=kind))
        assert outcome == Malformed(kind, MID, f"reserved code {code.dotted}")


@pytest.mark.parametrize(
    "code", [c for c in CODES if c and c >> 5 not in (1, 6, 7)], ids=lambda c: c.dotted
)
def test_every_other_code_is_taken(code: Code) -> None:
    """Section 5.8 and 5.9: an unknown method or response code is for the upper layer."""
    message = read(datagram(SOME_PATH, code=code, token=b"12345678", payload=b"\xff"))
    assert message == Message(
        code, Type.CON, MID, b"12345678", Options([SOME_PATH]), payload=b"\xff"
    )


# -- options: how they are written -----------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "size", "head"),
    [
        (0, 0, "00"),
        (2, 12, "2c"),
        (12, 1, "c1"),
        (19, 13, "dd 06 00"),
        (18, 14, "dd 05 01"),
        (268, 268, "dd ff ff"),
        (269, 269, "ee 0000 0000"),
        (270, 270, "ee 0001 0001"),
        (65535, 1034, "ee fef2 02fd"),
        (2048, 0, "e0 06f3"),
        (2, 1034, "2e 02fd"),
        (65000, 65535, "ee fcdb fef2"),
    ],
)
def test_extended_delta_and_length(number: int, size: int, head: str) -> None:
    """Section 3.1, figure 8: 13 and 14 say that one and two bytes follow, less 13 and 269."""
    value = b"\x01" * size
    data = datagram(raw=bytes.fromhex(head) + value)
    message = read(data)
    assert list(message.options) == [(number, value)]
    assert encode(message) == data


def test_a_delta_of_zero_repeats_the_option() -> None:
    """Section 3.1."""
    message = read(datagram(raw=b"\xb1a\x01b\x00"))
    assert message.options.uri_path == ("a", "b", "")


def test_without_a_marker_there_is_no_payload() -> None:
    """Section 3: "The absence of the Payload Marker denotes a zero-length payload"."""
    assert read(datagram(SOME_PATH)).payload == b""
    assert read(datagram()).options is EMPTY


def test_only_the_first_marker_is_one() -> None:
    assert read(datagram(SOME_PATH, payload=b"\xff\xff")).payload == b"\xff\xff"


def test_a_marker_inside_a_value_is_none() -> None:
    pair = (UNKNOWN_ELECTIVE, b"\xff\xff")
    assert list(read(datagram(pair, payload=b"x")).options) == [pair]


# -- options: values that break the rules of their option --------------------------------------


def outcome_of_bad(number: int, value: bytes) -> Message:
    """Decode the bad value between a good path, a good unknown option and a payload."""
    good = [SOME_PATH, (UNKNOWN_ELECTIVE, b"other")]
    pairs = sorted([*good, (number, value)], key=lambda pair: pair[0])
    message = read(datagram(*pairs, payload=b"payload"))
    assert message.payload == b"payload"
    assert list(message.options) == good, "the others survive, and the bad one does not"
    return message


RULES = [pytest.param(n, rule, id=OptionNumber(n).name) for n, rule in DEFINITIONS.items()]


@pytest.mark.parametrize(("number", "rule"), RULES)
def test_a_length_out_of_range(number: int, rule: Any) -> None:
    """Section 5.4.3: handle it like an unknown option, that is, by whether it is critical."""
    for size in {rule.shortest - 1, rule.longest + 1, rule.longest + 300} - {-1}:
        message = outcome_of_bad(number, b"x" * size)
        assert message.options.faulty == ((number,) if number % 2 else ())


@pytest.mark.parametrize(("number", "rule"), RULES)
def test_a_length_at_the_end_of_the_range(number: int, rule: Any) -> None:
    """Section 5.10, table 4."""
    for size in (rule.shortest, rule.longest):
        message = read(datagram((number, b"\x01" * size), payload=b"payload"))
        assert list(message.options) == [(number, b"\x01" * size)]
        assert message.options.faulty == ()


NOT_UTF8 = [b"\xff", b"ok\x80", b"\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]


@pytest.mark.parametrize("value", NOT_UTF8, ids=bytes.hex)
@pytest.mark.parametrize(
    ("number", "rule"),
    [p for p in RULES if DEFINITIONS[p.values[0]].format is Format.STRING],  # type: ignore[index]
)
def test_a_string_that_is_no_utf8(number: int, rule: Any, value: bytes) -> None:
    """Section 3.2, RFC 3629: no stray bytes, no long forms, no surrogates, nothing cut."""
    message = outcome_of_bad(number, value)
    assert message.options.faulty == ((number,) if number % 2 else ())


@pytest.mark.parametrize(("number", "rule"), RULES)
def test_a_repeat(number: int, rule: Any) -> None:
    """Section 5.4.5: what follows the first of an option that does not repeat is unknown."""
    size = max(1, rule.shortest) if rule.longest else 0
    first, second, third = (bytes([i]) * size for i in (49, 50, 51))
    others = [(UNKNOWN_CRITICAL, b"x")]
    message = read(
        datagram((number, first), (number, second), (number, third), *others, payload=b"p")
    )
    assert message.payload == b"p"
    if rule.repeatable:
        assert message.options.values(number) == (first, second, third)
        assert message.options.faulty == ()
    else:
        assert message.options.values(number) == (first,)
        assert message.options.faulty == ((number, number) if number % 2 else ())
    assert message.options.value(UNKNOWN_CRITICAL) == b"x"


def test_a_bad_location_path_beside_a_good_uri_path() -> None:
    """Section 5.4.1: an elective option is dropped, and the request is still answered."""
    message = read(
        datagram(
            (OptionNumber.LOCATION_PATH, b"good"),
            (OptionNumber.LOCATION_PATH, b"\xff"),
            (OptionNumber.URI_PATH, b"sensors"),
            (OptionNumber.URI_PATH, b"1"),
            code=Code.POST,
            payload=b"22.3 C",
        )
    )
    expected = Options.build(location_path=["good"], uri_path=["sensors", "1"])
    assert message == Message(Code.POST, Type.CON, MID, b"", expected, b"22.3 C")


def test_a_bad_segment_of_the_path_condemns_the_request_but_not_its_rest() -> None:
    """Section 5.4.1: it is answered 4.02, for which the rest must be readable."""
    message = read(
        datagram(
            (OptionNumber.URI_PATH, b"a"),
            (OptionNumber.URI_PATH, b"\xff"),
            (OptionNumber.URI_PATH, b"b"),
            (OptionNumber.ACCEPT, b"\x28"),
            token=b"\x20",
        )
    )
    assert message.options.faulty == (OptionNumber.URI_PATH,)
    assert message.options.accept == ContentFormat.LINK_FORMAT
    assert message.token == b"\x20"


def test_all_that_is_faulty_is_told() -> None:
    message = read(
        datagram(
            (OptionNumber.IF_MATCH, bytes(9)),
            (OptionNumber.URI_HOST, b""),
            (OptionNumber.ETAG, b""),
            (OptionNumber.URI_PORT, bytes(3)),
            (OptionNumber.MAX_AGE, bytes(5)),
        )
    )
    assert message.options.faulty == (1, 3, 7)
    assert list(message.options) == []


def test_a_hop_limit_of_zero_does_not_become_an_option_that_cannot_be() -> None:
    """RFC 8768 section 3: one byte, from 1 to 255; b"" would be no Hop-Limit at all."""
    message = read(HOP_LIMIT_0)
    shortest = DEFINITIONS[OptionNumber.HOP_LIMIT].shortest
    assert [v for v in message.options.values(OptionNumber.HOP_LIMIT) if len(v) < shortest] == []


# -- options: what is unknown ------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [0, 2, 10, 19, 21, 31, 36, 64, 548, 2049, UNKNOWN_ELECTIVE, UNKNOWN_CRITICAL, 65535],
)
@pytest.mark.parametrize("value", [b"", b"\0\x01", b"\xff", b"x" * 1034], ids=len)
def test_an_unknown_option_is_kept_as_it_is(number: int, value: bytes) -> None:
    """Section 5.4.1: what becomes of it is for the layer above, which can see both kinds.

    19, 21, 31 and 548 have a meaning for aiocoap, but none for this library.
    """
    message = read(datagram((number, value), (number, b"again"), payload=b"p"))
    assert list(message.options) == [(number, value), (number, b"again")]
    assert message.options.critical == ({number} if number % 2 else set())
    assert message.options.faulty == ()
    assert message.payload == b"p"


def test_unknown_options_stand_between_the_known() -> None:
    pairs = [(2, b"x"), (4, b"tag"), (11, b"a"), (13, b"y"), (14, b"<"), (65001, b"z")]
    assert list(read(datagram(*pairs)).options) == pairs


@pytest.mark.parametrize(
    ("number", "raw", "normal"),
    [
        (OptionNumber.MAX_AGE, "0000003c", "3c"),
        (OptionNumber.MAX_AGE, "00000000", ""),
        (OptionNumber.URI_PORT, "0050", "50"),
        (OptionNumber.OBSERVE, "000001", "01"),
        (OptionNumber.SIZE1, "00000400", "0400"),
        (OptionNumber.SIZE2, "0000", ""),
        (OptionNumber.NO_RESPONSE, "00", ""),
        (OptionNumber.BLOCK1, "00000e", "0e"),
        (OptionNumber.BLOCK2, "000000", ""),
        (OptionNumber.CONTENT_FORMAT, "0000", ""),
        (OptionNumber.CONTENT_FORMAT, "0032", "32"),
        (OptionNumber.CONTENT_FORMAT, "0001", "01"),  # no format has this number
        (OptionNumber.ACCEPT, "0028", "28"),
        (OptionNumber.ACCEPT, "0007", "07"),
    ],
)
def test_leading_zero_bytes_are_taken_off(number: int, raw: str, normal: str) -> None:
    """Section 3.2: they mean nothing, so equal requests become equal."""
    with_zeros = read(datagram((number, bytes.fromhex(raw))))
    assert list(with_zeros.options) == [(number, bytes.fromhex(normal))]
    assert with_zeros == read(datagram((number, bytes.fromhex(normal))))


def test_the_values_of_an_unknown_option_keep_their_zeros() -> None:
    assert read(datagram((65000, b"\0\0\x01"))).options.value(65000) == b"\0\0\x01"
    assert read(datagram((OptionNumber.ETAG, b"\0\0"))).options.etags == (b"\0\0",)


@pytest.mark.parametrize("number", [OptionNumber.CONTENT_FORMAT, OptionNumber.ACCEPT])
def test_every_content_format_can_be_read(number: int) -> None:
    codec = Codec()
    for content_format in range(65536):
        message = codec.decode(datagram((number, encode_uint(content_format))))
        assert isinstance(message, Message)
        both = {message.options.content_format, message.options.accept}
        assert both == {content_format, None}


def sizes_of_aiocoap() -> tuple[int, int]:
    return (
        len(AiocoapContentFormat._value2member_map_),
        len(AiocoapOptionNumber._value2member_map_),
    )


def test_unknown_numbers_leave_no_trace_in_aiocoap() -> None:
    """It makes a member of its enums for each, for ever: a peer could fill the memory."""
    decode(datagram(SOME_PATH))  # the walk of aiocoap begins at number 0, which it keeps
    before = sizes_of_aiocoap()
    for n in range(0, 65536, 97):
        read(datagram((n, b"x")))
        read(datagram(SOME_PATH, (max(n, 12), b"x"), (65535, b"")))
        read(datagram((OptionNumber.CONTENT_FORMAT, encode_uint(n))))
        read(datagram((OptionNumber.ACCEPT, encode_uint(n))))
        encode(Message(Code.GET, Type.CON, 1, options=Options([(n, b"x")])))
        encode(Message(Code.GET, Type.CON, 1, options=Options.build(accept=n)))
    assert sizes_of_aiocoap() == before


def test_every_content_format_with_a_name_has_one_in_aiocoap() -> None:
    """Or else the first message with it would make aiocoap's enum grow."""
    assert set(ContentFormat) <= set(AiocoapContentFormat._value2member_map_)
    assert set(DEFINITIONS) <= set(AiocoapOptionNumber._value2member_map_)


# -- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [OptionNumber.URI_PATH, UNKNOWN_ELECTIVE])
@pytest.mark.parametrize("limit", [1, 2, MAX_OPTIONS, 500])
def test_the_limit_on_options(number: int, limit: int) -> None:
    codec = Codec(max_options=limit)
    most = codec.decode(datagram(*[(number, b"")] * limit, payload=b"p"))
    assert isinstance(most, Message)
    assert (len(most.options), most.payload) == (limit, b"p")
    one_more = codec.decode(datagram(*[(number, b"")] * (limit + 1), payload=b"p"))
    assert one_more == Malformed(Type.CON, MID, f"more than {limit} options")


def test_the_limit_is_64_unless_another_is_set() -> None:
    assert MAX_OPTIONS == 64
    assert decode(datagram(*[SOME_PATH] * 65)) == Malformed(Type.CON, MID, "more than 64 options")


def test_options_that_are_bad_count_too() -> None:
    assert isinstance(decode(datagram(*[(OptionNumber.ETAG, b"")] * 65)), Malformed)


def test_the_walk_ends_at_the_limit() -> None:
    """What comes after it is not looked at: here, a delta that would be an error."""
    outcome = decode(datagram(raw=b"\0" * 65 + b"\xf0" * 10_000))
    assert outcome == Malformed(Type.CON, MID, "more than 64 options")


def test_aiocoap_gets_the_known_options_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """It copies all that is left once per option, so it must not see a long payload."""
    seen: list[bytes] = []
    original = aiocoap.options.Options.decode

    def decode_and_tell(self: Any, rawdata: bytes) -> Any:
        seen.append(rawdata)
        return original(self, rawdata)

    monkeypatch.setattr(aiocoap.options.Options, "decode", decode_and_tell)
    known = [(OptionNumber.URI_PATH, b"a"), (OptionNumber.ACCEPT, b"\x28")]
    message = read(datagram(*known, (UNKNOWN_ELECTIVE, bytes(1000)), payload=bytes(60_000)))
    assert len(message.payload) == 60_000
    assert seen == [written(known)]
    seen.clear()
    assert len(read(datagram(*known, payload=bytes(60_000))).payload) == 60_000
    assert seen == [written(known)]


def test_the_largest_datagram_of_udp() -> None:
    payload = bytes(65507 - len(datagram(SOME_PATH, payload=b"")) - 1)
    data = datagram(SOME_PATH, payload=payload)
    assert len(data) == 65507
    assert read(data).payload == payload
    assert encode(read(data)) == data


def test_a_memo_forgets_its_oldest_entry() -> None:
    memo = Memo[int, str](limit=3)
    for n in range(5):
        memo.keep(n, str(n))
        assert len(memo.entries) <= 3
    assert memo.entries == {2: "2", 3: "3", 4: "4"}


def test_a_codec_does_not_remember_without_end() -> None:
    """A flood of messages that all differ, and some that are large."""
    codec = Codec()
    for n in range(5000):
        size = 2000 if n % 100 == 0 else 2
        message = Message(
            Code.GET, Type.CON, 1, options=Options([(UNKNOWN_ELECTIVE, n.to_bytes(size, "big"))])
        )
        assert codec.decode(codec.encode(message)) == message
    remembered = [*codec._tails.entries, *codec._encoded.entries.values(), *codec._frames.entries]
    assert 0 < len(remembered) <= 3 * 1024
    assert max(map(len, remembered)) <= 128


def test_a_codec_does_not_remember_blocks_without_end() -> None:
    """A flood of transfers that all differ, and some whose options are many."""
    codec = Codec()
    for n in range(5000):
        size = 2000 if n % 100 == 0 else 2
        options = Options([(UNKNOWN_ELECTIVE, n.to_bytes(size, "big"))])
        blocks = options.with_blocks(Block(n, True, 1024), Block(0, False, 1024))
        message = Message(Code.PUT, Type.CON, 1, b"", blocks, bytes(1024))
        assert codec.decode(codec.encode(message)) == message
    remembered = [
        *codec._frames.entries,
        *(b"".join(pieces) for pieces in codec._pieces.entries.values()),
    ]
    assert 0 < len(remembered) <= 2 * 1024
    assert max(map(len, remembered)) <= 128
    assert not codec._tails.entries


def test_a_transfer_leaves_room_for_others() -> None:
    """Its messages differ in their blocks alone: a few entries serve for all of them."""
    codec = Codec()
    for n in range(5000):
        up, down = Block(n, True, 1024), Block(n, False, 1024)
        for blocks in ((up, None), (None, down)):
            options = Options([SOME_PATH]).with_blocks(*blocks)
            for payload in (b"", bytes(1024)):
                message = Message(Code.PUT, Type.CON, 1, b"", options, payload)
                assert codec.decode(codec.encode(message)) == message
    assert len(codec._frames.entries) <= 2 * 4, "the lengths of their values are from 0 to 3"
    assert len(codec._pieces.entries) <= 2 * 4
    assert not codec._tails.entries
    assert not codec._encoded.entries


def test_aiocoap_sees_one_block_of_a_transfer(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec()
    datagrams = [
        datagram(SOME_PATH, (OptionNumber.BLOCK2, Block(n, True, 1024).value.to_bytes(2, "big")))
        for n in range(20, 30)
    ]
    first = codec.decode(datagrams[0])
    monkeypatch.setattr(aiocoap.options.Options, "decode", None)
    monkeypatch.setattr(aiocoap.options.Options, "encode", None)
    for n, data in enumerate(datagrams[1:], start=21):
        message = codec.decode(data)
        assert isinstance(message, Message)
        assert isinstance(first, Message)
        assert message.options.block2 == Block(n, True, 1024)
        assert message.options.matchable == first.options.matchable


def test_a_codec_remembers_what_it_has_seen() -> None:
    """The same options in another message are the same object: that is what it is for."""
    codec = Codec()
    one = codec.decode(datagram(SOME_PATH, token=b"1"))
    two = codec.decode(datagram(SOME_PATH, token=b"2"))
    assert isinstance(one, Message)
    assert isinstance(two, Message)
    assert one.options is two.options
    assert (one.token, two.token) == (b"1", b"2")


# -- encoding --------------------------------------------------------------------------------

AIOCOAP_MESSAGES: list[tuple[Message, dict[str, Any]]] = [
    (Message(Code.GET, Type.CON, 1), {}),
    (
        Message(Code.GET, Type.CON, 0xFFFF, b"12345678", Options.build(uri_path=["a", "", "ü"])),
        {"uri_path": ["a", "", "ü"]},
    ),
    (
        Message(
            Code.PUT,
            Type.NON,
            0,
            b"\0",
            Options.build(
                uri_host="example.com",
                uri_port=61616,
                uri_path=["x" * 255],
                uri_query=["a=1", "b" * 13],
                content_format=50,
                accept=60,
                if_none_match=True,
                if_match=[b"", b"tag"],
                size1=70000,
            ),
            b"[1]",
        ),
        {
            "uri_host": "example.com",
            "uri_port": 61616,
            "uri_path": ["x" * 255],
            "uri_query": ["a=1", "b" * 13],
            "content_format": 50,
            "accept": 60,
            "if_none_match": True,
            "if_match": [b"", b"tag"],
            "size1": 70000,
        },
    ),
    (
        Message(
            Code.CREATED,
            Type.ACK,
            0x1234,
            b"\x20",
            Options.build(
                etags=[b"12345678"],
                location_path=["new", "1"],
                location_query=["q"],
                max_age=0,
                observe=0xABCDEF,
                extra=[(OptionNumber.BLOCK2, b"\x16"), (OptionNumber.ECHO, b"e" * 40)],
            ),
            b"\xff\0\xff",
        ),
        {
            "etag": b"12345678",
            "location_path": ["new", "1"],
            "location_query": ["q"],
            "max_age": 0,
            "observe": 0xABCDEF,
            "block2": (1, False, 6),
            "echo": b"e" * 40,
        },
    ),
    (
        Message(
            Code.GET,
            Type.CON,
            2,
            b"",
            Options.build(proxy_uri="coap://h/" + "x" * 1025, proxy_scheme="coap"),
        ),
        {"proxy_uri": "coap://h/" + "x" * 1025, "proxy_scheme": "coap"},
    ),
    (Message(Code.SERVICE_UNAVAILABLE, Type.CON, 3, b"t", payload=b"later"), {}),
]


@pytest.mark.parametrize(("message", "options"), AIOCOAP_MESSAGES)
def test_the_bytes_are_those_of_aiocoap(message: Message, options: dict[str, Any]) -> None:
    theirs = aiocoap.Message(code=int(message.code), payload=message.payload, **options)
    theirs.mtype = aiocoap.Type(int(message.type))
    theirs.mid = message.mid
    theirs.token = message.token
    assert encode(message) == theirs.encode()
    assert decode(theirs.encode()) == message


@patient
@given(MESSAGES)
def test_the_bytes_are_those_of_the_specification(message: Message) -> None:
    """Section 3, figure 7."""
    length, more = extended(len(message.token))
    head = bytes([1 << 6 | message.type << 4 | length, message.code])
    payload = b"\xff" + message.payload if message.payload else b""
    assert encode(message) == (
        head
        + message.mid.to_bytes(2, "big")
        + more
        + message.token
        + written(message.options)
        + payload
    )


# -- tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(13))
def test_a_token_of_up_to_12_bytes_has_its_length_in_the_header(size: int) -> None:
    """Section 5.3.1; from 9 to 12 by RFC 8974 section 2.1."""
    message = Message(Code.GET, Type.CON, 1, bytes(range(size)))
    assert encode(message) == bytes([0x40 | size, 1, 0, 1, *range(size)])
    assert decode(encode(message)) == message


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (13, "4d010001 00"),
        (64, "4d010001 33"),
        (268, "4d010001 ff"),
        (269, "4e010001 0000"),
        (270, "4e010001 0001"),
        (1000, "4e010001 02db"),
        (LONGEST_TOKEN, "4e010001 ffff"),
    ],
)
def test_a_longer_token_announces_its_length_after_the_header(size: int, head: str) -> None:
    """RFC 8974 section 2.1, figure 1."""
    token = bytes(index % 251 for index in range(size))
    message = Message(Code.GET, Type.CON, 1, token, Options([SOME_PATH]), b"p")
    for codec in (Codec(), Codec()):
        data = codec.encode(message)
        assert data == bytes.fromhex(head) + token + written([SOME_PATH]) + b"\xffp"
        assert codec.decode(data) == message


def test_a_token_whose_length_does_not_fit_is_not_sent() -> None:
    assert LONGEST_TOKEN == 65_804
    with pytest.raises(ValueError, match="at most 65804 bytes, not 65805"):
        encode(Message(Code.GET, Type.CON, 1, bytes(LONGEST_TOKEN + 1)))


@patient
@given(MESSAGES)
def test_the_place_of_a_token(message: Message) -> None:
    data = encode(message)
    start, end = token_place(data)
    assert data[start:end] == message.token
    head = decode(data[:end])
    assert isinstance(head, Message)
    assert (head.code, head.type, head.mid, head.token) == (
        message.code,
        message.type,
        message.mid,
        message.token,
    )


@pytest.mark.parametrize("data", ["4f010001", "4f010001" + "00" * 20, "4d010001", "4e01000101"])
def test_a_token_without_a_length_ends_past_the_end(data: str) -> None:
    raw = bytes.fromhex(data)
    _, end = token_place(raw)
    assert end > len(raw)
    assert isinstance(decode(raw[:end]), Malformed)


@pytest.mark.parametrize("mid", [-1, 0x10000])
def test_a_message_id_has_16_bits(mid: int) -> None:
    """Section 3."""
    with pytest.raises(ValueError, match="16 bits"):
        encode(Message(Code.GET, Type.CON, mid))


def test_options_that_are_equal_to_empty_are_no_bytes() -> None:
    assert encode(Message(Code.GET, Type.CON, 1, options=Options())) == b"\x40\x01\x00\x01"


@pytest.mark.parametrize("kind", Type, ids=lambda kind: kind.name)
@pytest.mark.parametrize("mid", [0, 1, 0x00FF, 0xFF00, 0xFFFF])
def test_an_empty_message_is_a_header(kind: Type, mid: int) -> None:
    """Section 4.1."""
    data = empty(kind, mid)
    assert data == bytes([0x40 + 0x10 * kind, 0]) + mid.to_bytes(2, "big")
    assert decode(data) == Message(Code.EMPTY, kind, mid)
    assert encode(Message(Code.EMPTY, kind, mid)) == data


@pytest.mark.parametrize("value", [b".", b".."])
def test_a_segment_of_dots_is_no_path(value: bytes) -> None:
    """Sections 5.10.1 and 5.10.7: the value MUST NOT be "." or ".."."""
    raw = b"\x40\x01\x12\x34" + bytes([0xB0 + len(value)]) + value
    message = decode(raw)
    assert isinstance(message, Message)
    assert message.options.faulty == (11,)
    location = decode(b"\x60\x41\x12\x34" + bytes([0x80 + len(value)]) + value)
    assert isinstance(location, Message)
    assert location.options == Options()
    with pytest.raises(ValueError, match="Uri-Path must not be"):
        Options.build(uri_path=[value.decode()])
