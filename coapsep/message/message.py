"""One CoAP message, and what takes its place when the bytes are none (RFC 7252 section 3)."""

from __future__ import annotations

import attrs

from coapsep.message.options import EMPTY, Options, printable_path
from coapsep.numbers import Code, Type


@attrs.frozen
class Message:
    """A message as it is on the wire. ``mid`` is the message ID."""

    code: Code
    type: Type
    mid: int
    token: bytes = b""
    options: Options = EMPTY
    payload: bytes = b""

    def __str__(self) -> str:
        parts = [self.type.name, f"{self.mid:#06x}", str(self.code)]
        if self.code.is_request:
            parts.append(printable_path(self.options))
        if self.token:
            parts.append(f"token={self.token.hex()}")
        if self.payload:
            parts.append(f"{len(self.payload)} bytes")
        return " ".join(parts)


@attrs.frozen
class Malformed:
    """A datagram with a message format error.

    ``type`` and ``mid`` are None when not even the header could be trusted: too short, or a
    version that is not 1. What to answer is decided in protocol/ (section 4.2 and 4.3).
    """

    type: Type | None
    mid: int | None
    reason: str
