"""Options: the table of those that are known, and an immutable set of them.

The table says what RFC 7252 section 5.10 (and the RFCs that add options) says about each:
its format, its lengths, whether it may repeat. What a message layer *acts on* is a matter
of protocol/, not of this table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

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


class Options:
    """The options of one message: immutable, sorted by number, hashable.

    Options((number, value bytes), ...) keeps the order of values that share a number.
    ``build`` makes one from named values. The properties read the options by name: one that
    repeats is a tuple, one that does not is a value or None.

    ``faulty`` holds the numbers of *critical* options whose value broke the option's rules
    and that were therefore taken out (RFC 7252 sections 5.4.3 and 5.4.5): a request that
    has any must be refused.
    """

    __slots__ = ("_accept", "_critical", "_faulty", "_hash", "_pairs", "_path", "_query")

    def __init__(
        self, pairs: Iterable[tuple[int, bytes]] = (), *, faulty: tuple[int, ...] = ()
    ) -> None:
        self._pairs = tuple(sorted(pairs, key=_number))
        for number, _ in self._pairs:
            if not 0 <= number <= 65535:
                raise ValueError(f"an option number is from 0 to 65535, not {number}")
        self._critical = frozenset(n for n, _ in self._pairs if is_critical(n))
        self._faulty = faulty
        self._hash: int | None = None
        # What is asked of every request is worked out once: options are remembered.
        self._accept = self._uint(OptionNumber.ACCEPT)
        self._path: tuple[str, ...] | None = None
        self._query: tuple[str, ...] | None = None

    @classmethod
    def build(
        cls,
        *,
        if_match: Iterable[bytes] = (),
        uri_host: str | None = None,
        etags: Iterable[bytes] = (),
        if_none_match: bool = False,
        observe: int | None = None,
        uri_port: int | None = None,
        location_path: Iterable[str] = (),
        uri_path: Iterable[str] = (),
        content_format: int | None = None,
        max_age: int | None = None,
        uri_query: Iterable[str] = (),
        accept: int | None = None,
        location_query: Iterable[str] = (),
        proxy_uri: str | None = None,
        proxy_scheme: str | None = None,
        size1: int | None = None,
        extra: Iterable[tuple[int, bytes]] = (),
    ) -> Options:
        """Options from named values; ``extra`` adds any others as (number, bytes).

        Raises ValueError or TypeError for what an option cannot hold.
        """
        several: tuple[tuple[int, Iterable[bytes] | Iterable[str]], ...] = (
            (OptionNumber.IF_MATCH, if_match),
            (OptionNumber.ETAG, etags),
            (OptionNumber.LOCATION_PATH, location_path),
            (OptionNumber.URI_PATH, uri_path),
            (OptionNumber.URI_QUERY, uri_query),
            (OptionNumber.LOCATION_QUERY, location_query),
        )
        single: tuple[tuple[int, str | int | None], ...] = (
            (OptionNumber.URI_HOST, uri_host),
            (OptionNumber.IF_NONE_MATCH, True if if_none_match else None),
            (OptionNumber.OBSERVE, observe),
            (OptionNumber.URI_PORT, uri_port),
            (OptionNumber.CONTENT_FORMAT, content_format),
            (OptionNumber.MAX_AGE, max_age),
            (OptionNumber.ACCEPT, accept),
            (OptionNumber.PROXY_URI, proxy_uri),
            (OptionNumber.PROXY_SCHEME, proxy_scheme),
            (OptionNumber.SIZE1, size1),
        )
        pairs: list[tuple[int, bytes]] = []
        for number, values in several:
            if isinstance(values, str | bytes):
                raise TypeError(f"{option_name(number)} takes a sequence of values, not {values!r}")
            if values:
                pairs.extend((int(number), encode_value(number, item)) for item in values)
        for number, value in single:
            if value is not None:
                pairs.append((int(number), encode_value(number, value)))
        pairs.extend((number, encode_value(number, value)) for number, value in extra)
        return cls(pairs) if pairs else EMPTY

    @property
    def critical(self) -> frozenset[int]:
        """The numbers of the critical options that are here."""
        return self._critical

    @property
    def faulty(self) -> tuple[int, ...]:
        """The numbers of critical options that were taken out."""
        return self._faulty

    # -- as a collection -------------------------------------------------------------

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, number: object) -> bool:
        return any(n == number for n, _ in self._pairs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Options):
            return NotImplemented
        return self._pairs == other._pairs and self.faulty == other.faulty

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash((self._pairs, self.faulty))
        return self._hash

    def __repr__(self) -> str:
        inside = ", ".join(f"{option_name(n)}: {v!r}" for n, v in self._pairs)
        return f"Options({inside})"

    def values(self, number: int) -> tuple[bytes, ...]:
        """All values of one option, in the order of the message."""
        return tuple(value for n, value in self._pairs if n == number)

    def value(self, number: int) -> bytes | None:
        """The first value of one option, or None."""
        for n, value in self._pairs:
            if n == number:
                return value
        return None

    def replace(self, number: int, *values: bytes | str | int) -> Options:
        """A copy in which this option has these values, and no others."""
        kept = [pair for pair in self._pairs if pair[0] != number]
        return Options(kept + [(int(number), encode_value(number, v)) for v in values])

    # -- typed views -----------------------------------------------------------------

    def _uint(self, number: int) -> int | None:
        value = self.value(number)
        return None if value is None else int.from_bytes(value, "big")

    def _string(self, number: int) -> str | None:
        value = self.value(number)
        return None if value is None else value.decode()

    def _strings(self, number: int) -> tuple[str, ...]:
        return tuple(value.decode() for value in self.values(number))

    @property
    def uri_path(self) -> tuple[str, ...]:
        """The path, one string a segment; () is the root."""
        if self._path is None:
            self._path = self._strings(OptionNumber.URI_PATH)
        return self._path

    @property
    def uri_query(self) -> tuple[str, ...]:
        """The arguments of the query, commonly ``key=value``."""
        if self._query is None:
            self._query = self._strings(OptionNumber.URI_QUERY)
        return self._query

    @property
    def uri_host(self) -> str | None:
        """The host that was asked for, where it is not the destination address."""
        return self._string(OptionNumber.URI_HOST)

    @property
    def uri_port(self) -> int | None:
        """The port that was asked for, where it is not the destination port."""
        return self._uint(OptionNumber.URI_PORT)

    @property
    def location_path(self) -> tuple[str, ...]:
        """Where a POST put what it created: the path."""
        return self._strings(OptionNumber.LOCATION_PATH)

    @property
    def location_query(self) -> tuple[str, ...]:
        """Where a POST put what it created: the query."""
        return self._strings(OptionNumber.LOCATION_QUERY)

    @property
    def content_format(self) -> int | None:
        """The format of the payload; None says nothing about it."""
        return self._uint(OptionNumber.CONTENT_FORMAT)

    @property
    def accept(self) -> int | None:
        """The one content format the client takes."""
        return self._accept

    @property
    def max_age(self) -> int | None:
        """Seconds for which the response is fresh; 60 where it is None (section 5.10.5)."""
        return self._uint(OptionNumber.MAX_AGE)

    @property
    def etags(self) -> tuple[bytes, ...]:
        """Entity tags: at most one in a response, any number in a request."""
        return self.values(OptionNumber.ETAG)

    @property
    def if_match(self) -> tuple[bytes, ...]:
        """Entity tags of which one must be current; b"" stands for any."""
        return self.values(OptionNumber.IF_MATCH)

    @property
    def if_none_match(self) -> bool:
        """Whether the request is for a resource that does not exist yet."""
        return OptionNumber.IF_NONE_MATCH in self

    @property
    def observe(self) -> int | None:
        """The Observe option's number (RFC 7641 section 2)."""
        return self._uint(OptionNumber.OBSERVE)

    @property
    def proxy_uri(self) -> str | None:
        """The URI a forward proxy is asked to fetch."""
        return self._string(OptionNumber.PROXY_URI)

    @property
    def proxy_scheme(self) -> str | None:
        """The scheme a forward proxy is asked to use."""
        return self._string(OptionNumber.PROXY_SCHEME)

    @property
    def size1(self) -> int | None:
        """The size of the request's body, bytes."""
        return self._uint(OptionNumber.SIZE1)


def printable_path(options: Options) -> str:
    """The path for people. What a peer put into it cannot break a line or steer a terminal."""
    path = "/" + "/".join(options.uri_path)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in path)


def _number(pair: tuple[int, Any]) -> int:
    return pair[0]


#: A message without options.
EMPTY = Options()
