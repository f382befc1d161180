"""Payloads for people: on a terminal by content format, or as a few words in a line.

Whatever a peer has sent, nothing of it steers the terminal: what is not printable is escaped.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress

from coapsep.cli.cbor import cbor_tokens
from coapsep.cli.formats import Kind, kind_of
from coapsep.cli.layout import in_line, json_tokens, lay_out
from coapsep.message import linkformat
from coapsep.trace.notation import printable

#: Characters of an error's payload that are shown in its line.
_BRIEF = 200
#: Bytes in a line of a dump.
_DUMPED = 16
#: Control characters other than tab, CR and LF: what has any is no text.
_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def for_terminal(payload: bytes, content_format: int | None, *, colours: bool) -> str:
    """A payload as lines, without a newline at the end. What is not what its format says is
    shown as text if it is text, and else as bytes."""
    kind = kind_of(content_format)
    try:
        if kind is Kind.JSON:
            return lay_out(_json(payload.decode()), colours=colours)
        if kind in (Kind.CBOR, Kind.CBOR_SEQUENCE):
            tokens = cbor_tokens(payload, sequence=kind is Kind.CBOR_SEQUENCE)
            return lay_out(tokens, colours=colours)
        if kind is Kind.LINKS:
            links = linkformat.parse(payload.decode())
            return ",\n".join(printable(str(link)) for link in links)
        if kind is Kind.TEXT:
            return _lines(payload.decode())
    except (ValueError, RecursionError):
        pass
    text = None if kind is Kind.BINARY else _text(payload)
    return _dump(payload) if text is None else _lines(text)


def in_few_words(payload: bytes, content_format: int | None) -> str:
    """A payload as a part of a line."""
    kind = kind_of(content_format)
    text = None if kind in (Kind.BINARY, Kind.CBOR) else _text(payload)
    if kind is Kind.CBOR:
        with suppress(ValueError):
            text = in_line(cbor_tokens(payload))
    if text is None:
        return "(1 byte)" if len(payload) == 1 else f"({len(payload)} bytes)"
    text = " ".join(text.split())
    return printable(text if len(text) <= _BRIEF else f"{text[:_BRIEF]}…")


def is_text(payload: bytes, content_format: int | None) -> bool:
    """Whether a payload is text by its format, or, where that says nothing, by its looks."""
    kind = kind_of(content_format)
    if kind in (Kind.BINARY, Kind.CBOR, Kind.CBOR_SEQUENCE):
        return False
    if kind is Kind.UNKNOWN:
        return _text(payload) is not None
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _json(text: str) -> list[str]:
    # Numbers are not converted: one of a thousand digits is JSON too.
    json.loads(text, parse_int=str, parse_float=str)
    return [printable(token) for token in json_tokens(text)]


def _text(payload: bytes) -> str | None:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return None if _NOT_IN_TEXT.search(text) else text


def _lines(text: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    return "\n".join(
        "\t".join(map(printable, line.removesuffix("\r").split("\t"))) for line in lines
    )


def _dump(payload: bytes) -> str:
    """Offset, bytes and characters, as of old."""
    lines = []
    for start in range(0, len(payload), _DUMPED):
        part = payload[start : start + _DUMPED]
        middle = _DUMPED // 2
        digits = f"{part[:middle].hex(' ')}  {part[middle:].hex(' ')}"
        characters = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        lines.append(f"{start:08x}  {digits:<{3 * _DUMPED}}  |{characters}|")
    return "\n".join(lines)
