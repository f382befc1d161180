"""The text form of a message: as in the figures, exact, and safe to print."""

from __future__ import annotations

import json
import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coapsep.message.block import Block
from coapsep.message.codec import empty, encode
from coapsep.message.definitions import DEFINITIONS, encode_uint, option_name
from coapsep.message.message import Malformed, Message
from coapsep.message.options import Options
from coapsep.numbers import CODES, Code, OptionNumber, Type
from coapsep.trace import describe, describe_datagram

#: Examples take as long as they take: the machine may be busy.
patient = settings(deadline=None)

PATH, QUERY = OptionNumber.URI_PATH, OptionNumber.URI_QUERY


def request(options: Options, payload: bytes = b"") -> Message:
    return Message(Code.GET, Type.CON, 0x7D34, b"", options, payload)


def response(options: Options, payload: bytes = b"") -> Message:
    return Message(Code.CONTENT, Type.ACK, 0x7D34, b"", options, payload)


# -- as in the figures -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            Message(
                Code.GET,
                Type.CON,
                0x7D34,
                b"\x71",
                Options.build(uri_path=["temperature"], uri_query=["unit=c"], accept=50),
            ),
            "CON [MID=0x7d34], GET, /temperature?unit=c, T=71, Accept=50",
        ),
        (
            Message(
                Code.CONTENT,
                Type.ACK,
                0x7D34,
                b"\x71",
                Options.build(content_format=0),
                b"22.3 C",
            ),
            'ACK [MID=0x7d34], 2.05 Content, T=71, Content-Format=0, "22.3 C"',
        ),
        (
            Message(
                Code.CONTENT,
                Type.NON,
                0x7D40,
                b"\x71",
                Options.build(observe=12, max_age=15),
                b"18.5 C",
            ),
            'NON [MID=0x7d40], 2.05 Content, T=71, Observe=12, Max-Age=15, "18.5 C"',
        ),
        (Message(Code.EMPTY, Type.ACK, 0x7D34), "ACK [MID=0x7d34]"),
        (Message(Code.EMPTY, Type.RST, 0x7D34), "RST [MID=0x7d34]"),
        (Message(Code.EMPTY, Type.CON, 1), "CON [MID=0x0001]"),
        (Message(Code.GET, Type.NON, 0xFFFF), "NON [MID=0xffff], GET, /"),
        (Message(CODES[0x09], Type.CON, 1), "CON [MID=0x0001], 0.09, /"),
        (Message(CODES[0x9E], Type.ACK, 1), "ACK [MID=0x0001], 4.30"),
        (
            Message(Code.POST, Type.CON, 1, bytes(8), payload=b"\x01"),
            "CON [MID=0x0001], POST, /, T=0000000000000000, 0x01",
        ),
        # Tokens of RFC 8974.
        (
            Message(Code.GET, Type.CON, 1, b"123456789"),
            "CON [MID=0x0001], GET, /, T=313233343536373839",
        ),
        (Message(Code.GET, Type.CON, 1, bytes(300)), f"CON [MID=0x0001], GET, /, T={'00' * 300}"),
    ],
)
def test_a_message_is_one_line(message: Message, line: str) -> None:
    assert describe(message) == line
    assert describe_datagram(encode(message)) == line


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        (Options.build(if_match=[b"\x1f\x2e", b""]), "If-Match=0x1f2e, If-Match=0x"),
        (Options.build(if_none_match=True), "If-None-Match"),
        (Options.build(uri_host="example.com", uri_port=0), 'Uri-Host="example.com", Uri-Port=0'),
        (Options.build(etags=[b"\x1f\x2e"]), "ETag=0x1f2e"),
        (
            Options.build(proxy_uri='coap://[::1]/a,"b"'),
            r'Proxy-Uri="coap://[::1]/a,\"b\""',
        ),
        (Options.build(location_path=["a", ""]), 'Location-Path="a", Location-Path=""'),
        (Options([(OptionNumber.OSCORE, b"")]), "OSCORE=0x"),
        (Options([(65001, b"\0"), (65001, b"")]), "Option 65001=0x00, Option 65001=0x"),
        # RFC 7959 section 3: number, more, size
        (Options([(OptionNumber.BLOCK2, encode_uint(0 << 4 | 8 | 2))]), "2:0/1/64"),
        (Options([(OptionNumber.BLOCK1, encode_uint(3 << 4 | 3))]), "1:3/0/128"),
        (Options([(OptionNumber.BLOCK2, b"")]), "2:0/0/16"),
        (Options([(OptionNumber.BLOCK1, b"\xff\xff\xff")]), "1:1048575/1/2048"),
        (Options.build(block1=Block(7, True, 1024)), "1:7/1/1024"),
        (Options.build(observe=0), "Observe=0"),
        (Options.build(observe=0xFFFFFF), "Observe=16777215"),
        (Options.build(echo=b"\xab\x00"), "Echo=0xab00"),
        (Options.build(no_response=0), "No-Response=0"),  # interest in all (RFC 7967)
        (Options.build(no_response=26), "No-Response=26"),
        (Options.build(request_tags=[b"", b"\x01"]), "Request-Tag=0x, Request-Tag=0x01"),
        (Options.build(hop_limit=16), "Hop-Limit=16"),
        (Options([(OptionNumber.HOP_LIMIT, b"\0")]), "Hop-Limit=0x00"),
        (Options.build(size1=0, size2=70_000), "Size2=70000, Size1=0"),
        (Options.build(uri_path_abbrev=0), "Uri-Path-Abbrev=0"),
        (Options.build(uri_path_abbrev=301), "Uri-Path-Abbrev=301"),
        (Options(faulty=(OptionNumber.URI_PORT,)), "Uri-Port=invalid"),
        # What only a caller can have made: nothing of it is lost.
        (Options([(OptionNumber.MAX_AGE, b"\0\x0f")]), "Max-Age=0x000f"),
        (Options([(OptionNumber.MAX_AGE, b"\xff" * 5000)]), "Max-Age=0x" + "ff" * 5000),
        (Options([(OptionNumber.BLOCK2, bytes(1))]), "Block2=0x00"),
        (Options([(OptionNumber.URI_HOST, b"\xff")]), "Uri-Host=0xff"),
        (Options([(OptionNumber.IF_NONE_MATCH, b"\1")]), "If-None-Match=0x01"),
    ],
)
def test_options_have_the_form_of_their_kind(options: Options, fields: str) -> None:
    assert describe(request(options)) == f"CON [MID=0x7d34], GET, /, {fields}"


