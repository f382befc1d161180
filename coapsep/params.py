"""What can be tuned (RFC 7252 section 4.8) and what is bounded.

Both are frozen and validated: a value that cannot work is refused where it is written.
Times are seconds, sizes are bytes.
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import attrs

from coapsep.numbers import BLOCK_SIZES

_Attribute: TypeAlias = "attrs.Attribute[float]"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _positive(instance: object, attribute: _Attribute, value: float) -> None:
    if not (_is_number(value) and value > 0):
        raise ValueError(f"{attribute.name} must be a positive number, not {value!r}")


def _not_negative(instance: object, attribute: _Attribute, value: float) -> None:
    if not (_is_number(value) and value >= 0):
        raise ValueError(f"{attribute.name} must be zero or a positive number, not {value!r}")


def _count(instance: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number of at least 1, not {value!r}")


@attrs.frozen(kw_only=True)
class Tuning:
    """Transmission parameters. The defaults are those of RFC 7252 section 4.8."""

    ack_timeout: float = attrs.field(default=2.0, validator=_positive)
    """Least wait before the first retransmission, seconds (ACK_TIMEOUT)."""

    ack_random_factor: float = attrs.field(default=1.5)
    """The first wait is drawn between 1 and this times ``ack_timeout`` (ACK_RANDOM_FACTOR)."""

    max_retransmit: int = attrs.field(default=4)
    """How often a Confirmable message is sent again (MAX_RETRANSMIT)."""

    nstart: int = attrs.field(default=1, validator=_count)
    """Requests of ours that may be outstanding to one peer (NSTART, section 4.7)."""

    default_leisure: float = attrs.field(default=5.0, validator=_positive)
    """Time over which answers to a multicast request are spread, seconds (DEFAULT_LEISURE)."""

    probing_rate: float = attrs.field(default=1.0, validator=_positive)
    """Bytes per second sent to a peer that does not answer (PROBING_RATE)."""

    max_latency: float = attrs.field(default=100.0, validator=_positive)
    """Longest time a datagram is taken to need, seconds (MAX_LATENCY, section 4.8.2)."""

    empty_ack_delay: float = attrs.field(default=0.1, validator=_not_negative)
    """How long an answer may take and still ride in the ACK, seconds (section 5.2.2).

    Must be well below the *client's* ``ack_timeout``, or it sends its request again.
    """

    token_bytes: int = attrs.field(default=8)
    """Random bytes in the token of a request, 4 to 8 (section 5.3.1 asks for 32 bits at least).

    Whoever guesses the token of a request can answer it in the server's place.
    """

    response_timeout: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_positive)
    )
    """Longest wait for a response once the request is acknowledged, or sent as a NON, seconds.

    None sets no limit: a response may take days, and how long to wait is the caller's to say.
    """

    response_window: int = attrs.field(default=64, validator=_count)
    """Separate responses to one peer that may be unacknowledged at a time.

    NSTART limits requests. An acknowledged request is no longer outstanding, and with a
    window of one its response would wait for every lost ACK before it; see section 4.7.
    """

    block_size: int = attrs.field(default=1024)
    """Largest block of a body that is sent, and asked for: 16, 32, 64 ... 1024 bytes.

    The other side may want smaller ones, and gets them (RFC 7959 section 2.3).
    """

    confirm_every: int = attrs.field(default=1, validator=_count)
    """Every which notification to an observer is a CON: 1 is each, 5 every fifth.

    The rest are NONs, which may be lost. One a day is a CON in any case (RFC 7641 section 4.5).
    """

    non_notification_gap: float = attrs.field(default=3.0, validator=_not_negative)
    """Least time between a NON notification and the next one to that observer, seconds.

    A NON says nothing about how much the path can carry (RFC 7641 section 4.5.1).
    """

    @ack_random_factor.validator
    def _factor(self, attribute: _Attribute, value: float) -> None:
        if not (_is_number(value) and value >= 1.0):
            raise ValueError(f"ack_random_factor must be at least 1.0, not {value!r}")

    @max_retransmit.validator
    def _retransmit(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or not 0 <= value <= 20:
            raise ValueError(f"max_retransmit must be a whole number from 0 to 20, not {value!r}")

    @token_bytes.validator
    def _token(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or not 4 <= value <= 8:
            raise ValueError(f"token_bytes must be a whole number from 4 to 8, not {value!r}")

    @block_size.validator
    def _block(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or value not in BLOCK_SIZES:
            raise ValueError(f"block_size is one of 16, 32, 64 ... 1024 bytes, not {value!r}")

    def __attrs_post_init__(self) -> None:
        if self.empty_ack_delay >= self.ack_timeout:
            raise ValueError(
                f"empty_ack_delay ({self.empty_ack_delay}) must be below ack_timeout "
                f"({self.ack_timeout}): a client would repeat its request first"
            )

    @property
    def processing_delay(self) -> float:
        """Time a node takes to turn a CON into its ACK, seconds (PROCESSING_DELAY)."""
        return self.ack_timeout

    @property
    def max_transmit_span(self) -> float:
        """First to last transmission of one message, seconds (MAX_TRANSMIT_SPAN)."""
        return self.ack_timeout * ((1 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def max_transmit_wait(self) -> float:
        """First transmission to giving up, seconds (MAX_TRANSMIT_WAIT)."""
        doublings = 1 << (self.max_retransmit + 1)
        return self.ack_timeout * (doublings - 1) * self.ack_random_factor

    @property
    def max_rtt(self) -> float:
        """Longest round trip, seconds (MAX_RTT)."""
        return 2 * self.max_latency + self.processing_delay

    @property
    def exchange_lifetime(self) -> float:
        """How long a CON's message ID must not be used again, seconds (EXCHANGE_LIFETIME)."""
        return self.max_transmit_span + self.max_rtt

    @property
    def non_lifetime(self) -> float:
        """The same for a NON, seconds (NON_LIFETIME)."""
        return self.max_transmit_span + self.max_latency


