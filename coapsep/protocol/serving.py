"""The half of the core that serves, put together: from a request that arrives to its response."""

from __future__ import annotations

import random

from coapsep.address import Session
from coapsep.message.codec import Codec
from coapsep.message.response import Response
from coapsep.params import Limits, Tuning
from coapsep.protocol.amplification import Amplification
from coapsep.protocol.bodies import Bodies
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event
from coapsep.protocol.exchanges import Exchanges
from coapsep.protocol.incoming import Incoming
from coapsep.protocol.messaging import MessageLayer
from coapsep.protocol.observers import Observers
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Exchange
from coapsep.protocol.responses import Responses
from coapsep.protocol.statistics import Counters
from coapsep.protocol.storage import Storage
from coapsep.protocol.timers import Timers
from coapsep.protocol.transmission import Transmissions
from coapsep.protocol.uploads import Uploads


class Serving:
    """The parts, for Core to call. Data flows from ``incoming`` up, and down by ``responses``."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        codec: Codec,
        timers: Timers,
        peers: Peers,
        dedup: Dedup,
        transmissions: Transmissions,
        messages: MessageLayer,
        amplification: Amplification,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self.storage: Storage = Storage(limits, timers, peers)
        self.exchanges: Exchanges = Exchanges(
            tuning,
            limits,
            timers,
            peers,
            dedup,
            transmissions,
            messages,
            self.storage,
            counters,
            events,
            outgoing,
        )
        self.bodies: Bodies = Bodies(
            tuning, limits, self.storage, counters, rng, events, self._respond
        )
        self.uploads: Uploads = Uploads(limits, self.storage, counters, events, self._respond)
        self.observers: Observers = Observers(
            tuning, limits, timers, transmissions, self.storage, self.bodies, counters, rng, events
        )
        self.responses: Responses = Responses(
            tuning,
            amplification,
            codec,
            timers,
            dedup,
            transmissions,
            self.exchanges,
            self.bodies,
            self.uploads,
            self.observers,
            counters,
            rng,
            events,
            outgoing,
        )
        self.incoming: Incoming = Incoming(
            amplification,
            self.exchanges,
            self.responses,
            self.uploads,
            self.bodies,
            self.observers,
            events,
        )

    def _respond(self, exchange: Exchange, response: Response, now: float) -> None:
        """A body answers a request for one of its blocks."""
        self.responses.respond(exchange, response, now)
