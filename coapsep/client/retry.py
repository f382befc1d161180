"""When to ask again: a policy that the caller opts in to."""

from __future__ import annotations

import random

import attrs

from coapsep.client.response import ClientResponse
from coapsep.errors import PeerUnreachable, RequestFailed, RequestTimedOut
from coapsep.numbers import IDEMPOTENT, Code


@attrs.frozen(kw_only=True)
class Retry:
    """Ask again where that helps, as a new request with a message ID and token of its own.

    A server that says when to come back (5.03 with Max-Age, 4.29) has not acted on the
    request, so it is repeated whatever its method. One that cannot be reached, or did not
    answer in time, may have acted: only an idempotent request is repeated (RFC 7252 section
    5.1), after a pause that doubles. The message layer has repeated the same message several
    times before that. A payload that streams is sent once: it is there no more.
    """

    attempts: int = attrs.field(default=3)
    """How often to ask in all."""

    pause: float = attrs.field(default=2.0)
    """Seconds before the second attempt after a failure; they double, and are drawn between
    this and one and a half times as much."""

    longest_wait: float = attrs.field(default=60.0)
    """The most seconds to wait between two attempts. A server that asks for more gets no more
    requests: its response is the result."""

    @attempts.validator
    def _count(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"attempts must be a whole number of at least 1, not {value!r}")

    @pause.validator
    @longest_wait.validator
    def _seconds(self, attribute: attrs.Attribute[float], value: float) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and value > 0):
            raise ValueError(f"{attribute.name} must be a positive number, not {value!r}")

    def wait_after(
        self,
        outcome: ClientResponse | RequestFailed,
        method: Code,
        attempt: int,
        rng: random.Random,
    ) -> float | None:
        """Seconds to wait after attempt number ``attempt``, counted from 1; None: leave it."""
        if attempt >= self.attempts:
            return None
        if isinstance(outcome, ClientResponse):
            asked_for = outcome.retry_after
            if asked_for is None or asked_for > self.longest_wait:
                return None
            return asked_for
        if method in IDEMPOTENT and isinstance(outcome, RequestTimedOut | PeerUnreachable):
            doubled = 2.0 ** min(attempt - 1, 1000)  # no float holds much more
            return min(self.pause * doubled * rng.uniform(1.0, 1.5), self.longest_wait)
        return None


#: Ask once, whatever happens.
ONCE = Retry(attempts=1)
