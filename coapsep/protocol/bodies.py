"""Bodies that leave in blocks (RFC 7959 section 2.4): cut, kept, and asked for block by block.

A response that does not fit into one block is kept with an ETag, and the later blocks come from
there: the handler that made it may be long gone. A stream is kept as a window: what it has
produced and the client has not asked for yet, and the last block that it has.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

from coapsep.message.block import MAX_BLOCKS, Block
from coapsep.message.message import Message
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import BodyEnded, BodyWanted, Event
from coapsep.protocol.held import Body, Key
from coapsep.protocol.records import Exchange, Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.storage import LEAST, WINDOW, Storage


def key_of(request: Message) -> Key:
    """By what the bodies of a request are found (RFC 9175 section 1.1)."""
    return request.code, request.options.matchable


class Bodies:
    """Every response body of which a client may ask for more."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        storage: Storage,
        counters: Counters,
        rng: random.Random,
        events: list[Event],
        respond: Callable[[Exchange, Response, float], None],
    ) -> None:
        self._block_size = tuning.block_size
        self._limits = limits
        self._storage = storage
        self._counters = counters
        self._rng = rng
        self._events = events
        self._respond = respond

    # -- a body that is whole --------------------------------------------------------

    def is_long(self, response: Response) -> bool:
        """Whether it takes more than one block, whatever the client says."""
        return len(response.payload) > self._block_size

    def cut(
        self,
        peer: Peer,
        request: Message,
        response: Response,
        now: float,
        largest: int | None = None,
    ) -> Response:
        """The block of a response that its request asks for; what remains is kept."""
        asked, payload = request.options.block2, response.payload
        size = min(self._size_for(asked), largest or self._block_size)
        start = 0 if asked is None else asked.start
        if start and not response.code.is_success:
            return response
        if not start and len(payload) <= size:
            return response if asked is None else _with_block(response, Block(0, False, size))
        number = start // size
        if start >= len(payload) or number >= MAX_BLOCKS:
            return Response(Code.BAD_REQUEST, f"the body has {len(payload)} bytes, no such block")
        response = tagged(response)
        sent = _digest(request.payload)
        body = Body(peer, key_of(request), response.code, response.options, payload, now, sent)
        self._keep(body, now)
        return self._block(body, number, size)

    def find(self, peer: Peer, request: Message) -> Body | None:
        """The body of which this request asks for a later block."""
        held = peer.held
        body = None if held is None else held.bodies.get(key_of(request))
        # Whoever repeats the payload of the request means that one (RFC 8132 section 2).
        if body is None or (request.payload and _digest(request.payload) != body.sent):
            return None
        return body

    def serve(self, body: Body, exchange: Exchange, now: float) -> None:
        """Answer with the block that is asked for, as soon as it is there."""
        asked = exchange.request.options.block2
        assert asked is not None, "only who asks for a block is served from a body"
        size, start = self._size_for(asked), asked.start
        number = start // size
        body.used = now
        held = body.peer.held
        if held is not None and held.bodies.get(body.key) is body:
            held.bodies[body.key] = held.bodies.pop(body.key)  # the youngest
        if body.is_settled:
            self._storage.may_leave(body)
        self._dismiss(body, now)
        if start < body.start:
            refusal = "this block of a stream is gone"
        elif start > body.end or number >= MAX_BLOCKS or (body.complete and start == body.end):
            # A stream is not produced ahead of who fetches it, however far ahead they ask.
            refusal = f"there are {body.end} bytes, no such block"
        else:
            body.waiting = exchange, asked if size == asked.size else Block(number, False, size)
            self._serve_waiting(body, now)
            return
        self._respond(exchange, Response(Code.BAD_REQUEST, refusal), now)

    # -- a stream --------------------------------------------------------------------

    def begin(
        self,
        exchange: Exchange,
        response: Response,
        size: int | None,
        attachment: object,
        now: float,
    ) -> Body | None:
        """A body that is produced as it is asked for; None if the request was refused instead.

        ``response`` has the code and the options.
        """
        request, peer = exchange.request, exchange.peer
        if exchange.abandoned:
            self._respond(exchange, response, now)
            return None
        exchange.topic = None  # what is produced once has no next state
        asked = request.options.block2
        refusal = None
        if asked is not None and asked.number:
            refusal = Response(Code.BAD_REQUEST, "a stream begins at its first block")
        elif not self._storage.reserve(peer, WINDOW, now):
            self._storage.release(peer, now)
            self._counters.refused += 1
            refusal = Response(Code.SERVICE_UNAVAILABLE, max_age=self._limits.retry_after)
        if refusal is not None:
            self._respond(exchange, refusal, now)
            return None
        options = response.options
        if not options.etags:
            etag = self._rng.getrandbits(64).to_bytes(8, "big")
            options = options.replace(OptionNumber.ETAG, etag)
        body = Body(
            peer,
            key_of(request),
            response.code,
            options,
            b"",
            now,
            _digest(request.payload),
            complete=False,
            size=size,
            counted=WINDOW,
            attachment=attachment,
        )
        body.waiting = exchange, Block(0, False, self._size_for(asked))
        self._end_older(body, now)
        self._enter(body)
        return body

    def supply(self, body: Body, data: bytes, *, last: bool, now: float) -> None:
        """More of a stream; whoever waits for it is answered."""
        if body.over:
            return
        body.data += data
        body.complete = body.complete or last
        self._serve_waiting(body, now)
        if body.complete:
            self._storage.may_leave(body)

    def fail(self, body: Body, failure: Response, now: float) -> None:
        """A stream cannot be produced to its end: who waits is told, or who asks next."""
        if body.over:
            return
        body.failure = failure
        self._serve_waiting(body, now)
        self._storage.may_leave(body)

    def wants_more(self, body: Body) -> bool:
        """Whether more should be produced now: somebody waits, or little is in store."""
        if body.over or body.is_settled:
            return False
        return body.waiting is not None or body.end - body.asked < 4 * self._block_size

    def end(self, body: Body, now: float) -> None:
        """Keep it no longer."""
        if body.over:
            return
        self._storage.forget(body)
        self._dismiss(body, now)
        if body.attachment is not None:
            self._events.append(BodyEnded(body))
        self._storage.release(body.peer, now)

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        if peer.held is not None:
            for body in list(peer.held.bodies.values()):
                self.end(body, now)

    # -- inside ----------------------------------------------------------------------

    def _size_for(self, asked: Block | None) -> int:
        return self._block_size if asked is None else min(asked.size, self._block_size)

    def _keep(self, body: Body, now: float) -> None:
        """Keep the body in place of an older one; not at all, if there is no room for it."""
        peer, size = body.peer, max(len(body.data), LEAST)
        self._end_older(body, now)
        if len(body.data) <= self._limits.body_size and self._storage.reserve(peer, size, now):
            body.counted = size
            self._enter(body)
            self._storage.may_leave(body)
        self._storage.release(peer, now)

    def _end_older(self, body: Body, now: float) -> None:
        """The one whose place a body takes is kept no longer."""
        held = body.peer.held
        older = None if held is None else held.bodies.get(body.key)
        if older is not None:
            self.end(older, now)

    def _enter(self, body: Body) -> None:
        self._storage.held(body.peer).bodies[body.key] = body
        self._storage.age(body, self._expire)

    def _block(self, body: Body, number: int, size: int) -> Response:
        """One block of what is kept."""
        start = number * size - body.start
        payload, options = body.data[start : start + size], body.options
        more = not body.complete or start + size < len(body.data)
        if not number:
            if not more:
                return Response.of(body.code, payload, options)
            whole = body.end if body.complete else body.size
            if whole is not None:
                options = options.replace(OptionNumber.SIZE2, whole)
        options = options.with_blocks(options.block1, Block(number, more, size))
        return Response.of(body.code, payload, options)

    def _serve_waiting(self, body: Body, now: float) -> None:
        """Answer whoever waits, if that can be done by now."""
        if body.waiting is None:
            return
        exchange, block = body.waiting
        response = body.failure
        if response is None:
            # Whether it is the last one is known when more has come, or nothing will.
            if body.end <= block.start + block.size and not body.complete:
                self._events.append(BodyWanted(body))
                return
            response = self._block(body, block.number, block.size)
            body.asked = block.start + block.size
            drop = block.start - body.start
            if body.attachment is not None and drop > len(body.data) // 2:
                body.data, body.start = body.data[drop:], block.start
            if body.attachment is not None and self.wants_more(body):
                self._events.append(BodyWanted(body))
        body.waiting = None
        self._respond(exchange, response, now)

    def _dismiss(self, body: Body, now: float) -> None:
        """Whoever waits gives its place to another, or waits in vain."""
        if body.waiting is not None:
            exchange, _ = body.waiting
            body.waiting = None
            retry_after = self._limits.retry_after
            self._respond(exchange, Response(Code.SERVICE_UNAVAILABLE, max_age=retry_after), now)

    def _expire(self, body: Body, now: float) -> None:
        """Nobody has asked for it in body_age; one who asked and waits, waits on."""
        if body.waiting is None:
            self.end(body, now)
        else:
            body.used = now
            self._storage.age(body, self._expire)


def tagged(response: Response) -> Response:
    """The response with an ETag: without one, blocks of two versions could be mixed up."""
    if response.options.etags:
        return response
    digest = hashlib.blake2b(response.payload, digest_size=8).digest()
    options = response.options.replace(OptionNumber.ETAG, digest)
    return Response.of(response.code, response.payload, options)


def _digest(payload: bytes) -> bytes:
    """What is remembered of the payload of a request, which may be large."""
    return hashlib.blake2b(payload, digest_size=16).digest() if payload else b""


def _with_block(response: Response, block: Block) -> Response:
    options = response.options.with_blocks(response.options.block1, block)
    return Response.of(response.code, response.payload, options)
