"""What a handler returns or raises, what the client gets for it, and what it costs others."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Literal, cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from coapsep import (
    BadGateway,
    BadOption,
    BadRequest,
    Code,
    Conflict,
    EndpointCrashed,
    Forbidden,
    GatewayTimeout,
    Handler,
    Message,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    OptionNumber,
    Options,
    Request,
    RequestEntityTooLarge,
    Response,
    ResponseError,
    Router,
    Server,
    ServiceUnavailable,
    Type,
    Unauthorized,
    UnsupportedContentFormat,
    open_server,
    serve,
)
from coapsep.message.codec import encode
from coapsep.testing import Network
from tests.shell.peer import SERVER, Peer

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

METHODS = [Code.GET, Code.POST, Code.PUT, Code.DELETE, Code.FETCH, Code.PATCH, Code.IPATCH]

#: Both kinds of handler must treat alike what their function does.
Kind = Literal["sync", "async", "slow"]
KINDS: list[Kind] = ["sync", "async", "slow"]


def handler_of(kind: Kind, function: Callable[[Request], Any]) -> Handler:
    """A handler that does what the function does; a slow one first sleeps for a second."""

    async def waiting(request: Request) -> Any:
        if kind == "slow":
            await trio.sleep(1)
        return function(request)

    return function if kind == "sync" else waiting


def raising(exc: BaseException) -> Callable[[Request], Any]:
    def fail(request: Request) -> None:
        raise exc

    return fail


def returning(result: object) -> Callable[[Request], Any]:
    return lambda request: result


def bare(exc: BaseException) -> list[BaseException]:
    """What is in nested groups."""
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    return [leaf for inner in exc.exceptions for leaf in bare(inner)]


async def answer_to(peer: Peer, request: Message) -> Message:
    """The response to a request, however it comes; a separate one is acknowledged."""
    message = await peer.receive()
    if message.type is Type.ACK and message.code is Code.EMPTY:
        assert message.mid == request.mid
        message = await peer.receive()
    if message.type is Type.CON:
        peer.ack(message)
    assert message.token == request.token
    return message


async def is_alive(peer: Peer, router: Router) -> None:
    """See that the server still answers."""
    router.get("/alive")(lambda request: "yes")
    peer.request("/alive", token=b"alive")
    await peer.expect(Type.ACK, Code.CONTENT, token=b"alive", payload=b"yes")


# -- what may be returned ----------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("result", "code", "payload", "content_format"),
    [
        (Response(Code.VALID, etag=b"e"), Code.VALID, b"", None),
        (Response(Code.CONTENT, b"{}", content_format=50), Code.CONTENT, b"{}", 50),
        (Response(Code.CONTENT, "text"), Code.CONTENT, b"text", 0),
        (Response(Code.NOT_FOUND, "why"), Code.NOT_FOUND, b"why", None),
        (Response(Code.TOO_MANY_REQUESTS, max_age=9), Code.TOO_MANY_REQUESTS, b"", None),
        (Response(0x5E), Code(0x5E), b"", None),
        (b"bytes", Code.CONTENT, b"bytes", None),
        (b"", Code.CONTENT, b"", None),
        ("stränge", Code.CONTENT, "stränge".encode(), 0),
        ("", Code.CONTENT, b"", 0),
        (Code.VALID, Code.VALID, b"", None),
        (Code.NOT_IMPLEMENTED, Code.NOT_IMPLEMENTED, b"", None),
        ((Code.CREATED, b"x"), Code.CREATED, b"x", None),
        ((Code.CREATED, "x"), Code.CREATED, b"x", 0),
        ((Code.CONFLICT, "why"), Code.CONFLICT, b"why", None),
    ],
)
async def test_results(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    kind: Kind,
    result: object,
    code: Code,
    payload: bytes,
    content_format: int | None,
) -> None:
    router.get("/r")(handler_of(kind, returning(result)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (code, payload)
    assert answer.options.content_format == content_format
    if isinstance(result, Response):
        assert answer.options == result.options
    assert server.statistics().handler_errors == 0


RUBBISH: list[object] = [
    42,
    0x45,
    True,
    1.5,
    object(),
    [b"x"],
    {},
    bytearray(b"x"),
    memoryview(b"x"),
    Code.EMPTY,
    Code.GET,
    Code(0xE0),
    (),
    (Code.CONTENT,),
    (Code.CONTENT, b"x", b"y"),
    (Code.CONTENT, None),
    (Code.CONTENT, 5),
    (Code.GET, b"x"),
    (0x45, b"x"),
    (b"x", Code.CONTENT),
    Response,
    ValueError("returned, not raised"),
    "\ud800",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("result", RUBBISH, ids=repr)
async def test_rubbish_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    result: object,
) -> None:
    router.get("/r")(handler_of(kind, returning(result)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    assert len(answer.options) == 0
    assert "the handler of <Request GET /r from 10.0.0.2:40000 token='746b'> failed" in errors.text
    assert server.statistics().handler_errors == 1


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize("kind", KINDS)
async def test_rubbish_that_cannot_be_shown(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    router.get("/r")(handler_of(kind, lambda request: Unprintable()))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    await is_alive(peer, router)


@pytest.mark.parametrize("result", [b"x", "x"])
@pytest.mark.parametrize(
    ("method", "code"),
    [
        (Code.GET, Code.CONTENT),
        (Code.FETCH, Code.CONTENT),
        (Code.POST, Code.CHANGED),
        (Code.PUT, Code.CHANGED),
        (Code.PATCH, Code.CHANGED),
        (Code.IPATCH, Code.CHANGED),
        (Code.DELETE, Code.DELETED),
        (Code(9), Code.CONTENT),
    ],
)
async def test_the_code_of_a_bare_payload(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    method: Code,
    code: Code,
    result: bytes | str,
) -> None:
    router.route("/r", (method,))(lambda request: result)
    peer.request("/r", code=method)
    await peer.expect(Type.ACK, code, payload=b"x")


LARGE = b"x" * 65_001


def several_long_options() -> Response:
    return Response(Code.CREATED, location=["x" * 255] * 300)


def one_endless_option() -> Response:
    return Response(Code.CONTENT, options=Options([(65000, b"x" * 70_000)]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [several_long_options, one_endless_option])
async def test_options_that_fit_in_no_datagram_are_5_00(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    make: Callable[[], Response],
) -> None:
    router.get("/r")(handler_of(kind, lambda request: make()))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    await is_alive(peer, router)


# -- what may be raised ------------------------------------------------------------------

SUBCLASSES: list[tuple[type[Any], Code]] = [
    (BadRequest, Code.BAD_REQUEST),
    (Unauthorized, Code.UNAUTHORIZED),
    (BadOption, Code.BAD_OPTION),
    (Forbidden, Code.FORBIDDEN),
    (NotFound, Code.NOT_FOUND),
    (MethodNotAllowed, Code.METHOD_NOT_ALLOWED),
    (NotAcceptable, Code.NOT_ACCEPTABLE),
    (Conflict, Code.CONFLICT),
    (RequestEntityTooLarge, Code.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedContentFormat, Code.UNSUPPORTED_CONTENT_FORMAT),
    (BadGateway, Code.BAD_GATEWAY),
    (ServiceUnavailable, Code.SERVICE_UNAVAILABLE),
    (GatewayTimeout, Code.GATEWAY_TIMEOUT),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("error", "code"), SUBCLASSES)
async def test_a_response_error_is_the_response(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    error: type[Any],
    code: Code,
) -> None:
    router.get("/r")(handler_of(kind, raising(error("so-und-so: ä"))))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (code, "so-und-so: ä".encode())
    assert len(answer.options) == 0
    assert server.statistics().handler_errors == 0
    assert "failed" not in errors.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("exc", "code", "payload", "max_age"),
    [
        (NotFound(), Code.NOT_FOUND, b"", None),
        (NotFound(max_age=0), Code.NOT_FOUND, b"", 0),
        (ServiceUnavailable("busy", max_age=30), Code.SERVICE_UNAVAILABLE, b"busy", 30),
        (NotFound(max_age=2**32 - 1), Code.NOT_FOUND, b"", 2**32 - 1),
        (ResponseError(Code.UNPROCESSABLE_ENTITY, "no"), Code.UNPROCESSABLE_ENTITY, b"no", None),
        (ResponseError(Code(0x9F), max_age=1), Code(0x9F), b"", 1),
    ],
    ids=str,
)
async def test_diagnostic_and_max_age(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    kind: Kind,
    exc: ResponseError,
    code: Code,
    payload: bytes,
    max_age: int | None,
) -> None:
    router.get("/r")(handler_of(kind, raising(exc)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (code, payload)
    assert answer.options == Options.build(max_age=max_age)


class Teapot(ResponseError):
    def __init__(self, volume: int) -> None:
        super().__init__(Code(0x92), f"{volume} ml")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_response_error_of_ones_own(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer, kind: Kind
) -> None:
    router.get("/r")(handler_of(kind, raising(Teapot(250))))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code(0x92), b"250 ml")


class Forgetful(ResponseError):
    """Its constructor does not call that of ResponseError: it has no code."""

    def __init__(self) -> None:
        Exception.__init__(self, "secret")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "exc",
    [
        NotFound(max_age=-1),
        NotFound(max_age=2**32),
        NotFound(max_age=cast("int", 1.5)),
        NotFound(max_age=cast("int", "5")),
        NotFound("\ud800"),
        NotFound(cast("str", ValueError("passed on as it is"))),
        NotFound(cast("str", b"bytes")),
        NotFound(cast("str", 404)),
        Forgetful(),
    ],
    ids=repr,
)
async def test_a_response_error_that_cannot_be_sent_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    exc: ResponseError,
) -> None:
    """A handler's mistake, and so its own request's cost only."""
    router.get("/r")(handler_of(kind, raising(exc)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    assert server.statistics().handler_errors == 1
    assert "failed" in errors.text
    await is_alive(peer, router)


async def test_a_response_error_out_of_a_nursery(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    async def child() -> None:
        raise NotFound("in a child", max_age=7)

    @router.get("/r")
    async def handler(request: Request) -> str:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(trio.sleep_forever)
            inner.start_soon(trio.sleep_forever)
            inner.start_soon(child)
        return "not reached"

    peer.request("/r")
    answer = await peer.expect(Type.ACK, Code.NOT_FOUND, payload=b"in a child")
    assert answer.options.max_age == 7
    assert server.statistics().handler_errors == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_two_at_once_are_no_response(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    both = ExceptionGroup("both", [NotFound("one"), Conflict("two")])
    router.get("/r")(handler_of(kind, raising(both)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    assert server.statistics().handler_errors == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "exc",
    [
        KeyError("secret"),
        OSError(2, "secret"),
        trio.TooSlowError("secret"),
        StopIteration("secret"),
        StopAsyncIteration("secret"),
        RuntimeError("secret"),
        AssertionError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
    ],
    ids=repr,
)
async def test_any_other_exception_is_5_00_and_stays_in_the_log(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    exc: Exception,
) -> None:
    router.get("/r")(handler_of(kind, raising(exc)))
    answer = await answer_to(peer, peer.request("/r"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    assert len(answer.options) == 0
    (record,) = [record for record in errors.records if record.levelname == "ERROR"]
    assert record.name == "coapsep.server"
    assert "GET /r" in record.getMessage()
    assert "secret" not in record.getMessage()
    assert record.exc_info is not None
    assert "secret" in errors.text
    assert server.statistics().handler_errors == 1
    await is_alive(peer, router)


async def test_errors_are_counted(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    router.get("/r")(raising(KeyError("x")))
    for number in range(3):
        peer.request("/r", token=bytes([number]))
        await peer.expect(Type.ACK, Code.INTERNAL_SERVER_ERROR)
    assert server.statistics().handler_errors == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("exc", "code", "payload"),
    [
        (NotFound("not here"), Code.NOT_FOUND, b"not here"),
        (KeyError("secret"), Code.INTERNAL_SERVER_ERROR, b""),
    ],
    ids=repr,
)
async def test_an_error_answers_a_non_with_a_non(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
    exc: Exception,
    code: Code,
    payload: bytes,
) -> None:
    router.get("/r")(handler_of(kind, raising(exc)))
    request = peer.request("/r", kind=Type.NON)
    answer = await peer.expect(Type.NON, code, token=request.token, payload=payload)
    assert answer.mid != request.mid
    await peer.expect_silence()


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/nothing", Code.GET, Code.NOT_FOUND),
        ("/r", Code.GET, Code.METHOD_NOT_ALLOWED),
        ("/nothing", Code(9), Code.METHOD_NOT_ALLOWED),
    ],
)
async def test_a_refusal_answers_a_non_with_a_non(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    path: str,
    method: Code,
    code: Code,
) -> None:
    router.put("/r")(lambda request: "")
    request = peer.request(path, code=method, kind=Type.NON)
    await peer.expect(Type.NON, code, token=request.token)
    await peer.expect_silence()


# -- handler_errors="raise" --------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_raise_ends_open_server_after_the_client_got_its_5_00(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    fault = KeyError("secret")
    router.get("/r")(handler_of(kind, raising(fault)))
    with pytest.raises(EndpointCrashed, match="KeyError") as caught:
        async with open_server(router, transport=network.bind(SERVER), handler_errors="raise"):
            request = peer.request("/r")
            await trio.sleep_forever()
    assert caught.value.__cause__ is fault
    answer = await answer_to(peer, request)
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    network.bind(SERVER).close()  # the address is free: the transport was closed


@pytest.mark.parametrize("kind", KINDS)
async def test_raise_ends_serve_with_a_group(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    fault = KeyError("secret")
    router.get("/r")(handler_of(kind, raising(fault)))
    run = functools.partial(serve, router, transport=network.bind(SERVER), handler_errors="raise")
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            request = peer.request("/r")
            await trio.sleep_forever()
    assert bare(caught.value) == [fault]
    answer = await answer_to(peer, request)
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")


@pytest.mark.parametrize("kind", KINDS)
async def test_raise_for_rubbish_too(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    router.get("/r")(handler_of(kind, returning(42)))
    with pytest.raises(EndpointCrashed) as caught:
        async with open_server(router, transport=network.bind(SERVER), handler_errors="raise"):
            peer.request("/r")
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, TypeError)


async def test_raise_on_a_delayed_pass(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    fault = KeyError("secret")

    @router.get("/r")
    def handler(request: Request) -> None:
        if request.pending is not None:
            raise fault
        request.asyncs.register_async(request, 5)

    with pytest.raises(EndpointCrashed) as caught:
        async with open_server(router, transport=network.bind(SERVER), handler_errors="raise"):
            request = peer.request("/r")
            await trio.sleep_forever()
    assert caught.value.__cause__ is fault
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"", Code.INTERNAL_SERVER_ERROR)


@pytest.mark.parametrize("kind", KINDS)
async def test_raise_does_not_mean_response_errors(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer, kind: Kind
) -> None:
    router.get("/r")(handler_of(kind, raising(NotFound("not here"))))
    async with open_server(router, transport=network.bind(SERVER), handler_errors="raise"):
        answer = await answer_to(peer, peer.request("/r"))
        assert (answer.code, answer.payload) == (Code.NOT_FOUND, b"not here")
        peer.request("/nothing", token=b"2")
        await peer.expect(Type.ACK, Code.NOT_FOUND)
        await is_alive(peer, router)


async def test_raise_together_with_a_failing_block(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    fault, own = KeyError("the handler's"), ValueError("the block's")
    router.get("/r")(raising(fault))
    with pytest.raises(ExceptionGroup) as caught:
        async with open_server(router, transport=network.bind(SERVER), handler_errors="raise"):
            peer.request("/r")
            try:
                await trio.sleep_forever()
            finally:
                raise own
    first, second = caught.value.exceptions
    assert first is own
    assert isinstance(second, EndpointCrashed)
    assert second.__cause__ is fault


async def test_there_are_two_ways_only(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    wrong = cast("Literal['raise']", "ignore")
    with pytest.raises(ValueError, match="handler_errors"):
        async with open_server(router, transport=network.bind(SERVER), handler_errors=wrong):
            raise AssertionError("not reached")
    network.bind(SERVER).close()


# -- kinds of handlers -------------------------------------------------------------------


class Called:
    def __init__(self, answer: str) -> None:
        self.answer = answer

    def __call__(self, request: Request) -> str:
        return self.answer


class AsyncCalled(Called):
    async def __call__(self, request: Request) -> str:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        return self.answer


class Answer:
    """Awaitable, and no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield from plain_async(cast("Request", None)).__await__()
        return "answer"