@attrs.frozen(kw_only=True)
class Limits:
    """Upper bounds. Nothing that arrives from the network grows past one of these."""

    datagram_size: int = attrs.field(default=2048)
    """Largest datagram that is read, bytes. RFC 7252 section 4.6 expects 1152; a longer
    request is answered 4.13 and not read."""

    options: int = attrs.field(default=64, validator=_count)
    """Options in one message. Each costs microseconds, and one byte on the wire."""

    token_size: int = attrs.field(default=64)
    """Longest token of a request, bytes, at least 8. One with a longer token is answered 4.00.

    Tokens of more than 8 bytes carry the state of clients that keep none (RFC 8974).
    """

    peers: int = attrs.field(default=100_000, validator=_count)
    """Sessions of which anything is remembered; one costs some 1.5 kB."""

    requests: int = attrs.field(default=200_000, validator=_count)
    """Requests that are open: running, pending, or answered but not yet acknowledged."""

    requests_per_session: int = attrs.field(default=20_000, validator=_count)
    """The same for one session; it bounds what can queue behind a lost ACK."""

    pending: int = attrs.field(default=100_000, validator=_count)
    """Pending async requests; one costs some 4 kB."""

    pending_per_session: int = attrs.field(default=10_000, validator=_count)
    """The same for one session."""

    pending_age: float = attrs.field(default=86_400.0, validator=_positive)
    """Longest life of a pending async request, parked ones included, seconds."""

    dedup_entries: int = attrs.field(default=100_000, validator=_count)
    """Message IDs remembered for deduplication; one costs some 0.2 kB with its reply."""

    dedup_entries_per_session: int = attrs.field(default=32_768, validator=_count)
    """The same for one session."""

    dedup_bytes: int = attrs.field(default=32 * 1024 * 1024, validator=_count)
    """Bytes of the replies kept for deduplication."""

    body_size: int = attrs.field(default=16 * 1024 * 1024, validator=_count)
    """Longest body that is put together, or kept for its client, in memory, bytes. A longer
    request draws 4.13; streams have no bound."""

    body_bytes: int = attrs.field(default=64 * 1024 * 1024, validator=_count)
    """Bytes of all bodies that are kept: while their blocks come and go, while their request is
    open, and while it observes. A short one in blocks counts as 1 KiB, a stream as 8."""

    body_bytes_per_session: int = attrs.field(default=32 * 1024 * 1024, validator=_count)
    """The same for one session."""

    body_age: float = attrs.field(default=247.0, validator=_positive)
    """How long a body is kept of which no block is sent or asked for, seconds."""

    observers: int = attrs.field(default=100_000, validator=_count)
    """Observers of all resources. One more is answered, but not entered."""

    observers_per_session: int = attrs.field(default=10_000, validator=_count)
    """The same for one session."""

    unsent: int = attrs.field(default=1024, validator=_count)
    """Datagrams that wait because the socket does not take them; later ones are dropped."""

    retry_after: int = attrs.field(default=5)
    """Max-Age of the 5.03 that a full table draws, seconds (RFC 7252 section 5.9.3.4)."""

    token_reuse: Literal["replace", "refuse"] = attrs.field(default="replace")
    """A new request with the token of an open one takes its place, or is refused with 5.03.

    ``"refuse"`` is for networks where a source address can be forged: there, a guessed
    token would be enough to end somebody else's request.
    """

    amplification: Literal["adaptive", "strict", "off"] = attrs.field(default="adaptive")
    """What a client whose address may be forged is sent beyond three times its own bytes.

    ``"adaptive"``: everything, as long as ``amplification_rate`` allows it for all such clients
    together; then, and with ``"strict"`` always, a large answer waits until the client has
    returned an Echo option (RFC 9175 section 2.4), and a separate response is sent twice at
    most. ``"off"`` is for networks where an address cannot be forged.
    """

    amplification_rate: float = attrs.field(default=256 * 1024.0, validator=_positive)
    """Bytes per second beyond that, for all such clients together."""

    amplification_burst: int = attrs.field(default=4 * 1024 * 1024, validator=_count)
    """Bytes of it that may be spent at once after a quiet time."""

    @amplification.validator
    def _policy(self, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in ("adaptive", "strict", "off"):
            raise ValueError(f'amplification is "adaptive", "strict" or "off", not {value!r}')

    @token_reuse.validator
    def _reuse(self, attribute: attrs.Attribute[str], value: str) -> None:
        if value not in ("replace", "refuse"):
            raise ValueError(f'token_reuse is "replace" or "refuse", not {value!r}')

    @datagram_size.validator
    def _size(self, attribute: attrs.Attribute[int], value: int) -> None:
        _count(self, attribute, value)
        if value > 65_535:
            raise ValueError(f"datagram_size is at most 65535 bytes, not {value}")

    @token_size.validator
    def _token(self, attribute: attrs.Attribute[int], value: int) -> None:
        _count(self, attribute, value)
        if value < 8:
            raise ValueError(f"token_size is at least 8 bytes, not {value}")

    @retry_after.validator
    def _seconds(self, attribute: attrs.Attribute[int], value: int) -> None:
        _count(self, attribute, value)
        if value >= 2**32:
            raise ValueError(f"retry_after must fit into a Max-Age of 32 bits, unlike {value}")
