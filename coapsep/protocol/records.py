"""What the core remembers: a peer, and what hangs on it. They hold each other, so they live
together; what is done with each is in the file of its table.

==============  ===================================  =================
record          what it is                           its table
==============  ===================================  =================
Peer            one session                          peers.py
Entry           a message ID that has arrived        dedup.py
Exchange        a request, until nothing is owed     exchanges.py
ClientExchange  a request of ours, until it is over  requests.py
GroupExchange   the same to a multicast group        groups.py
Transmission    a CON of ours                        transmission.py
==============  ===================================  =================

What is kept for a peer from one of its requests to the next is in held.py; what is known of
the bodies of our own ones is in transfer_state.py.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from coapsep.address import Session
from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.numbers import Code
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.timers import Timer

if TYPE_CHECKING:  # they hold each other
    from coapsep.protocol.events import RequestFailed, ResponseReceived
    from coapsep.protocol.held import Held, Key, Observer, Topic, Upload
    from coapsep.protocol.observations import Observation
    from coapsep.protocol.transfer_state import Transfer


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Peer:
    """The state of one session. The core passes it around instead of the Session itself."""

    session: Session
    last_heard: float

    verified: bool = False
    """It gets what it is sent: its address is not forged; see amplification.py."""
    credit: int = 0
    """Bytes it may still be sent while it is not verified."""
    guesses: int = 0
    """Message IDs of ours that it got wrong meanwhile."""

    open: int = 0
    """Requests that are not closed, those whose token was taken over included."""
    exchanges: dict[bytes, Exchange] = attrs.Factory(dict)
    """The open request of each token."""

    kept: dict[int, Entry] = attrs.Factory(dict)
    """Message IDs that arrived and must not be forgotten before their time."""
    done: dict[int, bytes] = attrs.Factory(dict)
    """Those that may be: what a copy gets; b"" is nothing."""
    leaving: deque[int] | None = None
    """Those of them that were there when the last of these had left, in their order."""
    ghosts: dict[int, int] | None = None
    """How often those that have left are still in a queue; see dedup.py."""

    in_flight: dict[int, Transmission] = attrs.Factory(dict)
    """CONs of ours by message ID."""
    in_window: int = 0
    """Those of them that are responses."""
    waiting: deque[Transmission] | None = None
    """Responses of ours that wait for their turn."""
    message_ids: MessageIds | None = None

    asked: Asked | None = None
    """What we ask of it; None while we never did."""
    held: Held | None = None
    """What is kept for it from one request to the next; None for nothing."""

    stalled: bool = False
    """A timer is set, to go on when message IDs are free again."""
    lingering: bool = False
    """A timer is set, to forget it when nothing is in use any more."""

    @property
    def is_busy(self) -> bool:
        """Whether something is open or under way."""
        asked = self.asked
        return bool(
            self.open
            or self.in_flight
            or self.waiting
            or self.held is not None
            or (asked is not None and asked.tokens)
        )

    def spent_until(self) -> float:
        """When its message IDs are free again, and PROBING_RATE has paid for what it was sent."""
        ids, asked = self.message_ids, self.asked
        until = -math.inf if ids is None else ids.all_free_at()
        if asked is not None and self.last_heard <= asked.probed_at:
            until = max(until, asked.paid_at)
        return until

    def is_idle(self, now: float) -> bool:
        """Whether nothing is open, under way, or in use but the IDs that have arrived."""
        return not self.is_busy and self.spent_until() <= now


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Entry:
    """A message ID that has arrived, and must not be forgotten."""

    mid: int
    reply: bytes = b""
    """What a copy gets; b"" is nothing."""


class Phase(enum.Enum):
    """How far a request is."""

    RUNNING = "its handler runs"
    DEFERRED = "acknowledged; nothing runs until its time comes"
    ANSWERED = "its separate response waits for an acknowledgement"
    CLOSED = "nothing is owed"


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Exchange:
    """A request and its state. Its owner is Exchanges; everyone else only reads it."""

    peer: Peer
    request: Message
    entry: Entry
    acknowledged: bool
    """The empty ACK has left (section 5.2.2). A NON request never gets one."""
    repeatable: bool
    """It would do no harm to run it again: its message ID may be forgotten early."""
    phase: Phase = Phase.RUNNING
    abandoned: bool = False
    """The client took the token for another request: the response must not be sent."""
    transmission: Transmission | None = None
    leisure: Timer | None = None
    """When the answer to a request that came by multicast leaves (section 8.2)."""
    attachment: object = None
    """The application's: whatever it needs to find again by (session, token)."""

    by_group: bool = False
    """It was sent to a multicast group (section 8)."""
    block1: Block | None = None
    """The block that its response acknowledges (RFC 7959 section 2.3)."""
    block_size: int | None = None
    """The largest block that its response may have, if that is less than usual."""
    upload: Upload | None = None
    """The body of which it is the last block that came."""
    last_block: Message | None = None
    """How it came, if ``request`` was put together from blocks."""
    counted: int = 0
    """The bytes of its body that Limits count."""
    topic: Topic | None = None
    """What is observed, if its response is to make an observer (RFC 7641 section 4.1)."""
    observer: Observer | None = None
    """The one it has made."""
    notifies: tuple[Observer, ...] = ()
    """Nobody's request: what answers it goes to these (RFC 7641 section 4.2)."""

    @property
    def session(self) -> Session:
        """Who asked, and at which of our addresses."""
        return self.peer.session

    def __repr__(self) -> str:
        return f"<Exchange {self.session} {self.request} {self.phase.name}>"


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Asked:
    """Our own requests to one peer."""

    tokens: dict[bytes, ClientExchange] = attrs.Factory(dict)
    """All that are not over."""
    mids: dict[int, ClientExchange] = attrs.Factory(dict)
    """Those that have left and are not over, by message ID."""
    queue: OrderedDict[ClientExchange, None] = attrs.Factory(OrderedDict)
    """Those that wait for their turn, in the order in which they were asked."""
    outstanding: int = 0
    """Those that count against NSTART (section 4.7)."""

    probed_at: float = -math.inf
    """When the last NON request left."""
    paid_at: float = -math.inf
    """When PROBING_RATE has paid for all of them, unless the peer is heard first."""
    stalled: Timer | None = None
    """When to go on, because message IDs are free then or PROBING_RATE allows it."""

    uploads: dict[Key, ClientExchange] = attrs.Factory(dict)
    """Whose body goes there in blocks; two that are alike need a Request-Tag (RFC 9175)."""
    tags: int = 0
    """Request-Tags given out."""


