"""A request, as a handler sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from coapsep.address import Address, Session
from coapsep.endpoint import Endpoint
from coapsep.errors import LocalProtocolError, PreconditionFailed
from coapsep.message.options import Options, printable_path
from coapsep.numbers import Code, Type
from coapsep.protocol.records import Exchange
from coapsep.server.body import RequestBody

if TYPE_CHECKING:  # a request knows the registry, and the registry its requests
    from coapsep.server.asyncs import AsyncRegistry
    from coapsep.server.pending import PendingRequest
    from coapsep.server.router import Route


class Request:
    """What was asked, by whom, and how to answer later.

    Handlers get one; they do not make one. A pending async request calls its handler with a
    copy whose ``pending`` is set.
    """

    __slots__ = (
        "_abandoned",
        "_body",
        "_exchange",
        "_origin",
        "_route",
        "asyncs",
        "params",
        "pending",
    )

    #: The registry, for ``request.asyncs.register_async(request, delay=...)``.
    asyncs: AsyncRegistry
    #: The parts of the path that the route names, ``{"name": ...}``.
    params: Mapping[str, str]
    #: The entry whose delayed pass this is; None on the first pass.
    pending: PendingRequest | None

    def __init__(
        self,
        exchange: Exchange,
        route: Route,
        params: Mapping[str, str],
        asyncs: AsyncRegistry,
        pending: PendingRequest | None = None,
        origin: Request | None = None,
    ) -> None:
        #: The request of the first pass, for its copies: they are abandoned together. None
        #: for that one itself, since a reference to itself would be work for the collector.
        self._origin = origin
        self._exchange = exchange
        self._route = route
        self._abandoned: trio.Event | None = None
        self._body: RequestBody | None = None
        self.asyncs = asyncs
        self.params = params
        self.pending = pending

    # -- what was asked --------------------------------------------------------------

    @property
    def method(self) -> Code:
        """The method code."""
        return self._exchange.request.code

    @property
    def path(self) -> tuple[str, ...]:
        """The path, one string a segment; () is the root."""
        return self._exchange.request.options.uri_path

    @property
    def query(self) -> tuple[str, ...]:
        """The arguments of the query, as they came: commonly ``key=value``."""
        return self._exchange.request.options.uri_query

    def argument(self, name: str) -> str | None:
        """The value of the query argument ``name=value``; "" if it is just ``name``; else None."""
        for item in self.query:
            key, _, value = item.partition("=")
            if key == name:
                return value
        return None

    @property
    def payload(self) -> bytes:
        """The body. Raises LocalProtocolError on a route that streams: see ``body``."""
        if self._body is not None:
            raise LocalProtocolError("this route streams: read request.body instead")
        return self._exchange.request.payload

    @property
    def body(self) -> RequestBody:
        """The body as it arrives, on a route added with ``stream=True``.

        Raises LocalProtocolError on any other, where ``payload`` has all of it.
        """
        if self._body is None:
            raise LocalProtocolError("this route does not stream: request.payload is the body")
        return self._body

    @property
    def content_format(self) -> int | None:
        """The format of the body, if the client says."""
        return self._exchange.request.options.content_format

    @property
    def accept(self) -> int | None:
        """The one content format that the client takes; None for any."""
        return self._exchange.request.options.accept

    @property
    def options(self) -> Options:
        """All options."""
        return self._exchange.request.options

    @property
    def observing(self) -> bool:
        """Whether the client asks to be kept up to date, or this is to do so (RFC 7641)."""
        return self._exchange.topic is not None or bool(self._exchange.notifies)

    def check_preconditions(self, etag: bytes | None) -> None:
        """Hold If-Match and If-None-Match against the resource (RFC 7252 section 5.10.8).

        ``etag`` is the one of its current state, b"" if it has none, None if it does not
        exist. Raises PreconditionFailed, 4.12. A route must be added with
        ``conditional=True``, or such requests are refused with 4.02 before they get here.
        """
        options = self.options
        wanted = options.if_match
        if wanted and (etag is None or (b"" not in wanted and etag not in wanted)):
            raise PreconditionFailed("If-Match")
        if options.if_none_match and etag is not None:
            raise PreconditionFailed("If-None-Match")

    @property
    def by_multicast(self) -> bool:
        """Whether it was sent to a group: an error is then no answer (RFC 7252 section 8.2)."""
        return self._exchange.by_group

    @property
    def confirmable(self) -> bool:
        """Whether it came as a CON."""
        return self._exchange.request.type is Type.CON

    # -- by whom ---------------------------------------------------------------------

    @property
    def token(self) -> bytes:
        """The client's token, 0 to 8 bytes. Together with the session it names the request."""
        return self._exchange.request.token

    @property
    def session(self) -> Session:
        """The pair of endpoints."""
        return self._exchange.session

    @property
    def peer(self) -> Address:
        """Who asked."""
        return self._exchange.session.peer

    @property
    def local(self) -> Address:
        """At which of the server's addresses."""
        return self._exchange.session.local

    # -- whether anybody waits -------------------------------------------------------

    @property
    def abandoned(self) -> bool:
        """The client took this token for another request, or its session has gone.

        Nothing cancels a handler that runs; but what it answers will not be sent.
        """
        return self._exchange.abandoned

    async def wait_abandoned(self) -> None:
        """Return once ``abandoned``: put it beside slow work, and cancel that when it returns."""
        if self._exchange.abandoned:
            await trio.lowlevel.checkpoint()
            return
        origin = self._origin or self
        if origin._abandoned is None:
            origin._abandoned = trio.Event()
        await origin._abandoned.wait()

    def _open_body(self, endpoint: Endpoint) -> None:
        """Its handler reads the body as it arrives, unless the request is refused here."""
        exchange = self._exchange
        upload = None if exchange.upload is None else endpoint.stream_body(exchange, self)
        self._body = RequestBody(exchange.request.payload, upload, endpoint.next_block)
        if upload is not None and upload.over:
            self._body.fail("it was begun again")

    def _receive(self, exchange: Exchange, chunk: bytes, *, last: bool) -> None:
        """The next block came, in a request of its own: the one to answer."""
        self._exchange = exchange
        exchange.attachment = self
        self.body.feed(chunk, last=last)

    def _copy_for(self, pending: PendingRequest) -> Request:
        """What the delayed passes of ``pending`` see."""
        first = self._origin or self
        return self._copy(self._exchange, pending, first)

    def _copy(
        self, exchange: Exchange, pending: PendingRequest | None, origin: Request | None
    ) -> Request:
        copy = Request(exchange, self._route, self.params, self.asyncs, pending, origin)
        copy._body = self._body
        return copy

    def _abandon(self) -> None:
        origin = self._origin or self
        if origin._abandoned is not None:
            origin._abandoned.set()

    def __repr__(self) -> str:
        path = printable_path(self.options)
        return f"<Request {self.method} {path} from {self.peer} token={self.token.hex()!r}>"
