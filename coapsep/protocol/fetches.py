"""Notifications that take more than one block (RFC 7959 section 2.6).

The server sends the first block; the rest is fetched by requests that do not observe, with tokens
of their own (section 3.4). A newer notification takes the place of one that is not whole yet.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from coapsep.message.codec import Codec
from coapsep.message.message import Message
from coapsep.numbers import OptionNumber
from coapsep.protocol.events import (
    Event,
    Failure,
    NotificationReceived,
    RequestFailed,
    ResponseReceived,
)
from coapsep.protocol.records import ClientExchange, Stage
from coapsep.protocol.transfers import Transfers
from coapsep.protocol.turns import Turns, asked_of


class Fetches:
    """Shows notifications, each when it is whole."""

    def __init__(
        self,
        codec: Codec,
        turns: Turns,
        transfers: Transfers,
        events: list[Event],
        finish: Callable[[ClientExchange, float], None],
        fail: Callable[[ClientExchange, Failure, str, float], None],
    ) -> None:
        self._codec = codec
        self._turns = turns
        self._transfers = transfers
        self._events = events
        self._finish = finish
        self._fail = fail

    def show(self, exchange: ClientExchange, notification: Message, now: float) -> None:
        """A new state has come, or the first block of it."""
        self.drop(exchange, now)
        if OptionNumber.BLOCK2 not in notification.options.critical:
            self._events.append(NotificationReceived(exchange, notification))
            return
        observation, request = exchange.observation, exchange.message
        assert observation is not None, "only who observes is notified"
        token = self._turns.draw_token(asked_of(exchange))
        options = request.options.without(OptionNumber.OBSERVE, OptionNumber.BLOCK2)
        asked = Message(request.code, request.type, 0, token, options, request.payload)
        data = self._codec.encode(asked)
        fetch = ClientExchange(exchange.peer, token, asked, data, stage=Stage.PAUSED)
        fetch.on_end = functools.partial(self._fetched, exchange)
        fetch.transfer = self._transfers.plan_fetch(exchange, options)
        observation.fetch = fetch
        self._turns.enter(fetch, now)
        self._transfers.receive(fetch, notification, now)

    def drop(self, exchange: ClientExchange, now: float) -> None:
        """What is being fetched for it is not wanted any more."""
        observation = exchange.observation
        if observation is not None and observation.fetch is not None:
            fetch, observation.fetch = observation.fetch, None
            self._finish(fetch, now)

    def _fetched(
        self, exchange: ClientExchange, event: ResponseReceived | RequestFailed, now: float
    ) -> None:
        if exchange.observation is not None:
            exchange.observation.fetch = None
        if isinstance(event, ResponseReceived):
            # What went wrong with this state says nothing about the next one.
            if event.message.code.is_success:
                self._events.append(NotificationReceived(exchange, event.message))
        elif event.failure is not Failure.BODY_CHANGED:
            self._fail(exchange, event.failure, event.detail, now)
