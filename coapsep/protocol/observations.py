"""What we observe (RFC 7641 section 3): which notifications are fresh, when to register again,
and how it ends.

An observation is one ClientExchange for all its life. Its registration is a request like any
other. Once the server has answered it with an Observe option, the exchange is OBSERVING: it keeps
its token, and nothing is under way for it. When the last state is out of date and no newer one has
come, it goes into the queue again with the same token (section 3.3.1). If the application gives
it up, a request with Observe=1 takes over its token, of which nobody hears (section 3.6).
"""

from __future__ import annotations

import enum
import random
from typing import TYPE_CHECKING

import attrs

from coapsep.address import Session
from coapsep.message.codec import Codec, empty
from coapsep.message.message import Message
from coapsep.numbers import OptionNumber, Type
from coapsep.params import Tuning
from coapsep.protocol.events import Failure
from coapsep.protocol.records import ClientExchange, Stage
from coapsep.protocol.statistics import Counters
from coapsep.protocol.timers import Timer, Timers
from coapsep.protocol.turns import Turns, asked_of

if TYPE_CHECKING:
    from collections.abc import Callable

#: Values of the Observe option in a request (section 2).
REGISTER = 0
DEREGISTER = 1

#: Numbers are compared on a circle of 24 bits (section 3.4).
_HALF = 1 << 23
#: Seconds after which a notification is the newer one, whatever its number (section 3.4).
_ALWAYS_NEWER = 128.0
#: Seconds for which a state is fresh where the server does not say (RFC 7252 section 5.10.5).
_DEFAULT_MAX_AGE = 60
#: Seconds to wait, when it is not fresh any more, before asking again: drawn between these, so
#: that not all clients ask at once (section 3.3.1).
_LEAST_WAIT, _LONGEST_WAIT = 5.0, 15.0


class Standing(enum.Enum):
    """How we stand with the server."""

    ASKED = "it has not said yet whether it enters us"
    ENTERED = "it keeps us up to date"
    LEAVING = "the application has lost interest, and the server is told"


@attrs.define(eq=False, weakref_slot=False)
class Observation:
    """What is known of one thing that we observe."""

    standing: Standing = Standing.ASKED
    number: int = 0
    """The Observe option of the newest notification."""
    received_at: float = 0.0
    """When it came."""
    max_age: int = 0
    """For how long it is fresh, seconds."""
    unanswered: int = 0
    """How often we have registered since then."""
    renewal: Timer | None = None
    """When to register again."""
    fetch: ClientExchange | None = None
    """What fetches the rest of a notification that has more than one block."""


def is_fresh(number: int, received_at: float, newest: int, newest_at: float) -> bool:
    """Whether the notification that came first is older than the other one (section 3.4)."""
    return (
        (number < newest and newest - number < _HALF)
        or (number > newest and number - newest > _HALF)
        or newest_at > received_at + _ALWAYS_NEWER
    )