async def with_answer(answer: str, request: Request) -> str:
    await trio.lowlevel.checkpoint()
    return answer


def wrapped(function: Callable[[Request], Awaitable[str]]) -> Callable[[Request], Awaitable[str]]:
    @functools.wraps(function)
    def wrapper(request: Request) -> Awaitable[str]:
        return function(request)

    return wrapper


async def plain_async(request: Request) -> str:
    return "answer"


@pytest.mark.parametrize(
    "handler",
    [
        lambda request: "answer",
        lambda request: with_answer("answer", request),
        lambda request: Answer(),
        Called("answer"),
        AsyncCalled("answer"),
        functools.partial(with_answer, "answer"),
        functools.partial(AsyncCalled("answer")),
        wrapped(plain_async),
        plain_async,
    ],
    ids=[
        "lambda",
        "lambda-coroutine",
        "lambda-awaitable",
        "object",
        "async-object",
        "partial",
        "partial-object",
        "wrapped",
        "async",
    ],
)
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_kinds_of_handlers(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    handler: Handler,
    kind: Type,
) -> None:
    router.get("/r")(handler)
    peer.request("/r", kind=kind)
    answer = Type.ACK if kind is Type.CON else Type.NON
    await peer.expect(answer, Code.CONTENT, payload=b"answer")
    await peer.expect_silence()


