"""How a client starts and ends: run_client, open_client, closing, crashing."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Address,
    Batch,
    Client,
    ClientResponse,
    Code,
    EndpointCrashed,
    Message,
    RequestTimedOut,
    Retry,
    Server,
    Session,
    Type,
    open_client,
    run_client,
)
from coapsep.client.waiter import Waiter
from coapsep.protocol.events import Failure, RequestFailed, ResponseReceived
from coapsep.protocol.records import ClientExchange, Peer
from coapsep.testing import Network
from coapsep.transport.base import Refused
from tests.shell.client.asking import HELLO, PEER, SLOW
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT
from tests.shell.peer import SERVER
from tests.shell.wrapped import Wrapped

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


class Fragile(Wrapped):
    """A transport that fails when it is told to."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.bind(CLIENT))
        self.broken = trio.Event()

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.inner.run, deliver, lost, refused)
            await self.broken.wait()
            raise RuntimeError("broken")


# -- the two ways ------------------------------------------------------------------------


async def test_in_a_nursery_of_the_user(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with trio.open_nursery() as nursery:
        client: Client = await nursery.start(partial(run_client, transport=network.bind(CLIENT)))
        assert (await client.get(HELLO)).text == "hello"
        nursery.cancel_scope.cancel()
    network.bind(CLIENT)  # the address is free again


async def test_around_a_block(autojump_clock: MockClock, network: Network, server: Server) -> None:
    before = trio.lowlevel.current_statistics().tasks_living
    async with open_client(transport=network.bind(CLIENT)) as client:
        assert (await client.get(HELLO)).text == "hello"
    assert trio.lowlevel.current_statistics().tasks_living == before
    network.bind(CLIENT)


async def test_at_rest_a_client_has_no_task_but_its_own(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    async def tasks() -> int:
        await wait_all_tasks_blocked()
        return trio.lowlevel.current_statistics().tasks_living

    before = await tasks()
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(client.get, SLOW)
        await wait_all_tasks_blocked()
    assert await tasks() == before


async def test_it_may_ask_before_its_task_has_run(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with open_client(transport=network.bind(CLIENT)) as client:
        assert (await client.get(SLOW)).text == "slow"


@pytest.mark.parametrize(
    "wrong",
    [
        {"transport": 5},
        {"tuning": {}},
        {"limits": 5},
        {"rng": 5},
        {"retry": 3},
        {"retry": Retry},
    ],
    ids=str,
)
async def test_a_wrong_object_is_refused_at_once(
    autojump_clock: MockClock, network: Network, wrong: dict[str, Any]
) -> None:
    (name,) = wrong
    arguments: dict[str, Any] = {"transport": network.bind(CLIENT), **wrong}
    with pytest.raises(TypeError, match=rf"^{name} must be an? \w+, not "):
        async with open_client(**arguments):
            raise AssertionError("not reached")
    if name != "transport":
        network.bind(CLIENT)  # a transport that was taken is closed, whatever happens


# -- the end -----------------------------------------------------------------------------


async def test_an_exception_of_the_block_leaves_as_it_is(
    autojump_clock: MockClock, network: Network
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_client(transport=network.bind(CLIENT)):
            raise KeyError("mine")
    with pytest.raises(RequestTimedOut):
        async with open_client(transport=network.bind(CLIENT)) as client:
            await client.get(HELLO)
    with pytest.raises(KeyboardInterrupt):
        async with open_client(transport=network.bind(CLIENT)):
            raise KeyboardInterrupt
    network.bind(CLIENT)


async def test_cancelling_around_it_is_plain_cancellation(
    autojump_clock: MockClock, network: Network
) -> None:
    with trio.move_on_after(5) as scope:
        async with open_client(transport=network.bind(CLIENT)) as client:
            await client.get(HELLO)
    assert scope.cancelled_caught
    network.bind(CLIENT)


async def test_cancelled_before_it_begins(autojump_clock: MockClock, network: Network) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_client(transport=network.bind(CLIENT)):
            raise AssertionError("not reached")
    assert scope.cancelled_caught
    network.bind(CLIENT)


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "request": lambda client: client.request(Code.GET, PEER),
    "get": lambda client: client.get(PEER),
    "post": lambda client: client.post(PEER),
    "put": lambda client: client.put(PEER),
    "delete": lambda client: client.delete(PEER),
    "fetch": lambda client: client.fetch(PEER),
    "patch": lambda client: client.patch(PEER),
    "ipatch": lambda client: client.ipatch(PEER),
    "ping": lambda client: client.ping(PEER),
    "discover": lambda client: client.discover(PEER),
    "by name": lambda client: client.get("coap://one.example"),
    "by name with two addresses": lambda client: client.get("coap://two.example"),
    "ping a name": lambda client: client.ping("coap://two.example"),
    "NON": lambda client: client.get(PEER, confirmable=False),
    "multicast": lambda client: listen(client),
}


async def listen(client: Client) -> None:
    async with client.multicast(seconds=1000) as responses:
        async for _ in responses:
            raise AssertionError("nobody is there")


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_whatever_is_asked_of_a_closed_client(
    autojump_clock: MockClock,
    network: Network,
    names: Names,
    call: Callable[[Client], Awaitable[object]],
) -> None:
    names.set("one.example", "10.0.1.1")
    names.set("two.example", "10.0.1.1", "10.0.1.2")
    async with open_client(transport=network.bind(CLIENT)) as client:
        pass
    with pytest.raises(trio.ClosedResourceError, match="the client was closed"):
        await call(client)
    assert len(network.trace) == 0


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("seconds", [0, 1], ids=["at once", "later"])
async def test_whoever_waits_when_the_client_closes(
    autojump_clock: MockClock,
    network: Network,
    names: Names,
    seconds: float,
    call: Callable[[Client], Awaitable[object]],
) -> None:
    names.set("one.example", "10.0.1.1")
    names.set("two.example", "10.0.1.1", "10.0.1.2")
    errors: list[BaseException] = []

    async def wait(client: Client) -> None:
        with pytest.raises(trio.ClosedResourceError, match="the client was closed") as caught:
            await call(client)
        errors.append(caught.value)

    async with (
        trio.open_nursery() as nursery,
        open_client(transport=network.bind(CLIENT)) as client,
    ):
        for _ in range(3):
            nursery.start_soon(wait, client)
        await wait_all_tasks_blocked()
        await trio.sleep(seconds)
        closed = trio.current_time()
    assert trio.current_time() == closed
    assert len(errors) == 3
    sent = len(network.trace)
    await trio.sleep(300)
    assert len(network.trace) == sent


async def test_a_client_that_closes_during_a_lookup(
    autojump_clock: MockClock, network: Network, names: Names
) -> None:
    names.set("one.example", SERVER)
    names.seconds = 10
    async with trio.open_nursery() as nursery:

        async def wait(client: Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.get("coap://one.example")

        async with open_client(transport=network.bind(CLIENT)) as client:
            nursery.start_soon(wait, client)
            await trio.sleep(1)
    assert len(network.trace) == 0


async def test_a_client_that_closes_during_the_pause_before_another_attempt(
    autojump_clock: MockClock, network: Network
) -> None:
    async with trio.open_nursery() as nursery:

        async def wait(client: Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.get(HELLO, retry=Retry(pause=50))

        async with open_client(transport=network.bind(CLIENT)) as client:
            nursery.start_soon(wait, client)
            await trio.sleep(94)  # more than MAX_TRANSMIT_WAIT
    assert len(network.trace) == 5


async def test_it_can_be_closed_while_the_socket_takes_nothing(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    transport = network.bind(CLIENT)
    async with trio.open_nursery() as nursery:

        async def wait(client: Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.get(HELLO)

        async with open_client(transport=transport) as client:
            transport.blocked = True
            nursery.start_soon(wait, client)
            await trio.sleep(10)
    assert len(network.trace) == 0


class ClosedWithTheResponse(Wrapped):
    """Ends a client in the same step in which something arrives for it."""

    def __init__(self, network: Network, scope: trio.CancelScope) -> None:
        super().__init__(network.bind(CLIENT, 0))
        self._scope = scope

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        def deliver_and_close(batch: Batch) -> None:
            deliver(batch)
            self._scope.cancel()

        await super().run(deliver_and_close, lost, refused)


@pytest.mark.parametrize("attempt", range(10))
async def test_a_response_that_came_in_time_is_not_lost_with_the_client(
    autojump_clock: MockClock, network: Network, server: Server, attempt: int
) -> None:
    """Trio runs the two tasks in either order, so this is tried often."""
    responses: list[ClientResponse] = []
    async with trio.open_nursery() as nursery, trio.open_nursery() as clients:
        transport = ClosedWithTheResponse(network, clients.cancel_scope)
        client: Client = await clients.start(partial(run_client, transport=transport))

        async def ask() -> None:
            responses.append(await client.get(HELLO))

        nursery.start_soon(ask)
    assert [response.text for response in responses] == ["hello"]


async def test_the_first_word_on_an_outcome_counts(autojump_clock: MockClock) -> None:
    message = Message(Code.CONTENT, Type.ACK, 1)
    waiter = Waiter()
    session = Session(Address("10.0.0.9", 1), Address("10.0.0.1", 5683))
    exchange = ClientExchange(Peer(session, 0.0), b"", message, b"")
    waiter.handle(ResponseReceived(exchange, message))
    waiter.handle(RequestFailed(exchange, Failure.RESET))
    waiter.close()
    assert await waiter.wait() is message


# -- crashes -----------------------------------------------------------------------------


async def test_a_failure_of_the_client_alone(autojump_clock: MockClock, network: Network) -> None:
    transport = Fragile(network)
    with pytest.raises(EndpointCrashed, match="broken") as caught:
        async with open_client(transport=transport):
            transport.broken.set()
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, RuntimeError)
    network.bind(CLIENT)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_failure_while_the_block_waits_for_a_response_is_told_once(
    autojump_clock: MockClock,
    network: Network,
    names: Names,
    call: Callable[[Client], Awaitable[object]],
) -> None:
    """That the client is closed is no news beside why."""
    names.set("one.example", "10.0.1.1")
    names.set("two.example", "10.0.1.1", "10.0.1.2")
    transport = Fragile(network)
    with pytest.raises(EndpointCrashed, match="broken"):
        async with open_client(transport=transport) as client:
            transport.broken.set()
            await call(client)
    network.bind(CLIENT)


async def test_a_failure_in_a_nursery_of_the_user_is_told_once(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = Fragile(network)
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            client: Client = await nursery.start(partial(run_client, transport=transport))
            nursery.start_soon(client.get, HELLO)
            nursery.start_soon(client.ping, PEER)
            transport.broken.set()
    found: BaseException = caught.value
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, RuntimeError)


async def test_a_task_outside_of_the_block_learns_that_the_client_is_closed(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = Fragile(network)
    errors: list[Exception] = []
    async with trio.open_nursery() as nursery:

        async def wait(client: Client) -> None:
            with pytest.raises(trio.ClosedResourceError) as caught:
                await client.get(HELLO)
            errors.append(caught.value)

        with pytest.raises(EndpointCrashed):
            async with open_client(transport=transport) as client:
                nursery.start_soon(wait, client)
                await wait_all_tasks_blocked()
                transport.broken.set()
                await trio.sleep_forever()
    assert len(errors) == 1


async def test_both_fail(autojump_clock: MockClock, network: Network) -> None:
    transport = Fragile(network)
    with pytest.raises(ExceptionGroup) as caught:
        async with open_client(transport=transport):
            transport.broken.set()
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("mine")
    assert [type(exc) for exc in caught.value.exceptions] == [KeyError, EndpointCrashed]


async def test_a_transport_that_is_closed_under_the_client_is_a_crash(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = network.bind(CLIENT)
    with pytest.raises(EndpointCrashed) as caught:
        async with open_client(transport=transport):
            await wait_all_tasks_blocked()
            transport.close()
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, trio.ClosedResourceError)