class Stage(enum.Enum):
    """How far a request of ours is."""

    QUEUED = "it waits for its turn"
    SENT = "neither an acknowledgement nor a response has come"
    ACKNOWLEDGED = "the response comes separately"
    OBSERVING = "notifications come; nothing is under way for it (RFC 7641)"
    PAUSED = "nothing is under way: the application has to produce or take a part of a body"
    OVER = "its response has come, or it has failed, or was cancelled"


@attrs.define(eq=False, repr=False, weakref_slot=False)
class ClientExchange:
    """A request of ours, or a ping. Its owner is Requests; everyone else only reads it."""

    peer: Peer
    token: bytes
    """A ping has one too, to be known by, which is not sent."""
    message: Message
    """The newest one of it, but for its message ID, which it gets when it leaves."""
    data: bytes
    """Its bytes, without the message ID until it leaves."""
    attachment: object = None
    """The application's: whoever waits for the response."""
    mid: int = 0
    """Its message ID, from when it leaves."""
    stage: Stage = Stage.QUEUED
    outstanding: bool = False
    """It counts against NSTART."""
    transmission: Transmission | None = None
    place: Timer | None = None
    """When a NON that is not answered counts no longer (section 4.7)."""
    limit: Timer | None = None
    """When Tuning.response_timeout is over."""
    observation: Observation | None = None
    """What is known of what it observes, if it does (RFC 7641)."""
    transfer: Transfer | None = None
    """What is known of its bodies, if they take more than one message (RFC 7959)."""
    on_end: Callable[[ResponseReceived | RequestFailed, float], None] | None = None
    """Who is told how it ended; None is the application."""

    @property
    def is_ping(self) -> bool:
        """Whether it is an Empty CON, which is answered with RST (section 4.3)."""
        return self.message.code is Code.EMPTY

    @property
    def request(self) -> Message:
        """The newest message of it, with its message ID if it has left."""
        return attrs.evolve(self.message, mid=self.mid)

    def __repr__(self) -> str:
        return f"<ClientExchange {self.peer.session} {self.request} {self.stage.name}>"


@attrs.define(eq=False, repr=False, weakref_slot=False)
class GroupExchange:
    """A request of ours to a group, for as long as somebody listens (section 8)."""

    request: Message
    session: Session
    attachment: object = None


class Outcome(enum.Enum):
    """How the transmission of a CON ended."""

    ACKNOWLEDGED = enum.auto()
    RESET = enum.auto()
    TIMED_OUT = enum.auto()
    DROPPED = enum.auto()
    """Never sent: it waited behind one that timed out to a silent peer."""


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Transmission:
    """One CON of ours: waiting for its turn, in flight, or ended."""

    peer: Peer
    message: Message
    draft: bytes
    """The bytes but for the message ID, which it gets when it leaves."""
    is_response: bool
    """It counts against the window; a request of ours counts against NSTART instead."""
    on_end: Callable[[Outcome, float], None] | None
    """Told once how it ended; None from then on."""
    mid: int = 0
    """Its message ID, from when it leaves."""
    data: bytes = b""
    """The bytes, kept so that every copy is the same; b"" while it waits."""
    attempts: int = 0
    timeout: float = 0.0
    first_sent: float = 0.0
    timer: Timer | None = None
    successor: Message | None = None
    """What is to be sent in its place when it would be repeated (RFC 7641 section 4.5.2)."""

    @property
    def sent(self) -> Message:
        """The message with its message ID."""
        return attrs.evolve(self.message, mid=self.mid)
