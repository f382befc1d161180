"""The table of options that are known, and how a value is written.

The table says what RFC 7252 section 5.10 (and the RFCs that add options) says about each:
its format, its lengths, whether it may repeat. What a message layer *acts on* is a matter
of protocol/, not of this table.
"""

from __future__ import annotations

from enum import Enum

import attrs

from coapsep.numbers import OptionNumber


class Format(Enum):
    """How an option's value is written (RFC 7252 section 3.2)."""

    EMPTY = "empty"
    OPAQUE = "opaque"
    UINT = "uint"
    STRING = "string"


@attrs.frozen
class Definition:
    """What may stand in one option: lengths are bytes."""

    format: Format
    shortest: int
    longest: int
    repeatable: bool = False


_O, _U, _S = Format.OPAQUE, Format.UINT, Format.STRING

DEFINITIONS: dict[int, Definition] = {
    OptionNumber.IF_MATCH: Definition(_O, 0, 8, repeatable=True),
    OptionNumber.URI_HOST: Definition(_S, 1, 255),
    OptionNumber.ETAG: Definition(_O, 1, 8, repeatable=True),
    OptionNumber.IF_NONE_MATCH: Definition(Format.EMPTY, 0, 0),
    OptionNumber.OBSERVE: Definition(_U, 0, 3),
    OptionNumber.URI_PORT: Definition(_U, 0, 2),
    OptionNumber.LOCATION_PATH: Definition(_S, 0, 255, repeatable=True),
    OptionNumber.OSCORE: Definition(_O, 0, 255),
    OptionNumber.URI_PATH: Definition(_S, 0, 255, repeatable=True),
    OptionNumber.CONTENT_FORMAT: Definition(_U, 0, 2),
    OptionNumber.URI_PATH_ABBREV: Definition(_U, 0, 4),
    OptionNumber.MAX_AGE: Definition(_U, 0, 4),
    OptionNumber.URI_QUERY: Definition(_S, 0, 255, repeatable=True),
    OptionNumber.HOP_LIMIT: Definition(_U, 1, 1),
    OptionNumber.ACCEPT: Definition(_U, 0, 2),
    OptionNumber.LOCATION_QUERY: Definition(_S, 0, 255, repeatable=True),
    OptionNumber.BLOCK2: Definition(_U, 0, 3),
    OptionNumber.BLOCK1: Definition(_U, 0, 3),
    OptionNumber.SIZE2: Definition(_U, 0, 4),
    OptionNumber.PROXY_URI: Definition(_S, 1, 1034),
    OptionNumber.PROXY_SCHEME: Definition(_S, 1, 255),
    OptionNumber.SIZE1: Definition(_U, 0, 4),
    OptionNumber.ECHO: Definition(_O, 1, 40),
    OptionNumber.NO_RESPONSE: Definition(_U, 0, 1),
    OptionNumber.REQUEST_TAG: Definition(_O, 0, 8, repeatable=True),
}


def is_critical(number: int) -> bool:
    """Whether a message must be refused when this option is not understood (section 5.4.1)."""
    return number & 1 == 1


def encode_uint(value: int) -> bytes:
    """A uint in as few bytes as hold it; zero is no byte at all (section 3.2)."""
    if value < 0:
        raise ValueError(f"an option holds no negative number: {value}")
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def encode_value(number: int, value: bytes | str | int | bool) -> bytes:
    """The bytes of one option value, checked against the table.

    Raises ValueError for a value that the option cannot carry, TypeError for a wrong type.
    An option that is not in the table takes bytes.
    """
    definition = DEFINITIONS.get(number)
    expected = Format.OPAQUE if definition is None else definition.format
    if isinstance(value, bytes):
        raw = value
        if expected is Format.STRING:
            try:
                raw.decode()
            except UnicodeDecodeError:
                raise ValueError(f"{option_name(number)} must be UTF-8, not {value!r}") from None
    elif isinstance(value, str) and expected is Format.STRING:
        try:
            raw = value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{option_name(number)} must be text: {error}") from None
    elif value is True and expected is Format.EMPTY:
        raw = b""
    elif isinstance(value, int) and not isinstance(value, bool) and expected is Format.UINT:
        if value < 0:
            raise ValueError(f"{option_name(number)} holds no negative number: {value}")
        raw = encode_uint(value)
    else:
        raise TypeError(f"{option_name(number)} is {expected.value}: it does not take {value!r}")
    if definition is not None and not definition.shortest <= len(raw) <= definition.longest:
        raise ValueError(
            f"{option_name(number)} must be {definition.shortest} to {definition.longest} "
            f"bytes long, not {len(raw)}"
        )
    if number in (OptionNumber.LOCATION_PATH, OptionNumber.URI_PATH) and raw in (b".", b".."):
        raise ValueError(f"{option_name(number)} must not be {value!r}")
    return raw


def option_name(number: int) -> str:
    """The name an RFC gives to the option, such as ``Uri-Path``, else ``Option 65001``."""
    try:
        name = OptionNumber(number).name.replace("_", "-").title()
    except ValueError:
        return f"Option {number}"
    return {"Etag": "ETag", "Oscore": "OSCORE"}.get(name, name)
