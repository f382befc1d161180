"""Who asks may have forged its address (RFC 7252 section 11.3, RFC 9175 section 2.4).

A session is verified when it has shown that it gets what it is sent: it returned an Echo value
of ours, or acknowledged a message ID that it could not know. Until then it should get no more
than three times the bytes that came from it. What goes beyond draws on one bucket for all: as
long as that holds, nobody notices; while it is empty, and with the policy "strict" always, large
answers wait for an Echo, and nothing is repeated more than once.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import random

from coapsep.address import Session
from coapsep.params import Limits
from coapsep.protocol.records import Peer
from coapsep.protocol.statistics import Counters

#: Headers of each datagram below CoAP: Ethernet, IPv6, UDP (RFC 9175 section 2.4).
_HEADERS = 62
_FACTOR = 3
#: An answer of this many bytes is no more than three times any request, headers included.
HARMLESS = 136
#: Wrong message IDs after which an ACK or RST proves nothing any more: there are 65,536.
_GUESSES = 8
#: How long an Echo value proves something, seconds.
_FRESH = 120.0
_MAC = 8


class Amplification:
    """What unverified sessions may be sent."""

    def __init__(self, limits: Limits, counters: Counters, rng: random.Random) -> None:
        self._policy = limits.amplification
        self._rate = limits.amplification_rate
        self._burst = float(limits.amplification_burst)
        self._counters = counters
        self._rng = rng
        self._tokens = self._burst
        self._filled_at = -math.inf
        self._key: bytes | None = None

    # -- who is verified -------------------------------------------------------------

    def heard(self, peer: Peer, size: int) -> None:
        """This many bytes came from a peer that is not verified."""
        peer.credit += _FACTOR * (size + _HEADERS)

    def answered(self, peer: Peer, *, matched: bool) -> None:
        """An ACK or RST came, for a message ID of ours or for none that is under way."""
        if peer.verified:
            return
        if not matched:
            peer.guesses += 1
        elif peer.guesses < _GUESSES:
            peer.verified = True

    def echoed(self, peer: Peer, value: bytes, now: float) -> None:
        """A request came with this Echo value; if it is one of ours, the peer is verified."""
        stamp = value[:4]
        age = (int(now) - int.from_bytes(stamp, "big")) % (1 << 32)
        if age <= _FRESH and hmac.compare_digest(value, self._echo(peer.session, stamp)):
            peer.verified = True

    def echo(self, session: Session, now: float) -> bytes:
        """A value that only whoever gets it can return. Nothing is kept of it."""
        return self._echo(session, (int(now) % (1 << 32)).to_bytes(4, "big"))

    # -- what it may be sent ---------------------------------------------------------

    def permits(self, peer: Peer, size: int, now: float) -> bool:
        """Whether a message of this size may leave; if so, it is paid for."""
        if peer.verified or self._policy == "off":
            return True
        cost = size + _HEADERS
        beyond = cost - max(0, peer.credit)
        if beyond > 0 and not self._draw(beyond, now):
            return False
        peer.credit = max(0, peer.credit - cost)
        return True

    def pay(self, peer: Peer, size: int) -> None:
        """A message of this size leaves in any case."""
        peer.credit = max(0, peer.credit - size - _HEADERS)

    def permits_copy(self, peer: Peer, size: int, now: float) -> bool:
        """Whether a message that is sent again may leave; if not, that is counted."""
        if self.permits(peer, size, now):
            return True
        self._counters.amplification_withheld += 1
        return False

    def _draw(self, count: float, now: float) -> bool:
        if self._policy == "strict":
            return False
        if self._filled_at > -math.inf:
            filled = (now - self._filled_at) * self._rate
            self._tokens = min(self._burst, self._tokens + filled)
        self._filled_at = now
        if count > self._tokens:
            return False
        self._tokens -= count
        return True

    def _echo(self, session: Session, stamp: bytes) -> bytes:
        if self._key is None:
            self._key = self._rng.getrandbits(256).to_bytes(32, "big")
        text = f"{session.local} {session.peer} {session.transport}".encode()
        mac = hashlib.blake2b(stamp + text, digest_size=_MAC, key=self._key).digest()
        return stamp + mac
