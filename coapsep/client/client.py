"""The client: it asks, and waits for what is answered."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio

from coapsep.address import Address, Session
from coapsep.client.multicast import GroupResponses
from coapsep.client.observation import Notifications, check_observation
from coapsep.client.parts import Question, RequestParts, read_method, read_parts
from coapsep.client.response import ClientResponse
from coapsep.client.retry import ONCE, Retry
from coapsep.client.routes import Routes
from coapsep.client.stream import StreamedResponse
from coapsep.client.supply import Supply
from coapsep.client.target import Target, TargetLike, Targets
from coapsep.client.waiter import Listener, Waiter
from coapsep.endpoint import Endpoint
from coapsep.errors import BadResponse, RequestFailed
from coapsep.message.linkformat import Link, matches
from coapsep.numbers import Code, ContentFormat
from coapsep.params import Limits, Tuning
from coapsep.protocol import events
from coapsep.protocol.core import Core
from coapsep.protocol.records import ClientExchange
from coapsep.protocol.statistics import Statistics
from coapsep.randomness import Randomness
from coapsep.transport.base import Transport

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:  # nothing evaluates it at run time
    from typing_extensions import Unpack

_DISCOVERY = (".well-known", "core")


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
        self._rng = rng or Randomness()
        self._tuning = tuning or Tuning()
        limits = limits or Limits()
        core = Core(self._tuning, limits, self._rng, serves=False)
        self._endpoint = Endpoint(transport, core, limits, self._on_event)
        self._retry = retry or ONCE
        self._targets = Targets()
        self._routes = Routes(self._endpoint, self._ping)
        self._listeners: set[Listener] = set()

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
        one that answers a ping is asked. Bodies of any length go and come in blocks where that
        is needed (RFC 7959); the response is whole, and not longer than ``Limits.body_size``.

        How long to wait is yours to say, with ``trio.fail_after``.

        Raises a RequestFailed: RequestTimedOut if nobody acknowledged it, ResetByPeer,
        PeerUnreachable, BadResponse, BodyChanged. ValueError or TypeError if it is no request
        that can be sent; LocalProtocolError if it remembers ``Limits.peers`` peers already;
        ``trio.ClosedResourceError`` if the client is closed.
        """
        method = read_method(method)
        wanted = self._targets.read(target, path, parts.get("query", ()))
        question = read_parts(parts, wanted.options)
        retry = parts.get("retry", self._retry) if question.source is None else ONCE
        attempt = 0
        while True:
            attempt += 1
            outcome: ClientResponse | RequestFailed
            try:
                outcome = await self._ask(wanted, method, question)
            except RequestFailed as exc:
                outcome = exc
                self._routes.reconsider(wanted, exc)
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
        address = await self._routes.find(wanted)
        try:
            return await self._ping(address)
        except RequestFailed as exc:
            self._routes.reconsider(wanted, exc)
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
    async def stream(
        self,
        method: Code,
        target: TargetLike,
        path: str | Sequence[str] = "",
        **parts: Unpack[RequestParts],
    ) -> AsyncGenerator[StreamedResponse, None]:
        """Ask, and take the body of the response as it comes, however long it is (RFC 7959).

        ::

            async with client.stream(Code.GET, "coap://[::1]/firmware") as response:
                async for part in response:
                    file.write(part)

        Entering waits for the first block, and raises as ``request`` does. An error is a
        response like any other: look at ``response.code``. Leaving the block early ends it.
        Nothing is asked again after a failure, so ``retry`` is refused with TypeError.
        """
        method = read_method(method)
        if "retry" in parts:
            raise TypeError("a response that streams is not retried: enter a new block")
        wanted = self._targets.read(target, path, parts.get("query", ()))
        question = read_parts(parts, wanted.options)
        session = await self._routes.session_of(wanted)
        supply = None if question.source is None else Supply(question.source)
        response = StreamedResponse(self._endpoint, session.peer, supply, question.progress)
        exchange = self._begin(session, method, question, response, streams=True)
        try:
            try:
                await response.begin(exchange)
            except RequestFailed as exc:
                self._routes.reconsider(wanted, exc)
                raise
            yield response
        finally:
            self._end(response, exchange)
            response.leave()

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
        method = read_method(method)
        check_observation(method, buffer, parts)
        wanted = self._targets.read(target, path, parts.get("query", ()))
        question = read_parts(parts, wanted.options)
        question.must_be_one_message("a request that observes")
        session = await self._routes.session_of(wanted)
        states = Notifications(session.peer, buffer)
        exchange = self._begin(session, method, question, states, observe=True)
        try:
            try:
                await states.begin()
            except RequestFailed as exc:
                self._routes.reconsider(wanted, exc)
                raise
            yield states
        finally:
            self._end(states, exchange)
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
        method = read_method(method)
        unfit = parts.keys() & {"confirmable", "retry", "block_size", "progress"}
        if unfit:
            # Several that acknowledge, or several copies, would be a flood (section 8.1).
            raise TypeError(f"a group is asked once, with a NON: no {', '.join(sorted(unfit))}")
        if not (isinstance(seconds, int | float) and seconds > 0):
            raise ValueError(f"seconds must be a positive number, not {seconds!r}")
        wanted = self._targets.read(target, path, parts.get("query", ()))
        question = read_parts(parts, wanted.options)
        question.must_be_one_message("a request to a group")
        destination = await self._routes.find(wanted)
        if not self._routes.is_group(destination):
            raise ValueError(f"{destination} is no multicast address: ask it with request()")
        await trio.lowlevel.checkpoint()
        responses = GroupResponses(trio.current_time() + seconds)
        exchange = self._endpoint.request_group(
            self._routes.session_to(destination),
            method,
            question.options,
            question.payload,
            responses,
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
        for listener in self._listeners:
            listener.close()

    def _begin(
        self,
        session: Session,
        method: Code,
        question: Question,
        listener: Listener,
        *,
        observe: bool = False,
        streams: bool = False,
    ) -> ClientExchange:
        handling = question.handling
        if streams:
            handling = attrs.evolve(handling, download_streams=True)
        kind, options, payload = question.kind, question.options, question.payload
        exchange = self._endpoint.request(
            session, kind, method, options, payload, listener, handling=handling, observe=observe
        )
        self._listeners.add(listener)
        return exchange

    def _end(self, listener: Listener, exchange: ClientExchange) -> None:
        self._listeners.discard(listener)
        self._endpoint.cancel(exchange)

    async def _ask(self, wanted: Target, method: Code, question: Question) -> ClientResponse:
        session = await self._routes.session_of(wanted)
        supply = None if question.source is None else Supply(question.source)
        waiter = Waiter(supply, question.progress)
        exchange = self._begin(session, method, question, waiter)
        try:
            if supply is not None:
                await supply.run(
                    lambda data, last: self._endpoint.supply_request(exchange, data, last=last)
                )
            message = await waiter.wait()
        finally:
            self._end(waiter, exchange)
        return ClientResponse(message.code, message.options, message.payload, session.peer)

    async def _ping(self, address: Address) -> float:
        if self._routes.is_group(address):
            raise ValueError(f"{address} is a group: a ping is for one peer")
        session = self._routes.session_to(address)
        began = trio.current_time()
        waiter = Waiter()
        exchange = self._endpoint.ping(session, waiter)
        self._listeners.add(waiter)
        try:
            await waiter.wait()
        finally:
            self._end(waiter, exchange)
        return trio.current_time() - began

    def _on_event(self, event: events.Event) -> None:
        if isinstance(event, events.ClientEvent):
            listener = event.exchange.attachment
            assert isinstance(listener, Listener)
            listener.handle(event)