@pytest.mark.parametrize(
    ("path", "query", "text"),
    [
        ([], [], "/"),
        ([b"a", b"b"], [], "/a/b"),
        ([b"a", b""], [], "/a/"),
        ([b"", b""], [], "//"),
        ([b""], [], '/, Uri-Path=""'),
        ([b""], [b"q"], '/?q, Uri-Path=""'),
        ([b"a/b", "ä".encode(), b"%"], [], "/a%2Fb/%C3%A4/%25"),
        ([b"a,b c"], [b"d,e&f", b"g=h"], "/a%2Cb%20c?d%2Ce%26f&g=h"),
        ([], [b""], "/?"),
        ([], [b"", b"?/"], "/?&?/"),
        ([b"..", b"."], [], "/%2E%2E/%2E"),
        ([b"\xff"], [b"\xfe"], "/%FF?%FE"),
        ([b"a\nb\x1b[2J"], [], "/a%0Ab%1B%5B2J"),
    ],
)
def test_the_path_is_that_of_the_uri(path: list[bytes], query: list[bytes], text: str) -> None:
    options = Options([*((PATH, value) for value in path), *((QUERY, value) for value in query)])
    assert describe(request(options)) == f"CON [MID=0x7d34], GET, {text}"


def test_a_response_has_no_path() -> None:
    options = Options.build(uri_path=["a"], uri_query=["b"])
    line = 'ACK [MID=0x7d34], 2.05 Content, Uri-Path="a", Uri-Query="b"'
    assert describe(response(options)) == line


# -- payloads ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"22.3 C", '"22.3 C"'),
        ('{"t": "21,5 °C"}'.encode(), r'"{\"t\": \"21,5 °C\"}"'),
        (b"a\tb\r\nc\\", r'"a\tb\r\nc\\"'),
        ("a\u202eb\u2028c\u00a0d\U000e0041".encode(), r'"a\u202eb\u2028c\u00a0d\udb40\udc41"'),
        ("e\u0301\u0323".encode(), '"e\u0301\u0323"'),
        ("e\u0301\u0301\u0301\u0301f\u0301".encode(), '"e\u0301\u0301\\u0301\\u0301f\u0301"'),
        (b"\x1b[31m", "0x1b5b33316d"),
        (b"a\x7f", "0x617f"),
        ("\x9b2J".encode(), "0xc29b324a"),  # CSI in one character
        (b"\xa1\x61\x74\x01", "0xa1617401"),
        (b"\0" * 100, "0x" + "00" * 100),
        (b"x" * 1000, f'"{"x" * 1000}"'),
    ],
)
def test_a_payload_is_text_or_bytes(payload: bytes, text: str) -> None:
    assert describe(response(Options(), payload)) == f"ACK [MID=0x7d34], 2.05 Content, {text}"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"x" * 8, '"xxxxxxxx"'),
        (b"x" * 9, '"xxxxxxxx"… (9 bytes)'),
        ("ä".encode() * 9, '"ääääääää"… (18 bytes)'),
        (b'"' * 9, '"' + r"\"" * 8 + '"… (9 bytes)'),
        (b"\0" * 8, "0x0000000000000000"),
        (b"\0" * 9, "(9 bytes)"),
    ],
)
def test_only_the_payload_is_cut_and_only_when_asked(payload: bytes, text: str) -> None:
    message = response(Options.build(location_path=["y" * 100]), payload)
    start = f'ACK [MID=0x7d34], 2.05 Content, Location-Path="{"y" * 100}"'
    assert describe(message, payload_limit=8) == f"{start}, {text}"


