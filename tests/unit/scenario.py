"""A core on a workbench: messages go in, time is moved by hand, messages and events come out.

A test reads like the message sequence it is about::

    s = Scenario()
    s.receive(con(0x1CF5, path="slow"))
    exchange = s.request()
    s.at(0.1)
    assert s.sent() == [ack(0x1CF5)]

``Scenario.check`` looks into the core's private tables; it runs after every step.
"""

from __future__ import annotations

import math
import random

import attrs

from coapsep.address import Address, Session
from coapsep.message.codec import decode, encode
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.core import Core
from coapsep.protocol.events import Event, RequestReceived
from coapsep.protocol.records import Exchange, Phase

SERVER = Address("192.0.2.1", 5683)
OTHER_SERVER = Address("192.0.2.2", 5683)
CLIENT = Session(SERVER, Address("198.51.100.1", 40001))
OTHER = Session(SERVER, Address("198.51.100.2", 40001))
#: The same client, which asked at another address of the same host.
CLIENT_ELSEWHERE = Session(OTHER_SERVER, CLIENT.peer)

TOKEN = b"\x2a"
OK = Response(Code.CONTENT, b"ok")


def con(
    mid: int,
    code: Code = Code.GET,
    *,
    token: bytes = TOKEN,
    path: str = "",
    payload: bytes = b"",
    options: Options = EMPTY,
) -> Message:
    """A Confirmable message, a request unless ``code`` says otherwise."""
    if path:
        options = Options([*options, *Options.build(uri_path=path.split("/"))])
    return Message(code, Type.CON, mid, token, options, payload)


def non(
    mid: int,
    code: Code = Code.GET,
    *,
    token: bytes = TOKEN,
    path: str = "",
    payload: bytes = b"",
    options: Options = EMPTY,
) -> Message:
    """The same as a NON."""
    made = con(mid, code, token=token, path=path, payload=payload, options=options)
    return attrs.evolve(made, type=Type.NON)


def ack(mid: int) -> Message:
    """An Empty ACK."""
    return Message(Code.EMPTY, Type.ACK, mid)


def rst(mid: int) -> Message:
    """An RST."""
    return Message(Code.EMPTY, Type.RST, mid)


def ping(mid: int) -> Message:
    """An Empty CON (section 4.3)."""
    return Message(Code.EMPTY, Type.CON, mid)


def piggybacked(request: Message, code: Code = Code.CONTENT, payload: bytes = b"ok") -> Message:
    """The response to ``request`` in its ACK."""
    return Message(code, Type.ACK, request.mid, request.token, EMPTY, payload)


def session(number: int) -> Session:
    """A client of its own for every number."""
    return Session(SERVER, Address(f"203.0.113.{number >> 16}", number & 0xFFFF))


class Longest(random.Random):
    """Draws the longest wait, and ``first`` as the first message ID."""

    def __init__(self, first: int = 0) -> None:
        super().__init__(0)
        self._first = first

    def uniform(self, a: float, b: float) -> float:
        return b

    def getrandbits(self, k: int, /) -> int:
        return self._first


@attrs.frozen
class Sent:
    """A datagram that left."""

    at: float
    data: bytes
    session: Session

    @property
    def message(self) -> Message:
        """What the other side reads in it."""
        message = decode(self.data)
        assert not isinstance(message, Malformed), message
        return message