async def test_what_a_coroutine_of_a_lambda_raises(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def fail(exc: Exception) -> str:
        await trio.sleep(1)
        raise exc

    router.get("/known")(lambda request: fail(NotFound("not here")))
    router.get("/unknown")(lambda request: fail(KeyError("secret")))
    answer = await answer_to(peer, peer.request("/known"))
    assert (answer.code, answer.payload) == (Code.NOT_FOUND, b"not here")
    answer = await answer_to(peer, peer.request("/unknown"))
    assert (answer.code, answer.payload) == (Code.INTERNAL_SERVER_ERROR, b"")
    assert server.statistics().handler_errors == 1


async def test_a_coroutine_of_a_lambda_is_waited_for_like_a_handler(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    async def slow(request: Request) -> str:
        await trio.sleep(5)
        return "slow"

    router.get("/slow")(lambda request: slow(request))
    router.get("/quick")(lambda request: "quick")
    request = peer.request("/slow", token=b"s")
    peer.request("/quick", token=b"q")
    await peer.expect(Type.ACK, Code.CONTENT, token=b"q")
    await peer.expect_ack(request)
    await peer.expect_separate(b"s", b"slow")


async def test_sync_handlers_run_in_the_order_of_arrival(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    tokens: list[bytes] = []

    @router.get("/r")
    def handler(request: Request) -> str:
        tokens.append(request.token)
        return "done"

    for number in range(20):
        peer.request("/r", token=bytes([number]))
    await trio.sleep(1)
    assert tokens == [bytes([number]) for number in range(20)]


async def test_async_handlers_run_side_by_side(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    barrier = trio.testing.Sequencer()

    @router.get("/{number}")
    async def handler(request: Request) -> str:
        async with barrier(2 - int(request.params["number"])):
            return request.params["number"]

    for number in range(3):
        peer.request(f"/{number}", token=b"%d" % number)
    assert [(await peer.receive()).payload for _ in range(3)] == [b"2", b"1", b"0"]


# -- what is no mere Exception -----------------------------------------------------------


class Fatal(BaseException):
    """Neither the library nor Trio knows it."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [KeyboardInterrupt, SystemExit, Fatal])
async def test_a_base_exception_passes(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    kind: Kind,
    fault: type[BaseException],
) -> None:
    exc = fault("stop")
    router.get("/r")(handler_of(kind, raising(exc)))
    with pytest.raises(BaseException) as caught:  # bare, or in a group
        async with open_server(router, transport=network.bind(SERVER)) as server:
            request = peer.request("/r")
            await trio.sleep_forever()
    assert bare(caught.value) == [exc]
    assert server.statistics().handler_errors == 0
    if kind == "slow":
        await peer.expect_ack(request)
    await peer.expect_silence()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_base_exception_passes_through_serve(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer, kind: Kind
) -> None:
    exc = KeyboardInterrupt()
    router.get("/r")(handler_of(kind, raising(exc)))
    with pytest.raises(BaseExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            await nursery.start(functools.partial(serve, router, transport=network.bind(SERVER)))
            peer.request("/r")
            await trio.sleep_forever()
    assert bare(caught.value) == [exc]


# -- cancel scopes -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_scope_left_open_costs_its_own_request(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    def leave_open(request: Request) -> str:
        trio.CancelScope().__enter__()
        return "done"

    router.get("/r")(handler_of(kind, leave_open))
    async with open_server(router, transport=network.bind(SERVER)):
        for number in range(3):
            await answer_to(peer, peer.request("/r", token=bytes([number])))
        await trio.sleep(300)
        await is_alive(peer, router)


async def test_a_scope_left_open_by_a_sync_handler_is_5_00(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    """It would go with the task that receives. An async handler has a task of its own."""

    @router.get("/r")
    def leave_open(request: Request) -> str:
        trio.CancelScope().__enter__()
        return "done"

    async with open_server(router, transport=network.bind(SERVER)) as server:
        peer.request("/r")
        await peer.expect(Type.ACK, Code.INTERNAL_SERVER_ERROR)
        assert "corrupted" in errors.text
        assert server.statistics().handler_errors == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_scope_left_open_that_is_cancelled_later(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Kind,
) -> None:
    """It must not cancel whatever task of the server's it was opened in."""
    scopes: list[trio.CancelScope] = []

    def leave_open(request: Request) -> str:
        scope = trio.CancelScope()
        scope.__enter__()
        scopes.append(scope)
        return "done"

    router.get("/r")(handler_of(kind, leave_open))
    async with open_server(router, transport=network.bind(SERVER)):
        await answer_to(peer, peer.request("/r"))
        scopes[0].cancel()
        with trio.fail_after(10):
            await is_alive(peer, router)


@pytest.mark.parametrize("nursery", [False, True])
async def test_a_scope_left_open_whose_time_comes_is_5_00(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    nursery: bool,
) -> None:
    """Its cancellation comes out of the handler, and must not reach the server's nursery."""

    @router.get("/r")
    async def leave_open(request: Request) -> str:
        trio.move_on_after(1).__enter__()
        if nursery:
            async with trio.open_nursery() as children:
                children.start_soon(trio.sleep_forever)
                children.start_soon(trio.sleep_forever)
        await trio.sleep(10)
        return "not reached"

    async with open_server(router, transport=network.bind(SERVER)) as server:
        request = peer.request("/r")
        answer = await answer_to(peer, request)
        assert answer.code is Code.INTERNAL_SERVER_ERROR
        assert "had left open" in errors.text
        assert server.statistics().handler_errors == 1
        await is_alive(peer, router)


async def test_an_empty_segment_is_the_root(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    """Section 6.5: no segment and one empty segment are the same URI."""
    router.get("/")(lambda request: "root")
    options = Options.build(uri_path=[""])
    peer.send(encode(Message(Code.GET, Type.CON, 1, b"t", options)))
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"root")


async def test_a_nursery_left_open_ends_the_server_with_trios_own_words(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    """There is no public way to close somebody else's nursery: better loud than half dead."""

    @router.get("/r")
    async def leave_open(request: Request) -> str:
        await trio.open_nursery().__aenter__()
        return "done"

    with pytest.raises(EndpointCrashed, match="Nursery stack corrupted"):
        async with open_server(router, transport=network.bind(SERVER)):
            peer.request("/r")
            await peer.expect(Type.ACK, Code.CONTENT)
            await trio.sleep(300)


async def test_scopes_of_the_handlers_own(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    @router.get("/r")
    async def handler(request: Request) -> str:
        with trio.move_on_after(3):
            await trio.sleep_forever()
        return "too slow"

    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"too slow")


# -- refused before the handler ----------------------------------------------------------


class Counting:
    """A handler that counts its runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, request: Request) -> Response:
        self.runs += 1
        return Response(Code.CONTENT, b"{}", content_format=50)


@pytest.fixture
def counting(router: Router) -> Counting:
    """GET and POST of /json, which declares its format, and of /any, which does not."""
    counting = Counting()
    router.route("/json", (Code.GET, Code.POST), ct=(50, 60))(counting)
    router.route("/any", (Code.GET, Code.POST, Code.FETCH))(counting)
    return counting


def send(peer: Peer, options: Options, kind: Type = Type.CON) -> Message:
    message = Message(Code.GET, kind, 0x4321, b"tk", options)
    peer.send(encode(message))
    return message


@pytest.mark.parametrize("path", ["/", "/nothing", "/json/", "/json/x", "/JSON"])
@pytest.mark.parametrize("code", METHODS)
async def test_no_such_path_is_4_04(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    path: str,
    code: Code,
) -> None:
    segments = () if path == "/" else tuple(path[1:].split("/"))
    peer.send(encode(Message(code, Type.CON, 1, b"tk", Options.build(uri_path=segments))))
    answer = await peer.expect(Type.ACK, Code.NOT_FOUND)
    assert answer.payload == b"Not Found"
    assert counting.runs == 0
    assert server.statistics().handler_errors == 0


@pytest.mark.parametrize("code", [Code.PUT, Code.DELETE, Code.FETCH, Code.PATCH, Code.IPATCH])
async def test_no_such_method_is_4_05(
    autojump_clock: MockClock, server: Server, counting: Counting, peer: Peer, code: Code
) -> None:
    peer.request("/json", code=code)
    await peer.expect(Type.ACK, Code.METHOD_NOT_ALLOWED)
    assert counting.runs == 0


@pytest.mark.parametrize("code", [Code(8), Code(9), Code(31)])
@pytest.mark.parametrize("path", ["/json", "/nothing", "/", "/.well-known/core"])
async def test_an_unknown_method_is_4_05_on_any_path(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    path: str,
    code: Code,
) -> None:
    """RFC 7252 section 5.8."""
    peer.request(path, code=code)
    await peer.expect(Type.ACK, Code.METHOD_NOT_ALLOWED)
    assert counting.runs == 0


@pytest.mark.parametrize("code", [Code.GET, Code.POST])
@pytest.mark.parametrize("accept", [0, 40, 65535])
async def test_a_format_that_is_not_declared_is_4_06_and_does_not_run(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    code: Code,
    accept: int,
) -> None:
    peer.request("/json", code=code, accept=accept)
    await peer.expect(Type.ACK, Code.NOT_ACCEPTABLE)
    assert counting.runs == 0


@pytest.mark.parametrize("path", ["/json", "/any"])
async def test_the_format_asked_for_or_none_asked_for(
    autojump_clock: MockClock, server: Server, counting: Counting, peer: Peer, path: str
) -> None:
    peer.request(path, accept=50)
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"{}")
    peer.request(path, token=b"2")
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"{}")
    assert counting.runs == 2


@pytest.mark.parametrize("path", ["/any", "/json"])
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_another_format_than_asked_for_is_4_06(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    path: str,
    kind: Type,
) -> None:
    """Not declared, or declared and not kept: the result shows it (section 5.10.4)."""
    peer.request(path, accept=60, kind=kind)
    answer = Type.ACK if kind is Type.CON else Type.NON
    await peer.expect(answer, Code.NOT_ACCEPTABLE, payload=b"Not Acceptable")
    assert counting.runs == 1
    assert server.statistics().handler_errors == 0


async def test_the_result_of_fetch_is_checked_like_that_of_get(
    autojump_clock: MockClock, server: Server, counting: Counting, peer: Peer
) -> None:
    peer.request("/any", code=Code.FETCH, accept=0)
    await peer.expect(Type.ACK, Code.NOT_ACCEPTABLE)
    peer.request("/any", code=Code.FETCH, accept=50, token=b"2")
    await peer.expect(Type.ACK, Code.CONTENT)


async def test_the_result_of_post_is_not_checked(
    autojump_clock: MockClock, server: Server, counting: Counting, peer: Peer
) -> None:
    """It has acted: an error would tell the client the opposite."""
    peer.request("/any", code=Code.POST, accept=0)
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"{}")


@pytest.mark.parametrize(
    "result",
    [
        Response(Code.VALID, etag=b"e"),
        Response(Code.NOT_FOUND, "why"),
        (Code.SERVICE_UNAVAILABLE, "why"),
    ],
    ids=str,
)
async def test_what_is_no_representation_has_no_format_to_check(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer, result: object
) -> None:
    router.get("/r")(returning(result))
    expected = result.code if isinstance(result, Response) else Code.SERVICE_UNAVAILABLE
    peer.request("/r", accept=60)
    await peer.expect(Type.ACK, expected)


async def test_a_str_is_text_and_accepted_as_such(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    router.get("/r")(lambda request: "text")
    peer.request("/r", accept=0)
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"text")
    peer.request("/r", accept=50, token=b"2")
    await peer.expect(Type.ACK, Code.NOT_ACCEPTABLE)


async def test_bytes_of_unknown_format_are_not_acceptable(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    router.get("/r")(lambda request: b"\0")
    peer.request("/r", accept=42)
    await peer.expect(Type.ACK, Code.NOT_ACCEPTABLE)


@pytest.mark.parametrize(("ct", "result"), [(60, b"\xa0"), (50, "{}")])
async def test_a_bare_payload_of_the_one_declared_format_is_acceptable(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    ct: int,
    result: bytes | str,
) -> None:
    """``About.ct`` is a promise: what the resource says it answers in, it answers in."""
    router.get("/r", ct=ct)(lambda request: result)
    peer.request("/r", accept=ct)
    answer = await peer.expect(Type.ACK, Code.CONTENT)
    assert answer.payload in (result, str(result).encode())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (Options.build(proxy_uri="coap://example.com/json"), b"Proxy-Uri"),
        (Options.build(proxy_uri="coap://h/", uri_path=("json",)), b"Proxy-Uri"),
        (Options.build(proxy_scheme="coap", uri_host="h", uri_path=("json",)), b"Proxy-Scheme"),
        (Options.build(proxy_scheme="http", uri_path=("nothing",)), b"Proxy-Scheme"),
        (Options.build(proxy_uri="x:", proxy_scheme="coap"), b"Proxy-Uri, Proxy-Scheme"),
        (Options.build(proxy_scheme="coap", uri_path=("json",), accept=0), b"Proxy-Scheme"),
    ],
)
@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_proxying_is_5_05(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    kind: Type,
    options: Options,
    name: bytes,
) -> None:
    """RFC 7252 sections 5.7.2 and 5.10.2."""
    send(peer, options, kind)
    answer = Type.ACK if kind is Type.CON else Type.NON
    await peer.expect(answer, Code.PROXYING_NOT_SUPPORTED, payload=name)
    assert counting.runs == 0


CRITICAL = [
    (Options.build(uri_path=("json",), if_match=(b"e",)), b"not understood: If-Match"),
    (Options.build(uri_path=("json",), if_none_match=True), b"not understood: If-None-Match"),
    (Options.build(uri_path=("json",), extra=((65001, b""),)), b"not understood: Option 65001"),
    (Options.build(uri_path=("nothing",), extra=((9, b""),)), b"not understood: OSCORE"),
    (
        Options([(OptionNumber.URI_PATH, b"json"), (OptionNumber.ACCEPT, b"123")]),
        b"not understood: Accept",
    ),
    (
        Options([(OptionNumber.URI_PATH, b"json"), (OptionNumber.URI_QUERY, b"\xff")]),
        b"not understood: Uri-Query",
    ),
]


@pytest.mark.parametrize(("options", "diagnostic"), CRITICAL)
async def test_a_critical_option_is_4_02_before_the_handler(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    options: Options,
    diagnostic: bytes,
) -> None:
    send(peer, options)
    await peer.expect(Type.ACK, Code.BAD_OPTION, payload=diagnostic)
    assert counting.runs == 0
    assert server.statistics().bad_options == 1


@pytest.mark.parametrize(("options", "diagnostic"), CRITICAL)
async def test_a_non_with_a_critical_option_is_rejected(
    autojump_clock: MockClock,
    server: Server,
    counting: Counting,
    peer: Peer,
    options: Options,
    diagnostic: bytes,
) -> None:
    """RFC 7252 section 5.4.1: rejected, which for a NON may be silence (section 4.3)."""
    send(peer, options, Type.NON)
    await peer.expect_silence()
    assert counting.runs == 0
    assert server.statistics().rejected == 1