def test_a_limit_of_nothing_leaves_the_size() -> None:
    assert describe(response(Options(), b"x"), payload_limit=0).endswith('""… (1 byte)')


# -- what is no message --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "malformed: shorter than a header, 0 bytes"),
        (b"\x40", "malformed: shorter than a header, 1 byte"),
        (b"\x80\x01\x7d\x34", "malformed: version 2, 4 bytes"),
        (b"\x4f\x01\x7d\x34", "CON [MID=0x7d34], malformed: token length 15, 4 bytes"),
        (b"\x4d\x01\x7d\x34\x00", "CON [MID=0x7d34], malformed: token cut short, 5 bytes"),
        (b"\x50\x01\x7d\x34\xf0", "NON [MID=0x7d34], malformed: option delta 15, 5 bytes"),
    ],
)
def test_what_is_malformed_says_why(data: bytes, line: str) -> None:
    assert describe_datagram(data) == line


def test_a_reason_cannot_steer_a_terminal() -> None:
    line = describe(Malformed(Type.CON, 1, "because\x1b[2J\nso"))
    assert line == r"CON [MID=0x0001], malformed: because\u001b[2J\nso"


# -- for every message ---------------------------------------------------------------------


@patient
@given(st.binary(max_size=200), st.none() | st.integers(0, 20))
@example(empty(Type.CON, 0), None)
def test_no_datagram_makes_it_raise_or_print_what_is_not_printable(
    data: bytes, payload_limit: int | None
) -> None:
    assert describe_datagram(data, payload_limit=payload_limit).isprintable()


NUMBERS = st.sampled_from(sorted(DEFINITIONS)) | st.integers(0, 65535)
VALUES = st.binary(max_size=6) | st.text(max_size=5).map(str.encode)
MESSAGES = st.builds(
    Message,
    code=st.sampled_from(CODES).filter(lambda code: code.is_request or code.is_response),
    type=st.sampled_from(Type),
    mid=st.integers(0, 0xFFFF),
    token=st.binary(max_size=8) | st.binary(min_size=9, max_size=20),
    options=st.builds(
        Options,
        st.lists(st.tuples(NUMBERS, VALUES), max_size=6),
        faulty=st.lists(NUMBERS, max_size=2).map(tuple),
    ),
    payload=VALUES,
)


@patient
@given(MESSAGES, st.integers(0, 6))
def test_no_message_prints_what_is_not_printable(message: Message, payload_limit: int) -> None:
    assert describe(message).isprintable()
    assert describe(message, payload_limit=payload_limit).isprintable()


@patient
@given(MESSAGES)
def test_the_message_can_be_read_back(message: Message) -> None:
    assert read_back(describe(message)) == message


# A reader by the grammar in the docstring, and by nothing else.

BY_NAME = {option_name(number): number for number in DEFINITIONS} | {"1": 27, "2": 23}


def read_back(line: str) -> Message:
    fields = re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^",])+', line)
    head = re.fullmatch(r"(CON|NON|ACK|RST) \[MID=0x([0-9a-f]{4})\]", fields.pop(0))
    assert head is not None
    fields = [field.removeprefix(" ") for field in fields]
    code = next(code for code in CODES if str(code) == fields[0])
    pairs: list[tuple[int, bytes]] = []
    faulty: list[int] = []
    token = payload = b""
    for field in fields[1:]:
        name, _, value = field.partition("=")
        if field.startswith("/"):
            path, question, query = field.partition("?")
            if path != "/":
                pairs += ((PATH, unquote_to_bytes(part)) for part in path[1:].split("/"))
            if question:
                pairs += ((QUERY, unquote_to_bytes(part)) for part in query.split("&"))
        elif field[0] == '"' or field.startswith("0x"):
            payload = read_value(field)
        elif name == "T":
            token = bytes.fromhex(value)
        elif field[1] == ":":
            number, more, size = map(int, field[2:].split("/"))
            uint = number << 4 | more << 3 | (size.bit_length() - 5)
            pairs.append((BY_NAME[field[0]], encode_uint(uint)))
        else:
            option = int(name[7:]) if name.startswith("Option ") else BY_NAME[name]
            if value == "invalid":
                faulty.append(option)
            else:
                pairs.append((option, read_value(value) if value else b""))
    options = Options(pairs, faulty=tuple(faulty))
    return Message(code, Type[head[1]], int(head[2], 16), token, options, payload)


def read_value(text: str) -> bytes:
    if text.startswith("0x"):
        return bytes.fromhex(text[2:])
    if text.startswith('"'):
        value: str = json.loads(text)
        return value.encode()
    return encode_uint(int(text))
