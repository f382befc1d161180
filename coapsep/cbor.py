"""CBOR (RFC 8949): a reader of its items, and plain Python values to bytes and back.

This is what problem details need (RFC 9290), not a library: integers have 64 bits, keys of
maps are whole numbers or strings, and a tag stays a tag. ``cli/cbor.py`` shows items as they
are, with the same reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
#: Containers and tags in one another that are read and written as values.
DEEPEST = 16

_INDEFINITE = 31
_BREAK = 0xFF
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_WORDS = {20: False, 21: True, 22: None, 23: None}  # 23 is undefined


@attrs.frozen
class Tag:
    """A value with a tag, which says more about it (RFC 8949 section 3.4)."""

    number: int
    value: Any


class Reader:
    """A place in the bytes, which only moves forward. Its methods raise ValueError."""

    def __init__(self, data: bytes, deepest: int) -> None:
        self._data = data
        self._deepest = deepest
        self._depth = 0
        self.position: int = 0

    def at_end(self) -> bool:
        """Whether there are no more bytes."""
        return self.position == len(self._data)

    def head(self) -> tuple[int, float, int | None]:
        """The major type of the next item, its argument as a float if it is one, and as an int.

        None is the argument of what has no length (RFC 8949 section 3).
        """
        start = self.position
        initial = self.take(1)[0]
        major, low = initial >> 5, initial & 31
        if low == _INDEFINITE and BYTES <= major <= MAP:
            return major, 0.0, None
        if low == _INDEFINITE and major == SIMPLE:
            raise ValueError(f"a break at {start} ends nothing")
        if low > 27:
            raise ValueError(f"no item begins like the one at {start}")
        raw = bytes((low,)) if low < 24 else self.take(1 << (low - 24))
        argument = int.from_bytes(raw, "big")
        if major == SIMPLE and low in _FLOATS:
            return major, struct.unpack(_FLOATS[low], raw)[0], None
        if major == SIMPLE and low == 24 and argument < 32:
            raise ValueError(f"the simple value at {start} is too long for its number")
        return major, 0.0, argument

    def take(self, size: int) -> bytes:
        """The next bytes."""
        taken = self._data[self.position : self.position + size]
        if len(taken) < size:
            raise ValueError(f"it ends in the middle of an item, at {len(self._data)}")
        self.position += size
        return taken

    def pieces(self, major: int, length: int | None) -> Iterator[bytes]:
        """The string that the head announced: one piece, or as many as there are."""
        if length is not None:
            yield self.take(length)
            return
        while self.more(0, None):
            start = self.position
            inner, _, size = self.head()
            if inner != major or size is None:
                raise ValueError(f"the item at {start} is no piece of the string around it")
            yield self.take(size)

    def more(self, done: int, length: int | None) -> bool:
        """Whether another item follows in what is open; if not, its end is read."""
        if length is not None:
            return done < length
        if self.take(1)[0] == _BREAK:
            return False
        self.position -= 1
        return True

    def descend(self) -> None:
        """To nest is to recurse, so there is a limit; ``ascend`` goes back."""
        self._depth += 1
        if self._depth > self._deepest:
            raise ValueError(f"nested deeper than {self._deepest}")

    def ascend(self) -> None:
        """The container or tag is at its end."""
        self._depth -= 1


def decode(data: bytes) -> Any:
    """The value of one item: arrays are tuples, and undefined is None.

    Raises ValueError if the bytes are not one item, or one that no value stands for here.
    """
    reader = Reader(data, DEEPEST)
    value = _read(reader)
    if not reader.at_end():
        raise ValueError(f"more bytes follow the item, from {reader.position} on")
    return value


def _read(reader: Reader) -> Any:
    major, number, argument = reader.head()
    if major == SIMPLE:
        if argument is None:
            return number
        if argument not in _WORDS:
            raise ValueError(f"a simple value that has no meaning: {argument}")
        return _WORDS[argument]
    if major == BYTES:
        return b"".join(reader.pieces(major, argument))
    if major == TEXT:
        return "".join(piece.decode() for piece in reader.pieces(major, argument))
    if argument is not None and major in (UNSIGNED, NEGATIVE):
        return argument if major == UNSIGNED else -1 - argument
    reader.descend()
    value: Any
    if major == TAG and argument is not None:
        value = Tag(argument, _read(reader))
    elif major == ARRAY:
        items: list[Any] = []
        while reader.more(len(items), argument):
            items.append(_read(reader))
        value = tuple(items)
    else:
        value = {}
        while reader.more(len(value), argument):
            key = _read(reader)
            if not _is_key(key) or key in value:
                raise ValueError("a key that is there twice, or is no number and no string")
            value[key] = _read(reader)
    reader.ascend()
    return value


def encode(value: Any) -> bytes:
    """The item for a value, as ``decode`` gives it; a list is an array, too.

    Raises ValueError or TypeError for what has no item here.
    """
    return _write(value, DEEPEST)


def _write(value: Any, depth: int) -> bytes:
    if value is None or isinstance(value, bool):
        return bytes(({False: 0xF4, True: 0xF5, None: 0xF6}[value],))
    if isinstance(value, int):
        return _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(BYTES, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return _head(TEXT, len(raw)) + raw
    if depth == 0:
        raise ValueError(f"nested deeper than {DEEPEST}")
    if isinstance(value, Tag):
        return _head(TAG, value.number) + _write(value.value, depth - 1)
    if isinstance(value, list | tuple):
        return _head(ARRAY, len(value)) + b"".join(_write(item, depth - 1) for item in value)
    if isinstance(value, Mapping):
        pairs = value.items()
        if not all(_is_key(key) for key in value):
            raise TypeError("the keys of a map are whole numbers or strings")
        inner = (_write(part, depth - 1) for pair in pairs for part in pair)
        return _head(MAP, len(pairs)) + b"".join(inner)
    raise TypeError(f"there is no CBOR here for {value!r:.100}")


def _is_key(key: object) -> bool:
    return isinstance(key, int | str | bytes) and not isinstance(key, bool)


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    for power in range(4):
        if argument < 1 << (8 << power):
            return bytes((major << 5 | 24 + power,)) + argument.to_bytes(1 << power, "big")
    raise ValueError("a whole number has at most 64 bits here")
