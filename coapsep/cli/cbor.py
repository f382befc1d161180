"""CBOR as diagnostic notation (RFC 8949 section 8), for people.

Why not a library: cbor2 makes Python objects, which do not show what was sent: tags, byte
strings and indefinite lengths are gone, and a tag may ask for a huge number.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from coapsep.cbor import ARRAY, BYTES, MAP, NEGATIVE, SIMPLE, TAG, TEXT, UNSIGNED, Reader
from coapsep.cli.layout import DEEPEST
from coapsep.trace.notation import printable

_WORDS = {20: "false", 21: "true", 22: "null", 23: "undefined"}


def cbor_tokens(data: bytes, *, sequence: bool = False) -> list[str]:
    """The diagnostic notation of one item, or of a sequence of them (RFC 8742), as tokens.

    All are printable. Raises ValueError if the bytes are not that.
    """
    reader = Reader(data, DEEPEST)
    tokens = list(_item(reader))
    while not reader.at_end():
        if not sequence:
            raise ValueError(f"more bytes follow the item, from {reader.position} on")
        tokens.append(",")
        tokens += _item(reader)
    return tokens


def _item(reader: Reader) -> Iterator[str]:
    major, number, argument = reader.head()
    if major == SIMPLE:
        yield _write_float(number) if argument is None else _simple(argument)
    elif major in (BYTES, TEXT):
        yield from _string(reader, major, argument)
    elif argument is not None and major in (UNSIGNED, NEGATIVE):
        yield str(argument if major == UNSIGNED else -1 - argument)
    else:
        reader.descend()
        if major == TAG:
            yield f"{argument}("
            yield from _item(reader)
            yield ")"
        else:
            yield from _container(reader, major, argument)
        reader.ascend()


def _simple(value: int) -> str:
    return _WORDS.get(value, f"simple({value})")


def _string(reader: Reader, major: int, length: int | None) -> Iterator[str]:
    if length is None:
        yield "(_ "
    for position, piece in enumerate(reader.pieces(major, length)):
        if position:
            yield ","
        if major == BYTES:
            yield f"h'{piece.hex()}'"
        else:
            # A UnicodeDecodeError is a ValueError.
            yield printable(json.dumps(piece.decode(), ensure_ascii=False))
    if length is None:
        yield ")"


def _container(reader: Reader, major: int, length: int | None) -> Iterator[str]:
    brackets = "[]" if major == ARRAY else "{}"
    yield brackets[0] if length is not None else f"{brackets[0]}_"
    done = 0
    while reader.more(done, length):
        if done:
            yield ","
        yield from _item(reader)
        if major == MAP:
            yield ":"
            yield from _item(reader)
        done += 1
    yield brackets[1]


def _write_float(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
