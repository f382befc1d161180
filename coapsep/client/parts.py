"""What a request may have beside its method and target."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from coapsep.client.retry import Retry
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import ContentFormat, OptionNumber

#: What any UDP datagram can hold beside a header and a token, bytes.
_LARGEST = 65_000
_ONCE = Retry(attempts=1)


class RequestParts(TypedDict, total=False):
    """What a request may have beside its method and target."""

    query: Iterable[str]
    """Arguments to add to the query, commonly ``key=value``."""
    payload: bytes | str
    """The body; text is sent as UTF-8, with content format text/plain unless one is given."""
    content_format: int
    """The format of the payload."""
    accept: int
    """The one content format that the response may have."""
    options: Options
    """Any other options. A Uri-Host among them takes the place of the URI's."""
    confirmable: bool
    """False sends it once, as a NON, without acknowledgement or retransmission."""
    retry: Retry
    """In place of the client's own policy; ``Retry(attempts=1)`` asks once."""


def read_parts(parts: RequestParts, uri_options: Options) -> tuple[Options, bytes]:
    """All options of a request, those of its URI included, and its payload.

    Raises TypeError or ValueError for what no request can have.
    """
    unknown = parts.keys() - RequestParts.__annotations__.keys()
    if unknown:
        raise TypeError(
            f"a request has no {', '.join(sorted(unknown))}: see RequestParts, and "
            f"trio.fail_after for how long to wait"
        )
    payload = parts.get("payload", b"")
    content_format = parts.get("content_format")
    options = parts.get("options", EMPTY)
    if not isinstance(options, Options):
        raise TypeError(f"options are Options, as from Options.build(), not {options!r}")
    if isinstance(payload, str):
        payload = payload.encode()
        if content_format is None and options.content_format is None:
            content_format = ContentFormat.TEXT
    elif not isinstance(payload, bytes):
        raise TypeError(f"a payload is bytes or str, not {type(payload).__name__}")
    if not isinstance(parts.get("retry", _ONCE), Retry):
        raise TypeError(f"retry is a Retry, such as Retry(attempts=1), not {parts['retry']!r}")
    named = Options.build(content_format=content_format, accept=parts.get("accept"))
    if named:
        # What is named goes before what is among the others, as in a Response.
        taken = {number for number, _ in named}
        options = Options([*named, *(pair for pair in options if pair[0] not in taken)])
    if options.uri_host is not None:
        # A second one would be an option that no server understands (RFC 7252 section 5.4.5).
        uri_options = Options(pair for pair in uri_options if pair[0] != OptionNumber.URI_HOST)
    options = Options([*uri_options, *options]) if options else uri_options
    size = len(payload) + sum(5 + len(value) for _, value in options)
    if size > _LARGEST:
        raise ValueError(
            f"a payload of {len(payload)} bytes does not fit in a datagram with its options "
            f"({_LARGEST} bytes are the most)"
        )
    return options, payload
