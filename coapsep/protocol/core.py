"""The protocol, without a clock and without a socket.

It is handed datagrams and the time (a float in seconds, on any monotonic scale) and hands
back datagrams, events, and when it wants to be called next::

    datagram -> messaging -> exchanges -> events          (receive_datagram)
    response -> exchanges -> transmission -> datagrams    (send_response)

It draws its random numbers from the generator it is given, and keeps no other state than
its own. Nothing that arrives from the network makes it raise.
"""

from __future__ import annotations

import random

import attrs

from coapsep.address import Session
from coapsep.message.codec import Codec
from coapsep.message.response import Response
from coapsep.params import Limits, Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event
from coapsep.protocol.exchanges import Exchanges
from coapsep.protocol.messaging import MessageLayer
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Exchange
from coapsep.protocol.statistics import Counters, Statistics
from coapsep.protocol.timers import Timers
from coapsep.protocol.transmission import Transmissions


class Core:
    """One endpoint's protocol state, for any number of sessions."""

    def __init__(self, tuning: Tuning, limits: Limits, rng: random.Random) -> None:
        self.counters: Counters = Counters()
        #: Datagrams to send and events to handle, oldest first; the shell empties both.
        self.outgoing: list[tuple[bytes, Session]] = []
        self.events: list[Event] = []
        self._timers = Timers()
        codec = Codec(limits.options)
        self._peers = Peers(tuning, limits, self._timers, rng)
        self._dedup = Dedup(tuning, limits, self._peers, self.counters)
        transmissions = Transmissions(
            tuning, codec, self._timers, self._peers, self.counters, rng, self.outgoing
        )
        self._messages = MessageLayer(
            limits, codec, self._peers, transmissions, self.counters, self.outgoing
        )
        self._exchanges = Exchanges(
            tuning,
            limits,
            codec,
            self._peers,
            self._dedup,
            transmissions,
            self._messages,
            self.counters,
            self.events,
            self.outgoing,
        )

    # -- from below: the network and the clock ---------------------------------------

    def receive_datagram(self, data: bytes, session: Session, now: float) -> None:
        """A datagram arrived. Never raises."""
        request = self._messages.receive(data, session, now)
        if request is not None:
            self._exchanges.receive(request, session, now)

    def session_lost(self, session: Session, now: float) -> None:
        """A connection transport says that this session has gone."""
        self._exchanges.session_lost(session, now)

    def next_deadline(self) -> float:
        """When to call ``handle_timers``; ``inf`` for not at all."""
        return min(
            self._timers.next_deadline(),
            self._exchanges.next_deadline(),
            self._dedup.next_deadline(),
        )

    def handle_timers(self, now: float) -> None:
        """Do what is due."""
        self._exchanges.handle_timers(now)
        self._timers.run(now)
        self._dedup.expire(now)

    # -- from above: the application -------------------------------------------------

    def send_response(self, exchange: Exchange, response: Response, now: float) -> None:
        """Answer a request: in its ACK while that is owed, else separately.

        Raises LocalProtocolError if it has an answer already.
        """
        self._exchanges.respond(exchange, response, now)

    def refuse(self, exchange: Exchange, response: Response, now: float) -> None:
        """Answer a request for which nothing was run."""
        self._exchanges.refuse(exchange, response, now)

    def defer(self, exchange: Exchange, now: float) -> None:
        """Acknowledge a request whose answer comes later; until ``resume``, nothing runs."""
        self._exchanges.defer(exchange, now)

    def resume(self, exchange: Exchange) -> None:
        """The handler of a deferred request runs again."""
        self._exchanges.resume(exchange)

    def close(self, exchange: Exchange, now: float) -> None:
        """Give up a request without a response."""
        self._exchanges.close(exchange, now)

    def finish(self, exchange: Exchange, response: Response, now: float) -> None:
        """Close a request with one last message that nobody will repeat."""
        self._exchanges.finish(exchange, response, now)

    def open_exchanges(self) -> list[Exchange]:
        """Every request that holds its token."""
        return [exchange for peer in self._peers for exchange in peer.exchanges.values()]

    def find(self, session: Session, token: bytes) -> Exchange | None:
        """The open request with this token."""
        return self._exchanges.find(session, token)

    @property
    def open_requests(self) -> int:
        """Requests for which something is still owed, unacknowledged responses included."""
        return self._exchanges.open

    def statistics(self) -> Statistics:
        """All counters, and what is held at this moment."""
        return Statistics(
            **attrs.asdict(self.counters),
            peers=len(self._peers),
            open_requests=self._exchanges.open,
            dedup_entries=self._dedup.entries,
            dedup_bytes=self._dedup.bytes,
            timers=len(self._timers),
        )
