"""A response: what a handler returns."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from coapsep.message.definitions import encode_value
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import Code, ContentFormat, OptionNumber

#: The options of a response that has nothing but a content format, or not even that.
_KNOWN_FORMATS: dict[int | None, Options] = {
    None: EMPTY,
    **{number: Options.build(content_format=number) for number in ContentFormat},
}
_TEXT = ContentFormat.TEXT
#: What the options of a response may take beside one block of its body, bytes.
_MOST_OPTIONS = 60_000


@attrs.frozen(init=False)
class Response:
    """A response code, options and a payload.

    A payload of any length: what does not fit into one message is sent in blocks (RFC 7959).
    A ``str`` payload is sent as UTF-8 with content format text/plain unless another one is
    given. ``max_age`` is seconds. ``location`` is the path of a created resource.

    Raises ValueError or TypeError for what no response can hold.
    """

    code: Code
    payload: bytes
    options: Options

    def __init__(
        self,
        code: Code | int,
        payload: bytes | str = b"",
        *,
        content_format: int | None = None,
        max_age: int | None = None,
        etag: bytes | None = None,
        location: Iterable[str] = (),
        location_query: Iterable[str] = (),
        options: Options = EMPTY,
    ) -> None:
        if not isinstance(code, Code):
            code = Code(code)
        if not isinstance(options, Options):
            raise TypeError(f"options are Options, as from Options.build(), not {options!r}")
        if not 64 <= code < 192:
            raise ValueError(f"a response needs a code of class 2 to 5, not {code}")
        if isinstance(payload, str):
            payload = payload.encode()
            if content_format is None and options.content_format is None and code.is_success:
                content_format = _TEXT
        elif not isinstance(payload, bytes):
            raise TypeError(f"a payload is bytes or str, not {type(payload).__name__}")
        if (
            options is EMPTY
            and max_age is None
            and etag is None
            and not (location or location_query)
            and content_format is not False
            and content_format in _KNOWN_FORMATS
        ):  # as most are, and nothing can be wrong
            self.__attrs_init__(code, payload, _KNOWN_FORMATS[content_format])
            return
        named: list[tuple[int, bytes]] = []
        if content_format is not None:
            number = OptionNumber.CONTENT_FORMAT
            named.append((number, encode_value(number, content_format)))
        if max_age is not None:
            named.append((OptionNumber.MAX_AGE, encode_value(OptionNumber.MAX_AGE, max_age)))
        if etag is not None:
            named.append((OptionNumber.ETAG, encode_value(OptionNumber.ETAG, etag)))
        if location or location_query:
            named += Options.build(location_path=location, location_query=location_query)
        if named:
            taken = {number for number, _ in named}
            options = Options(named + [pair for pair in options if pair[0] not in taken])
        if options is not EMPTY:
            if len(options.values(OptionNumber.ETAG)) > 1:
                raise ValueError("a response has at most one ETag (RFC 7252 section 5.10.6.1)")
            size = sum(5 + len(value) for _, value in options)
            if size > _MOST_OPTIONS:
                raise ValueError(
                    f"options of {size} bytes do not fit in a datagram beside a block of the "
                    f"body ({_MOST_OPTIONS} bytes are the most)"
                )
        self.__attrs_init__(code, payload, options)

    @classmethod
    def of(cls, code: Code, payload: bytes, options: Options) -> Response:
        """One of parts that are known to be right, which are not checked again."""
        new = cls.__new__(cls)
        new.__attrs_init__(code, payload, options)
        return new
