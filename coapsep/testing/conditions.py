"""What a link does to datagrams."""

from __future__ import annotations

import math

import attrs


def _probability(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} is a probability from 0 to 1, not {value!r}")


def _seconds(instance: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{attribute.name} is zero or more seconds, not {value!r}")


@attrs.frozen(kw_only=True)
class Conditions:
    """What one direction of a link does to datagrams.

    Sizes are those of IP packets: a datagram has 28 bytes of headers on IPv4 and 48 on IPv6.
    """

    delay: float = attrs.field(default=0.01, validator=_seconds)
    """Seconds from sending to arrival."""

    jitter: float = attrs.field(default=0.0, validator=_seconds)
    """Up to this many seconds more, drawn for each datagram: they overtake one another."""

    loss: float = attrs.field(default=0.0, validator=_probability)
    """Probability that a datagram is lost on the way."""

    duplication: float = attrs.field(default=0.0, validator=_probability)
    """Probability that it arrives twice, each time after a delay of its own.

    The copy is made on the way: it takes no bandwidth.
    """

    reordering: float = attrs.field(default=0.0, validator=_probability)
    """Probability that it is held back for ``reordering_delay``, so that others overtake it."""

    reordering_delay: float = attrs.field(default=0.1, validator=_seconds)
    """Seconds that a datagram is held back, beside ``delay`` and ``jitter``."""

    bandwidth: float = attrs.field(default=math.inf)
    """Bytes per second. A datagram waits for those that were sent before it.

    What is lost on the way has taken its time all the same.
    """

    queue: int = attrs.field(default=65536)
    """Bytes that may wait for the link.

    A datagram that finds more before it, counting what is still to be sent of the one under
    way, is lost. With 0 it is lost unless the link is idle.
    """

    mtu: int = attrs.field(default=65535)
    """Size of the largest packet, bytes. A larger one is lost without a word, as if it must
    not be fragmented and the ICMP message that says so were filtered out."""

    @bandwidth.validator
    def _bandwidth_is_one(self, attribute: attrs.Attribute[float], value: float) -> None:
        if not value > 0:
            raise ValueError(f"bandwidth is more than zero bytes per second, not {value!r}")

    @queue.validator
    def _queue_is_a_size(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"queue is a whole number of bytes, zero or more, not {value!r}")

    @mtu.validator
    def _mtu_is_a_size(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or not 1 <= value <= 65535:
            raise ValueError(f"mtu is a whole number of bytes from 1 to 65535, not {value!r}")
