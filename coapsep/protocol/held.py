"""What the core keeps for a peer from one of its requests to the next.

========  ===================================================  ============
record    what it is                                           its table
========  ===================================================  ============
Held      all of it, of one peer                               storage.py
Upload    the body of a request, while its blocks arrive       uploads.py
Body      the body of a response, while its blocks are wanted  bodies.py
Observer  a client that is kept up to date                     observers.py
========  ===================================================  ============
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeAlias

import attrs

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import Code
from coapsep.protocol.timers import Timer

if TYPE_CHECKING:  # they hold each other
    from coapsep.protocol.records import Exchange, Peer, Transmission

#: By what a body is found, within a session: the method, and what makes requests matchable.
Key: TypeAlias = tuple[Code, tuple[tuple[int, bytes], ...]]


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Held:
    """What is kept for one peer from one of its requests to the next."""

    uploads: dict[Key, Upload] = attrs.Factory(dict)
    bodies: dict[Key, Body] = attrs.Factory(dict)
    counted: int = 0
    """Bytes that Limits count: of both, and of the bodies of requests that are open."""
    observers: dict[bytes, Observer] = attrs.Factory(dict)
    """By token."""
    notified: dict[int, Observer] = attrs.Factory(dict)
    """By the message ID of a NON that may still be answered with RST."""

    def __bool__(self) -> bool:
        return bool(self.uploads or self.bodies or self.observers or self.counted)


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Upload:
    """The body of a request, while its blocks arrive (RFC 7959 section 2.5)."""

    peer: Peer
    key: Key
    exchange: Exchange | None
    """The request with the last block; None once it is answered."""
    used: float
    data: bytearray = attrs.Factory(bytearray)
    """What has come; of a stream, nothing."""
    counted: int = 0
    """The bytes of it that Limits count."""
    received: int = 0
    """Bytes that have come, those of ``exchange`` included."""
    last: bytes = b""
    """The last block: one that comes twice is no overlap."""
    streamed: bool = False
    """The application takes each block as it comes."""
    verdict: Response | None = None
    """The response, though the body is not whole: it answers the next block."""
    timer: Timer | None = None
    over: bool = False
    attachment: object = None
    """The application's, if the body is streamed."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Body:
    """The body of a response, while its blocks are asked for (RFC 7959 section 2.4)."""

    peer: Peer
    key: Key
    code: Code
    options: Options
    """Of every block, the ETag among them."""
    data: bytes
    """All of it; of a stream, what has been produced and may be asked for."""
    used: float
    sent: bytes = b""
    """A digest of what was sent with the request that it answers; b"" for nothing."""
    start: int = 0
    """Where ``data`` begins in the body."""
    asked: int = 0
    """How far a client has got with a stream."""
    complete: bool = True
    """Nothing more will be produced."""
    size: int | None = None
    """How long it will be, if that is known."""
    counted: int = 0
    """The bytes of it that Limits count."""
    waiting: tuple[Exchange, Block] | None = None
    """Who asked for a block that is not produced yet."""
    failure: Response | None = None
    """What became of a stream that could not be produced to its end."""
    timer: Timer | None = None
    over: bool = False
    attachment: object = None
    """The application's, if it is a stream."""

    @property
    def is_settled(self) -> bool:
        """Whether nobody works on it any more."""
        return self.complete or self.failure is not None

    @property
    def end(self) -> int:
        """Where ``data`` ends in the body."""
        return self.start + len(self.data)


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Topic:
    """What is observed, as the application knows it."""

    key: Hashable
    """By this its observers are found."""
    attachment: object
    """How to find out its state for one of them; None when nobody needs it any more."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Observer:
    """A client that is sent every new state of a resource (RFC 7641 section 4)."""

    peer: Peer
    request: Message
    """What is answered over and over; its token names the observer."""
    topic: Topic
    confirmed_at: float
    """When it was last sent a CON."""
    counted: int = 0
    """The bytes of its request that Limits count."""
    content_format: int | None = None
    """That of every state it is sent (section 4.2) ..."""
    has_format: bool = False
    """... once it was sent one."""
    unconfirmed: int = 0
    """Notifications since then."""
    transmission: Transmission | None = None
    """The notification that is not acknowledged yet."""
    gap: Timer | None = None
    """When another one may follow a NON."""
    waiting: Waiting | None = None
    """The newest state, which has not left yet."""
    mids: tuple[int, ...] = ()
    """Of the last NONs."""
    over: bool = False
    """It is sent nothing new; the last notification may still be under way."""

    @property
    def token(self) -> bytes:
        """The token of its request."""
        return self.request.token


@attrs.frozen
class Waiting:
    """A notification that waits for the one before it."""

    response: Response
    last: bool = False
    """It ends the observation, and says so by having no Observe option."""
    number: int = 0
    """Its place in the sequence; for all of its observers the same."""
    options: Options = EMPTY
    """Those of the response, and that number."""
