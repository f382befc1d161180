"""Content formats on the command line: what they are called, and how they are to be read."""

from __future__ import annotations

import enum

from coapsep.numbers import ContentFormat


class Kind(enum.Enum):
    """How the bytes of a representation are to be read."""

    TEXT = "text"
    JSON = "JSON"
    LINKS = "link-format"
    CBOR = "CBOR"
    CBOR_SEQUENCE = "a sequence of CBOR items"
    BINARY = "bytes"
    UNKNOWN = "whatever it looks like"


#: As they are typed: ``text``, ``link-format``, ``senml-cbor``.
NAMES: dict[str, ContentFormat] = {
    number.name.lower().replace("_", "-"): number for number in ContentFormat
}

_KINDS: dict[int, Kind] = {
    ContentFormat.TEXT: Kind.TEXT,
    ContentFormat.XML: Kind.TEXT,
    ContentFormat.LINK_FORMAT: Kind.LINKS,
    ContentFormat.OCTET_STREAM: Kind.BINARY,
    ContentFormat.EXI: Kind.BINARY,
    ContentFormat.JSON: Kind.JSON,
    ContentFormat.JSON_PATCH: Kind.JSON,
    ContentFormat.MERGE_PATCH: Kind.JSON,
    ContentFormat.SENML_JSON: Kind.JSON,
    ContentFormat.SENSML_JSON: Kind.JSON,
    ContentFormat.CBOR: Kind.CBOR,
    ContentFormat.CWT: Kind.CBOR,
    ContentFormat.SENML_CBOR: Kind.CBOR,
    ContentFormat.SENSML_CBOR: Kind.CBOR,
    ContentFormat.PROBLEM_DETAILS: Kind.CBOR,
    ContentFormat.CBOR_SEQ: Kind.CBOR_SEQUENCE,
}
_NAMES_BY_NUMBER = {int(number): name for name, number in NAMES.items()}


def kind_of(content_format: int | None) -> Kind:
    """How to read a payload of this format; None is one that does not say."""
    if content_format is None:
        return Kind.UNKNOWN
    return _KINDS.get(content_format, Kind.UNKNOWN)


def name_of(content_format: int) -> str:
    """What it is called, or its number."""
    return _NAMES_BY_NUMBER.get(content_format, str(content_format))
