"""The shell around the core: one transport, one core, a clock.

Everything the core produces leaves in ``step()``, which never awaits: between a change of
state and its output nothing else can run, so there are no locks. It is called after every
batch of datagrams, after every timer, and after whatever the application did.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable

import trio

from coapsep.address import Session
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits
from coapsep.protocol.core import Core
from coapsep.protocol.events import Event
from coapsep.protocol.held import Body, Observer, Upload
from coapsep.protocol.records import ClientExchange, Exchange, GroupExchange, Stage
from coapsep.protocol.timers import Timer
from coapsep.protocol.transfer_state import WHOLE, Handling
from coapsep.transport.base import Batch, Transport

_logger = logging.getLogger("coapsep.endpoint")

#: Sends between two looks at the socket. When many requests fall due at once, the ACKs of
#: the first ones would else overflow the socket's buffer before anybody reads it.
_SENDS_BETWEEN_POLLS = 32
#: Such looks in one step, beside those for what it had to send from the start. Without a bound,
#: a flood that is answered as it is read would never let the step end.
_POLLS_IN_A_STEP = 4


class Endpoint:
    """Runs a core on a transport.

    ``on_event`` is called with each event, and ``after_events`` when those that came together
    were handed out. Neither must await or raise.
    """

    def __init__(
        self,
        transport: Transport,
        core: Core,
        limits: Limits,
        on_event: Callable[[Event], None],
        after_events: Callable[[], None] | None = None,
    ) -> None:
        self.transport = transport
        self.core = core
        self._on_event = on_event
        self._after_events = after_events
        self._limits = limits
        self._timer = trio.CancelScope()
        self._alarm = math.inf
        self._stepping = False
        self._step_again = False
        self._sends = 0
        self._polls_left: int | None = None
        self._unsent: deque[tuple[bytes, Session]] = deque()
        self._has_unsent = trio.Event()
        #: Set at the end of a step, for whoever waits for an exchange to end or for the
        #: socket; None while nobody does.
        self._progress: trio.Event | None = None
        #: ``run`` has ended: nothing is received or sent any more.
        self.over: bool = False

    async def run(self) -> None:
        """Receive, keep time, and send what the socket did not take, until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    self.transport.run, self._receive, self._session_lost, self._refused
                )
                nursery.start_soon(self._keep_time)
                nursery.start_soon(self._send_unsent)
        finally:
            self.over = True
            self._wake()

    # -- what the application does ---------------------------------------------------

    def respond(self, exchange: Exchange, response: Response) -> None:
        """Send a response. Raises LocalProtocolError if the request has one already."""
        self.core.send_response(exchange, response, trio.current_time())
        self.step()

    def refuse(self, exchange: Exchange, response: Response) -> None:
        """Send the response to a request for which nothing was run."""
        self.core.refuse(exchange, response, trio.current_time())
        self.step()

    def refuse_options(self, exchange: Exchange, names: str) -> None:
        """Refuse a request for its critical options."""
        self.core.refuse_options(exchange, names, trio.current_time())
        self.step()

    def defer(self, exchange: Exchange) -> None:
        """Acknowledge a request whose response comes later."""
        self.core.defer(exchange, trio.current_time())
        self.step()

    def close(self, exchange: Exchange) -> None:
        """Give up a request without a response."""
        self.core.close(exchange, trio.current_time())
        self.step()

    def finish(self, exchange: Exchange, response: Response) -> None:
        """Answer a request, or send the answer it has, once and for all."""
        self.core.finish(exchange, response, trio.current_time())
        self.step()

    def accept_body(self, exchange: Exchange) -> None:
        """Collect the body that begins with this request."""
        self.core.accept_body(exchange, trio.current_time())
        self.step()

    def stream_body(self, exchange: Exchange, attachment: object) -> Upload | None:
        """Have the body that begins with this request block by block."""
        upload = self.core.stream_body(exchange, attachment, trio.current_time())
        self.step()
        return upload

    def next_block(self, upload: Upload) -> None:
        """Ask for the next block of a body that is streamed."""
        self.core.next_block(upload, trio.current_time())
        self.step()

    def decide(self, upload: Upload, response: Response) -> None:
        """Respond before a body is whole."""
        self.core.decide(upload, response, trio.current_time())
        self.step()

    def begin_stream(
        self, exchange: Exchange, response: Response, size: int | None, attachment: object
    ) -> Body | None:
        """Respond with a body that is produced as it is asked for."""
        now = trio.current_time()
        body = self.core.begin_stream(exchange, response, size, attachment, now)
        self.step()
        return body

    def supply(self, body: Body, data: bytes, *, last: bool) -> None:
        """Produce more of a body; one that is over takes no notice."""
        self.core.supply(body, data, last=last, now=trio.current_time())
        self.step()

    def fail_stream(self, body: Body, failure: Response) -> None:
        """Produce no more of a body."""
        self.core.fail_stream(body, failure, trio.current_time())
        self.step()

    def notify(self, observer: Observer, response: Response, *, last: bool) -> None:
        """Send one observer its newest state."""
        self.core.notify((observer,), response, trio.current_time(), last=last)
        self.step()

    def dismiss_observers(self, response: Response) -> None:
        """Tell all observers that it is over."""
        self.core.dismiss_observers(response, trio.current_time())
        self.step()

    def request(
        self,
        session: Session,
        kind: Type,
        code: Code,
        options: Options,
        payload: bytes,
        attachment: object,
        *,
        handling: Handling = WHOLE,
        observe: bool = False,
    ) -> ClientExchange:
        """Ask a peer. Raises ValueError and LocalProtocolError as ``Core.send_request`` does."""
        now = trio.current_time()
        exchange = self.core.send_request(
            session,
            kind,
            code,
            options,
            payload,
            attachment,
            now,
            handling=handling,
            observe=observe,
        )
        self.step()
        return exchange

    def supply_request(self, exchange: ClientExchange, data: bytes, *, last: bool) -> None:
        """Produce more of the body of a request; one that is over takes no notice."""
        if not self.over:
            self.core.supply_request(exchange, data, last=last, now=trio.current_time())
            self.step()

    def consumed(self, exchange: ClientExchange) -> None:
        """A part of a response was taken; one that is over takes no notice."""
        if not self.over:
            self.core.consumed(exchange, trio.current_time())
            self.step()

    def ping(self, session: Session, attachment: object) -> ClientExchange:
        """See whether a peer is there."""
        exchange = self.core.ping(session, attachment, trio.current_time())
        self.step()
        return exchange

    def cancel(self, exchange: ClientExchange) -> None:
        """Give up a request or a ping; one that is over stays as it is."""
        if exchange.stage is Stage.OVER or self.over:
            return
        self.core.cancel(exchange, trio.current_time())
        if self._unsent:  # what the socket has not taken yet shall not leave any more
            given_up = exchange.data, exchange.peer.session
            self._unsent = deque(item for item in self._unsent if item != given_up)
        self.step()

    def hurry(self) -> None:
        """It closes: send what servers must be told, once."""
        self.core.hurry(trio.current_time())
        self.step()

    def request_group(
        self, session: Session, code: Code, options: Options, payload: bytes, attachment: object
    ) -> GroupExchange:
        """Ask a group of peers."""
        now = trio.current_time()
        exchange = self.core.send_group_request(session, code, options, payload, attachment, now)
        self.step()
        return exchange

    async def wait_sent(self) -> None:
        """Wait until the socket has taken everything, or all is over."""
        await trio.lowlevel.checkpoint()
        while self._unsent and not self.over:
            await self._next_step()

    async def wait_idle(self) -> None:
        """Wait until all requests are answered and the answers acknowledged, or all is over."""
        await trio.lowlevel.checkpoint()
        while (self.core.open_requests or self._unsent) and not self.over:
            await self._next_step()

    async def _next_step(self) -> None:
        if self._progress is None:
            self._progress = trio.Event()
        await self._progress.wait()

    def _wake(self) -> None:
        if self._progress is not None:
            self._progress.set()
            self._progress = None

    # -- time for others -------------------------------------------------------------

    def call_at(self, when: float, action: Callable[[float], None]) -> Timer:
        """Call ``action(now)`` when it is that late. It must not await and must not raise."""
        timer = self.core.call_at(when, action)
        if when < self._alarm and not self._stepping:
            self._alarm = self._timer.deadline = when
        return timer

    def cancel_call(self, timer: Timer) -> None:
        """Do not call it; one that has been called is none any more."""
        self.core.cancel_call(timer)

    # -- the step --------------------------------------------------------------------

    def step(self) -> None:
        """Send, hand out events, and set the alarm. Calls from within only ask for another
        round of the outermost one."""
        self._step_again = True
        if self._stepping:
            return
        self._stepping = True
        self._polls_left = None  # known when the first lot is sent
        core = self.core
        try:
            while self._step_again:
                self._step_again = False
                if core.outgoing:
                    self._send_all()
                if core.events:
                    events = core.events[:]
                    core.events.clear()
                    for event in events:
                        self._on_event(event)
                    if self._after_events is not None:
                        self._after_events()
                    self._step_again = True
        finally:
            self._stepping = False
        if core.wake_at < self._alarm:
            self._alarm = self._timer.deadline = core.wake_at
        if self._progress is not None:
            self._wake()

    def _send_all(self) -> None:
        outgoing, send, counters = self.core.outgoing, self.transport.send, self.core.counters
        if self._polls_left is None:
            self._polls_left = _POLLS_IN_A_STEP + len(outgoing) // _SENDS_BETWEEN_POLLS
        # Sending may read as well, and what is read may add to the list.
        for data, session in outgoing:
            try:
                if not self._unsent and send(data, session):
                    counters.datagrams_sent += 1
                else:
                    self._send_later(data, session)
            except OSError as exc:
                self._send_failed(data, session, exc)
            self._sends += 1
            if self._sends >= _SENDS_BETWEEN_POLLS and self._polls_left:
                self._sends = 0
                self._polls_left -= 1
                self._feed(self.transport.poll())
        outgoing.clear()

    def _send_later(self, data: bytes, session: Session) -> None:
        if len(self._unsent) >= self._limits.unsent:
            self.core.counters.datagrams_unsent += 1
            return
        self._unsent.append((data, session))
        self._has_unsent.set()

    def _send_failed(self, data: bytes, session: Session, exc: OSError) -> None:
        self.core.counters.send_errors += 1
        _logger.debug("sending %d bytes to %s: %s", len(data), session.peer, exc)
        self.core.unsent(data, session, exc.strerror or str(exc), trio.current_time())

    def _feed(self, batch: Batch) -> None:
        now = trio.current_time()
        receive = self.core.receive_datagram
        for data, session in batch:
            receive(data, session, now)

    # -- the three tasks -------------------------------------------------------------

    def _receive(self, batch: Batch) -> None:
        self._sends = 0
        self._feed(batch)
        self.step()

    def _session_lost(self, session: Session) -> None:
        self.core.session_lost(session, trio.current_time())
        self.step()

    def _refused(self, quoted: bytes, session: Session) -> None:
        self.core.refused(quoted, session, trio.current_time())
        self.step()

    async def _keep_time(self) -> None:
        while True:
            self._alarm = self.core.next_deadline()
            with trio.CancelScope(deadline=self._alarm) as self._timer:
                await trio.sleep_forever()
            self.core.handle_timers(trio.current_time())
            self.step()

    async def _send_unsent(self) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent = trio.Event()
            while self._unsent:
                await self.transport.wait_writable(self._unsent[0][1])
                if not self._unsent:
                    break  # given up meanwhile
                data, session = self._unsent[0]
                try:
                    sent = self.transport.send(data, session)
                except OSError as exc:
                    self._unsent.popleft()
                    self._send_failed(data, session, exc)
                    self.step()  # whoever waits is told, though others may wait for the socket
                    continue
                if sent:
                    self._unsent.popleft()
                    self.core.counters.datagrams_sent += 1
            self.step()
