"""An immutable set of options, read and made by their names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from coapsep.message.block import Block
from coapsep.message.definitions import encode_uint, encode_value, is_critical, option_name
from coapsep.numbers import OptionNumber

_BLOCK1, _BLOCK2 = int(OptionNumber.BLOCK1), int(OptionNumber.BLOCK2)
_ONLY_BLOCK1, _ONLY_BLOCK2 = frozenset({_BLOCK1}), frozenset({_BLOCK2})
_BLOCKS = frozenset({_BLOCK1, _BLOCK2})
#: Of no meaning to the transfer that a message is a part of.
_PER_MESSAGE = _BLOCKS | {OptionNumber.OBSERVE}
#: What says no more than what is asked for, and what the payload is.
_PLAIN = frozenset(
    {
        OptionNumber.URI_HOST,
        OptionNumber.URI_PORT,
        OptionNumber.URI_PATH,
        OptionNumber.URI_QUERY,
        OptionNumber.CONTENT_FORMAT,
    }
)

_Pairs: TypeAlias = list[tuple[int, bytes]]


class Options:
    """The options of one message: immutable, sorted by number, hashable.

    Options((number, value bytes), ...) keeps the order of values that share a number.
    ``build`` makes one from named values. The properties read the options by name: one that
    repeats is a tuple, one that does not is a value or None.

    ``faulty`` holds the numbers of *critical* options whose value broke the option's rules
    and that were therefore taken out (RFC 7252 sections 5.4.3 and 5.4.5): a request that
    has any must be refused.
    """

    __slots__ = (
        "_accept",
        "_around",
        "_blocks",
        "_critical",
        "_faulty",
        "_hash",
        "_matchable",
        "_pairs",
        "_path",
        "_query",
        "frame",
        "is_plain",
    )

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
        #: Whether it says what is asked for and nothing else, as most requests do: there is
        #: nothing to refuse, to negotiate, to remember, or to tell beside the response.
        self.is_plain: bool = not faulty and all(n in _PLAIN for n, _ in self._pairs)
        self._path: tuple[str, ...] | None = None
        self._query: tuple[str, ...] | None = None
        self._matchable: tuple[tuple[int, bytes], ...] | None = None
        #: All but the blocks, if it was made by ``with_blocks``.
        self.frame: Options | None = None
        self._blocks: tuple[Block | None, Block | None] = None, None
        self._around: tuple[_Pairs, _Pairs, _Pairs] | None = None

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
        uri_path_abbrev: int | None = None,
        max_age: int | None = None,
        uri_query: Iterable[str] = (),
        accept: int | None = None,
        location_query: Iterable[str] = (),
        block2: Block | None = None,
        block1: Block | None = None,
        size2: int | None = None,
        proxy_uri: str | None = None,
        proxy_scheme: str | None = None,
        size1: int | None = None,
        echo: bytes | None = None,
        no_response: int | None = None,
        request_tags: Iterable[bytes] = (),
        hop_limit: int | None = None,
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
            (OptionNumber.REQUEST_TAG, request_tags),
        )
        single: tuple[tuple[int, bytes | str | int | None], ...] = (
            (OptionNumber.URI_HOST, uri_host),
            (OptionNumber.IF_NONE_MATCH, True if if_none_match else None),
            (OptionNumber.OBSERVE, observe),
            (OptionNumber.URI_PORT, uri_port),
            (OptionNumber.CONTENT_FORMAT, content_format),
            (OptionNumber.URI_PATH_ABBREV, uri_path_abbrev),
            (OptionNumber.MAX_AGE, max_age),
            (OptionNumber.ACCEPT, accept),
            (OptionNumber.PROXY_URI, proxy_uri),
            (OptionNumber.PROXY_SCHEME, proxy_scheme),
            (OptionNumber.SIZE1, size1),
            (OptionNumber.SIZE2, size2),
            (OptionNumber.BLOCK1, None if block1 is None else block1.value),
            (OptionNumber.BLOCK2, None if block2 is None else block2.value),
            (OptionNumber.ECHO, echo),
            (OptionNumber.NO_RESPONSE, no_response),
            (OptionNumber.HOP_LIMIT, hop_limit),
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
        new = [(int(number), encode_value(number, v)) for v in values]
        return Options(kept + new, faulty=tuple(n for n in self._faulty if n != number))

    def without(self, *numbers: int) -> Options:
        """A copy without these options; itself if it has none of them."""
        kept = [pair for pair in self._pairs if pair[0] not in numbers]
        return self if len(kept) == len(self._pairs) else Options(kept, faulty=self._faulty)

    # -- block after block (RFC 7959) ------------------------------------------------

    def with_blocks(self, block1: Block | None, block2: Block | None) -> Options:
        """A copy with these blocks, and no others.

        Each message of a transfer has other ones, and the same options around them. So what is
        known of those is not worked out again: they are the ``frame`` of the copy.
        """
        frame = self.frame
        if frame is None:
            frame = self if self._critical.isdisjoint(_BLOCKS) else self.without(*_BLOCKS)
        if block1 is None and block2 is None:
            return frame
        if frame._around is None:
            frame._around = (
                [pair for pair in frame._pairs if pair[0] < _BLOCK2],
                [pair for pair in frame._pairs if _BLOCK2 < pair[0] < _BLOCK1],
                [pair for pair in frame._pairs if pair[0] > _BLOCK1],
            )
        before, between, after = frame._around
        pairs, critical = before[:], frame._critical
        if block2 is not None:
            pairs.append((_BLOCK2, encode_uint(block2.value)))
            critical |= _ONLY_BLOCK2
        pairs += between
        if block1 is not None:
            pairs.append((_BLOCK1, encode_uint(block1.value)))
            critical |= _ONLY_BLOCK1
        pairs += after
        new = object.__new__(Options)
        new._pairs, new._critical, new._faulty = tuple(pairs), critical, frame._faulty
        new._accept, new.is_plain = frame._accept, False
        new._hash = new._path = new._query = new._matchable = new._around = None
        new.frame, new._blocks = frame, (block1, block2)
        return new

    @property
    def matchable(self) -> tuple[tuple[int, bytes], ...]:
        """What must be equal in two requests for them to belong to one block-wise transfer.

        All options but the blocks, Observe, and elective ones that are no part of the cache
        key (RFC 9175 section 1.1, RFC 7252 section 5.4.6, RFC 7641 section 2).
        """
        if self._matchable is None:
            self._matchable = (
                tuple(p for p in self._pairs if p[0] not in _PER_MESSAGE and p[0] & 0x1F != 0x1C)
                if self.frame is None
                else self.frame.matchable
            )
        return self._matchable

    # -- typed views -----------------------------------------------------------------

    def _uint(self, number: int) -> int | None:
        value = self.value(number)
        return None if value is None else int.from_bytes(value, "big")

    def _string(self, number: int) -> str | None:
        value = self.value(number)
        return None if value is None else value.decode()

    def _block(self, number: int) -> Block | None:
        value = self._uint(number)
        return None if value is None else Block.read(value)

    def _strings(self, number: int) -> tuple[str, ...]:
        return tuple(value.decode() for value in self.values(number))

    @property
    def uri_path(self) -> tuple[str, ...]:
        """The path, one string a segment; () is the root."""
        if self._path is None:
            self._path = self._strings(OptionNumber.URI_PATH)
        return self._path

    @property
    def uri_path_abbrev(self) -> int | None:
        """The number that stands for a whole path; see message/abbreviation.py."""
        return self._uint(OptionNumber.URI_PATH_ABBREV)

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
    def block2(self) -> Block | None:
        """Which block of the response's body this is, or is asked for (RFC 7959 section 2.1)."""
        return self._block(_BLOCK2) if self.frame is None else self._blocks[1]

    @property
    def block1(self) -> Block | None:
        """Which block of the request's body this is, or is acknowledged (RFC 7959 section 2.1)."""
        return self._block(_BLOCK1) if self.frame is None else self._blocks[0]

    @property
    def size2(self) -> int | None:
        """The size of the response's body, bytes; 0 in a request asks for it."""
        return self._uint(OptionNumber.SIZE2)

    @property
    def echo(self) -> bytes | None:
        """What a server wants to see again, as a proof of freshness (RFC 9175 section 2)."""
        return self.value(OptionNumber.ECHO)

    @property
    def no_response(self) -> int | None:
        """The classes of responses the client has no interest in (RFC 7967 section 2)."""
        return self._uint(OptionNumber.NO_RESPONSE)

    @property
    def request_tags(self) -> tuple[bytes, ...]:
        """What keeps two transfers apart that are alike otherwise (RFC 9175 section 3)."""
        return self.values(OptionNumber.REQUEST_TAG)

    @property
    def hop_limit(self) -> int | None:
        """How many proxies may still forward the request (RFC 8768)."""
        return self._uint(OptionNumber.HOP_LIMIT)

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
