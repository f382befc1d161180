"""One request, from its arrival until nothing is owed for it any more."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from coapsep.message.message import Message
from coapsep.numbers import Type

if TYPE_CHECKING:  # these three hold each other
    from coapsep.address import Session
    from coapsep.protocol.dedup import Entry
    from coapsep.protocol.peers import Peer
    from coapsep.protocol.transmission import Transmission


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
