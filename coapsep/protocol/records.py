"""What the core remembers: a peer, and what hangs on it. They hold each other, so they live
together; what is done with each is in the file of its table.

==============  ==================================  =================
record          what it is                          its table
==============  ==================================  =================
Peer            one session                         peers.py
Entry           a message ID that has arrived       dedup.py
Exchange        a request, until nothing is owed    exchanges.py
Transmission    a CON of ours                       transmission.py
==============  ==================================  =================
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable

import attrs

from coapsep.address import Session
from coapsep.message.message import Message
from coapsep.numbers import IDEMPOTENT, Type
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.timers import Timer


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Peer:
    """The state of one session. The core passes it around instead of the Session itself."""

    session: Session
    last_heard: float

    open: int = 0
    """Requests that are not closed, those whose token was taken over included."""
    exchanges: dict[bytes, Exchange] = attrs.Factory(dict)
    """The open request of each token."""

    seen: dict[int, Entry] = attrs.Factory(dict)
    """Message IDs that arrived."""
    evictable: OrderedDict[int, Entry] = attrs.Factory(OrderedDict)
    """Those of them that may be forgotten early."""

    in_flight: dict[int, Transmission] = attrs.Factory(dict)
    """CONs of ours by message ID."""
    waiting: deque[Transmission] | None = None
    """CONs of ours that wait for their turn."""
    message_ids: MessageIds | None = None

    stalled: bool = False
    """A timer is set, to go on when message IDs are free again."""
    lingering: bool = False
    """A timer is set, to be forgotten when all message IDs are free again."""

    def is_idle(self, now: float) -> bool:
        """Whether nothing is open, under way, or in use but the IDs that have arrived."""
        if self.open or self.in_flight or self.waiting:
            return False
        if self.message_ids is None:
            return True
        self.message_ids.expire(now)
        return self.message_ids.in_use == 0


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Entry:
    """One message ID of one peer."""

    peer: Peer
    mid: int
    reply: bytes | None = None
    """What a copy gets; None is nothing."""


class Phase(enum.Enum):
    """How far a request is."""

    RUNNING = "its handler runs"
    DEFERRED = "acknowledged; nothing runs until its time comes"
    ANSWERED = "its separate response waits for an acknowledgement"
    CLOSED = "nothing is owed"


def _owes_no_ack(exchange: Exchange) -> bool:
    return exchange.request.type is not Type.CON


def _may_run_again(exchange: Exchange) -> bool:
    return exchange.request.type is Type.NON or exchange.request.code in IDEMPOTENT


@attrs.define(eq=False, repr=False, weakref_slot=False)
class Exchange:
    """A request and its state. Its owner is Exchanges; everyone else only reads it."""

    peer: Peer
    request: Message
    entry: Entry
    phase: Phase = Phase.RUNNING
    acknowledged: bool = attrs.Factory(_owes_no_ack, takes_self=True)
    """The empty ACK has left (section 5.2.2). A NON request never gets one."""
    repeatable: bool = attrs.Factory(_may_run_again, takes_self=True)
    """It would do no harm to run it again: its message ID may be forgotten early."""
    abandoned: bool = False
    """The client took the token for another request: the response must not be sent."""
    transmission: Transmission | None = None
    attachment: object = None
    """The application's: whatever it needs to find again by (session, token)."""

    @property
    def session(self) -> Session:
        """Who asked, and at which of our addresses."""
        return self.peer.session

    def __repr__(self) -> str:
        return f"<Exchange {self.session} {self.request} {self.phase.name}>"


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
    on_end: Callable[[Outcome, float], None] | None
    """Told once how it ended; None from then on."""
    data: bytes = b""
    """The bytes, kept so that every copy is the same; b"" while it waits."""
    attempts: int = 0
    timeout: float = 0.0
    first_sent: float = 0.0
    timer: Timer | None = None