class Observations:
    """The rules for every exchange that has an Observation."""

    def __init__(
        self,
        tuning: Tuning,
        codec: Codec,
        timers: Timers,
        turns: Turns,
        counters: Counters,
        rng: random.Random,
        outgoing: list[tuple[bytes, Session]],
        show: Callable[[ClientExchange, Message, float], None],
        fail: Callable[[ClientExchange, Failure, str, float], None],
    ) -> None:
        self._tuning = tuning
        self._codec = codec
        self._timers = timers
        self._turns = turns
        self._counters = counters
        self._rng = rng
        self._outgoing = outgoing
        self._show = show
        self._fail = fail

    # -- what comes ------------------------------------------------------------------

    def repels(self, exchange: ClientExchange, response: Message) -> bool:
        """Whether it is a notification that is not wanted any more.

        It draws an RST, and not only for a CON: this tells the server as well (section 3.6).
        """
        observation, kind = exchange.observation, response.type
        if observation is None or observation.standing is not Standing.LEAVING:
            return False
        if kind is Type.ACK or response.options.observe is None:
            return False
        self._counters.rejected += 1
        self._outgoing.append((empty(Type.RST, response.mid), exchange.peer.session))
        return True

    def receive(self, exchange: ClientExchange, response: Message, now: float) -> bool:
        """Take a response to an exchange that observes; False if it is the last one.

        It is the last one if it is an error, or has no Observe option: the server does not, or
        not any more, keep us up to date (sections 3.1 and 3.2).
        """
        observation, number = exchange.observation, response.options.observe
        if observation is None or observation.standing is Standing.LEAVING:
            return False
        if number is None or not response.code.is_success:
            return False
        if not self._is_newer(exchange, observation, response, number, now):
            self._counters.notifications_stale += 1
            return True
        observation.standing = Standing.ENTERED
        observation.number, observation.received_at = number, now
        observation.unanswered = 0
        max_age = response.options.max_age
        observation.max_age = _DEFAULT_MAX_AGE if max_age is None else max_age
        # Whatever we have asked, this shows that the server knows us.
        self._turns.rest(exchange, Stage.OBSERVING, now)
        self._set_renewal(exchange, observation, now)
        self._counters.notifications_received += 1
        self._show(exchange, response, now)
        return True

    def _is_newer(
        self,
        exchange: ClientExchange,
        observation: Observation,
        response: Message,
        number: int,
        now: float,
    ) -> bool:
        stage = exchange.stage
        if (
            observation.standing is Standing.ASKED
            or stage is Stage.ACKNOWLEDGED
            or (stage is Stage.SENT and response.type is Type.ACK)
        ):
            # What answers a registration is always fresh: the server may have begun anew, with
            # another sequence of numbers.
            return True
        return is_fresh(observation.number, observation.received_at, number, now)

    # -- registering again -----------------------------------------------------------

    def _set_renewal(self, exchange: ClientExchange, observation: Observation, now: float) -> None:
        if observation.renewal is not None:
            self._timers.cancel(observation.renewal)
        wait = observation.max_age + self._rng.uniform(_LEAST_WAIT, _LONGEST_WAIT)
        observation.renewal = self._timers.set(now + wait, lambda now: self._renew(exchange, now))

    def _renew(self, exchange: ClientExchange, now: float) -> None:
        """Register again, with the same token and the same options (section 3.3.1)."""
        observation = exchange.observation
        assert observation is not None, "it was set for one"
        observation.renewal = None
        request = exchange.message
        under_way = exchange.stage is Stage.QUEUED or exchange.transmission is not None
        if not under_way:
            # A NON that is lost draws nothing, and an acknowledged request perhaps no response.
            if observation.unanswered > self._tuning.max_retransmit:
                self._fail(exchange, Failure.TIMED_OUT, "it is not kept up to date any more", now)
                return
            observation.unanswered += 1
            self._turns.again(exchange, request.options, request.payload, now, same_token=True)
        self._set_renewal(exchange, observation, now)

    # -- the end ---------------------------------------------------------------------

    def stop(self, exchange: ClientExchange) -> None:
        """It is over, for whatever reason: nothing is done for it any more."""
        observation = exchange.observation
        if observation is not None and observation.renewal is not None:
            self._timers.cancel(observation.renewal)
            observation.renewal = None

    def is_farewell(self, exchange: ClientExchange) -> bool:
        """Whether it tells a server that there is no interest any more."""
        observation = exchange.observation
        return observation is not None and observation.standing is Standing.LEAVING

    def deregister(self, exchange: ClientExchange, now: float) -> None:
        """Tell the server, if it has entered us, that there is no interest any more.

        To be called before the exchange itself is given up. The request takes over its token;
        nobody waits for the response, and whatever becomes of it is told to nobody.
        """
        observation, request = exchange.observation, exchange.message
        if observation is None or observation.standing is not Standing.ENTERED:
            return  # a late notification draws an RST, which is enough
        farewell = Message(
            request.code,
            Type.CON,
            0,
            exchange.token,
            request.options.replace(OptionNumber.OBSERVE, DEREGISTER),
            request.payload,
        )
        # In the order in which it was asked: behind the others.
        del asked_of(exchange).tokens[exchange.token]
        self._turns.enter(
            ClientExchange(
                exchange.peer,
                exchange.token,
                farewell,
                self._codec.encode(farewell),
                observation=Observation(Standing.LEAVING),
                on_end=_nobody,
            ),
            now,
        )


def _nobody(event: object, now: float) -> None:
    """Whoever is told how a deregistration ended."""
