"""Requests of ours to a group of peers (RFC 7252 section 8): one request, many responses.

Such a request is a NON, is sent once, and is over when its listener says so. Its responses
come from anywhere: the token alone finds it again (section 8.2).
"""

from __future__ import annotations

import random

import attrs

from coapsep.address import Session
from coapsep.message.codec import Codec, empty
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, OptionNumber, Type
from coapsep.params import Tuning
from coapsep.protocol.dedup import Dedup
from coapsep.protocol.events import Event, GroupRequestFailed, GroupResponse
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import GroupExchange
from coapsep.protocol.statistics import Counters
from coapsep.protocol.tokens import draw_token

#: Critical options of a response on which this acts (section 5.4.1).
UNDERSTOOD = frozenset({OptionNumber.BLOCK2})


class Groups:
    """Every request of ours to a group that somebody still listens to."""

    def __init__(
        self,
        tuning: Tuning,
        codec: Codec,
        peers: Peers,
        dedup: Dedup,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._tuning = tuning
        self._codec = codec
        self._peers = peers
        self._dedup = dedup
        self._counters = counters
        self._rng = rng
        self._events = events
        self._outgoing = outgoing
        self._tokens: dict[bytes, GroupExchange] = {}

    def __len__(self) -> int:
        return len(self._tokens)

    def send(
        self,
        session: Session,
        code: Code,
        options: Options,
        payload: bytes,
        attachment: object,
        now: float,
    ) -> GroupExchange:
        """Send a request once.

        Raises ValueError if it cannot be written, LocalProtocolError if the table of peers is
        full, MessageIdsExhausted if the group was asked too often.
        """
        token = draw_token(self._rng, self._tuning.token_bytes, self._tokens)
        draft = Message(code, Type.NON, 0, token, options, payload)
        self._codec.encode(draft)  # raises before anything has changed
        peer = self._dedup.obtain_peer_to_ask(session, now)
        try:
            mid = self._peers.message_ids(peer).allocate(now)
        finally:
            self._peers.release(peer, now)
        request = attrs.evolve(draft, mid=mid)
        exchange = self._tokens[token] = GroupExchange(request, session, attachment)
        self._outgoing.append((self._codec.encode(request), session))
        self._counters.requests_sent += 1
        return exchange

    def receive(self, response: Message, session: Session, now: float) -> bool:
        """A response came that is for nobody else; False if it is not for a group either."""
        exchange = self._tokens.get(response.token)
        if exchange is None or response.type is Type.ACK:
            return False
        options = response.options
        if options.faulty or not options.critical <= UNDERSTOOD or not _is_whole(options):
            return False  # rejected as any other (section 5.4.1); the others may do better
        if not self._remember(response, session, now):
            return False
        self._counters.responses += 1
        whole = attrs.evolve(response, options=options.without(OptionNumber.BLOCK2))
        self._events.append(GroupResponse(exchange, whole, session))
        return True

    def unsent(self, data: bytes, session: Session, detail: str) -> None:
        """The system refused to send this datagram; it may be no request to a group."""
        exchange = self._tokens.get(data[4 : 4 + (data[0] & 15)]) if data else None
        if exchange is not None and exchange.session == session:
            self.end(exchange)
            self._events.append(GroupRequestFailed(exchange, detail))

    def end(self, exchange: GroupExchange) -> None:
        """Nobody listens any more: what still comes is for nobody."""
        if self._tokens.get(exchange.request.token) is exchange:
            del self._tokens[exchange.request.token]

    def _remember(self, response: Message, session: Session, now: float) -> bool:
        """So that a copy is known for one, and is acknowledged if it is a CON (section 4.5).

        False where there is no room: its copies would pass for other responses.
        """
        peer = self._dedup.obtain_peer(session, now)
        if peer is None:
            return False
        confirmable = response.type is Type.CON
        entry = self._dedup.admit(peer, response.mid, confirmable=confirmable, now=now)
        if entry is None:
            self._peers.release(peer, now)
            return False
        if confirmable:
            ack = empty(Type.ACK, response.mid)
            self._outgoing.append((ack, session))
            self._dedup.store(peer, entry, ack, now)
        self._dedup.complete(peer, entry)
        return True


def _is_whole(options: Options) -> bool:
    """Whether a response says that it is no more than one block. Others are not put together."""
    block = options.block2
    return block is None or (block.is_valid and block.number == 0 and not block.more)
