"""Concise problem details (RFC 9290): what went wrong, for programs and for people.

They are the payload of an error response, in the content format 257.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from coapsep.cbor import Tag, decode, encode
from coapsep.numbers import Code

#: The keys that the RFC itself assigns (section 6.1).
_TITLE, _DETAIL, _INSTANCE, _RESPONSE_CODE, _BASE_URI, _BASE_LANG, _BASE_RTL = range(-1, -8, -1)
_UNPROCESSED = -8
#: A text with its language and direction (appendix A).
_LANGUAGE_TAGGED = 38
#: Longest problem details that are read or written, bytes.
_LONGEST = 65_536

_text = attrs.validators.optional(attrs.validators.instance_of(str))


def _option_numbers(values: Iterable[int]) -> tuple[int, ...]:
    numbers = tuple(values)
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"an option number is a whole number, not {number!r:.100}")
        if not 0 <= number <= 65535:
            raise ValueError(f"an option number is from 0 to 65535, not {number}")
    return numbers


def _entries(values: Mapping[int | str, Any]) -> Mapping[int | str, Any]:
    return dict(values)


@attrs.frozen
class Problem:
    """Problem details. At least one of them is there.

    ``raise NotFound(problem=Problem("No such sensor", detail="only 1 to 4 are there"))`` in a
    handler sends one, ``ClientResponse.problem()`` reads it. It leaves the process, so it must
    hold no secrets.

    Raises ValueError or TypeError for what problem details cannot hold.
    """

    title: str | None = attrs.field(default=None, validator=_text)
    """A short summary of the kind of problem, the same each time."""

    detail: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    """What is particular this time."""

    instance: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    """A URI reference that stands for this one occurrence."""

    response_code: Code | None = attrs.field(
        default=None, converter=attrs.converters.optional(Code), kw_only=True
    )
    """The code of the response that they were made for, where they are kept without it."""

    base_uri: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    """What the URI references in it are relative to."""

    base_lang: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    """The language of title and detail, such as ``"en"``, which it is if nothing is said."""

    base_rtl: bool | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.instance_of(bool)),
        kw_only=True,
    )
    """Whether title and detail are written from right to left."""

    unprocessed_options: tuple[int, ...] = attrs.field(
        default=(), converter=_option_numbers, kw_only=True
    )
    """Numbers of options in the request that were not understood (section 3.1.1)."""

    entries: Mapping[int | str, Any] = attrs.field(factory=dict, converter=_entries, kw_only=True)
    """All else, by its key: a registered number, or a URI for what a program has of its own.

    The value of a number from 0 up, or of a URI, is a mapping. Values are what CBOR has: None,
    bool, int, float, str, bytes, sequences and mappings. Nobody need understand them.
    """

    def __attrs_post_init__(self) -> None:
        for key, value in self.entries.items():
            if isinstance(key, bool) or not isinstance(key, int | str):
                raise TypeError(f"the key of an entry is a number or a URI, not {key!r}")
            if isinstance(key, int) and _UNPROCESSED <= key < 0:
                raise ValueError(f"the entry {key} has a name of its own")
            if (isinstance(key, str) or key >= 0) and not isinstance(value, Mapping):
                raise TypeError(f"the value of {key!r} is a mapping, not {value!r:.100}")
        self.to_cbor()  # what cannot be sent is refused where it is made

    def to_cbor(self) -> bytes:
        """The payload of a response with these problem details."""
        numbers = self.unprocessed_options
        fields: tuple[tuple[int, Any], ...] = (
            (_TITLE, self.title),
            (_DETAIL, self.detail),
            (_INSTANCE, self.instance),
            (_RESPONSE_CODE, self.response_code),
            (_BASE_URI, self.base_uri),
            (_BASE_LANG, self.base_lang),
            (_BASE_RTL, self.base_rtl),
            (_UNPROCESSED, numbers[0] if len(numbers) == 1 else numbers or None),
        )
        present: dict[int | str, Any] = {k: v for k, v in fields if v is not None}
        present.update(self.entries)
        if not present:
            raise ValueError("problem details say something at least")
        data = encode(present)
        if len(data) > _LONGEST:
            raise ValueError(f"problem details have {_LONGEST} bytes at most, not {len(data)}")
        return data

    @classmethod
    def read(cls, data: bytes) -> Problem:
        """The problem details in a payload. Raises ValueError if it has none.

        A title or a detail that has a language of its own (RFC 9290 appendix A) loses it.
        """
        if len(data) > _LONGEST:
            raise ValueError(f"problem details have {_LONGEST} bytes at most, not {len(data)}")
        fields = decode(data)
        if not isinstance(fields, dict):
            raise ValueError("problem details are a map")
        numbers = fields.pop(_UNPROCESSED, ())
        try:
            return cls(
                _plain(fields.pop(_TITLE, None)),
                detail=_plain(fields.pop(_DETAIL, None)),
                instance=fields.pop(_INSTANCE, None),
                response_code=fields.pop(_RESPONSE_CODE, None),
                base_uri=fields.pop(_BASE_URI, None),
                base_lang=fields.pop(_BASE_LANG, None),
                base_rtl=fields.pop(_BASE_RTL, None),
                unprocessed_options=numbers if isinstance(numbers, tuple) else (numbers,),
                entries=fields,
            )
        except TypeError as exc:
            raise ValueError(f"no problem details: {exc}") from None

    def __str__(self) -> str:
        """Title and detail, for people: what a peer put into them cannot steer a terminal."""
        text = ": ".join(part for part in (self.title, self.detail) if part)
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def _plain(value: Any) -> Any:
    """The text in a language-tagged string: language, text, and perhaps the direction."""
    if isinstance(value, Tag) and value.number == _LANGUAGE_TAGGED:
        parts = value.value
        if isinstance(parts, tuple) and len(parts) in (2, 3):
            return parts[1]
    return value
