"""CoRE Link Format: what ``/.well-known/core`` says a server has (RFC 6690)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NoReturn, TypeAlias

import attrs

#: What Link.of takes for an attribute.
Value: TypeAlias = str | int | bool | Sequence[str | int] | None

# The grammar of RFC 6690 section 2. No two alternatives begin alike, so no match backtracks
# over more than it has read once.
_SPACE = re.compile(r"[ \t\r\n]*")
_TARGET = re.compile(r"<([^<>\s\x00-\x1f\x7f]*)>")
_NAME = re.compile(r"[A-Za-z0-9!#$&+\-.^_`|~]+\*?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'()*+\-./:<=>?@\[\]^_`{|}~]+")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_NEEDS_BACKSLASH = re.compile(r'["\\\x00-\x1f\x7f]')

# Attributes whose value the grammar, or the RFC's examples, write without quotes.
_BARE = frozenset({"ct", "sz", "hreflang"})
# Attributes whose value is a list with spaces between (sections 2 and 4.1; RFC 7252
# section 7.2.1 for ct).
_LISTS = frozenset({"rt", "if", "rel", "rev", "ct"})


@attrs.frozen
class Link:
    """One link: a URI reference, and what is said about it as (name, value) pairs.

    A value of None is an attribute that has no value, such as ``obs``. A name may repeat.
    """

    target: str = attrs.field()
    attributes: tuple[tuple[str, str | None], ...] = attrs.field(default=())

    @target.validator
    def _target_is_sound(self, attribute: attrs.Attribute[str], value: str) -> None:
        if not _TARGET.fullmatch(f"<{value}>"):
            raise ValueError(f"a link target has no spaces, controls, '<' or '>': {value!r}")

    @attributes.validator
    def _names_are_sound(
        self,
        attribute: attrs.Attribute[tuple[tuple[str, str | None], ...]],
        value: tuple[tuple[str, str | None], ...],
    ) -> None:
        for name, _ in value:
            if not _NAME.fullmatch(name):
                raise ValueError(f"a link attribute cannot be called {name!r}")

    @classmethod
    def of(cls, target: str, /, **attributes: Value) -> Link:
        """A link with these attributes: ``Link.of("/t", rt="temperature", ct=(0, 40))``.

        A name that is a keyword of Python takes an underscore at its end: ``if_="sensor"``.
        True is an attribute without value; False, None and an empty sequence are left out.
        """
        return cls(
            target,
            tuple(
                (name.removesuffix("_"), _text(value))
                for name, value in attributes.items()
                if value is not None and value is not False and value != () and value != []
            ),
        )

    def get(self, name: str) -> str | None:
        """The first value of an attribute: "" if it has none, None if it is not there."""
        for known, value in self.attributes:
            if known == name:
                return value or ""
        return None

    def __contains__(self, name: object) -> bool:
        return any(known == name for known, _ in self.attributes)

    def __str__(self) -> str:
        return f"<{self.target}>" + "".join(f";{_write(*pair)}" for pair in self.attributes)


def _text(value: str | int | bool | Sequence[str | int]) -> str | None:
    if isinstance(value, str):
        return value
    if value is True:
        return None
    if isinstance(value, int):
        return str(int(value))  # int() because an IntEnum may print as its name
    return " ".join(item if isinstance(item, str) else str(int(item)) for item in value)


def _write(name: str, value: str | None) -> str:
    if value is None:
        return name
    if (name in _BARE or name.endswith("*")) and _TOKEN.fullmatch(value):
        return f"{name}={value}"
    escaped = _NEEDS_BACKSLASH.sub(r"\\\g<0>", value)
    return f'{name}="{escaped}"'


def dump(links: Iterable[Link]) -> str:
    """The links as a document of link-format (RFC 6690 section 2)."""
    return ",".join(map(str, links))


def parse(text: str) -> tuple[Link, ...]:
    """The links of a document of link-format (RFC 6690 section 2).

    Space and line breaks may stand between any two parts. Takes time in proportion to the
    text. Raises ValueError that says where the text goes wrong.
    """
    reader = _Reader(text)
    links: list[Link] = []
    if reader.at_end():
        return ()
    while True:
        target = reader.expect(_TARGET, "a link target, as in </path>")
        attributes: list[tuple[str, str | None]] = []
        while reader.skip(";"):
            name = reader.expect(_NAME, "the name of an attribute")[0]
            value = reader.value() if reader.skip("=") else None
            attributes.append((name, value))
        links.append(Link(target[1], tuple(attributes)))
        if reader.at_end():
            return tuple(links)
        if not reader.skip(","):
            reader.fail("',' before the next link or ';' before an attribute")


class _Reader:
    """A place in a text, which only moves forward and never stands on a space."""

    __slots__ = ("_position", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._advance(0)

    def _advance(self, position: int) -> None:
        space = _SPACE.match(self._text, position)
        assert space is not None
        self._position = space.end()

    def at_end(self) -> bool:
        return self._position == len(self._text)

    def skip(self, delimiter: str) -> bool:
        found = self._text.startswith(delimiter, self._position)
        if found:
            self._advance(self._position + len(delimiter))
        return found

    def expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.match(self._text, self._position)
        if found is None:
            self.fail(what)
        self._advance(found.end())
        return found

    def value(self) -> str:
        if self._text.startswith('"', self._position):
            quoted = self.expect(_QUOTED, "a string that ends with '\"'")
            return _QUOTED_PAIR.sub(r"\1", quoted[1])
        return self.expect(_TOKEN, "a value, with quotes around it if it is not one word")[0]

    def fail(self, expected: str) -> NoReturn:
        found = (
            "the end" if self.at_end() else repr(self._text[self._position : self._position + 10])
        )
        raise ValueError(f"expected {expected} at position {self._position}, not {found}")


def matches(link: Link, query: Sequence[str]) -> bool:
    """Whether a link passes a filter, the arguments of a query (RFC 6690 section 4.1).

    ``name=value`` asks for a value, ``name=start*`` for how it begins, ``name`` for an
    attribute whatever its value; ``href`` stands for the target. Of an attribute that is a
    list one item is enough. All arguments must match; an empty one asks for nothing.
    """
    if isinstance(query, str):
        raise TypeError(f"a filter is a sequence of arguments, not the string {query!r}")
    return all(_matches_one(link, argument) for argument in query if argument)


def _matches_one(link: Link, argument: str) -> bool:
    name, asks_value, pattern = argument.partition("=")
    values = _candidates(link, name)
    if not asks_value:
        return bool(values)
    if pattern.endswith("*"):
        return any(value.startswith(pattern[:-1]) for value in values)
    return pattern in values


def _candidates(link: Link, name: str) -> list[str]:
    if name == "href":
        return [link.target]
    values = [value or "" for known, value in link.attributes if known == name]
    if name in _LISTS:
        values += [item for value in values for item in value.split(" ") if item]
    return values
