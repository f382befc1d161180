"""The server: in your nursery with ``serve``, or around a block with ``open_server``."""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from coapsep.address import Address
from coapsep.background import open_background
from coapsep.endpoint import Endpoint
from coapsep.message.response import Response
from coapsep.numbers import Code
from coapsep.params import Limits, Tuning
from coapsep.protocol.core import Core
from coapsep.protocol.statistics import Statistics
from coapsep.randomness import Randomness
from coapsep.server.asyncs import AsyncRegistry
from coapsep.server.dispatch import Dispatcher, HandlerErrors, UndeliveredResponse
from coapsep.server.router import Router
from coapsep.transport.base import Transport
from coapsep.transport.udp import open_udp

#: Seconds that the last responses of ``drain`` may take, should the socket be busy.
_GOODBYE = 1.0


class Server:
    """A server that runs. ``serve`` and ``open_server`` make it; they also end it."""

    def __init__(
        self,
        router: Router,
        transport: Transport,
        nursery: trio.Nursery,
        *,
        tuning: Tuning | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        handler_errors: HandlerErrors = "respond",
        on_undelivered: Callable[[UndeliveredResponse], None] | None = None,
    ) -> None:
        if handler_errors not in ("respond", "raise"):
            raise ValueError(f'handler_errors is "respond" or "raise", not {handler_errors!r}')
        _check("router", router, Router)
        _check("transport", transport, Transport)
        _check("tuning", tuning, Tuning, None)
        _check("limits", limits, Limits, None)
        _check("rng", rng, random.Random, None)
        if on_undelivered is not None and not callable(on_undelivered):
            raise TypeError(f"on_undelivered must be callable, unlike {on_undelivered!r}")
        limits = limits or Limits()
        # Unpredictable unless a test asks for the opposite (RFC 7252 section 11.3).
        core = Core(tuning or Tuning(), limits, rng or Randomness())
        self._endpoint = Endpoint(
            transport,
            core,
            limits,
            lambda event: self._dispatcher.handle(event),
            lambda: self._dispatcher.step_over(),
        )
        self._dispatcher = Dispatcher(
            self._endpoint, router, nursery, limits, handler_errors, on_undelivered
        )
        self._nursery = nursery
        self._goodbye = Response(Code.SERVICE_UNAVAILABLE, max_age=limits.retry_after)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where it listens, ports filled in."""
        return self._endpoint.transport.addresses

    @property
    def asyncs(self) -> AsyncRegistry:
        """The pending async requests."""
        return self._dispatcher.asyncs

    def statistics(self) -> Statistics:
        """What has been counted so far, and what is held now."""
        core = self._endpoint.core
        return attrs.evolve(
            core.statistics(),
            pending=len(self.asyncs),
            datagrams_to_groups=self._endpoint.transport.dropped,
        )

    def notify(self, path: str) -> None:
        """The state of the resource at this path has changed: its observers are told.

        Its handler runs once for all observers that asked the same, soon; calls that come
        before it is done count as one. ``path`` is the one that clients ask, names filled in.
        An observer that is slow gets the newest state, and perhaps not all before it
        (RFC 7641 section 1.3). A resource whose handler is an async generator needs no call.

        Raises ``trio.ClosedResourceError`` if the server has stopped, ValueError if it is no
        path.
        """
        self._dispatcher.notifier.notify(path)

    async def drain(self) -> None:
        """Stop in good order: accept nothing new, finish what is under way, then close.

        From now on a new request gets 5.03. Returns when every open request is answered and
        every answer acknowledged; how long that may take is the caller's to say::

            with trio.move_on_after(10):
                await server.drain()

        When it is cancelled, whatever is left (see ``server.asyncs``) gets one 5.03, which
        nobody will repeat. Either way the server closes, and ``serve`` returns. If the server
        is cancelled meanwhile, there is nothing left to do, and this returns.

        Call it from a task of yours, not from a handler: that would wait for itself.

        Raises ``trio.ClosedResourceError`` if the server has stopped already.
        """
        if self._endpoint.over:
            raise trio.ClosedResourceError("the server has stopped")
        self._dispatcher.draining = True
        try:
            await self._endpoint.wait_idle()
        finally:
            await self._answer_the_rest()
            self._nursery.cancel_scope.cancel()

    async def _answer_the_rest(self) -> None:
        # The caller's time is up, so this is shielded, and bounded itself.
        with trio.move_on_after(_GOODBYE, shield=True):
            if not self._endpoint.over:
                self._endpoint.dismiss_observers(self._goodbye)
            for exchange in self._endpoint.core.open_exchanges():
                if self._endpoint.over:
                    return  # somebody else has ended the server, and the transport with it
                self._dispatcher.finish(exchange, self._goodbye)
                await self._endpoint.wait_sent()


async def serve(
    router: Router,
    *,
    host: str | Sequence[str] | None = None,
    port: int = 5683,
    groups: str | Sequence[str] = (),
    interfaces: str | int | Sequence[str | int] | None = None,
    transport: Transport | None = None,
    tuning: Tuning | None = None,
    limits: Limits | None = None,
    rng: random.Random | None = None,
    handler_errors: HandlerErrors = "respond",
    on_undelivered: Callable[[UndeliveredResponse], None] | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, or until ``Server.drain``.

    In a nursery of yours, ``server = await nursery.start(serve, router)`` hands back the
    running Server. Cancelling it ends everything at once and sends nothing; to let clients
    down gently, ``drain`` first.

    ``host`` is an address or a name, or several; None listens everywhere, IPv4 and IPv6.
    Port 0 picks a free one. ``groups`` are multicast addresses to listen to as well, such as
    ``ALL_COAP_NODES``, on ``interfaces`` (``"eth0"``); ``open_udp`` says more. A ``transport``
    takes the place of all these, and is closed in the end. ``handler_errors="raise"`` lets an
    exception of a handler end the server, for tests; otherwise it is logged and the client
    gets 5.00. ``on_undelivered`` is called, inside the server's step, with every separate
    response that is not known to have arrived; it must not block. ``rng`` draws message IDs
    and timeouts.

    Raises OSError if an address cannot be had, or no group can be joined.
    """
    transport = await _open(host, port, groups, interfaces, transport, limits)
    try:
        async with trio.open_nursery() as nursery:
            server = Server(
                router,
                transport,
                nursery,
                tuning=tuning,
                limits=limits,
                rng=rng,
                handler_errors=handler_errors,
                on_undelivered=on_undelivered,
            )
            nursery.start_soon(server._endpoint.run)
            task_status.started(server)
    finally:
        transport.close()


