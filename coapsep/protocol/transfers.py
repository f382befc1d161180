"""Our requests whose bodies take more than one message (RFC 7959): block after block, in order.

One request stays one exchange. Between two of its messages it goes to the end of its peer's
queue; each message has a token of its own. What comes back is one response, whole or not at
all: blocks that do not fit together are never shown. A request of one message that has a
response of one message is not seen here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import attrs

from coapsep.message.block import MAX_BLOCKS, Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import SAFE, Code, OptionNumber
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    Event,
    Failure,
    Progressed,
    RequestBodyWanted,
    RequestFailed,
    ResponseBodyReceived,
    ResponseReceived,
)
from coapsep.protocol.records import ClientExchange, Stage
from coapsep.protocol.transfer_state import WHOLE, Handling, Transfer
from coapsep.protocol.turns import Turns, asked_of

#: The largest block there is: without a word from us, a server may send such ones.
_LARGEST = 1024
#: How often a body that changes meanwhile is fetched anew.
_RESTARTS = 3
#: How often one is sent anew because the server has lost blocks (4.08).
_BEGUN_AGAIN = 2

#: Errors that may be answered with another message of the same request.
_ASK_FOR_MORE = frozenset({Code.UNAUTHORIZED, Code.REQUEST_ENTITY_TOO_LARGE})

#: How an exchange ends well.
Ending: TypeAlias = ResponseReceived | RequestFailed | ResponseBodyReceived


def may_go_on(response: Message) -> bool:
    """Whether this response may be answered with another message of the same request."""
    return bool(response.options.critical) or response.code in _ASK_FOR_MORE


class Transfers:
    """The rules for every exchange that has a Transfer."""

    def __init__(
        self,
        tuning: Tuning,
        limits: Limits,
        turns: Turns,
        events: list[Event],
        end: Callable[[Ending, float], None],
        fail: Callable[[ClientExchange, Failure, str, float], None],
        stop_observing: Callable[[ClientExchange], None],
    ) -> None:
        self._tuning = tuning
        self._limits = limits
        self._turns = turns
        self._events = events
        self._end = end
        self._fail = fail
        self._stop_observing = stop_observing
        #: Bytes of bodies that are not whole yet.
        self.bytes: int = 0

    # -- from the application --------------------------------------------------------

    def plan(self, options: Options, payload: bytes, handling: Handling) -> Transfer | None:
        """What is to be known of a new request; None for a plain one, as most are."""
        largest = handling.block_size or self._tuning.block_size
        if handling is WHOLE and len(payload) <= largest == _LARGEST:
            return None
        return self._new(options, payload, handling)

    def plan_fetch(self, observing: ClientExchange, options: Options) -> Transfer:
        """What is to be known of a request for the rest of a notification to this one."""
        handling = WHOLE if observing.transfer is None else observing.transfer.handling
        transfer = self._new(options, observing.message.payload, handling)
        transfer.uploaded = True
        return transfer

    def start(self, exchange: ClientExchange, now: float) -> None:
        """Send the first message of an exchange that is PAUSED, or ask for its body."""
        assert exchange.transfer is not None, "it was planned"
        self._send(exchange, exchange.transfer, now)

    def supply(self, exchange: ClientExchange, data: bytes, *, last: bool, now: float) -> None:
        """The application has produced what RequestBodyWanted asked for."""
        transfer = exchange.transfer
        if exchange.stage is Stage.OVER or transfer is None or not transfer.wanted:
            return
        assert isinstance(transfer.data, bytearray), "only a stream is asked for more"
        transfer.wanted = False
        transfer.data += data
        transfer.complete = last
        self._send(exchange, transfer, now)

    def consumed(self, exchange: ClientExchange, now: float) -> None:
        """The application has taken a part of a streamed response: ask for the next one."""
        transfer = exchange.transfer
        if exchange.stage is Stage.PAUSED and transfer is not None and transfer.received:
            self._ask_next(exchange, transfer, now)

    def forget(self, exchange: ClientExchange) -> None:
        """The exchange is over: its bodies take no room any more."""
        transfer = exchange.transfer
        if transfer is None:
            return
        self._drop_body(transfer)
        uploads = asked_of(exchange).uploads
        if transfer.key is not None and uploads.get(transfer.key) is exchange:
            del uploads[transfer.key]

    # -- from the network ------------------------------------------------------------

    def receive(self, exchange: ClientExchange, response: Message, now: float) -> None:
        """A response to the last message; it may not be the last one."""
        transfer = exchange.transfer
        if transfer is None:
            request = exchange.message
            transfer = exchange.transfer = self._new(request.options, request.payload, WHOLE)
        options = response.options
        transfer.echo = options.echo
        if response.code is Code.UNAUTHORIZED and options.echo is not None and not transfer.echoed:
            # The server wants to know that the request is fresh (RFC 9175 section 2.3).
            transfer.echoed = True
            request = exchange.message
            self._ask(exchange, transfer, request.options, request.payload, now)
            return
        transfer.echoed = False
        if transfer.is_single:
            self._finish(exchange, transfer, response, response.payload, now)
            return
        for block in (options.block1, options.block2):
            if block is not None and not block.is_valid:
                self._fail(exchange, Failure.BAD_BLOCK, "size exponent 7 is reserved", now)
                return
        if transfer.uploaded or not self._upload_goes_on(exchange, transfer, response, now):
            self._download(exchange, transfer, response, now)

    # -- the body that goes ----------------------------------------------------------

    def _send(self, exchange: ClientExchange, transfer: Transfer, now: float) -> None:
        """Send the next block of our body, or all of it if it fits into one message."""
        size, left = transfer.size, transfer.end - transfer.sent
        if not transfer.complete and left <= size:
            # Whether more blocks follow is to be said in each of them.
            if not transfer.wanted:
                transfer.wanted = True
                self._turns.rest(exchange, Stage.PAUSED, now)
                self._events.append(RequestBodyWanted(exchange))
            return
        options, block, more = transfer.options, None, False
        if transfer.is_single or (left <= size and not transfer.sent and not transfer.smaller):
            payload = bytes(transfer.data)
        else:
            number, more = transfer.sent // size, left > size
            if number >= MAX_BLOCKS:
                self._fail(exchange, Failure.BAD_BLOCK, _too_many(size), now)
                return
            block = Block(number, more, size)
            if number == 0:
                options = self._claim(exchange, transfer)
                if not transfer.handling.upload_streams:
                    options = options.replace(OptionNumber.SIZE1, transfer.end)
            else:
                options = options.without(OptionNumber.SIZE1)
            at = transfer.sent - transfer.start
            payload = bytes(transfer.data[at : at + size])
        transfer.block = block
        if not transfer.is_single:
            # Early negotiation (RFC 7959 section 2.4).
            early = Block(0, False, transfer.largest) if transfer.largest < _LARGEST else None
            options = options.with_blocks(block, None if more else early)
        self._ask(exchange, transfer, options, payload, now)

    def _upload_goes_on(
        self, exchange: ClientExchange, transfer: Transfer, response: Message, now: float
    ) -> bool:
        """Whether our body, or a block of it, is sent because of this response, or it failed."""
        code, block1, sent = response.code, response.options.block1, transfer.block
        if code is Code.REQUEST_ENTITY_TOO_LARGE and block1 is not None:
            if self._may_be_smaller(transfer, block1):
                transfer.smaller = True
                transfer.size = min(transfer.size, block1.size)
                self._send(exchange, transfer, now)
                return True
        elif sent is None:
            pass  # it was whole
        elif code is Code.REQUEST_ENTITY_INCOMPLETE:
            if transfer.begun_again < _BEGUN_AGAIN and not transfer.start:
                transfer.begun_again += 1
                transfer.sent = 0
                self._send(exchange, transfer, now)
                return True
        elif code.is_success and block1 is not None and block1.number != sent.number:
            detail = f"block {sent.number} was sent, and {block1.number} acknowledged"
            self._fail(exchange, Failure.BAD_BLOCK, detail, now)
            return True
        elif code is Code.CONTINUE or (code.is_success and sent.more):
            # A server may also act on each block by itself, and answer so (figure 9). One that
            # does not name the block has taken a part for the whole.
            if block1 is None or not sent.more:
                detail = f"{code} to block {sent.number}, which it does not acknowledge"
                self._fail(exchange, Failure.BAD_BLOCK, detail, now)
                return True
            transfer.size = min(transfer.size, block1.size)
            self._sent(exchange, transfer)
            self._send(exchange, transfer, now)
            return True
        transfer.uploaded = True
        if code.is_success:
            self._sent(exchange, transfer)
        return False

    def _may_be_smaller(self, transfer: Transfer, asked: Block) -> bool:
        """Whether a 4.13 asks for something that was not tried (RFC 7959 section 2.9.3)."""
        if transfer.smaller or transfer.sent or not transfer.data:
            return False
        return transfer.block is None or asked.size < transfer.block.size

    def _sent(self, exchange: ClientExchange, transfer: Transfer) -> None:
        """The server has what was in the last message."""
        transfer.sent += len(exchange.message.payload)
        if transfer.handling.upload_streams and isinstance(transfer.data, bytearray):
            del transfer.data[: transfer.sent - transfer.start]
            transfer.start = transfer.sent
        self._tell(exchange, transfer)

    def _claim(self, exchange: ClientExchange, transfer: Transfer) -> Options:
        """Keep it apart from others that look the same to the server (RFC 9175 section 3.3)."""
        if transfer.key is None:
            asked, code = asked_of(exchange), exchange.message.code
            key = code, transfer.options.matchable
            while key in asked.uploads:
                asked.tags += 1
                tag = asked.tags.to_bytes((asked.tags.bit_length() + 7) // 8, "big")
                transfer.options = transfer.options.replace(OptionNumber.REQUEST_TAG, tag)
                key = code, transfer.options.matchable
            asked.uploads[key] = exchange
            transfer.key = key
        return transfer.options

    # -- the body that comes ---------------------------------------------------------

    def _download(
        self, exchange: ClientExchange, transfer: Transfer, response: Message, now: float
    ) -> None:
        first, block, payload = transfer.first, response.options.block2, response.payload
        if first is None:
            if block is None:
                self._finish(exchange, transfer, response, payload, now)
                return
        elif not response.code.is_success and first.code.is_success:
            self._give_up(exchange, transfer, response, now)
            return
        elif block is None or not _are_alike(first, response):
            self._changed(exchange, transfer, now)
            return
        if block.start != transfer.received:
            detail = f"byte {block.start} came, and byte {transfer.received} was asked for"
            self._fail(exchange, Failure.BAD_BLOCK, detail, now)
        elif len(payload) != block.size if block.more else len(payload) > block.size:
            detail = f"{len(payload)} bytes in block {block}"
            self._fail(exchange, Failure.BAD_BLOCK, detail, now)
        elif detail := self._no_room(transfer, response):
            self._fail(exchange, Failure.BODY_TOO_LARGE, detail, now)
        else:
            self._take(exchange, transfer, response, block, now)

    def _take(
        self,
        exchange: ClientExchange,
        transfer: Transfer,
        response: Message,
        block: Block,
        now: float,
    ) -> None:
        """A block that is the next one."""
        payload, is_first = response.payload, transfer.first is None
        first = transfer.first = transfer.first or response
        transfer.largest = min(transfer.largest, block.size)
        transfer.received += len(payload)
        if not block.more and is_first:
            self._finish(exchange, transfer, response, payload, now)
        elif transfer.handling.download_streams:
            self._tell(exchange, transfer)
            shown = _without_blocks(first) if is_first else None
            if block.more:
                self._turns.rest(exchange, Stage.PAUSED, now)
                self._events.append(ResponseBodyReceived(exchange, shown, payload, False))
            else:
                self._end(ResponseBodyReceived(exchange, shown, payload, True), now)
        else:
            transfer.body += payload
            self.bytes += len(payload)
            self._tell(exchange, transfer)
            if block.more:
                self._ask_next(exchange, transfer, now)
            else:
                whole = attrs.evolve(_without_blocks(first), payload=bytes(transfer.body))
                self._end(ResponseReceived(exchange, whole), now)

    def _ask_next(self, exchange: ClientExchange, transfer: Transfer, now: float) -> None:
        """Ask for the block that begins where what is here ends."""
        size = transfer.largest
        number = transfer.received // size
        if number >= MAX_BLOCKS:
            self._fail(exchange, Failure.BAD_BLOCK, _too_many(size), now)
            return
        self._stop_observing(exchange)
        options = transfer.options.without(OptionNumber.OBSERVE, OptionNumber.SIZE1)
        options = options.with_blocks(None, Block(number, False, size))
        # What a FETCH asks for is in its payload; that of any other method was processed.
        again = exchange.message.code is Code.FETCH and transfer.block is None
        self._ask(exchange, transfer, options, bytes(transfer.data) if again else b"", now)

    def _give_up(
        self, exchange: ClientExchange, transfer: Transfer, response: Message, now: float
    ) -> None:
        """An error in place of a block: it is the response, unless another one was shown."""
        if transfer.handling.download_streams:
            self._fail(exchange, Failure.INCOMPLETE, str(response.code), now)
        else:
            self._finish(exchange, transfer, response, response.payload, now)

    def _changed(self, exchange: ClientExchange, transfer: Transfer, now: float) -> None:
        """This block is of another body than those before it: begin again, where that is safe."""
        if (
            exchange.message.code not in SAFE
            or transfer.restarts >= _RESTARTS
            or transfer.handling.download_streams
            or transfer.start
        ):
            self._fail(exchange, Failure.BODY_CHANGED, "", now)
            return
        transfer.restarts += 1
        self._drop_body(transfer)
        transfer.first = None
        transfer.received = transfer.sent = 0
        transfer.uploaded = False
        self._send(exchange, transfer, now)

    def _no_room(self, transfer: Transfer, response: Message) -> str:
        """Why this block cannot be kept; "" if it can."""
        if transfer.handling.download_streams:
            return ""
        limits, count = self._limits, len(response.payload)
        if max(transfer.received + count, response.options.size2 or 0) > limits.body_size:
            return f"it has more than {limits.body_size} bytes (Limits.body_size)"
        if self.bytes + count > limits.body_bytes:
            return f"all bodies have more than {limits.body_bytes} bytes (Limits.body_bytes)"
        return ""

    # -- both ------------------------------------------------------------------------

    def _new(self, options: Options, payload: bytes, handling: Handling) -> Transfer:
        return Transfer.begin(options, payload, handling, self._tuning.block_size)

    def _ask(
        self,
        exchange: ClientExchange,
        transfer: Transfer,
        options: Options,
        payload: bytes,
        now: float,
    ) -> None:
        """Another message, as soon as it is its turn."""
        if transfer.echo is not None:
            options = options.replace(OptionNumber.ECHO, transfer.echo)
        self._turns.again(exchange, options, payload, now)

    def _finish(
        self,
        exchange: ClientExchange,
        transfer: Transfer,
        response: Message,
        payload: bytes,
        now: float,
    ) -> None:
        """It is over with a response of one message."""
        transfer.received = len(payload)
        if not transfer.is_single:
            response = _without_blocks(response)
        self._tell(exchange, transfer)
        if transfer.handling.download_streams:
            self._end(ResponseBodyReceived(exchange, response, payload, True), now)
        else:
            self._end(ResponseReceived(exchange, response), now)

    def _tell(self, exchange: ClientExchange, transfer: Transfer) -> None:
        if transfer.handling.progress:
            self._events.append(Progressed(exchange, transfer.progress))

    def _drop_body(self, transfer: Transfer) -> None:
        self.bytes -= len(transfer.body)
        transfer.body = bytearray()


def _without_blocks(response: Message) -> Message:
    return attrs.evolve(response, options=response.options.with_blocks(None, None))


def _are_alike(first: Message, response: Message) -> bool:
    """Whether both have blocks of the same body (RFC 7959 section 2.4)."""
    return response.code is first.code and response.options.etags == first.options.etags


def _too_many(size: int) -> str:
    return f"a body has at most {MAX_BLOCKS} blocks, of {size} bytes here"
