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
from collections import deque
from collections.abc import Callable

from coapsep.address import Session
from coapsep.message.message import Message
from coapsep.numbers import Type
from coapsep.protocol.message_ids import MessageIds
from coapsep.protocol.timers import Timer


class Peer:
    """The state of one session. The core passes it around instead of the Session itself."""

    __slots__ = (
        "evictable",
        "exchanges",
        "in_flight",
        "last_heard",
        "lingering",
        "message_ids",
        "open",
        "seen",
        "session",
        "stalled",
        "waiting",
    )

    def __init__(self, session: Session, now: float) -> None:
        self.session = session
        self.last_heard = now
        #: Requests that are not closed, those whose token was taken over included.
        self.open = 0
        #: The open request of each token.
        self.exchanges: dict[bytes, Exchange] = {}
        #: Message IDs that arrived, and those of them that may be forgotten early.
        self.seen: dict[int, Entry] = {}
        self.evictable: dict[int, Entry] = {}
        #: CONs of ours by message ID, and those that wait for their turn.
        self.in_flight: dict[int, Transmission] = {}
        self.waiting: deque[Transmission] | None = None
        self.message_ids: MessageIds | None = None
        #: A timer is set: to go on when message IDs are free again, or to be forgotten then.
        self.stalled = False
        self.lingering = False

    def is_idle(self, now: float) -> bool:
        """Whether nothing is open, under way, or in use but the IDs that have arrived."""
        if self.open or self.in_flight or self.waiting:
            return False
        if self.message_ids is None:
            return True
        self.message_ids.expire(now)
        return self.message_ids.in_use == 0


class Entry:
    """One message ID of one peer. ``reply`` is what a copy gets; None is nothing."""

    __slots__ = ("mid", "peer", "reply")

    def __init__(self, peer: Peer, mid: int) -> None:
        self.peer = peer
        self.mid = mid
        self.reply: bytes | None = None


class Phase(enum.Enum):
    """How far a request is."""

    RUNNING = "its handler runs"
    DEFERRED = "acknowledged; nothing runs until its time comes"
    ANSWERED = "its separate response waits for an acknowledgement"
    CLOSED = "nothing is owed"


class Exchange:
    """A request and its state. Its owner is Exchanges; everyone else only reads it.

    ``attachment`` is the application's: whatever it needs to find again by (session, token).
    """

    __slots__ = (
        "abandoned",
        "acknowledged",
        "attachment",
        "entry",
        "peer",
        "phase",
        "request",
        "transmission",
    )

    def __init__(self, peer: Peer, request: Message, entry: Entry) -> None:
        self.peer = peer
        self.request = request
        self.entry = entry
        self.phase = Phase.RUNNING
        #: The empty ACK has left (section 5.2.2). A NON request never gets one.
        self.acknowledged = request.type is not Type.CON
        #: The client took the token for another request: the response must not be sent.
        self.abandoned = False
        self.transmission: Transmission | None = None
        self.attachment: object = None

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


class Transmission:
    """One CON of ours: waiting for its turn, in flight, or ended."""

    __slots__ = (
        "attempts",
        "data",
        "draft",
        "first_sent",
        "message",
        "on_end",
        "peer",
        "timeout",
        "timer",
    )

    def __init__(
        self,
        peer: Peer,
        message: Message,
        draft: bytes,
        on_end: Callable[[Outcome, float], None],
    ) -> None:
        self.peer = peer
        self.message = message
        #: The bytes but for the message ID, which it gets when it leaves.
        self.draft = draft
        #: Told once how it ended; None from then on.
        self.on_end: Callable[[Outcome, float], None] | None = on_end
        #: The bytes, kept so that every copy is the same; b"" while it waits.
        self.data = b""
        self.attempts = 0
        self.timeout = 0.0
        self.first_sent = 0.0
        self.timer: Timer | None = None
