"""CBOR as diagnostic notation (RFC 8949 section 8), for people.

Why not a library: cbor2 makes Python objects, which do not show what was sent: tags, byte
strings and indefinite lengths are gone, and a tag may ask for a huge number.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator

from coapsep.cli.layout import DEEPEST
from coapsep.trace.notation import printable

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_INDEFINITE = 31
_BREAK = 0xFF
_WORDS = {20: "false", 21: "true", 22: "null", 23: "undefined"}
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}


def cbor_tokens(data: bytes, *, sequence: bool = False) -> list[str]:
    """The diagnostic notation of one item, or of a sequence of them (RFC 8742), as tokens.

    All are printable. Raises ValueError if the bytes are not that.
    """
    reader = _Reader(data)
    tokens = list(reader.item())
    while not reader.at_end():
        if not sequence:
            raise ValueError(f"more bytes follow the item, from {reader.position} on")
        tokens.append(",")
        tokens += reader.item()
    return tokens


class _Reader:
    """A place in the bytes, which only moves forward."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._depth = 0
        self.position = 0

    def at_end(self) -> bool:
        return self.position == len(self._data)

    def item(self) -> Iterator[str]:
        """One data item. To nest is to recurse, so there is a limit."""
        start = self.position
        initial = self._take(1)[0]
        major, low = initial >> 5, initial & 31
        if low == _INDEFINITE and _BYTES <= major <= _MAP:
            argument = None
        elif major == _SIMPLE:
            yield self._simple(start, low)
            return
        else:
            argument = self._argument(start, low)
        if major in (_BYTES, _TEXT):
            yield from self._string(major, argument)
        elif argument is None or major in (_ARRAY, _MAP, _TAG):
            self._depth += 1
            if self._depth > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST}")
            if major == _TAG:
                yield f"{argument}("
                yield from self.item()
                yield ")"
            else:
                yield from self._container(major, argument)
            self._depth -= 1
        else:
            yield str(argument if major == _UNSIGNED else -1 - argument)

    def _take(self, size: int) -> bytes:
        taken = self._data[self.position : self.position + size]
        if len(taken) < size:
            raise ValueError(f"it ends in the middle of an item, at {len(self._data)}")
        self.position += size
        return taken

    def _argument(self, start: int, low: int) -> int:
        """The argument of a head (RFC 8949 section 3)."""
        if low < 24:
            return low
        if low > 27:
            raise ValueError(f"no item begins like the one at {start}")
        return int.from_bytes(self._take(1 << (low - 24)), "big")

    def _simple(self, start: int, low: int) -> str:
        if low in _FLOATS:
            pattern = _FLOATS[low]
            return _write_float(*struct.unpack(pattern, self._take(struct.calcsize(pattern))))
        if low == _INDEFINITE:
            raise ValueError(f"a break at {start} ends nothing")
        value = self._argument(start, low)
        if low == 24 and value < 32:
            raise ValueError(f"the simple value at {start} is too long for its number")
        return _WORDS.get(value, f"simple({value})")

    def _string(self, major: int, length: int | None) -> Iterator[str]:
        if length is not None:
            yield self._chunk(major, length)
            return
        yield "(_ "
        first = True
        while not self._at_break():
            if not first:
                yield ","
            first = False
            start = self.position
            initial = self._take(1)[0]
            if initial >> 5 != major or initial & 31 == _INDEFINITE:
                raise ValueError(f"the item at {start} is no piece of the string around it")
            yield self._chunk(major, self._argument(start, initial & 31))
        yield ")"

    def _chunk(self, major: int, length: int) -> str:
        content = self._take(length)
        if major == _BYTES:
            return f"h'{content.hex()}'"
        # A UnicodeDecodeError is a ValueError.
        return printable(json.dumps(content.decode(), ensure_ascii=False))

    def _container(self, major: int, length: int | None) -> Iterator[str]:
        brackets = "[]" if major == _ARRAY else "{}"
        yield brackets[0] if length is not None else f"{brackets[0]}_"
        done = 0
        while (done < length) if length is not None else not self._at_break():
            if done:
                yield ","
            yield from self.item()
            if major == _MAP:
                yield ":"
                yield from self.item()
            done += 1
        yield brackets[1]

    def _at_break(self) -> bool:
        """Whether a string or container of unknown length ends here; if so, its end is read."""
        if self.at_end():
            raise ValueError(f"it ends in the middle of an item, at {len(self._data)}")
        if self._data[self.position] != _BREAK:
            return False
        self.position += 1
        return True


def _write_float(value: float) -> str:
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)
