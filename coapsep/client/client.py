"""The client: it asks, and waits for what is answered."""

from __future__ import annotations

import random
import secrets
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from coapsep.address import Address, Session
from coapsep.client.destinations import Destinations
from coapsep.client.multicast import GroupResponses
from coapsep.client.observation import Notifications, check_observation
from coapsep.client.parts import RequestParts, read_parts
from coapsep.client.response import ClientResponse
from coapsep.client.retry import Retry
from coapsep.client.target import Target, TargetLike, Targets, is_group
from coapsep.client.waiter import Waiter
from coapsep.endpoint import Endpoint
from coapsep.errors import BadResponse, PeerUnreachable, RequestFailed, RequestTimedOut
from coapsep.message.linkformat import Link, matches
from coapsep.message.memo import Memo
from coapsep.message.options import Options
from coapsep.numbers import Code, ContentFormat, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol import events
from coapsep.protocol.core import Core
from coapsep.protocol.statistics import Statistics
from coapsep.transport.base import Transport

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:  # nothing evaluates it at run time
    from typing_extensions import Unpack

_DISCOVERY = (".well-known", "core")
#: Addresses that were looked at once.
_KNOWN = 4096


class Client:
    """A client for any number of peers. ``open_client`` and ``run_client`` make it.

    Any number of tasks may ask at a time. To each peer the requests leave in their order,
    ``Tuning.nstart`` at a time (RFC 7252 section 4.7), and some 265 a second at most over
    minutes: a message ID serves again only after 247 s. A NON request that nobody answers keeps
    its turn until ``Tuning.probing_rate`` has paid for it, a second for each byte by default.

    Cancelling a request ends it: nothing more is sent for it, the next one to that peer leaves
    at once, and a late response is rejected. Whether the peer acted on it is unknown.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        tuning: Tuning | None = None,
        limits: Limits | None = None,
        rng: random.Random | None = None,
        retry: Retry | None = None,
    ) -> None:
        # Unpredictable unless a test asks for the opposite (RFC 7252 sections 4.4 and 5.3.1).
        self._rng = rng or secrets.SystemRandom()
        self._tuning = tuning or Tuning()
        limits = limits or Limits()
        core = Core(self._tuning, limits, self._rng, serves=False)
        self._endpoint = Endpoint(transport, core, limits, self._on_event)
        self._retry = retry or Retry(attempts=1)
        self._targets = Targets()
        self._destinations = Destinations(self._ping)
        self._waiters: set[Waiter | Notifications] = set()
        self._listeners: set[GroupResponses] = set()
        self._groups: Memo[Address, bool] = Memo(_KNOWN)

    # -- asking ----------------------------------------------------------------------

    async def request(
        self,
        method: Code,
        target: TargetLike,
        path: str | Sequence[str] = "",
        **parts: Unpack[RequestParts],
    ) -> ClientResponse:
        """Ask, and wait for the response, whatever its code.

        ``target`` is a URI, such as ``"coap://[::1]/a?b=c"``, or an ``Address``; ``path`` may
        say more, such as ``"/a?b=c"`` or ``["a"]``. If a name has several addresses, the first
        one that answers a ping is asked.

        How long to wait is yours to say, with ``trio.fail_after``.

        Raises a RequestFailed: RequestTimedOut if nobody acknowledged it, ResetByPeer,
        PeerUnreachable, BadResponse. ValueError or TypeError if it is no request that can be
        sent; LocalProtocolError if it remembers ``Limits.peers`` peers already;
        ``trio.ClosedResourceError`` if the client is closed.
        """
        method = _read_method(method)
        wanted = self._targets.read(target, path, parts.get("query", ()))
        options, payload = read_parts(parts, wanted.options)
        kind = Type.CON if parts.get("confirmable", True) else Type.NON
        retry = parts.get("retry", self._retry)
        attempt = 0
        while True:
            attempt += 1
            outcome: ClientResponse | RequestFailed
            try:
                outcome = await self._ask(wanted, kind, method, options, payload)
            except RequestFailed as exc:
                outcome = exc
                self._reconsider(wanted, exc)
                wait = retry.wait_after(exc, method, attempt, self._rng)
                if wait is None:
                    raise
            else:
                wait = retry.wait_after(outcome, method, attempt, self._rng)
                if wait is None:
                    return outcome
            await trio.sleep(wait)

    async def get(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """GET a representation (RFC 7252 section 5.8.1). Like ``request``."""
        return await self.request(Code.GET, target, path, **parts)

    async def post(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """POST: have the payload processed (RFC 7252 section 5.8.2). Like ``request``."""
        return await self.request(Code.POST, target, path, **parts)

    async def put(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """PUT: create or replace (RFC 7252 section 5.8.3). Like ``request``."""
        return await self.request(Code.PUT, target, path, **parts)

    async def delete(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """DELETE (RFC 7252 section 5.8.4). Like ``request``."""
        return await self.request(Code.DELETE, target, path, **parts)

    async def fetch(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """FETCH: get the parts that the payload names (RFC 8132 section 2). Like ``request``."""
        return await self.request(Code.FETCH, target, path, **parts)

    async def patch(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """PATCH: change as the payload says (RFC 8132 section 3). Like ``request``."""
        return await self.request(Code.PATCH, target, path, **parts)

    async def ipatch(
        self, target: TargetLike, path: str | Sequence[str] = "", **parts: Unpack[RequestParts]
    ) -> ClientResponse:
        """iPATCH: the idempotent PATCH (RFC 8132 section 3). Like ``request``."""
        return await self.request(Code.IPATCH, target, path, **parts)

    async def ping(self, target: TargetLike) -> float:
        """See whether a peer is there (RFC 7252 section 4.3); returns the round trip, seconds.

        The seconds include what requests before it have to wait for. Raises as ``request``
        does.
        """
        wanted = self._targets.read(target)
        address = wanted.address or await self._destinations.find(wanted.host, wanted.port)
        try:
            return await self._ping(address)
        except RequestFailed as exc:
            self._reconsider(wanted, exc)
            raise

    async def discover(self, target: TargetLike, /, **wanted: str | int) -> tuple[Link, ...]:
        """The resources of a peer, as its ``/.well-known/core`` lists them (RFC 6690).

        ``discover(peer, rt="light*", if_="actuator")`` asks for those that match all of it;
        ``href`` stands for the path, and ``*`` at the end for any rest. A peer that does not
        filter is filtered here.

        Raises as ``request`` does, UnsuccessfulResponse for an error, BadResponse if what
        came is no list of links.
        """
        query = [f"{name.removesuffix('_')}={value}" for name, value in wanted.items()]
        if self._targets.read(target).options.uri_path:
            raise ValueError(f"discovery has a path of its own: leave out the one of {target}")
        response = await self.get(target, _DISCOVERY, query=query, accept=ContentFormat.LINK_FORMAT)
        try:
            links = response.raise_for_code().links()
        except ValueError as exc:
            raise BadResponse(f"{response.peer} does not list its resources: {exc}") from exc
        return tuple(link for link in links if matches(link, query))

    @asynccontextmanager
    async def observe(
        self,
        target: TargetLike,
        path: str | Sequence[str] = "",
        *,
        method: Code = Code.GET,
        buffer: int = 1,
        **parts: Unpack[RequestParts],
    ) -> AsyncGenerator[Notifications, None]:
        """Be kept up to date about a resource (RFC 7641), for the length of a block.

        ::

            async with client.observe("coap://[::1]/sensors/temperature") as states:
                async for response in states:
                    print(response.text)

        Entering waits for the first response. The iteration begins with it, and goes on with
        each new state; of those that nobody has taken yet, the newest ``buffer`` are kept. A
        server that does not observe has its one response shown, and then the iteration ends:
        ``states.observed`` tells. When a state is out of date (Max-Age) and no other one has
        come, the client registers again. Leaving the block tells the server, and waits for
        nothing.

        ``method`` is GET or FETCH. Entering raises as ``request`` does, and UnsuccessfulResponse
        for an error; the iteration raises what ends it: see ``Notifications``. Nothing is asked
        again after a failure, so ``retry`` is refused with TypeError.
        """
        method = _read_method(method)
        check_observation(method, buffer, parts)
        wanted = self._targets.read(target, path, parts.get("query", ()))
        options, payload = read_parts(parts, wanted.options)
        kind = Type.CON if parts.get("confirmable", True) else Type.NON
        session = await self._session_of(wanted)
        states = Notifications(session.peer, buffer)
        exchange = self._endpoint.request(
            session, kind, method, options, payload, states, observe=True
        )
        self._waiters.add(states)
        try:
            try:
                await states.begin()
            except RequestFailed as exc:
                self._reconsider(wanted, exc)
                raise
            yield states
        finally:
            self._waiters.discard(states)
            self._endpoint.cancel(exchange)
            states.end()

    @asynccontextmanager
    async def multicast(
        self,
        target: TargetLike = "coap://224.0.1.187/.well-known/core",
        path: str | Sequence[str] = "",
        *,
        seconds: float = 10.0,
        method: Code = Code.GET,
        **parts: Unpack[RequestParts],
    ) -> AsyncGenerator[GroupResponses, None]:
        """Ask a group of peers, once (RFC 7252 section 8), and listen for ``seconds``.

        ::

            async with client.multicast(seconds=5) as responses:
                async for response in responses:
                    print(response.peer, response.links())

        By default it asks all CoAP nodes of the local IPv4 network what they have. The
        request is a NON that is not repeated: one that is lost has no responses. Leaving the
        block ends it early; what still comes is ignored.

        Raises ValueError if the target is no multicast address, PeerUnreachable if there is
        no way to it.
        """
        method = _read_method(method)
        unfit = parts.keys() & {"confirmable", "retry"}
        if unfit:
            # Several that acknowledge, or several copies, would be a flood (section 8.1).
            raise TypeError(f"a group is asked once, with a NON: no {', '.join(sorted(unfit))}")
        if not (isinstance(seconds, int | float) and seconds > 0):
            raise ValueError(f"seconds must be a positive number, not {seconds!r}")
        wanted = self._targets.read(target, path, parts.get("query", ()))
        options, payload = read_parts(parts, wanted.options)
        if wanted.address is None:
            destination = await self._destinations.find(wanted.host, wanted.port)
        else:
            destination = wanted.address
        if not self._is_group(destination):
            raise ValueError(f"{destination} is no multicast address: ask it with request()")
        await trio.lowlevel.checkpoint()
        responses = GroupResponses(trio.current_time() + seconds)
        exchange = self._endpoint.request_group(
            self._session_to(destination), method, options, payload, responses
        )
        self._listeners.add(responses)
        try:
            responses.check()
            yield responses
        finally:
            self._listeners.discard(responses)
            self._endpoint.core.end_group_request(exchange)
            responses.end()

    # -- what it is ------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The local addresses it asks from, ports filled in."""
        return self._endpoint.transport.addresses

    def statistics(self) -> Statistics:
        """What has been counted so far, and what is held now."""
        return attrs.evolve(
            self._endpoint.core.statistics(),
            datagrams_to_groups=self._endpoint.transport.dropped,
        )

    # -- inside ----------------------------------------------------------------------

    def _wake_all(self) -> None:
        """It runs no more, and nobody waits for ever."""
        for waiter in self._waiters:
            waiter.wake(None)
        for listener in self._listeners:
            listener.end(closed=True)

    async def _ask(
        self, wanted: Target, kind: Type, method: Code, options: Options, payload: bytes
    ) -> ClientResponse:
        session = await self._session_of(wanted)
        waiter = Waiter()
        exchange = self._endpoint.request(session, kind, method, options, payload, waiter)
        self._waiters.add(waiter)
        try:
            message = await waiter.wait()
        finally:
            self._waiters.discard(waiter)
            self._endpoint.cancel(exchange)
        return ClientResponse(message.code, message.options, message.payload, session.peer)

    async def _ping(self, address: Address) -> float:
        if self._is_group(address):
            raise ValueError(f"{address} is a group: a ping is for one peer")
        session = self._session_to(address)
        began = trio.current_time()
        waiter = Waiter()
        exchange = self._endpoint.ping(session, waiter)
        self._waiters.add(waiter)
        try:
            await waiter.wait()
        finally:
            self._waiters.discard(waiter)
            self._endpoint.cancel(exchange)
        return trio.current_time() - began

    def _reconsider(self, wanted: Target, failure: RequestFailed) -> None:
        """The address that was chosen for a name may have been the wrong one."""
        if wanted.address is None and isinstance(failure, RequestTimedOut | PeerUnreachable):
            self._destinations.forget(wanted.host, wanted.port)

    async def _session_of(self, wanted: Target) -> Session:
        """The session with the one peer that is asked."""
        destination = wanted.address
        if destination is None:
            destination = await self._destinations.find(wanted.host, wanted.port)
        if self._is_group(destination):
            raise ValueError(f"{destination} is a group: ask it with multicast()")
        return self._session_to(destination)

    def _session_to(self, address: Address) -> Session:
        if self._endpoint.over:
            raise trio.ClosedResourceError("the client was closed")
        try:
            return self._endpoint.transport.session_to(address)
        except OSError as exc:
            raise PeerUnreachable(f"{address}: {exc.strerror or exc}") from exc

    def _is_group(self, address: Address) -> bool:
        known = self._groups.entries.get(address)
        if known is None:
            known = is_group(address)
            self._groups.keep(address, known)
        return known

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived | events.RequestFailed):
            waiter = event.exchange.attachment
            assert isinstance(waiter, Waiter | Notifications)
            waiter.wake(event.message if isinstance(event, events.ResponseReceived) else event)
        elif isinstance(event, events.NotificationReceived):
            states = event.exchange.attachment
            assert isinstance(states, Notifications)
            states.add(event.message)
        elif isinstance(event, events.GroupResponse):
            listener = event.exchange.attachment
            assert isinstance(listener, GroupResponses)
            listener.add(event.message, event.session)
        elif isinstance(event, events.GroupRequestFailed):
            listener = event.exchange.attachment
            assert isinstance(listener, GroupResponses)
            text = f"{events.Failure.UNREACHABLE.value}: {event.detail}"
            listener.fail(PeerUnreachable(f"{event.exchange.session.peer}: {text}"))


def _read_method(method: Code) -> Code:
    method = Code(method)
    if not method.is_request:
        raise ValueError(f"{method} is not a method")
    return method
