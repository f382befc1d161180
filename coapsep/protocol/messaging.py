"""The message layer (RFC 7252 section 4): what a datagram is, and what it draws at once.

Copies get their stored reply, ACK and RST go to the CON they belong to, a ping and whatever
must be rejected gets an RST, and the rest is ignored or handed up: a new request.
"""

from __future__ import annotations

from coapsep.address import Session
from coapsep.message.codec import Codec, empty
from coapsep.message.message import Malformed, Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.params import Limits
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.transmission import Transmissions

#: What RFC 7252 section 4.6 reckons with between a payload and its message, bytes.
_OVERHEAD = 128


class MessageLayer:
    """Incoming messages."""

    def __init__(
        self,
        limits: Limits,
        codec: Codec,
        peers: Peers,
        transmissions: Transmissions,
        counters: Counters,
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._limits = limits
        self._codec = codec
        self._peers = peers
        self._transmissions = transmissions
        self._counters = counters
        self._outgoing = outgoing

    def receive(self, data: bytes, session: Session, now: float) -> Message | None:
        """Deal with one datagram. Returns a request that is new; never raises."""
        counters = self._counters
        counters.datagrams_received += 1
        if len(data) < 4 or data[0] >> 6 != 1:
            # Another version, or no CoAP at all, must be ignored (section 3).
            counters.ignored += 1
            return None
        peer = self._peers.find(session)
        if peer is not None:
            peer.last_heard = now
        mid = data[2] << 8 | data[3]
        kind = data[0] >> 4 & 3
        if kind >= Type.ACK:
            if peer is None or not self._answer_to_ours(peer, data, kind, mid, now):
                counters.ignored += 1
            return None
        # Copies are known by their header (section 4.5): no need to decode them.
        if peer is not None and data[1] and self._is_copy(peer, kind, mid):
            return None
        if len(data) > self._limits.datagram_size:
            self._too_large(data, session)
            return None
        message = self._codec.decode(data)
        if isinstance(message, Malformed):
            counters.malformed += 1
            self._reject(kind, mid, session)
        elif message.code == Code.EMPTY:
            if kind == Type.CON:
                counters.pings += 1
                self._reject(kind, mid, session)
            else:
                counters.ignored += 1
        elif message.code.is_response:
            # Nothing was asked: rejected (section 5.3.2). A NON may be, and is not, so that
            # a forged one draws nothing.
            if kind == Type.CON:
                counters.rejected += 1
                self._reject(kind, mid, session)
            else:
                counters.ignored += 1
        else:
            return message
        return None

    def refuse(
        self, request: Message, session: Session, code: Code, diagnostic: str, options: Options
    ) -> None:
        """Answer a CON request in its ACK and remember nothing; ignore a NON.

        A copy draws the same answer, so there is nothing to deduplicate.
        """
        if request.type is Type.CON:
            answer = Message(
                code, Type.ACK, request.mid, request.token, options, diagnostic.encode()
            )
            self._outgoing.append((self._codec.encode(answer), session))

    def _answer_to_ours(self, peer: Peer, data: bytes, kind: int, mid: int, now: float) -> bool:
        # An ACK or RST that is not Empty is either malformed or the answer to a request,
        # and a server has none: ignored (section 4.2).
        if len(data) != 4 or data[0] & 15 or data[1]:
            return False
        if kind == Type.ACK:
            return self._transmissions.acknowledged(peer, mid, now)
        return self._transmissions.reset(peer, mid, now)

    def _is_copy(self, peer: Peer, kind: int, mid: int) -> bool:
        entry = peer.seen.get(mid)
        if entry is None:
            return False
        if kind == Type.CON and entry.reply is not None:
            self._counters.copies_answered += 1
            self._outgoing.append((entry.reply, peer.session))
        else:
            self._counters.copies_ignored += 1
        return True

    def _reject(self, kind: int, mid: int, session: Session) -> None:
        """An RST for a CON, silence for a NON (sections 4.2 and 4.3)."""
        if kind == Type.CON:
            self._outgoing.append((empty(Type.RST, mid), session))

    def _too_large(self, data: bytes, session: Session) -> None:
        """Say so, where the header and token can be read (section 5.9.2.9)."""
        self._counters.datagrams_too_large += 1
        head = self._codec.decode(data[: 4 + (data[0] & 15)])
        if isinstance(head, Malformed) or not head.code.is_request:
            self._reject(data[0] >> 4 & 3, data[2] << 8 | data[3], session)
        else:
            # A hint for the client's next try: what is left beside a header and options.
            size1 = Options.build(size1=max(0, self._limits.datagram_size - _OVERHEAD))
            text = f"a message may have {self._limits.datagram_size} bytes"
            self.refuse(head, session, Code.REQUEST_ENTITY_TOO_LARGE, text, size1)
