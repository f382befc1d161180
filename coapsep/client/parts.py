"""What a request may have beside its method and target."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from typing import TypedDict

import attrs

from coapsep.client.retry import ONCE, Retry
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import BLOCK_SIZES, Code, ContentFormat, OptionNumber, Type
from coapsep.protocol.transfer_state import WHOLE, Handling, Progress

#: What the options of a request may take beside one block of its body, bytes.
_MOST_OPTIONS = 60_000
#: So many options of a URI, of at most 255 bytes each, are less than that.
_FEW_OPTIONS = 200
#: What a request of one message may have as its payload, bytes (RFC 7252 section 4.6).
_ONE_MESSAGE = 1024


#: Parts that are options.
_NAMED = frozenset({"content_format", "accept", "etags", "if_match", "if_none_match"})


class RequestParts(TypedDict, total=False):
    """What a request may have beside its method and target."""

    query: Iterable[str]
    """Arguments to add to the query, commonly ``key=value``."""
    payload: bytes | str | AsyncIterable[bytes]
    """The body; text is sent as UTF-8, with content format text/plain unless one is given.

    What does not fit into one message goes in blocks (RFC 7959). An async iterable of bytes is
    asked for more as the blocks go, in the task that asks; it is not asked again after a failure.
    """
    content_format: int
    """The format of the payload."""
    accept: int
    """The one content format that the response may have."""
    etags: Iterable[bytes]
    """Of representations that are at hand: 2.03 says that one of them still holds."""
    if_match: Iterable[bytes]
    """ETags, of which the resource must have one, or else 4.12; b"" stands for any."""
    if_none_match: bool
    """The resource must not exist yet, or else 4.12."""
    options: Options
    """Any other options. A Uri-Host among them takes the place of the URI's; with a Block1 or
    Block2, it is this one block that is sent or asked for."""
    confirmable: bool
    """False sends each message once, as a NON, without acknowledgement or retransmission."""
    block_size: int
    """The largest block of both bodies, 16, 32, 64 ... 1024 bytes; Tuning.block_size else."""
    progress: Callable[[Progress], None]
    """Called with each block that the server has or that is here. It must not block."""
    retry: Retry
    """In place of the client's own policy; ``Retry(attempts=1)`` asks once."""


@attrs.frozen
class Question:
    """The parts of a request, read and checked."""

    kind: Type
    options: Options
    """Those of the URI included."""
    payload: bytes
    source: AsyncIterable[bytes] | None
    """What produces the payload, if it streams."""
    handling: Handling
    progress: Callable[[Progress], None] | None

    def must_be_one_message(self, what: str) -> None:
        """Raise ValueError or TypeError unless the request of ``what`` fits into one message."""
        if self.source is not None or self.progress is not None:
            raise TypeError(f"{what} has one message: its payload does not stream")
        if len(self.payload) > _ONE_MESSAGE:
            raise ValueError(
                f"{what} has one message: {len(self.payload)} bytes of payload are more than "
                f"{_ONE_MESSAGE}"
            )


def read_method(method: Code) -> Code:
    """A request's code. Raises ValueError for what is no method."""
    if not isinstance(method, Code):
        method = Code(method)
    if not method.is_request:
        raise ValueError(f"{method} is not a method")
    return method


def read_parts(parts: RequestParts, uri_options: Options) -> Question:
    """All that a request consists of. Raises TypeError or ValueError for what none can have."""
    if not parts and len(uri_options) <= _FEW_OPTIONS:  # as most are, and nothing can be wrong
        return Question(Type.CON, uri_options, b"", None, WHOLE, None)
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
    source: AsyncIterable[bytes] | None = None
    if isinstance(payload, str):
        payload = payload.encode()
        if content_format is None and options.content_format is None:
            content_format = ContentFormat.TEXT
    elif not isinstance(payload, bytes):
        if not isinstance(payload, AsyncIterable):
            raise TypeError(
                f"a payload is bytes, str or an async iterable, not {type(payload).__name__}"
            )
        source, payload = payload, b""
    if not isinstance(parts.get("retry", ONCE), Retry):
        raise TypeError(f"retry is a Retry, such as Retry(attempts=1), not {parts['retry']!r}")
    if source is not None and parts.get("retry", ONCE).attempts > 1:
        raise TypeError("a payload that streams can be sent once: no retry")
    kind = Type.CON if parts.get("confirmable", True) else Type.NON
    if content_format is not None or not _NAMED.isdisjoint(parts):
        named = Options.build(
            content_format=content_format,
            accept=parts.get("accept"),
            etags=parts.get("etags", ()),
            if_match=parts.get("if_match", ()),
            if_none_match=parts.get("if_none_match", False),
        )
        # What is named goes before what is among the others, as in a Response.
        taken = {number for number, _ in named}
        options = Options([*named, *(pair for pair in options if pair[0] not in taken)])
    if options.uri_host is not None:
        # A second one would be an option that no server understands (RFC 7252 section 5.4.5).
        uri_options = Options(pair for pair in uri_options if pair[0] != OptionNumber.URI_HOST)
    options = Options([*uri_options, *options]) if options else uri_options
    size = sum(5 + len(value) for _, value in options)
    if size > _MOST_OPTIONS:
        raise ValueError(
            f"options of {size} bytes do not fit in a datagram beside a block of the body "
            f"({_MOST_OPTIONS} bytes are the most)"
        )
    progress = parts.get("progress")
    handling = _read_handling(parts, streams=source is not None)
    question = Question(kind, options, payload, source, handling, progress)
    if not options.critical.isdisjoint({OptionNumber.BLOCK1, OptionNumber.BLOCK2}):
        question.must_be_one_message("a block")
    return question


def _read_handling(parts: RequestParts, *, streams: bool) -> Handling:
    block_size, progress = parts.get("block_size"), parts.get("progress")
    if block_size is not None and (
        not isinstance(block_size, int) or block_size not in BLOCK_SIZES
    ):
        raise ValueError(f"block_size is one of 16, 32, 64 ... 1024 bytes, not {block_size!r}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress is called with each step, and {progress!r} cannot be")
    if block_size is None and progress is None and not streams:
        return WHOLE
    return Handling(block_size=block_size, upload_streams=streams, progress=progress is not None)
