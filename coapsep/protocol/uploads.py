"""Bodies that arrive in blocks (RFC 7959 section 2.5): in order, without gaps, whole or not.

A client sends one block after the other, each as a request of its own. The first one goes up, so
that a request that would be refused is refused before the rest is sent; the application accepts
the body, or has it block by block. The last block makes it one request again.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from coapsep.message.block import Block
from coapsep.message.options import Options
from coapsep.message.response import Response
from coapsep.numbers import Code, OptionNumber
from coapsep.params import Limits
from coapsep.protocol.bodies import key_of
from coapsep.protocol.events import BlockReceived, Event, RequestReceived, UploadEnded
from coapsep.protocol.held import Key, Upload
from coapsep.protocol.records import Exchange, Peer
from coapsep.protocol.statistics import Counters
from coapsep.protocol.storage import LEAST, WINDOW, Storage

#: What belongs to one block, not to the body.
_OF_A_BLOCK = (OptionNumber.BLOCK1, OptionNumber.SIZE1)
_CONTINUE = Response(Code.CONTINUE)


class Uploads:
    """Every request body that is not whole yet."""

    def __init__(
        self,
        limits: Limits,
        storage: Storage,
        counters: Counters,
        events: list[Event],
        respond: Callable[[Exchange, Response, float], None],
    ) -> None:
        self._limits = limits
        self._storage = storage
        self._counters = counters
        self._events = events
        self._respond = respond

    # -- from the network ------------------------------------------------------------

    def receive(self, exchange: Exchange, block: Block, now: float) -> None:
        """One block, in a request that has just been opened."""
        exchange.block1 = block
        peer, payload = exchange.peer, exchange.request.payload
        key = key_of(exchange.request)
        upload = None if peer.held is None else peer.held.uploads.get(key)
        if upload is None:
            if block.number:
                self._respond(exchange, _incomplete("the blocks before it are not here"), now)
            else:
                self._begin(exchange, block, key, now)
        elif (
            block.more and payload == upload.last and block.start == upload.received - len(payload)
        ):
            self._again(upload, exchange, now)
        elif not block.number:
            self._drop(upload, "its client has begun again", now)
            self._begin(exchange, block, key, now)
        elif upload.exchange is not None:
            self._busy(exchange, now)
        elif block.start != upload.received:
            self._drop(upload, "a block is missing", now)
            self._respond(exchange, _incomplete(f"expected byte {upload.received}"), now)
        else:
            self._go_on(upload, exchange, block, now)

    def forget(self, peer: Peer, now: float) -> None:
        """Forget all of a peer whose session has gone."""
        if peer.held is not None:
            for upload in list(peer.held.uploads.values()):
                self._drop(upload, "its session has gone", now)

    # -- from the application --------------------------------------------------------

    def accept(self, exchange: Exchange, now: float) -> None:
        """Collect this body until it is whole."""
        upload = _of(exchange)
        payload, limits = exchange.request.payload, self._limits
        if upload.over:
            self._respond(exchange, _incomplete("it was begun again"), now)
        elif max(exchange.request.options.size1 or 0, len(payload)) > limits.body_size:
            self._refuse(upload, exchange, now)
        elif not self._reserve(upload, max(len(payload), LEAST), now):
            self._no_room(upload, exchange, now)
        else:
            upload.data += payload
            self._continue(upload, now)

    def stream(self, exchange: Exchange, attachment: object, now: float) -> Upload | None:
        """The application takes this body block by block; the first one is in the request.

        None if there is no room for one more, and the request was refused.
        """
        upload = _of(exchange)
        if not upload.over and not self._reserve(upload, WINDOW, now):
            self._no_room(upload, exchange, now)
            return None
        upload.streamed = True
        upload.attachment = attachment
        return upload

    def next_block(self, upload: Upload, now: float) -> None:
        """The application has taken a block: ask for the next one."""
        if upload.exchange is not None and not upload.over:
            self._continue(upload, now)

    def decide(self, upload: Upload, response: Response, now: float) -> None:
        """The application has seen enough: this is the response, whatever still comes.

        An error is told at once, or to the next block. A success is told to the last one, since
        a client that hears it before goes on with the rest (RFC 7959 section 2.3).
        """
        if upload.over:
            return
        if response.code.is_success:
            upload.verdict = response
            self.next_block(upload, now)
        elif upload.exchange is None:
            upload.verdict = response
        else:
            self._respond(upload.exchange, response, now)

    def answered(self, exchange: Exchange, now: float) -> None:
        """A block had a response other than 2.31, or none: that is the end of its body."""
        upload = exchange.upload
        if upload is not None and upload.exchange is exchange:
            upload.exchange = None
            self._end(upload, now)

    # -- inside ----------------------------------------------------------------------

    def _begin(self, exchange: Exchange, block: Block, key: Key, now: float) -> None:
        request, peer = exchange.request, exchange.peer
        if not _fits(request.payload, block):
            self._respond(exchange, _wrong_size(block), now)
            return
        if not block.more:
            self._hand_up(exchange, request.payload)
            return
        upload = Upload(peer, key, exchange, now)
        upload.received = len(request.payload)
        upload.last = request.payload
        exchange.upload = upload
        self._storage.held(peer).uploads[key] = upload
        self._storage.age(upload, self._expire)
        self._events.append(RequestReceived(exchange))

    def _go_on(self, upload: Upload, exchange: Exchange, block: Block, now: float) -> None:
        payload, verdict = exchange.request.payload, upload.verdict
        if verdict is not None and not (verdict.code.is_success and block.more):
            self._end(upload, now)
            self._respond(exchange, verdict, now)
            return
        if not _fits(payload, block):
            self._drop(upload, "a block has the wrong size", now)
            self._respond(exchange, _wrong_size(block), now)
            return
        if verdict is not None:
            upload.used = now
            upload.received += len(payload)
            upload.last = payload
            upload.exchange = exchange
            self._continue(upload, now)  # nobody reads it
            return
        if upload.streamed:
            upload.used = now
            upload.received += len(payload)
            upload.last = payload
            upload.exchange = exchange
            exchange.upload = upload
            self._events.append(BlockReceived(upload, exchange, payload, last=not block.more))
            if not block.more:
                self._end(upload, now)
            return
        if upload.received + len(payload) > self._limits.body_size:
            self._refuse(upload, exchange, now)
        elif not self._reserve(upload, upload.received + len(payload), now):
            self._no_room(upload, exchange, now)
        elif not block.more:
            whole = bytes(upload.data) + payload
            exchange.counted, upload.counted = upload.counted, 0  # until it is closed
            self._end(upload, now)
            self._hand_up(exchange, whole)
        else:
            upload.used = now
            upload.received += len(payload)
            upload.last = payload
            upload.data += payload
            upload.exchange = exchange
            exchange.upload = upload
            self._continue(upload, now)

    def _hand_up(self, exchange: Exchange, payload: bytes) -> None:
        """The body is whole: one request again, which has the last block's token."""
        request = exchange.last_block = exchange.request
        options = request.options.without(*_OF_A_BLOCK)
        exchange.request = attrs.evolve(request, options=options, payload=payload)
        self._events.append(RequestReceived(exchange))

    def _again(self, upload: Upload, exchange: Exchange, now: float) -> None:
        """The last block once more, as another message: its client has not seen the answer."""
        upload.used = now
        if upload.exchange is not None:
            self._busy(exchange, now)
        else:
            upload.exchange = exchange
            self._continue(upload, now)

    def _continue(self, upload: Upload, now: float) -> None:
        """2.31: the next block, please."""
        exchange, upload.exchange = upload.exchange, None
        assert exchange is not None, "a block is answered once"
        exchange.upload = None
        self._respond(exchange, _CONTINUE, now)

    def _reserve(self, upload: Upload, count: int, now: float) -> bool:
        """Count this many bytes for a body; False if there is no room for them."""
        more = count - upload.counted
        if more > 0:
            if not self._storage.reserve(upload.peer, more, now):
                return False
            upload.counted = count
        return True

    def _no_room(self, upload: Upload, exchange: Exchange, now: float) -> None:
        self._drop(upload, "there is no room for it", now)
        self._counters.refused += 1
        retry_after = self._limits.retry_after
        self._respond(exchange, Response(Code.SERVICE_UNAVAILABLE, max_age=retry_after), now)

    def _busy(self, exchange: Exchange, now: float) -> None:
        """A client that does not wait for the answer to a block must send the next one again."""
        self._respond(exchange, Response(Code.SERVICE_UNAVAILABLE, max_age=1), now)

    def _refuse(self, upload: Upload, exchange: Exchange, now: float) -> None:
        self._drop(upload, "it is too long", now)
        most = self._limits.body_size
        options = Options.build(size1=most)
        text = f"a body may have {most} bytes"
        self._respond(exchange, Response(Code.REQUEST_ENTITY_TOO_LARGE, text, options=options), now)

    def _drop(self, upload: Upload, reason: str, now: float) -> None:
        """It will never be whole. A block that is not answered yet is answered by its owner."""
        self._end(upload, now)
        if upload.streamed:
            self._events.append(UploadEnded(upload, reason))

    def _expire(self, upload: Upload, now: float) -> None:
        if upload.exchange is None:
            self._drop(upload, "its client has fallen silent", now)
        else:  # it waits for the application, not for its client
            upload.used = now
            self._storage.age(upload, self._expire)

    def _end(self, upload: Upload, now: float) -> None:
        if upload.over:
            return
        upload.over = True
        peer = upload.peer
        held = self._storage.held(peer)
        if held.uploads.get(upload.key) is upload:
            del held.uploads[upload.key]
        self._storage.no_longer_ages(upload)
        self._storage.give_back(peer, upload.counted)
        upload.counted = 0
        self._storage.release(peer, now)


def _of(exchange: Exchange) -> Upload:
    assert exchange.upload is not None, "only the first block of a body asks for this"
    return exchange.upload


def _fits(payload: bytes, block: Block) -> bool:
    """Every block but the last one is full (RFC 7959 section 2.2)."""
    return len(payload) == block.size if block.more else len(payload) <= block.size


def _wrong_size(block: Block) -> Response:
    return Response(Code.BAD_REQUEST, f"a block of this body has {block.size} bytes")


def _incomplete(text: str) -> Response:
    return Response(Code.REQUEST_ENTITY_INCOMPLETE, text)
