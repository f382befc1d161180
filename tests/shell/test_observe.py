"""Observe (RFC 7641), as handlers see it: asked again, or generators that go on."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Code,
    Limits,
    Message,
    NotFound,
    Options,
    PreconditionFailed,
    Request,
    Response,
    Router,
    Server,
    StreamingResponse,
    Tuning,
    Type,
    open_server,
)
from coapsep.message.block import Block
from coapsep.testing import Network
from tests.shell.blocks import Asker
from tests.shell.peer import SERVER, Peer, open_peer


class Sensor:
    """A resource with a state, and a count of who has asked for it."""

    def __init__(self, router: Router, path: str = "/sensor", takes: float = 0.0) -> None:
        self.state: Any = b"0"  # rubbish, too
        self.takes = takes
        self.asked = 0
        self.queries: list[tuple[str, ...]] = []
        router.get(path, observable=True)(self.read if takes else self.read_now)

    def read_now(self, request: Request) -> Any:
        self.asked += 1
        self.queries.append(request.query)
        if isinstance(self.state, Exception):
            raise self.state
        return self.state

    async def read(self, request: Request) -> Any:
        state = self.read_now(request)
        await trio.sleep(self.takes)
        return state


@pytest.fixture
def sensor(router: Router) -> Sensor:
    return Sensor(router)


@pytest.fixture
async def asker(server: Server, peer: Peer) -> Asker:
    return Asker(peer)


async def told(asker: Asker, token: bytes = b"obs") -> Message:
    """The next notification, which is acknowledged."""
    message = await asker.peer.receive()
    assert message.token == token
    if message.type is Type.CON:
        asker.peer.ack(message)
    return message


async def observe(asker: Asker, path: str = "/sensor", **parts: object) -> Message:
    """Register; returns the answer."""
    answer = await asker.ask(path, **{"observe": 0, "token": b"obs", **parts})
    if answer.code is Code.CONTENT:
        assert answer.options.observe is not None
    return answer


async def silent(asker: Asker, seconds: float = 5) -> bool:
    await asker.peer.expect_silence(seconds)
    return True


# -- notify --------------------------------------------------------------------------------------


@pytest.mark.parametrize("takes", [0.0, 0.05, 5.0])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_who_observes_is_told(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    takes: float,
    kind: Type,
) -> None:
    sensor = Sensor(router, takes=takes)
    answer = await observe(asker, kind=kind)
    assert answer.payload == b"0"
    numbers = [answer.options.observe]
    for state in (b"1", b"2"):
        await trio.sleep(10)
        sensor.state = state
        server.notify("/sensor")
        notification = await told(asker)
        assert notification.payload == state
        numbers.append(notification.options.observe)
    assert numbers == sorted(numbers, key=lambda number: number or 0)
    assert len(set(numbers)) == 3
    answer = await asker.ask("/sensor", observe=1, token=b"obs")
    assert answer.options.observe is None
    server.notify("/sensor")
    assert await silent(asker, 20)
    assert server.statistics().observers == 0


async def test_who_does_not_observe_is_not_told(
    autojump_clock: MockClock, router: Router, server: Server, sensor: Sensor, asker: Asker
) -> None:
    router.get("/plain")(lambda request: b"plain")
    router.post("/sensor")(lambda request: b"posted")
    for path, code, number in [
        ("/sensor", Code.GET, None),
        ("/sensor", Code.GET, 1),
        ("/plain", Code.GET, 0),
        ("/sensor", Code.POST, 0),
    ]:
        answer = await asker.ask(path, code=code, observe=number)
        assert answer.options.observe is None
    server.notify("/sensor")
    server.notify("/plain")
    assert await silent(asker)
    assert server.statistics().observers == 0


async def test_the_handler_runs_once_for_all_who_ask_the_same(
    autojump_clock: MockClock, network: Network, server: Server, sensor: Sensor, asker: Asker
) -> None:
    async with open_peer(network, "10.0.0.3") as other:
        others = Asker(other)
        await observe(asker)
        await observe(others)
        await observe(asker, token=b"b", uri_query=["unit=f"])
        assert sensor.asked == 3
        sensor.state = b"1"
        server.notify("/sensor")
        messages = [await asker.peer.receive() for _ in range(2)]
        assert {message.token for message in messages} == {b"obs", b"b"}
        assert {message.payload for message in messages} == {b"1"}
        assert (await told(others)).payload == b"1"
        assert sorted(sensor.queries[3:]) == [(), ("unit=f",)]


async def test_calls_in_a_row_count_as_one(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    await observe(asker)
    for number in range(10):
        sensor.state = b"%d" % number
        server.notify("/sensor")
    assert (await told(asker)).payload == b"9"
    assert await silent(asker)
    assert sensor.asked == 2


async def test_a_change_while_the_handler_is_asked(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """It is asked once more, whatever it makes of the first call."""
    sensor = Sensor(router, takes=2.0)
    await observe(asker)
    sensor.state = b"1"
    server.notify("/sensor")
    await trio.sleep(1)
    sensor.state = b"2"
    server.notify("/sensor")
    server.notify("/sensor")
    assert [(await told(asker)).payload for _ in range(2)] == [b"1", b"2"]
    assert await silent(asker)
    assert sensor.asked == 3


@pytest.mark.parametrize("takes", [0.05, 5.0])
async def test_a_change_while_the_first_response_is_made(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker, takes: float
) -> None:
    """Whoever registers meanwhile must not be left with the old state (section 1.3)."""
    sensor = Sensor(router, takes=takes)
    request = asker.send("/sensor", observe=0, token=b"obs")
    await trio.sleep(takes / 2)
    sensor.state = b"1"
    server.notify("/sensor")
    assert (await asker.answer(request)).payload == b"0"
    assert (await told(asker)).payload == b"1"
    assert await silent(asker, 20)


async def test_a_change_while_a_pending_request_waits_to_be_an_observer(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    state = b"0"

    @router.get("/slow", observable=True)
    async def slow(request: Request) -> bytes | None:
        if request.pending is None:
            request.asyncs.register_async(request, delay=10)
            return None
        now = state
        await trio.sleep(2)
        return now

    request = asker.send("/slow", observe=0, token=b"obs")
    await trio.sleep(11)
    state = b"1"
    server.notify("/slow")
    answer = await asker.answer(request)
    assert (answer.payload, answer.options.observe is not None) == (b"0", True)
    assert (await told(asker)).payload == b"1"  # after ten more seconds


async def test_many_paths_are_notified_while_a_response_is_made(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """What is remembered of them is bounded; it errs on the side of one too many."""
    sensor = Sensor(router, takes=5)
    request = asker.send("/sensor", observe=0, token=b"obs")
    await trio.sleep(1)
    sensor.state = b"1"
    server.notify("/sensor")
    for number in range(5000):
        server.notify(f"/other/{number}")
    assert (await asker.answer(request)).payload == b"0"
    assert (await told(asker)).payload == b"1"


async def test_a_change_before_the_request_is_no_news(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    sensor = Sensor(router, takes=5)
    server.notify("/sensor")
    await observe(asker)
    assert await silent(asker, 20)
    assert sensor.asked == 1


async def test_paths(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    named = Sensor(router, "/rooms/{room}")
    await observe(asker, "/rooms/kitchen")
    for path in ("/rooms/bath", "/rooms/{room}", "/rooms", "/nothing", "/"):
        server.notify(path)
    assert await silent(asker)
    assert named.asked == 1
    server.notify("/rooms/kitchen")
    await told(asker)
    with pytest.raises(ValueError, match="slash"):
        server.notify("rooms")


@pytest.mark.parametrize("uri_path", [[], [""]])
async def test_the_root(
    autojump_clock: MockClock, router: Router, server: Server, peer: Peer, uri_path: list[str]
) -> None:
    """With and without the empty segment it is one URI (RFC 7252 section 6.5)."""
    Sensor(router, "/")
    options = Options.build(uri_path=uri_path, observe=0)
    peer.again(Message(Code.GET, Type.CON, 1, b"obs", options))
    answer = await peer.receive()
    assert answer.options.observe is not None
    server.notify("/")
    assert (await told(Asker(peer))).payload == b"0"


async def test_after_the_server_has_stopped(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    Sensor(router)
    async with open_server(router, transport=network.bind(SERVER)) as server:
        await observe(Asker(peer))
    for path in ("/sensor", "/nobody"):
        with pytest.raises(trio.ClosedResourceError):
            server.notify(path)


async def test_drain_tells_observers(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    await observe(asker)
    await observe(asker, token=b"b")
    await server.drain()
    for token in (b"obs", b"b"):
        goodbye = await told(asker, token)
        assert (goodbye.type, goodbye.code) == (Type.NON, Code.SERVICE_UNAVAILABLE)
        assert goodbye.options.observe is None


# -- the end of one ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (NotFound("gone"), Code.NOT_FOUND),
        (Response(Code.FORBIDDEN), Code.FORBIDDEN),
        (ValueError("bug"), Code.INTERNAL_SERVER_ERROR),
        (17, Code.INTERNAL_SERVER_ERROR),
        (None, Code.INTERNAL_SERVER_ERROR),
        (Response(Code.CONTENT, b"x", content_format=50), Code.NOT_ACCEPTABLE),
    ],
)
async def test_an_error_ends_it(
    autojump_clock: MockClock,
    server: Server,
    sensor: Sensor,
    asker: Asker,
    caplog: pytest.LogCaptureFixture,
    state: object,
    code: Code,
) -> None:
    caplog.set_level(logging.CRITICAL)
    await observe(asker)
    sensor.state = state
    server.notify("/sensor")
    last = await told(asker)
    assert (last.type, last.code, last.options.observe) == (Type.CON, code, None)
    sensor.state = b"1"
    server.notify("/sensor")
    assert await silent(asker)
    assert server.statistics().observers == 0


async def test_a_stream_cannot_be_observed(
    autojump_clock: MockClock,
    server: Server,
    sensor: Sensor,
    asker: Asker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)

    async def body() -> AsyncGenerator[bytes, None]:
        yield b"body"

    sensor.state = StreamingResponse(body())
    answer = await asker.ask("/sensor", observe=0, token=b"obs")
    assert (answer.payload, answer.options.observe) == (b"body", None)
    assert server.statistics().observers == 0
    sensor.state = b"0"
    await observe(asker)
    sensor.state = StreamingResponse(body())
    server.notify("/sensor")
    assert (await told(asker)).code is Code.INTERNAL_SERVER_ERROR


def test_a_body_that_is_read_as_it_comes_cannot_be_observed(router: Router) -> None:
    with pytest.raises(ValueError, match="not there again"):
        router.fetch("/x", observable=True, stream=True)(lambda request: b"")


@pytest.mark.parametrize("confirm_every", [1, 100])
async def test_rst_ends_it(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer, confirm_every: int
) -> None:
    Sensor(router)
    tuning = Tuning(confirm_every=confirm_every)
    async with open_server(router, transport=network.bind(SERVER), tuning=tuning) as server:
        asker = Asker(peer)
        await observe(asker)
        server.notify("/sensor")
        await told(asker)  # from now on it is known to be there
        await trio.sleep(5)
        server.notify("/sensor")
        notification = await peer.receive()
        assert notification.type is (Type.CON if confirm_every == 1 else Type.NON)
        peer.reset(notification)
        await trio.sleep(1)
        assert server.statistics().observers == 0


async def test_a_client_that_does_not_acknowledge(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    await observe(asker)
    server.notify("/sensor")
    await trio.sleep(30)
    sensor.state = b"1"
    server.notify("/sensor")
    await trio.sleep(100)
    assert server.statistics().observers == 0
    messages = [await asker.peer.receive() for _ in range(5)]
    payloads = [message.payload for message in messages]
    assert payloads == sorted(payloads)
    assert set(payloads) == {b"0", b"1"}
    assert await silent(asker)


async def test_the_token_goes_to_something_that_cannot_be_observed(
    autojump_clock: MockClock, router: Router, server: Server, sensor: Sensor, asker: Asker
) -> None:
    """The client would take a notification for the answer to its new request."""
    router.get("/plain")(lambda request: b"plain")
    await observe(asker)
    assert (await asker.ask("/plain", token=b"obs", observe=0)).payload == b"plain"
    server.notify("/sensor")
    assert await silent(asker)


async def test_whoever_ends_while_the_handler_is_asked(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    sensor = Sensor(router, takes=2)
    await observe(asker)
    await observe(asker, token=b"b")
    sensor.state = b"1"
    server.notify("/sensor")
    await trio.sleep(1)
    asker.send("/sensor", observe=1, token=b"obs", kind=Type.NON)
    assert (await told(asker, b"b")).payload == b"1"
    assert (await told(asker)).options.observe is None
    assert await silent(asker)


# -- what is asked for beside it -----------------------------------------------------------------


async def test_a_long_state_is_fetched_from_what_is_kept(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    """RFC 7959 section 2.6."""
    await observe(asker)
    body = bytes(range(256)) * 10
    sensor.state = body
    server.notify("/sensor")
    first = await told(asker)
    assert first.options.block2 == Block(0, True, 1024)
    assert first.options.size2 == 2560
    asked = sensor.asked
    rest = [await asker.ask("/sensor", block2=Block(n, False, 1024)) for n in (1, 2)]
    assert first.payload + b"".join(message.payload for message in rest) == body
    assert {message.options.etags for message in (first, *rest)} == {first.options.etags}
    assert sensor.asked == asked
    assert server.statistics().observers == 1


async def test_a_later_block_registers_nobody(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    sensor.state = bytes(2000)
    answer = await asker.ask("/sensor", observe=0, block2=Block(1, False, 1024))
    assert answer.options.observe is None
    assert server.statistics().observers == 0


async def test_a_state_that_the_client_has_is_valid(
    autojump_clock: MockClock, server: Server, sensor: Sensor, asker: Asker
) -> None:
    sensor.state = Response(Code.CONTENT, b"0", etag=b"a")
    answer = await observe(asker, etags=[b"a", b"b"])
    assert (answer.code, answer.payload) == (Code.VALID, b"")
    assert answer.options.observe is not None
    for etag, code, payload in [
        (b"c", Code.CONTENT, b"0"),
        (b"b", Code.VALID, b""),
        (b"a", Code.VALID, b""),
    ]:
        sensor.state = Response(Code.CONTENT, b"0", etag=etag)
        server.notify("/sensor")
        notification = await told(asker)
        assert (notification.code, notification.payload) == (code, payload)
        assert notification.options.etags == (etag,)


async def test_a_fetch_observes_too(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """RFC 8132: what it asks for is in its payload."""
    calls: list[bytes] = []

    @router.fetch("/query", observable=True)
    def query(request: Request) -> bytes:
        calls.append(request.payload)
        assert request.observing
        return b"%d " % len(calls) + request.payload

    await observe(asker, "/query", code=Code.FETCH, payload=b"x")
    await observe(asker, "/query", code=Code.FETCH, payload=b"y", token=b"b")
    await observe(asker, "/query", code=Code.FETCH, payload=b"x", token=b"c")
    server.notify("/query")
    payloads = {t: (await asker.peer.receive()).payload for t in (b"1", b"2", b"3")}
    assert sorted(payload[-1:] for payload in payloads.values()) == [b"x", b"x", b"y"]
    assert sorted(calls[3:]) == [b"x", b"y"]


async def test_a_fetch_in_blocks_observes_too(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    @router.fetch("/query", observable=True)
    def query(request: Request) -> bytes:
        return b"%d" % len(request.payload)

    answer = await asker.upload("/query", bytes(200), code=Code.FETCH, observe=0, token=b"obs")
    assert (answer.payload, answer.options.observe is None) == (b"200", False)
    assert server.statistics().body_bytes >= 200
    server.notify("/query")
    assert (await told(asker)).payload == b"200"
    await asker.ask("/query", code=Code.FETCH, observe=1, token=b"obs")
    assert server.statistics().body_bytes == 0


async def test_a_handler_that_is_pending_in_a_notification(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    passes: list[bool] = []

    @router.get("/slow", observable=True)
    def slow(request: Request) -> bytes | None:
        passes.append(request.pending is None)
        if request.pending is None and len(passes) > 1:
            request.asyncs.register_async(request, delay=30)
            return None
        return b"%d" % len(passes)

    await observe(asker, "/slow")
    server.notify("/slow")
    await trio.sleep(1)
    server.notify("/slow")  # while it is pending: it is asked once more afterwards
    assert (await told(asker)).payload == b"3"
    assert (await told(asker)).payload == b"5"
    assert passes == [True, True, False, True, False]
    assert await silent(asker)
    assert len(server.asyncs) == 0


async def test_a_pending_notification_that_is_freed(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    calls: list[Request] = []

    @router.get("/slow", observable=True)
    def slow(request: Request) -> bytes | None:
        calls.append(request)
        if len(calls) == 2:
            request.asyncs.register_async(request)
            return None
        return b"%d" % len(calls)

    await observe(asker, "/slow")
    server.notify("/slow")
    await trio.sleep(1)
    [pending] = server.asyncs
    server.asyncs.free_async(pending)
    assert await silent(asker)
    server.notify("/slow")
    assert (await told(asker)).payload == b"3"


async def test_a_scope_left_open_in_a_notification_costs_nobody_else(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    calls: list[Request] = []
    scopes: list[trio.CancelScope] = []

    @router.get("/odd", observable=True)
    async def odd(request: Request) -> bytes:
        calls.append(request)
        if len(calls) == 2:
            scope = trio.CancelScope()
            scope.__enter__()
            scopes.append(scope)
            await trio.sleep(2)
        return b"%d" % len(calls)

    sensor = Sensor(router)
    await observe(asker, "/odd")
    server.notify("/odd")
    await trio.sleep(1)
    scopes[0].cancel()
    last = await told(asker)
    assert last.code is Code.INTERNAL_SERVER_ERROR
    assert (await asker.ask("/sensor")).payload == b"0"
    assert sensor.asked == 1


@pytest.mark.parametrize("limits", [Limits(observers=1), Limits(observers_per_session=1)])
async def test_one_more_than_may_observe(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer, limits: Limits
) -> None:
    Sensor(router)
    async with open_server(router, transport=network.bind(SERVER), limits=limits) as server:
        asker = Asker(peer)
        await observe(asker)
        answer = await asker.ask("/sensor", observe=0, token=b"b")
        assert (answer.payload, answer.options.observe) == (b"0", None)
        server.notify("/sensor")
        await told(asker)
        assert await silent(asker)


# -- generators ----------------------------------------------------------------------------------


class Clock:
    """A resource whose handler is a generator, and how its generators have ended."""

    def __init__(self, router: Router, count: int = 1000, first: float = 0.0) -> None:
        self.count = count
        self.first = first
        self.running = 0
        self.steps: list[int] = []
        router.get("/clock", observable=True)(self.tick)

    async def tick(self, request: Request) -> AsyncGenerator[str, None]:
        self.running += 1
        try:
            await trio.sleep(self.first)
            for number in range(self.count):
                self.steps.append(number)
                yield f"{number}"
                await trio.sleep(10)
        finally:
            self.running -= 1


@pytest.mark.parametrize("first", [0.0, 0.05, 5.0])
async def test_a_generator_goes_on(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker, first: float
) -> None:
    clock = Clock(router, first=first)
    answer = await observe(asker, "/clock")
    assert answer.payload == b"0"
    assert [(await told(asker)).payload for _ in range(3)] == [b"1", b"2", b"3"]
    server.notify("/clock")  # it needs no call
    assert await silent(asker)
    await asker.ask("/clock", observe=1, token=b"obs")
    await trio.sleep(1)
    assert clock.running == 0
    assert await silent(asker, 50)


async def test_a_generator_without_an_observer_yields_once(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    clock = Clock(router)
    answer = await asker.ask("/clock")
    assert (answer.payload, answer.options.observe) == (b"0", None)
    await trio.sleep(1)
    assert (clock.running, clock.steps) == (0, [0])


async def test_each_observer_has_a_generator(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    clock = Clock(router)
    await observe(asker, "/clock")
    await trio.sleep(5)
    await observe(asker, "/clock", token=b"b")
    assert clock.running == 2
    tokens = []
    for _ in range(4):
        message = await asker.peer.receive()
        asker.peer.ack(message)
        tokens.append(message.token)
    assert tokens == [b"obs", b"b"] * 2
    await asker.ask("/clock", observe=1, token=b"obs")
    await trio.sleep(0.1)
    assert clock.running == 1


async def test_a_generator_that_ends(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """The last state once more, without Observe: there is no more to come (section 4.2)."""
    Clock(router, count=2)
    await observe(asker, "/clock")
    assert (await told(asker)).payload == b"1"
    last = await told(asker)
    assert (last.payload, last.code, last.options.observe) == (b"1", Code.CONTENT, None)
    await trio.sleep(1)
    assert server.statistics().observers == 0
    assert await silent(asker)


async def test_a_generator_that_yields_nothing(
    autojump_clock: MockClock, router: Router, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    Clock(router, count=0)
    answer = await asker.ask("/clock", observe=0, token=b"obs")
    assert answer.code is Code.INTERNAL_SERVER_ERROR
    assert await silent(asker)


@pytest.mark.parametrize("yields", [0, 1, 2])
@pytest.mark.parametrize(
    ("failure", "code"),
    [(ValueError("bug"), Code.INTERNAL_SERVER_ERROR), (NotFound("gone"), Code.NOT_FOUND)],
)
async def test_a_generator_that_raises(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    asker: Asker,
    caplog: pytest.LogCaptureFixture,
    yields: int,
    failure: Exception,
    code: Code,
) -> None:
    caplog.set_level(logging.CRITICAL)

    @router.get("/odd", observable=True)
    async def odd(request: Request) -> AsyncGenerator[bytes, None]:
        for number in range(yields):
            yield b"%d" % number
            await trio.sleep(1)
        raise failure

    request = asker.send("/odd", observe=0, token=b"obs")
    messages = [await asker.answer(request)]
    messages += [await told(asker) for _ in range(yields)]
    assert [m.payload for m in messages[:-1]] == [b"%d" % n for n in range(yields)]
    assert (messages[-1].code, messages[-1].options.observe) == (code, None)
    assert await silent(asker)
    assert server.statistics().observers == 0


async def test_a_generator_that_yields_rubbish(
    autojump_clock: MockClock, router: Router, asker: Asker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    @router.get("/odd", observable=True)
    async def odd(request: Request) -> AsyncGenerator[Any, None]:
        yield b"0"
        await trio.sleep(1)
        yield 17

    await observe(asker, "/odd")
    assert (await told(asker)).code is Code.INTERNAL_SERVER_ERROR


async def test_a_generator_whose_first_state_is_an_error(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    closed: list[str] = []

    @router.get("/odd", observable=True)
    async def odd(request: Request) -> AsyncGenerator[Code, None]:
        try:
            yield Code.NOT_FOUND
            yield Code.CONTENT
        finally:
            closed.append("closed")

    assert (await asker.ask("/odd", observe=0)).code is Code.NOT_FOUND
    await trio.sleep(1)
    assert closed == ["closed"]
    assert server.statistics().observers == 0


@pytest.mark.parametrize("how", ["reset", "silence", "again", "token"])
async def test_a_generator_is_closed_with_its_observer(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker, how: str
) -> None:
    clock = Clock(router)
    router.get("/plain")(lambda request: b"plain")
    await observe(asker, "/clock")
    await trio.sleep(11)
    notification = await asker.peer.receive()
    if how == "reset":
        asker.peer.reset(notification)
    elif how == "silence":
        await trio.sleep(200)
    else:
        asker.peer.ack(notification)
        path = "/clock" if how == "again" else "/plain"
        await asker.ask(path, token=b"obs", observe=0)
    await trio.sleep(1)
    assert clock.running == (how == "again")
    assert server.statistics().observers == (how == "again")


async def test_a_generator_is_closed_with_the_server(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    clock = Clock(router)
    async with open_server(router, transport=network.bind(SERVER)):
        await observe(Asker(peer), "/clock")
        assert clock.running == 1
    assert clock.running == 0


async def test_a_generator_whose_client_is_slow(
    autojump_clock: MockClock, router: Router, server: Server, asker: Asker
) -> None:
    """It is not held up; the client gets the newest."""

    @router.get("/fast", observable=True)
    async def fast(request: Request) -> AsyncGenerator[str, None]:
        for number in range(20):
            yield f"{number}"
            await trio.sleep(0.1)
        await trio.sleep_forever()

    await observe(asker, "/fast")
    first = await asker.peer.receive()
    assert first.payload == b"1"
    await trio.sleep(1.5)
    asker.peer.ack(first)
    second = await told(asker)
    assert int(second.payload) > 10
    while int(second.payload) < 19:
        second = await told(asker)
    assert await silent(asker)


# -- conditions: RFC 7252 section 5.10.8 ---------------------------------------------------------


@pytest.mark.parametrize(
    ("etag", "conditions", "passes"),
    [
        (b"a", {"if_match": [b"a"]}, True),
        (b"a", {"if_match": [b"x", b"a"]}, True),
        (b"a", {"if_match": [b"x"]}, False),
        (b"a", {"if_match": [b""]}, True),
        (b"", {"if_match": [b""]}, True),
        (b"", {"if_match": [b"a"]}, False),
        (None, {"if_match": [b""]}, False),
        (None, {"if_match": [b"a"]}, False),
        (b"a", {"if_none_match": True}, False),
        (b"", {"if_none_match": True}, False),
        (None, {"if_none_match": True}, True),
        (b"a", {"if_match": [b"a"], "if_none_match": True}, False),
        (None, {}, True),
        (b"a", {}, True),
    ],
)
async def test_conditions(
    autojump_clock: MockClock,
    router: Router,
    asker: Asker,
    etag: bytes | None,
    conditions: dict[str, object],
    passes: bool,
) -> None:
    @router.put("/store", conditional=True)
    def store(request: Request) -> bytes:
        request.check_preconditions(etag)
        return b"done"

    answer = await asker.ask("/store", code=Code.PUT, **conditions)
    assert answer.code is (Code.CHANGED if passes else Code.PRECONDITION_FAILED)


async def test_conditions_of_a_body_in_blocks(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    """They hold for the whole."""

    @router.put("/store", conditional=True)
    def store(request: Request) -> bytes:
        request.check_preconditions(b"a")
        return b"%d" % len(request.payload)

    answer = await asker.upload("/store", bytes(200), if_match=[b"b"])
    assert answer.code is Code.PRECONDITION_FAILED
    assert (await asker.upload("/store", bytes(200), if_match=[b"a"])).payload == b"200"


async def test_a_condition_that_is_read_before_the_body(
    autojump_clock: MockClock, router: Router, asker: Asker
) -> None:
    @router.put("/store", conditional=True, stream=True)
    async def store(request: Request) -> bytes:
        request.check_preconditions(b"a")
        return await request.body.read()

    answer = await asker.upload("/store", bytes(200), if_match=[b"b"])
    assert answer.code is Code.PRECONDITION_FAILED
    assert answer.options.block1 == Block(0, False, 64)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_conditions_that_a_route_does_not_know(
    autojump_clock: MockClock, router: Router, peer: Peer, asker: Asker, kind: Type
) -> None:
    """They are critical: 4.02, or silence for a NON (RFC 7252 section 5.4.1)."""
    calls: list[Request] = []

    @router.put("/store")
    def store(request: Request) -> bytes:
        calls.append(request)
        return b""

    request = asker.send("/store", code=Code.PUT, kind=kind, if_none_match=True)
    if kind is Type.CON:
        assert (await asker.answer(request)).code is Code.BAD_OPTION
    await peer.expect_silence(5)
    assert calls == []


def test_a_failed_condition_is_an_error() -> None:
    assert PreconditionFailed("x").code is Code.PRECONDITION_FAILED