class Scenario:
    """One core, the time, and what came out of it and was not looked at yet."""

    def __init__(
        self,
        tuning: Tuning | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        *,
        checked: bool = True,
    ) -> None:
        self.tuning = tuning or Tuning()
        self.limits = limits or Limits()
        self.core = Core(self.tuning, self.limits, rng or random.Random(1))
        self.now = 0.0
        self._wire: list[Sent] = []
        self._checked = checked

    # -- in --------------------------------------------------------------------------

    def receive(self, what: Message | bytes, session: Session = CLIENT) -> None:
        """A datagram arrives."""
        data = what if isinstance(what, bytes) else encode(what)
        self.core.receive_datagram(data, session, self.now)
        self._after()

    def at(self, time: float) -> None:
        """It becomes ``time``; what is due until then happens at its own time."""
        assert time >= self.now, "time does not run backwards"
        last = -math.inf
        while (due := self.core.next_deadline()) <= time:
            assert due > last, f"the deadline {due} stays due"
            last, self.now = due, max(self.now, due)
            self.core.handle_timers(self.now)
            self._after()
        self.now = time

    def respond(self, exchange: Exchange, response: Response = OK) -> None:
        """The handler of a request has its response."""
        self.core.send_response(exchange, response, self.now)
        self._after()

    def defer(self, exchange: Exchange) -> None:
        """The response of a request will take its time."""
        self.core.defer(exchange, self.now)
        self._after()

    def close(self, exchange: Exchange) -> None:
        """A request is given up."""
        self.core.close(exchange, self.now)
        self._after()

    def finish(self, exchange: Exchange, response: Response = OK) -> None:
        """A request gets one last message."""
        self.core.finish(exchange, response, self.now)
        self._after()

    def lose(self, session: Session = CLIENT) -> None:
        """The session has gone."""
        self.core.session_lost(session, self.now)
        self._after()

    # -- out -------------------------------------------------------------------------

    def drain(self) -> list[Sent]:
        """The datagrams since the last look, with their times."""
        wire, self._wire = self._wire, []
        return wire

    def sent(self) -> list[Message]:
        """The messages since the last look."""
        return [sent.message for sent in self.drain()]

    def events(self) -> list[Event]:
        """The events since the last look."""
        events = self.core.events[:]
        self.core.events.clear()
        return events

    def request(self) -> Exchange:
        """The request that was the one event since the last look."""
        [event] = self.events()
        assert isinstance(event, RequestReceived)
        return event.exchange

    # -- several steps ---------------------------------------------------------------

    def open(self, request: Message, session: Session = CLIENT) -> Exchange:
        """A request arrives; its handler runs."""
        self.receive(request, session)
        return self.request()

    def deferred(self, request: Message, session: Session = CLIENT) -> Exchange:
        """A request arrives and is deferred at once; its ACK, if any, is looked at."""
        exchange = self.open(request, session)
        self.defer(exchange)
        assert self.sent() == ([ack(request.mid)] if request.type is Type.CON else [])
        return exchange

    def answered(self, request: Message, session: Session = CLIENT) -> tuple[Exchange, Message]:
        """A CON request and its separate response, which is not acknowledged yet."""
        exchange = self.deferred(request, session)
        self.respond(exchange)
        [response] = self.sent()
        assert response.type is Type.CON
        return exchange, response

    def exchange_lifetime_later(self) -> None:
        """All that was received or sent until now is out of date."""
        self.at(self.now + self.tuning.exchange_lifetime + 2)

    # -- within ----------------------------------------------------------------------

    def _after(self) -> None:
        self._wire += (Sent(self.now, *sent) for sent in self.core.outgoing)
        self.core.outgoing.clear()
        if self._checked:
            self.check()

    def check(self) -> None:
        """What must be true of the tables after every step."""
        core = self.core
        peers, dedup, timers = core._peers, core._dedup, core._timers
        # Requests of sessions that were lost belong to peers that are forgotten.
        assert 0 <= sum(peer.open for peer in peers) <= core.open_requests
        assert dedup.entries == sum(len(peer.seen) for peer in peers)
        assert dedup.entries <= self.limits.dedup_entries
        assert dedup.bytes == sum(len(e.reply or b"") for p in peers for e in p.seen.values())
        assert core.open_requests <= self.limits.requests
        assert len(peers) <= self.limits.peers
        ranked = {p: count for count, level in dedup._ranking._levels.items() for p in level}
        assert ranked == {peer: len(peer.evictable) for peer in peers if peer.evictable}
        assert dedup._ranking._most == max(ranked.values(), default=0)
        assert len(timers) == sum(timer.action is not None for _, _, timer in timers._heap)
        for peer in peers:
            assert peers.find(peer.session) is peer
            assert 0 <= peer.open <= self.limits.requests_per_session
            assert len(peer.seen) <= self.limits.dedup_entries_per_session
            assert all(peer.seen[mid] is entry for mid, entry in peer.evictable.items())
            assert all(
                exchange.phase is not Phase.CLOSED
                and not exchange.abandoned
                and exchange.peer is peer
                and exchange.request.token == token
                for token, exchange in peer.exchanges.items()
            )
            assert len(peer.exchanges) <= peer.open
            assert len(peer.in_flight) <= self.tuning.response_window
            assert all(
                transmission.message.mid == mid
                and transmission.timer is not None
                and transmission.timer.action is not None
                for mid, transmission in peer.in_flight.items()
            )
            assert all(not transmission.data for transmission in peer.waiting or ())
            held = peer.seen or peer.open or peer.in_flight or peer.waiting
            assert held or (peer.message_ids and peer.lingering), "a peer without a reason"

    def nothing_left(self) -> bool:
        """Whether the core, once all lifetimes are over, has forgotten everything."""
        self.exchange_lifetime_later()
        self.exchange_lifetime_later()
        held = self.core.statistics()
        left = {
            "peers": held.peers,
            "open_requests": held.open_requests,
            "dedup_entries": held.dedup_entries,
            "dedup_bytes": held.dedup_bytes,
            "timers": held.timers,
        }
        assert left == dict.fromkeys(left, 0)
        assert self.core.next_deadline() == math.inf
        assert self.core.open_exchanges() == []
        return True
