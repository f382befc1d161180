"""The text form of a message, for ladders, logs and tests: one line, as in the RFCs' figures.

The manner is that of RFC 7641 and RFC 7959::

    CON [MID=0x7d34], GET, /temperature?unit=c, T=71, Accept=50
    ACK [MID=0x7d34], 2.05 Content, T=71, Content-Format=0, "22.3 C"
    NON [MID=0x7d40], 2.05 Content, T=71, Observe=12, 2:0/1/64, 0xa1617401
    RST [MID=0x7d40]

It is exact: the message can be read back from it. Fields are separated by a comma and a
space. Outside of double quotes there is no other comma, so a line can be split at them::

    line     = type " [MID=0x" 4 hex digits "]"  *(", " field)     in this order:
    code     = a method, or "2.05 Content": the name is left out if there is none; Empty: none
    path     = "/" segments ["?" arguments]     always in a request, and in nothing else
    token    = "T=" hex digits                  none if the token is empty
    option   = name "=" value / If-None-Match   by number, repeated for each value
             / ("1:" / "2:") number "/" more "/" size           Block1 and Block2
             / name "=invalid"                  a critical one that is faulty; these come last
    payload  = text / bytes                     none if it is empty
    value    = decimal digits (uint) / text (string) / bytes (opaque and unknown options)
    text     = a JSON string (RFC 8259 section 7)
    bytes    = "0x" hex digits, none for an empty value

- The path is percent-encoded as in a URI, and so are its commas. ``/`` is the root. The path
  of one empty segment has no URI: it is ``/, Uri-Path=""``.
- The size of a block is in bytes; 2048 stands for the reserved size exponent 7.
- An option without a name is ``Option 65001``. Its value is bytes, and so is any value that
  is not in the normal form of its option, such as a string that is not UTF-8.
- A payload is text if it is UTF-8 without control characters other than tab, CR and LF.
- With ``payload_limit`` the payload alone may lose something: text that is longer is
  ``"cut sh"… (120 bytes)``, bytes are ``(120 bytes)``.
- A datagram that is no message is ``malformed: reason, 12 bytes``, after type and message ID
  where these could be read.

Whatever a peer has sent, the line has no character that is not printable: none that ends a
line, steers a terminal, or overrides the direction of text. Nor does it have marks that pile
up on one character, and so over the lines around.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote

from coapsep.message.codec import decode
from coapsep.message.definitions import DEFINITIONS, Format, encode_uint, option_name
from coapsep.message.message import Malformed, Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber

# As in message/uri.py, but for the comma, which separates fields here.
_SAFE_IN_PATH = "!$&'()*+;=:@"
_SAFE_IN_QUERY = "!$'()*+;=:@/?"

_BLOCKS: dict[int, str] = {OptionNumber.BLOCK1: "1", OptionNumber.BLOCK2: "2"}
_URI: frozenset[int] = frozenset({OptionNumber.URI_PATH, OptionNumber.URI_QUERY})
#: No script needs more of them on one character.
_MARKS = 2
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def describe(message: Message | Malformed, *, payload_limit: int | None = None) -> str:
    """The line for a message. It is exact unless there is a ``payload_limit``.

    ``payload_limit`` is in characters for text, in bytes for anything else. Never raises.
    """
    if isinstance(message, Malformed):
        reason = f"malformed: {printable(message.reason)}"
        if message.type is None or message.mid is None:
            return reason
        return f"{message.type.name} [MID={message.mid:#06x}], {reason}"
    return ", ".join(_fields(message, payload_limit))


def describe_datagram(data: bytes, *, payload_limit: int | None = None) -> str:
    """The line for the message in a datagram; one that is malformed has its size as well."""
    message = decode(data)
    line = describe(message, payload_limit=payload_limit)
    return f"{line}, {_size(data)}" if isinstance(message, Malformed) else line


def printable(text: str) -> str:
    """The text with all that is not printable escaped as in JSON, such as ``\\u001b``."""
    if text.isascii() and text.isprintable():
        return text
    done = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.category(character) in ("Mn", "Me") else 0
        plain = character.isprintable() and marks <= _MARKS
        done.append(character if plain else json.dumps(character)[1:-1])
    return "".join(done)


def _fields(message: Message, payload_limit: int | None) -> Iterator[str]:
    yield f"{message.type.name} [MID={message.mid:#06x}]"
    if message.code != Code.EMPTY:
        yield str(message.code)
    in_path: frozenset[int] = frozenset()
    if message.code.is_request:
        yield _path(message.options)
        # The URI of a path of one empty segment would be that of the root.
        lone = message.options.values(OptionNumber.URI_PATH) == (b"",)
        in_path = _URI - {OptionNumber.URI_PATH} if lone else _URI
    if message.token:
        yield f"T={message.token.hex()}"
    for number, value in message.options:
        if number not in in_path:
            yield _option(number, value)
    for number in message.options.faulty:
        yield f"{option_name(number)}=invalid"
    if message.payload:
        yield _payload(message.payload, payload_limit)


def _path(options: Options) -> str:
    # From the bytes, since options that a caller has made need not be UTF-8.
    segments = options.values(OptionNumber.URI_PATH)
    arguments = options.values(OptionNumber.URI_QUERY)
    path = "/" + "/".join(map(_segment, segments))
    if arguments:
        path += "?" + "&".join(quote(value, safe=_SAFE_IN_QUERY) for value in arguments)
    return path


def _segment(value: bytes) -> str:
    if value in (b".", b".."):  # bare, they would be resolved when the path is read
        return "%2E" * len(value)
    return quote(value, safe=_SAFE_IN_PATH)


def _option(number: int, value: bytes) -> str:
    name = option_name(number)
    definition = DEFINITIONS.get(number)
    kind = Format.OPAQUE if definition is None else definition.format
    if kind is Format.EMPTY and not value:
        return name
    if kind is Format.STRING:
        try:
            return f"{name}={_quoted(value.decode())}"
        except UnicodeDecodeError:
            pass
    if kind is Format.UINT and definition is not None and len(value) <= definition.longest:
        uint = int.from_bytes(value, "big")
        if encode_uint(uint) == value:
            if number in _BLOCKS:  # RFC 7959 section 2.2
                return f"{_BLOCKS[number]}:{uint >> 4}/{uint >> 3 & 1}/{16 << (uint & 7)}"
            return f"{name}={uint}"
    return f"{name}=0x{value.hex()}"


def _payload(payload: bytes, limit: int | None) -> str:
    text = _text(payload)
    if text is None:
        if limit is None or len(payload) <= limit:
            return f"0x{payload.hex()}"
        return f"({_size(payload)})"
    if limit is None or len(text) <= limit:
        return _quoted(text)
    return f"{_quoted(text[:limit])}… ({_size(payload)})"


def _text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_IN_TEXT.search(text) else text


def _quoted(text: str) -> str:
    return printable(json.dumps(text, ensure_ascii=False))


def _size(data: bytes) -> str:
    return "1 byte" if len(data) == 1 else f"{len(data)} bytes"
