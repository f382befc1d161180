"""What is known of a request of ours whose bodies take more than one message (RFC 7959)."""

from __future__ import annotations

import attrs

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import OptionNumber
from coapsep.protocol.held import Key

_BLOCKS = frozenset({OptionNumber.BLOCK1, OptionNumber.BLOCK2})


@attrs.frozen(kw_only=True)
class Handling:
    """How the bodies of one request travel."""

    block_size: int | None = None
    """The largest block, bytes; None is Tuning.block_size."""
    upload_streams: bool = False
    """Its payload is produced as it is sent: RequestBodyWanted asks for it."""
    download_streams: bool = False
    """The payload of the response is handed over as it comes, in ResponseBodyReceived."""
    progress: bool = False
    """Each step is told, in Progressed."""


#: Both bodies are whole.
WHOLE = Handling()


@attrs.frozen
class Progress:
    """How far a request and its response are, in bytes of their payloads."""

    sent: int
    """Bytes of the request's body that the server has acknowledged."""
    to_send: int | None
    """How many there are; None while that is not known."""
    received: int
    """Bytes of the response's body that are here."""
    to_receive: int | None
    """How many the server says there are; None where it does not."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Transfer:
    """The two bodies of one request of ours: the one that goes, and the one that comes."""

    handling: Handling
    options: Options
    """What the application asks with, without blocks."""
    largest: int
    """The largest block that we send, and ask for."""
    is_single: bool
    """The application asks for one block of its own choice: nothing is put together."""

    # -- the body that goes
    size: int
    """Bytes in a block; it never grows (RFC 7959 section 2.3)."""
    data: bytes | bytearray
    """Of a body that streams, what the server does not have yet."""
    start: int = 0
    """Where ``data`` begins in the body."""
    complete: bool = True
    """Nothing more will be produced."""
    wanted: bool = False
    """The application was asked for more."""
    sent: int = 0
    """Bytes that the server has."""
    block: Block | None = None
    """The block that is under way; None if the whole fits into one message."""
    uploaded: bool = False
    """The server has answered the whole of it."""
    key: Key | None = None
    """Its place among the uploads to that peer."""
    begun_again: int = 0
    """How often, because the server said that blocks are missing."""
    smaller: bool = False
    """The server has asked for smaller blocks by refusing one."""

    # -- the body that comes
    first: Message | None = None
    """The response with the first block."""
    body: bytearray = attrs.Factory(bytearray)
    """What has come; of a body that streams, nothing."""
    received: int = 0
    """Bytes that have come."""
    restarts: int = 0
    """How often it was begun again, because it changed meanwhile."""

    # -- freshness
    echo: bytes | None = None
    """What the next message has to repeat (RFC 9175 section 2.3)."""
    echoed: bool = False
    """A message was sent again for it."""

    @classmethod
    def begin(cls, options: Options, payload: bytes, handling: Handling, size: int) -> Transfer:
        """Nothing was sent yet. ``size`` is that of the blocks if ``handling`` names none."""
        size = handling.block_size or size
        streams = handling.upload_streams
        return cls(
            handling,
            options,
            largest=size,
            is_single=not options.critical.isdisjoint(_BLOCKS),
            size=size,
            data=bytearray() if streams else payload,
            complete=not streams,
        )

    @property
    def end(self) -> int:
        """Where ``data`` ends in the body."""
        return self.start + len(self.data)

    @property
    def progress(self) -> Progress:
        """How far it is."""
        to_receive = None if self.first is None else self.first.options.size2
        to_send = self.end if self.complete else self.options.size1
        return Progress(self.sent, to_send, self.received, to_receive)
