"""Every property of a Request, as a handler sees it."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Address,
    Code,
    Message,
    OptionNumber,
    Options,
    Request,
    Router,
    Server,
    Session,
    Type,
    open_server,
)
from coapsep.message.codec import encode
from coapsep.testing import Network
from tests.shell.peer import SERVER, Peer

HERE = Address(SERVER, 5683)
METHODS = [Code.GET, Code.POST, Code.PUT, Code.DELETE, Code.FETCH, Code.PATCH, Code.IPATCH]


class Seen:
    """/r and everything below it, by any method; keeps the requests it gets."""

    def __init__(self, router: Router) -> None:
        self.requests: list[Request] = []
        for path in ("/", "/r", "/r/{one}", "/r/{one}/{two}", "/x/r", "/größe", "/{any}"):
            router.route(path, METHODS)(self.handle)

    def handle(self, request: Request) -> Code:
        self.requests.append(request)
        return Code.VALID


@pytest.fixture
def seen(router: Router) -> Seen:
    return Seen(router)


async def ask(
    peer: Peer,
    seen: Seen,
    options: Options | None = None,
    *,
    code: Code = Code.GET,
    kind: Type = Type.CON,
    token: bytes = b"tk",
    payload: bytes = b"",
) -> Request:
    """Send a request, see that it is answered, and give what the handler saw of it."""
    if options is None:
        options = Options.build(uri_path=("r",))
    number = len(seen.requests)
    peer.send(encode(Message(code, kind, 0x2000 + number, token, options, payload)))
    await peer.expect(Type.ACK if kind is Type.CON else Type.NON, Code.VALID, token=token)
    assert len(seen.requests) == number + 1
    return seen.requests[-1]


# -- what was asked ----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
async def test_method(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, method: Code
) -> None:
    request = await ask(peer, seen, code=method)
    assert request.method is method


@pytest.mark.parametrize(
    "path", [(), ("r",), ("x", "r"), ("größe",), ("a/b",), ("",), ("a b?c=d&e",), ("r", "", "")]
)
async def test_path(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, path: tuple[str, ...]
) -> None:
    request = await ask(peer, seen, Options.build(uri_path=path))
    assert request.path == path


@pytest.mark.parametrize(
    "query", [(), ("a",), ("a=1", "b=2"), ("a=1", "a=1"), ("",), ("ä=ö",), ("a&b", "=", "a=b=c")]
)
async def test_query(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, query: tuple[str, ...]
) -> None:
    request = await ask(peer, seen, Options.build(uri_path=("r",), uri_query=query))
    assert request.query == query


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a", "1"),  # the first of two
        ("b", ""),
        ("c", ""),
        ("d", "x=y"),
        ("ä", "ö&"),
        ("", "nameless"),
        ("e", None),
        ("A", None),
        ("a=1", None),
        ("ab", None),
    ],
)
async def test_argument(
    autojump_clock: MockClock,
    server: Server,
    seen: Seen,
    peer: Peer,
    name: str,
    value: str | None,
) -> None:
    query = ("abc", "a=1", "a=2", "b", "c=", "d=x=y", "ä=ö&", "=nameless")
    request = await ask(peer, seen, Options.build(uri_path=("r",), uri_query=query))
    assert request.argument(name) == value


@pytest.mark.parametrize("payload", [b"", b"\0", b"\xff\xff", b"x" * 1500])
@pytest.mark.parametrize("method", [Code.POST, Code.GET])
async def test_payload(
    autojump_clock: MockClock,
    server: Server,
    seen: Seen,
    peer: Peer,
    payload: bytes,
    method: Code,
) -> None:
    request = await ask(peer, seen, code=method, payload=payload)
    assert request.payload == payload


@pytest.mark.parametrize("number", [None, 0, 50, 65535])
async def test_content_format(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, number: int | None
) -> None:
    options = Options.build(uri_path=("r",), content_format=number)
    request = await ask(peer, seen, options, code=Code.POST, payload=b"1")
    assert request.content_format == number
    assert request.accept is None


@pytest.mark.parametrize("number", [None, 0, 50, 65535])
async def test_accept(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, number: int | None
) -> None:
    request = await ask(peer, seen, Options.build(uri_path=("r",), accept=number))
    assert request.accept == number
    assert request.content_format is None


async def test_options(autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer) -> None:
    """All of them: also elective ones that nobody here knows."""
    options = Options.build(
        uri_host="example.com",
        uri_port=5683,
        uri_path=("r",),
        uri_query=("a",),
        content_format=0,
        etags=(b"\1", b"\2"),
        accept=60,
        extra=((65000, b"mine"),),
    )
    request = await ask(peer, seen, options)
    assert request.options == options
    assert request.options.uri_host == "example.com"
    assert request.options.etags == (b"\1", b"\2")
    assert request.options.value(65000) == b"mine"


async def test_an_option_with_a_bad_value_is_not_among_them(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer
) -> None:
    """Elective, and longer than it may be: as if it were not there (section 5.4.3)."""
    raw = Options([(OptionNumber.URI_PATH, b"r"), (OptionNumber.CONTENT_FORMAT, b"123")])
    request = await ask(peer, seen, raw, code=Code.POST, payload=b"1")
    assert request.content_format is None
    assert request.options == Options.build(uri_path=("r",))


@pytest.mark.parametrize(("kind", "confirmable"), [(Type.CON, True), (Type.NON, False)])
async def test_confirmable(
    autojump_clock: MockClock,
    server: Server,
    seen: Seen,
    peer: Peer,
    kind: Type,
    confirmable: bool,
) -> None:
    request = await ask(peer, seen, kind=kind)
    assert request.confirmable is confirmable


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (("r",), {}),
        (("r", "1"), {"one": "1"}),
        (("r", "ä/ö", ""), {"one": "ä/ö", "two": ""}),
        (("anything",), {"any": "anything"}),
    ],
)
async def test_params(
    autojump_clock: MockClock,
    server: Server,
    seen: Seen,
    peer: Peer,
    path: tuple[str, ...],
    params: dict[str, str],
) -> None:
    request = await ask(peer, seen, Options.build(uri_path=path))
    assert request.params == params


# -- by whom -----------------------------------------------------------------------------


@pytest.mark.parametrize("token", [b"", b"\0", b"\0\0", b"12345678"])
async def test_token(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, token: bytes
) -> None:
    request = await ask(peer, seen, token=token)
    assert request.token == token


async def test_session_peer_and_local(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer
) -> None:
    first = await ask(peer, seen, token=b"1")
    second = await ask(peer, seen, token=b"2")
    assert first.peer == peer.address == Address("10.0.0.2", 40000)
    assert first.local == HERE
    assert first.session == second.session == Session(HERE, peer.address, "virtual")


async def test_two_clients_have_two_sessions(
    autojump_clock: MockClock, server: Server, seen: Seen, network: Network, peer: Peer
) -> None:
    other = Peer(network.bind("10.0.0.2", 40001), SERVER)
    await ask(peer, seen)
    other.request("/r")
    await trio.sleep(1)
    first, second = seen.requests
    assert first.session != second.session
    assert second.peer == other.address
    assert first.local == second.local
    assert first.token == second.token


async def test_asyncs_and_pending(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    seen: list[Request] = []

    @router.get("/later/{name}", title="t")
    def later(request: Request) -> str | None:
        seen.append(request)
        if request.pending is None:
            request.asyncs.register_async(request, 5)
            return None
        return "done"

    message = peer.request("/later/x", query=("q=1",), accept=0)
    await peer.expect_ack(message)
    (entry,) = server.asyncs
    await peer.expect_separate(message.token, b"done")
    first, second = seen
    assert first.asyncs is second.asyncs is server.asyncs
    assert (first.pending, second.pending) == (None, entry)
    assert first is not second
    assert entry.request.pending is second.pending is entry
    for name in (
        "method",
        "path",
        "query",
        "payload",
        "content_format",
        "accept",
        "options",
        "confirmable",
        "params",
        "token",
        "session",
        "peer",
        "local",
    ):
        assert getattr(first, name) == getattr(second, name), name
    assert repr(first) == repr(second)


# -- whether anybody waits ---------------------------------------------------------------


class Slow:
    """/slow works ten seconds, or until nobody waits any more. It notes what it finds."""

    def __init__(self, router: Router) -> None:
        self.requests: list[Request] = []
        self.before: list[bool] = []
        self.after: list[bool] = []
        self.told: list[float] = []
        router.get("/slow")(self.handle)

    async def handle(self, request: Request) -> str:
        self.requests.append(request)
        self.before.append(request.abandoned)
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await request.wait_abandoned()
                self.told.append(trio.current_time())
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()
        self.after.append(request.abandoned)
        return "slow"


@pytest.fixture
def slow(router: Router) -> Slow:
    return Slow(router)


async def test_nobody_abandons_it(
    autojump_clock: MockClock, server: Server, slow: Slow, peer: Peer
) -> None:
    message = peer.request("/slow")
    await peer.expect_ack(message)
    await peer.expect_separate(message.token, b"slow")
    assert (slow.before, slow.after, slow.told) == ([False], [False], [])


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_abandoned_while_it_is_waited_for(
    autojump_clock: MockClock, server: Server, slow: Slow, peer: Peer, kind: Type
) -> None:
    start = trio.current_time()
    peer.request("/slow", kind=kind)
    await trio.sleep(3)
    peer.request("/slow", query=("other",), kind=kind)
    await trio.sleep(1)
    assert slow.told == [pytest.approx(start + 3.01)]
    assert slow.after == [True]
    assert [request.abandoned for request in slow.requests] == [True, False]
    await trio.sleep(300)
    assert slow.after == [True, False]
    assert server.statistics().responses_abandoned == 1


async def test_a_copy_abandons_nothing(
    autojump_clock: MockClock, server: Server, slow: Slow, peer: Peer
) -> None:
    message = peer.request("/slow")
    await trio.sleep(3)
    peer.again(message)
    await trio.sleep(1)
    assert [request.abandoned for request in slow.requests] == [False]


async def test_a_token_belongs_to_a_session(
    autojump_clock: MockClock, server: Server, slow: Slow, network: Network, peer: Peer
) -> None:
    other = Peer(network.bind("10.0.0.3", 1), SERVER)
    peer.request("/slow")
    other.request("/slow", query=("other",))
    await trio.sleep(5)
    assert [request.abandoned for request in slow.requests] == [False, False]


async def test_waiting_late_returns_at_once_and_checkpoints(
    autojump_clock: MockClock, server: Server, slow: Slow, peer: Peer
) -> None:
    peer.request("/slow")
    await trio.sleep(1)
    peer.request("/slow", query=("other",))
    await trio.sleep(1)
    first, _ = slow.requests
    with trio.fail_after(0.5), trio.testing.assert_checkpoints():
        await first.wait_abandoned()
    with trio.CancelScope() as scope:
        scope.cancel()
        await first.wait_abandoned()
    assert scope.cancelled_caught


async def test_many_may_wait_and_one_may_give_up(
    autojump_clock: MockClock, server: Server, slow: Slow, peer: Peer
) -> None:
    told: list[int] = []
    peer.request("/slow")
    await trio.sleep(1)
    (request,) = slow.requests

    async def watch(number: int) -> None:
        await request.wait_abandoned()
        told.append(number)

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(1) as impatient:
            await watch(0)
        nursery.start_soon(watch, 1)
        nursery.start_soon(watch, 2)
        await wait_all_tasks_blocked()
        peer.request("/slow", query=("other",))
    assert impatient.cancelled_caught
    assert sorted(told) == [1, 2]


async def test_abandoned_before_its_handler_started(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    slow: Slow,
    peer: Peer,
) -> None:
    """Both requests arrive in one instant."""
    peer.request("/slow")
    peer.request("/slow", query=("other",))
    await trio.sleep(1)
    assert sorted((request.query, request.abandoned) for request in slow.requests) == [
        ((), True),
        (("other",), False),
    ]
    assert len(slow.told) == 1


async def test_abandoned_in_the_batch_in_which_it_came(
    autojump_clock: MockClock, network: Network, router: Router, slow: Slow, peer: Peer
) -> None:
    """Both are read before either is handled: its handler starts, and knows."""
    transport = network.bind(SERVER)
    peer.request("/slow")
    peer.request("/slow", query=("other",))
    await trio.sleep(1)
    start = trio.current_time()
    async with open_server(router, transport=transport):
        await trio.sleep(1)
        assert slow.told == [start]
        assert sorted((request.query, request.abandoned) for request in slow.requests) == [
            ((), True),
            (("other",), False),
        ]


async def test_a_handler_that_registered_and_still_runs_is_told(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    """The pass is the one to be told, whatever it has registered meanwhile."""
    told: list[float] = []
    start = trio.current_time()

    @router.get("/r")
    async def handler(request: Request) -> None:
        request.asyncs.register_async(request, 100)
        if not request.query:
            with trio.move_on_after(60):
                await request.wait_abandoned()
                told.append(trio.current_time() - start)

    peer.request("/r")
    await trio.sleep(3)
    peer.request("/r", query=("other",))
    await trio.sleep(80)
    assert told == [pytest.approx(3.01)]


class Parked:
    """/r parks; keeps the request of the first pass."""

    def __init__(self, router: Router) -> None:
        self.requests: list[Request] = []
        router.get("/r")(self.handle)

    def handle(self, request: Request) -> None:
        self.requests.append(request)
        request.asyncs.register_async(request)


@pytest.fixture
def parked(router: Router) -> Parked:
    return Parked(router)


@pytest.mark.parametrize("whose", ["handler", "entry"])
async def test_a_pending_request_is_abandoned_too(
    autojump_clock: MockClock, server: Server, parked: Parked, peer: Peer, whose: str
) -> None:
    """``abandoned``: the client took this token for another request."""
    await peer.expect_ack(peer.request("/r"))
    (entry,) = server.asyncs
    request = entry.request if whose == "entry" else parked.requests[0]
    assert not request.abandoned
    await peer.expect_ack(peer.request("/r", query=("other",)))
    assert request.abandoned
    with trio.fail_after(1):
        await request.wait_abandoned()


@pytest.mark.parametrize("whose", ["handler", "entry"])
async def test_who_waits_for_a_pending_request_is_told(
    autojump_clock: MockClock, server: Server, parked: Parked, peer: Peer, whose: str
) -> None:
    """Such as work that the first pass has left to another task."""
    await peer.expect_ack(peer.request("/r"))
    (entry,) = server.asyncs
    request = entry.request if whose == "entry" else parked.requests[0]
    told: list[float] = []

    async def watch() -> None:
        with trio.move_on_after(10):
            await request.wait_abandoned()
            told.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        peer.request("/r", query=("other",))
        expected = trio.current_time() + 0.01
    assert told == [pytest.approx(expected)]


async def test_a_request_that_was_answered_is_not_abandoned(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer
) -> None:
    request = await ask(peer, seen)
    await ask(peer, seen, Options.build(uri_path=("r",), uri_query=("other",)))
    assert not request.abandoned


# -- repr --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "path", "token", "expected"),
    [
        (Code.GET, ("r",), b"\1\xff", "<Request GET /r from 10.0.0.2:40000 token='01ff'>"),
        (Code.PUT, (), b"", "<Request PUT / from 10.0.0.2:40000 token=''>"),
        (Code.FETCH, ("r", "ä", ""), b"a", "<Request FETCH /r/ä/ from 10.0.0.2:40000 token='61'>"),
    ],
)
async def test_repr(
    autojump_clock: MockClock,
    server: Server,
    seen: Seen,
    peer: Peer,
    code: Code,
    path: tuple[str, ...],
    token: bytes,
    expected: str,
) -> None:
    request = await ask(peer, seen, Options.build(uri_path=path), code=code, token=token)
    assert repr(request) == expected


@pytest.mark.parametrize("segment", ["a\nERROR forged", "\x1b[2J", "\r", "\0", "\u2028", "\u202e"])
async def test_repr_is_one_printable_line(
    autojump_clock: MockClock, server: Server, seen: Seen, peer: Peer, segment: str
) -> None:
    """It goes to the log, and a client chooses the path; Message.__str__ escapes it too."""
    request = await ask(peer, seen, Options.build(uri_path=("r", segment)))
    assert repr(request).isprintable()
