"""The message layer (RFC 7252 section 4): what a datagram is, and what it draws at once.

Copies get their stored reply, an Empty ACK or RST goes to the CON it belongs to, a ping and
whatever must be rejected gets an RST, and the rest is ignored or handed up: a new request, a
response, or an RST that may be for a NON.
"""

from __future__ import annotations

from coapsep.address import Session
from coapsep.message.block import Block
from coapsep.message.codec import Codec, empty, token_place
from coapsep.message.message import Malformed, Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import BLOCK_SIZES, Code, Type
from coapsep.params import Limits
from coapsep.protocol.amplification import Amplification
from coapsep.protocol.peers import Peers
from coapsep.protocol.records import Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.transmission import Transmissions

#: What RFC 7252 section 4.6 reckons with between a payload and its message, bytes.
_OVERHEAD = 128

# To look up a member of an enum costs more than to compare it.
_CON, _NON, _ACK = Type.CON, Type.NON, Type.ACK


class MessageLayer:
    """Incoming messages."""

    def __init__(
        self,
        limits: Limits,
        codec: Codec,
        peers: Peers,
        transmissions: Transmissions,
        amplification: Amplification,
        counters: Counters,
        outgoing: list[tuple[bytes, Session]],
    ) -> None:
        self._limits = limits
        self._codec = codec
        self._peers = peers
        self._transmissions = transmissions
        self._amplification = amplification
        self._counters = counters
        self._outgoing = outgoing

    def receive(
        self,
        data: bytes,
        session: Session,
        peer: Peer | None,
        now: float,
        *,
        by_group: bool = False,
    ) -> Message | None:
        """Deal with one datagram; never raises. ``peer`` is who sent it, if it is known.

        One that came by multicast may only be a NON request (section 8.1): nothing else is
        answered, not even with RST.

        Returns what is not settled here. Of a message that is longer than
        Limits.datagram_size it is the header and the token.
        """
        counters = self._counters
        counters.datagrams_received += 1
        if len(data) < 4 or data[0] >> 6 != 1:
            # Another version, or no CoAP at all, must be ignored (section 3).
            counters.ignored += 1
            return None
        kind, mid = data[0] >> 4 & 3, data[2] << 8 | data[3]
        if by_group and not (kind == _NON and 0 < data[1] < 32):
            counters.ignored += 1
            return None
        if peer is not None:
            peer.last_heard = now
            if not peer.verified:
                self._amplification.heard(peer, len(data))
        if kind >= _ACK:
            if peer is None:
                counters.ignored += 1
                return None
            return self._answer(peer, data, kind, mid, now)
        # Copies are known by their header (section 4.5): no need to decode them.
        if peer is not None and data[1] and self._is_copy(peer, kind, mid, now):
            return None
        if len(data) > self._limits.datagram_size:
            return self._too_large(data, session)
        message = self._codec.decode(data)
        if isinstance(message, Malformed):
            counters.malformed += 1
            self._send_reset(kind, mid, session)
        elif message.code == 0:
            if kind == _CON:
                counters.pings += 1
                self._send_reset(kind, mid, session)
            else:
                counters.ignored += 1
        elif len(message.token) > 8 and self._has_long_token(message):
            self._refuse_token(message, session)
        else:
            return message
        return None

    def reject(self, message: Message, session: Session) -> None:
        """Nobody wants it: an unexpected response, or a request where nobody serves.

        A CON draws an RST (sections 4.2 and 5.3.2). A NON may, and does not, so that a
        forged one draws nothing; an ACK or RST never does.
        """
        if message.type is Type.CON:
            self._counters.rejected += 1
            self._send_reset(message.type, message.mid, session)
        else:
            self._counters.ignored += 1

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

    def refuse_size(self, head: Message, session: Session) -> None:
        """Say how long a request may be (section 5.9.2.9)."""
        # Hints for the client's next try: what is left beside a header and options, and that
        # it may come in blocks (RFC 7959 section 2.9.3).
        most = max(0, self._limits.datagram_size - _OVERHEAD)
        block = Block(0, False, max((16, *(size for size in BLOCK_SIZES if size <= most))))
        hint = Options.build(size1=most, block1=block)
        text = f"a message may have {self._limits.datagram_size} bytes"
        self.refuse(head, session, Code.REQUEST_ENTITY_TOO_LARGE, text, hint)

    def _has_long_token(self, message: Message) -> bool:
        return len(message.token) > self._limits.token_size and message.code.is_request

    def _refuse_token(self, request: Message, session: Session) -> None:
        """Extended tokens are taken up to a length (RFC 8974 section 2.2.2)."""
        self._counters.rejected += 1
        text = f"a token may have {self._limits.token_size} bytes"
        self.refuse(request, session, Code.BAD_REQUEST, text, EMPTY)

    def _answer(self, peer: Peer, data: bytes, kind: int, mid: int, now: float) -> Message | None:
        """An ACK or RST: settle it with the CON it belongs to, or hand it up, or ignore it."""
        if len(data) == 4 and not data[0] & 15 and not data[1]:
            if kind == _ACK:
                matched = self._transmissions.acknowledged(peer, mid, now)
                self._amplification.answered(peer, matched=matched)
            else:
                matched = self._transmissions.reset(peer, mid, now)
                self._amplification.answered(peer, matched=matched)
                if not matched and (peer.asked is not None or peer.held is not None):
                    return Message(Code.EMPTY, Type.RST, mid)  # for a NON, perhaps
            self._counters.ignored += not matched
            return None
        # A piggybacked response. An RST that is not Empty, or an ACK with a request or one
        # that is malformed, is rejected, which for these types is to ignore it (section 4.2).
        if kind == _ACK and peer.asked is not None:
            if len(data) > self._limits.datagram_size:
                message = self._too_large(data, peer.session) or Malformed(None, None, "too large")
            else:
                message = self._codec.decode(data)
            if not isinstance(message, Malformed) and message.code.is_response:
                return message
        self._counters.ignored += 1
        return None

    def _is_copy(self, peer: Peer, kind: int, mid: int, now: float) -> bool:
        reply = peer.done.get(mid)
        if reply is None:
            entry = peer.kept.get(mid)
            if entry is None:
                return False
            reply = entry.reply
        if kind == _CON and reply:
            if self._amplification.permits_copy(peer, len(reply), now):
                self._counters.copies_answered += 1
                self._outgoing.append((reply, peer.session))
        else:
            self._counters.copies_ignored += 1
        return True

    def _send_reset(self, kind: int, mid: int, session: Session) -> None:
        """An RST for a CON, silence for the rest (sections 4.2 and 4.3)."""
        if kind == Type.CON:
            self._outgoing.append((empty(Type.RST, mid), session))

    def _too_large(self, data: bytes, session: Session) -> Message | None:
        """The header and token of a message that is not read, if they can be."""
        self._counters.datagrams_too_large += 1
        head = self._codec.decode(data[: token_place(data)[1]])
        if isinstance(head, Malformed) or head.code == Code.EMPTY:
            self._send_reset(data[0] >> 4 & 3, data[2] << 8 | data[3], session)
            return None
        return head
