"""Whatever a server does with blocks, a body arrives whole or not at all (RFC 7959).

The server here speaks the protocol, and now and then it does not: it chooses its own sizes, loses
what it has, changes its mind, and sends blocks that nobody asked for.
"""

from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coapsep.message.block import Block
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import BLOCK_SIZES, Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import (
    RequestBodyWanted,
    RequestFailed,
    ResponseBodyReceived,
    ResponseReceived,
)
from coapsep.protocol.transfer_state import Handling
from tests.unit.scenario import Scenario

#: More messages than any of these transfers takes.
_ENOUGH = 3000

sizes = st.sampled_from(BLOCK_SIZES[:5])
lengths = st.one_of(
    st.integers(0, 300), st.sampled_from([15, 16, 17, 255, 256, 257, 1023, 1024, 1025, 1100])
)


@attrs.define
class Serving:
    """The other end: it takes a body, and answers with another one."""

    body: bytes
    rng: random.Random
    size: int
    wrong: float
    """How often it does what it should not."""
    got: bytes = b""
    uploads: list[bytes] = attrs.Factory(list)
    """All that it took for whole."""
    versions: list[bytes] = attrs.Factory(list)
    """All that it ever had."""

    def answer(self, request: Message) -> Message:
        """The response to one message."""
        response = self._answer(request)
        if self.rng.random() < self.wrong:
            return self._spoilt(response)
        return response

    def _answer(self, request: Message) -> Message:
        block1, block2 = request.options.block1, request.options.block2
        if block2 is not None and block2.number:
            return self._block(request, block2)
        if block1 is None:
            self.uploads.append(request.payload)
            return self._block(request, block2 or Block(0, False, 1024))
        if block1.number == 0:
            self.got = b""
        if block1.start != len(self.got):
            return self._say(request, Code.REQUEST_ENTITY_INCOMPLETE, Options.build(block1=block1))
        if block1.number == 0 and block1.size > self.size and self.rng.random() < 0.5:
            wish = Options.build(block1=Block(0, block1.more, self.size))
            return self._say(request, Code.REQUEST_ENTITY_TOO_LARGE, wish)
        self.got += request.payload
        size = min(block1.size, self.rng.choice((self.size, 1024)))
        if block1.more:
            answer = Options.build(block1=Block(block1.number, True, size))
            return self._say(request, Code.CONTINUE, answer)
        self.uploads.append(self.got)
        response = self._block(request, block2 or Block(0, False, 1024))
        return attrs.evolve(
            response, options=Options([*response.options, *Options.build(block1=block1)])
        )

    def _block(self, request: Message, asked: Block) -> Message:
        size = min(asked.size, self.size)
        start = asked.start
        part, more = self.body[start : start + size], start + size < len(self.body)
        if start and start >= len(self.body):
            return self._say(request, Code.BAD_REQUEST, Options())
        options = Options.build(
            block2=Block(start // size, more, size),
            etags=[len(self.versions).to_bytes(2, "big")],
            size2=len(self.body) if not start else None,
        )
        return self._say(request, Code.CONTENT, options, part)

    def _say(self, request: Message, code: Code, options: Options, payload: bytes = b"") -> Message:
        kind, mid = Type.ACK, request.mid
        if request.type is Type.NON:
            kind, mid = Type.NON, self.rng.getrandbits(16)
        return Message(code, kind, mid, request.token, options, payload)

    def _spoilt(self, response: Message) -> Message:
        """Something is wrong with it, or from now on with the body."""
        options, payload = response.options, response.payload
        what = self.rng.randrange(6)
        if what == 0:
            self.change()
        elif what == 1:
            payload = payload[:-1]
        elif what == 2:
            payload += b"!"
        elif what == 3 and options.block2 is not None:
            other = Block(options.block2.number + 1, options.block2.more, options.block2.size)
            options = options.replace(23, other.value)
        elif what == 4 and options.block1 is not None:
            other = Block(options.block1.number + 1, options.block1.more, options.block1.size)
            options = options.replace(27, other.value)
        elif what == 5:
            self.got = b""
        return attrs.evolve(response, options=options, payload=payload)

    def change(self) -> None:
        """Its body is another one from now on, and has another ETag."""
        self.body = self.rng.randbytes(self.rng.choice((10, len(self.body), 700)))
        self.versions.append(self.body)


def serve(s: Scenario, server: Serving) -> None:
    """Answer what has left until nothing leaves any more."""
    for _ in range(_ENOUGH):
        messages = [message for message in s.sent() if message.code.is_request]
        if not messages:
            return
        for message in messages:
            s.receive(server.answer(message))
    raise AssertionError("it does not end")


@settings(max_examples=300)
@given(
    seed=st.integers(0, 1 << 32),
    code=st.sampled_from([Code.GET, Code.POST, Code.FETCH]),
    kind=st.sampled_from([Type.CON, Type.NON]),
    ours=sizes,
    theirs=sizes,
    up=lengths,
    down=lengths,
    wrong=st.sampled_from([0.0, 0.0, 0.03, 0.3]),
)
def test_a_body_arrives_whole_or_not_at_all(
    seed: int, code: Code, kind: Type, ours: int, theirs: int, up: int, down: int, wrong: float
) -> None:
    rng = random.Random(seed)
    s = Scenario(Tuning(block_size=ours, probing_rate=1e9), serves=False)
    payload = b"" if code is Code.GET else rng.randbytes(up)
    server = Serving(rng.randbytes(down), rng, theirs, wrong)
    server.versions.append(server.body)
    exchange = s.ask(kind, code=code, payload=payload)
    serve(s, server)
    [event] = s.events()
    if isinstance(event, ResponseReceived) and event.message.code is Code.CONTENT:
        if not wrong:  # a payload that lost its end in a single block is as good as another
            assert event.message.payload == server.body
            assert server.uploads == [payload]
        elif event.message.options.size2 == len(event.message.payload) > 1024:
            assert event.message.payload in server.versions
        assert set(server.uploads) == {payload}
        if code is Code.POST:
            assert len(server.uploads) == 1
    else:
        assert wrong
        assert isinstance(event, ResponseReceived | RequestFailed)
    assert event.exchange is exchange
    assert s.nothing_left()


@settings(max_examples=200)
@given(
    seed=st.integers(0, 1 << 32),
    ours=sizes,
    theirs=sizes,
    pieces=st.lists(st.integers(0, 200), max_size=8),
    down=lengths,
    wrong=st.sampled_from([0.0, 0.03, 0.3]),
)
def test_streams_are_whole_or_fail(
    seed: int, ours: int, theirs: int, pieces: list[int], down: int, wrong: float
) -> None:
    rng = random.Random(seed)
    s = Scenario(Tuning(block_size=ours), Limits(body_size=1), serves=False)
    parts = [rng.randbytes(piece) for piece in pieces]
    server = Serving(rng.randbytes(down), rng, theirs, wrong)
    server.versions.append(server.body)
    handling = Handling(upload_streams=True, download_streams=True)
    exchange = s.ask(code=Code.POST, handling=handling)
    payload, shown, over = b"".join(parts), b"", False
    for _ in range(_ENOUGH):
        for event in s.events():
            assert not over
            if isinstance(event, RequestBodyWanted):
                part = parts.pop(0) if parts else b""
                s.supply_request(exchange, part, last=not parts)
            elif isinstance(event, ResponseBodyReceived):
                assert (event.message is not None) == (shown == b"")
                shown += event.data
                over = event.last
                s.consumed(exchange)
            else:
                assert wrong
                assert isinstance(event, RequestFailed)
                over = True
        serve(s, server)
        if over:
            break
    assert over
    if not wrong:
        assert shown == server.body
        assert server.uploads == [payload]
    assert s.core.statistics().body_bytes == 0
    assert s.nothing_left()


@pytest.mark.parametrize("size", BLOCK_SIZES)
def test_every_size_of_block(size: int) -> None:
    rng = random.Random(size)
    body = rng.randbytes(5000)
    s = Scenario(Tuning(block_size=size), serves=False)
    server = Serving(body, rng, 1024, 0.0)
    server.versions.append(body)
    exchange = s.ask(code=Code.POST, payload=body[::-1])
    serve(s, server)
    assert s.response(exchange).payload == body
    assert server.uploads == [body[::-1]]
