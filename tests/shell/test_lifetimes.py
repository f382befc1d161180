"""How a server starts and ends: serve, open_server, drain, cancellation."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Code,
    Ended,
    EndpointCrashed,
    Limits,
    Request,
    Router,
    Server,
    Session,
    Tuning,
    Type,
    open_server,
    serve,
)
from coapsep.testing import Network
from coapsep.transport.base import Batch, Refused
from tests.shell.peer import SERVER, Peer
from tests.shell.wrapped import Wrapped

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/hello")
    def hello(request: Request) -> str:
        return "hello"

    @router.get("/slow")
    async def slow(request: Request) -> str:
        await trio.sleep(float(request.query[0]))
        return "slow"

    @router.get("/park")
    def park(request: Request) -> str | None:
        if request.pending is None:
            request.asyncs.register_async(request)
            return None
        return "parked"

    return router


# -- serve -------------------------------------------------------------------------------


async def test_serve_in_a_nursery_of_the_user(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            lambda task_status: serve(
                router, transport=network.bind(SERVER), task_status=task_status
            )
        )
        assert [str(address) for address in server.addresses] == [f"{SERVER}:5683"]
        peer.request("/hello")
        await peer.expect(Type.ACK, Code.CONTENT)
        nursery.cancel_scope.cancel()
    network.bind(SERVER)  # the address is free again


async def test_at_rest_a_server_has_no_task_but_its_own(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async def tasks() -> int:
        await wait_all_tasks_blocked()
        return trio.lowlevel.current_statistics().tasks_living

    async with open_server(router, transport=network.bind(SERVER)) as server:
        before = await tasks()
        for number in range(20):
            peer.request("/slow", query=("5",), token=bytes([number]))
            peer.request("/park", token=bytes([number, number]))
        await trio.sleep(1)
        assert await tasks() == before + 40
        for entry in server.asyncs:
            server.asyncs.free_async(entry)
        await trio.sleep(20)
        assert await tasks() == before


async def test_the_users_nursery_is_cancelled_while_requests_are_pending(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            lambda task_status: serve(
                router, transport=network.bind(SERVER), task_status=task_status
            )
        )
        await peer.expect_ack(peer.request("/park", token=b"1"))
        await peer.expect_ack(peer.request("/slow", query=("50",), token=b"2"))
        (entry,) = server.asyncs
        nursery.cancel_scope.cancel()
    assert entry.reason is Ended.SHUTDOWN
    await peer.expect_silence()
    with pytest.raises(trio.ClosedResourceError):
        await server.drain()


async def test_a_taken_address_is_an_error_before_anything_runs(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    network.bind(SERVER)
    with pytest.raises(OSError, match="taken"):
        network.bind(SERVER)


async def test_a_wrong_parameter(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    with pytest.raises(ValueError, match="handler_errors"):
        async with open_server(
            router,
            transport=network.bind(SERVER),
            handler_errors="log",  # type: ignore[arg-type]  # wrong on purpose
        ):
            raise AssertionError("not reached")
    network.bind(SERVER)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("router", Router), ("router", None), ("limits", {}), ("tuning", 5), ("rng", 5)],
)
async def test_a_wrong_object_is_refused_at_once(
    autojump_clock: MockClock, network: Network, router: Router, name: str, wrong: Any
) -> None:
    parameters: dict[str, Any] = {"router": router, "transport": network.bind(SERVER)}
    parameters[name] = wrong
    with pytest.raises(TypeError, match=f"{name} must be a "):
        async with open_server(**parameters):
            raise AssertionError("not reached")
    with pytest.raises(TypeError, match="on_undelivered must be callable"):
        async with open_server(router, transport=network.bind(SERVER), on_undelivered=5):  # type: ignore[arg-type]  # wrong on purpose
            raise AssertionError("not reached")


# -- open_server -------------------------------------------------------------------------


async def test_an_exception_of_the_block_leaves_as_it_is(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_server(router, transport=network.bind(SERVER)):
            raise KeyError("mine")
    network.bind(SERVER)


async def test_cancelling_around_it_is_plain_cancellation(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    with trio.move_on_after(5) as scope:
        async with open_server(router, transport=network.bind(SERVER)):
            await trio.sleep_forever()
    assert scope.cancelled_caught


class Broken(Wrapped):
    """A transport that fails after a second."""

    async def run(self, *_: object) -> None:
        await trio.sleep(1)
        raise RuntimeError("broken")


async def test_a_failure_of_the_server_alone(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    with pytest.raises(EndpointCrashed, match="broken") as caught:
        async with open_server(router, transport=Broken(network.bind(SERVER))):
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, RuntimeError)


async def test_both_fail(autojump_clock: MockClock, network: Network, router: Router) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with open_server(router, transport=Broken(network.bind(SERVER))):
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")
    assert [type(exc) for exc in caught.value.exceptions] == [KeyError, EndpointCrashed]


async def test_an_interrupt_in_the_block_leaves_as_it_is(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    with pytest.raises(KeyboardInterrupt):
        async with open_server(router, transport=network.bind(SERVER)):
            raise KeyboardInterrupt
    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_server(router, transport=Broken(network.bind(SERVER))):
            try:
                await trio.sleep_forever()
            finally:
                raise KeyboardInterrupt
    assert [type(e) for e in caught.value.exceptions] == [KeyboardInterrupt, EndpointCrashed]


# -- drain -------------------------------------------------------------------------------


async def test_drain_finishes_what_is_under_way(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            lambda task_status: serve(
                router, transport=network.bind(SERVER), task_status=task_status
            )
        )
        slow = peer.request("/slow", query=("5",), token=b"1")
        await peer.expect_ack(slow)
        parked = peer.request("/park", token=b"2")
        await peer.expect_ack(parked)
        nursery.start_soon(server.drain)
        await trio.sleep(1)
        peer.request("/hello", token=b"3")
        refused = await peer.expect(Type.ACK, Code.SERVICE_UNAVAILABLE, token=b"3")
        assert refused.options.max_age == 5
        await peer.expect_separate(b"1", b"slow")
        next(iter(server.asyncs)).trigger()
        late = await peer.expect(Type.CON, Code.CONTENT, token=b"2", payload=b"parked")
        await peer.expect(Type.CON, Code.CONTENT, token=b"2")  # it is repeated, as always
        with pytest.raises(OSError, match="taken"):  # the server is still there
            network.bind(SERVER)
        peer.ack(late)
        # serve returns, and with it the nursery ends, uncancelled
    assert not nursery.cancel_scope.cancel_called
    with pytest.raises(trio.ClosedResourceError):
        await server.drain()


async def test_drain_at_rest_returns_at_once(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    start = trio.current_time()
    async with open_server(router, transport=network.bind(SERVER)) as server:
        await server.drain()
        assert trio.current_time() == start
    network.bind(SERVER)


async def test_what_is_left_after_drain_gets_one_5_03(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with open_server(router, transport=network.bind(SERVER)) as server:
        for number in range(200):  # more than a response window
            peer.request("/park", token=bytes([0, number]))
        peer.request("/park", kind=Type.NON, token=b"non")
        peer.request("/slow", query=("1000",), token=b"slow")
        await trio.sleep(1)
        entries = list(server.asyncs)
        assert len(entries) == 201
        for _ in range(201):
            await peer.expect(Type.ACK, Code.EMPTY)
        with trio.move_on_after(10) as scope:
            await server.drain()
        assert scope.cancelled_caught
        await trio.sleep(1)
        answers = [await peer.receive() for _ in range(202)]
        assert {answer.code for answer in answers} == {Code.SERVICE_UNAVAILABLE}
        assert {answer.token for answer in answers} == {
            *(bytes([0, number]) for number in range(200)),
            b"non",
            b"slow",
        }
        assert len({answer.mid for answer in answers}) == 202
        await peer.expect_silence()
        assert {entry.reason for entry in entries} == {Ended.SHUTDOWN}


async def test_responses_that_wait_for_their_turn_go_out_once_when_drain_ends(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with open_server(
        router, transport=network.bind(SERVER), tuning=Tuning(response_window=1)
    ) as server:
        for token in (b"1", b"2"):
            await peer.expect_ack(peer.request("/slow", query=("1",), token=token))
        first = await peer.expect(Type.CON, Code.CONTENT)
        with trio.move_on_after(0.5):
            await server.drain()
        second = await peer.receive()
        assert second.payload == b"slow"
        assert {first.token, second.token} == {b"1", b"2"}
        await peer.expect_silence()


async def test_a_drain_beside_a_server_that_is_cancelled_returns(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    """There is nothing left to wait for, and nobody left to send to."""
    async with trio.open_nursery() as drainer:
        async with open_server(router, transport=network.bind(SERVER)) as server:
            await peer.expect_ack(peer.request("/park"))
            drainer.start_soon(server.drain)
            await trio.sleep(1)
        await wait_all_tasks_blocked()
        assert not drainer.child_tasks
    await peer.expect_silence()


@pytest.mark.parametrize("attempt", range(20))
async def test_a_drain_that_is_cancelled_together_with_its_server(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer, attempt: int
) -> None:
    """Trio runs the two in either order, so this is tried often."""
    async with trio.open_nursery() as nursery:
        server: Server = await nursery.start(
            lambda task_status: serve(
                router, transport=network.bind(SERVER), task_status=task_status
            )
        )
        for number in range(3):
            await peer.expect_ack(peer.request("/park", token=bytes([number])))
        nursery.start_soon(server.drain)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


async def test_two_drains(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with open_server(router, transport=network.bind(SERVER)) as server:
        await peer.expect_ack(peer.request("/slow", query=("5",)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain)
            nursery.start_soon(server.drain)
            await peer.expect_separate(b"tk", b"slow")


async def test_ten_thousand_pending_at_shutdown(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    async with open_server(router, transport=network.bind(SERVER)) as server:
        for number in range(10_000):
            peer.request("/park", token=number.to_bytes(2, "big"), mid=number)
        await trio.sleep(1)
        assert server.statistics().pending == 10_000
        asyncs = server.asyncs
    assert len(asyncs) == 0


# -- a session that goes -----------------------------------------------------------------


class Connection(Wrapped):
    """A transport that can say that a session has gone."""

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        self.lose = lost
        await super().run(deliver, lost, refused)


async def test_a_session_that_is_gone_ends_its_requests(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    abandoned: list[Session] = []

    @router.get("/watch")
    async def watch(request: Request) -> str:
        await request.wait_abandoned()
        abandoned.append(request.session)
        return "to nobody"

    transport = Connection(network.bind(SERVER))
    async with open_server(router, transport=transport) as server:
        await peer.expect_ack(peer.request("/park", token=b"1"))
        await peer.expect_ack(peer.request("/watch", token=b"2"))
        (entry,) = server.asyncs
        transport.lose(entry.session)
        assert await entry.ended is Ended.SESSION_LOST
        await peer.expect_silence()
        assert abandoned == [entry.session]
        assert server.statistics().open_requests == 0
        assert server.statistics().responses_abandoned == 1


# -- the socket does not take everything -------------------------------------------------


async def test_what_the_socket_does_not_take_waits_in_order(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    transport = network.bind(SERVER)
    limits = Limits(unsent=3)
    async with open_server(router, transport=transport, limits=limits) as server:
        transport.blocked = True
        for number in range(5):
            peer.request("/hello", token=bytes([number]))
        await trio.sleep(1)
        assert server.statistics().datagrams_unsent == 2
        transport.blocked = False
        for number in range(3):
            await peer.expect(Type.ACK, Code.CONTENT, token=bytes([number]))
        await peer.expect_silence(1)
        peer.request("/hello", token=b"again")
        await peer.expect(Type.ACK, Code.CONTENT, token=b"again")


async def test_drain_waits_for_the_socket(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    transport = network.bind(SERVER)
    async with open_server(router, transport=transport) as server:
        transport.blocked = True
        peer.request("/hello")
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain)
            await trio.sleep(1)
            transport.blocked = False
        await peer.expect(Type.ACK, Code.CONTENT)


async def test_a_refused_send_costs_that_datagram_only(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    transport = network.bind(SERVER)
    async with open_server(router, transport=transport) as server:
        no_buffer = OSError(errno.ENOBUFS, "no buffer space")
        network.fail_sends(SERVER, peer.address.host, no_buffer)
        request = peer.request("/hello")
        await trio.sleep(1)
        network.fail_sends(SERVER, peer.address.host, None)
        peer.again(request)
        await peer.expect(Type.ACK, Code.CONTENT)
        assert server.statistics().send_errors == 1


async def test_the_socket_is_read_while_many_responses_leave(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    """Else the ACKs of the first would overflow its buffer."""
    polls: list[int] = []

    class Polled(Wrapped):
        def poll(self) -> Batch:
            polls.append(len(network.trace))
            return super().poll()

    async with open_server(router, transport=Polled(network.bind(SERVER))):
        for number in range(200):
            peer.request("/slow", query=("5",), token=number.to_bytes(2, "big"))
        await trio.sleep(1)
        polls.clear()
        await trio.sleep(5)
    assert len(polls) >= 64 // 32


async def test_a_flood_that_is_answered_as_it_is_read_does_not_hold_the_step(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    polls: list[int] = []

    class Flooded(Wrapped):
        """There is always more to read, and each of it draws an answer."""

        def poll(self) -> Batch:
            polls.append(1)
            assert len(polls) < 1000, "the step does not end"
            session = self.session_to(peer.address)
            return [(b"\x40\x00" + n.to_bytes(2, "big"), session) for n in range(64)]

    async with open_server(router, transport=Flooded(network.bind(SERVER))):
        network.drop(source=SERVER)
        for number in range(64):
            peer.send(b"\x40\x00\x00" + bytes([number]))
        await trio.sleep(1)
    assert 0 < len(polls) < 64 * 10