@asynccontextmanager
async def open_server(
    router: Router,
    *,
    host: str | Sequence[str] | None = None,
    port: int = 5683,
    groups: str | Sequence[str] = (),
    interfaces: str | int | Sequence[str | int] | None = None,
    transport: Transport | None = None,
    tuning: Tuning | None = None,
    limits: Limits | None = None,
    rng: random.Random | None = None,
    handler_errors: HandlerErrors = "respond",
    on_undelivered: Callable[[UndeliveredResponse], None] | None = None,
) -> AsyncGenerator[Server, None]:
    """Serve for the length of a block; the parameters are those of ``serve``.

    ::

        async with open_server(router, host="::1", port=0) as server:
            print(server.addresses)

    Leaving the block cancels the server. An exception of the block leaves it as it is. If
    the server itself fails, the block is cancelled and EndpointCrashed is raised from the
    cause; if both fail, an ExceptionGroup of both.
    """
    run = functools.partial(
        serve,
        router,
        transport=await _open(host, port, groups, interfaces, transport, limits),
        tuning=tuning,
        limits=limits,
        rng=rng,
        handler_errors=handler_errors,
        on_undelivered=on_undelivered,
    )
    async with open_background(run) as server:
        yield server


async def _open(
    host: str | Sequence[str] | None,
    port: int,
    groups: str | Sequence[str],
    interfaces: str | int | Sequence[str | int] | None,
    transport: Transport | None,
    limits: Limits | None,
) -> Transport:
    if transport is not None:
        if groups or interfaces is not None:
            raise ValueError("groups and interfaces are those of the transport: join them there")
        return transport
    _check("limits", limits, Limits, None)
    size = (limits or Limits()).datagram_size
    return await open_udp(host, port, datagram_size=size, groups=groups, interfaces=interfaces)


def _check(name: str, value: object, kind: type, *others: object) -> None:
    """A wrong object is refused where it is given, not when the first request comes."""
    if not isinstance(value, kind) and value not in others:
        raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
