"""Cancellation of every public call of the client: at every step, and at every deadline.

Whatever a scenario does, it is cancelled before the first turn of any task, the second, and
so on; and then again by a deadline at, before and after every moment at which a datagram
leaves or arrives. Each time, nothing may be left of it.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Address,
    Client,
    Code,
    Message,
    Request,
    RequestFailed,
    Response,
    Retry,
    Router,
    Server,
    Tuning,
    Type,
    Undelivered,
    UndeliveredResponse,
    open_client,
    open_server,
    run_client,
)
from coapsep.testing import Network, VirtualTransport, open_network
from tests.shell.cancelling import cancel_at_every_step
from tests.shell.client.names import Names, known_names
from tests.shell.client.responder import CLIENT
from tests.shell.peer import SERVER

URI = f"coap://{SERVER}"
DEAD = "10.0.0.9"
GROUP = "224.0.1.187"


class World:
    """A client, a server, and what the judgement needs to know of them."""

    def __init__(self, network: Network, names: Names, transport: VirtualTransport) -> None:
        self.network = network
        self.names = names
        self.transport = transport  # the client's
        self.handlers = 0  # that run at this moment
        self.undelivered: list[UndeliveredResponse] = []
        self.server: Server | None = None

    def change(self) -> None:
        """What is observed has a new state."""
        assert self.server is not None
        self.server.notify("/state")

    def router(self) -> Router:
        router = Router()

        @router.route("/now", [Code(number) for number in range(1, 8)], rt="now")
        def now(request: Request) -> str:
            return ",".join(request.query)

        @router.get("/later")
        async def later(request: Request) -> str:
            self.handlers += 1
            try:
                await trio.sleep(1)
            finally:
                self.handlers -= 1
            return "later"

        @router.get("/state", observable=True)
        async def state(request: Request) -> Response:
            self.handlers += 1
            try:
                await trio.sleep(0.02)
            finally:
                self.handlers -= 1
            return Response(Code.CONTENT, "state", max_age=1)

        @router.get("/states", observable=True)
        async def states(request: Request) -> AsyncIterator[str]:
            self.handlers += 1
            try:
                for number in range(3):
                    yield str(number)
                    await trio.sleep(0.3)
            finally:
                self.handlers -= 1

        @router.get("/long")
        def long(request: Request) -> bytes:
            return bytes(3000)

        @router.put("/upload", stream=True)
        async def upload(request: Request) -> str:
            self.handlers += 1
            try:
                return str(len(await request.body.read()))
            finally:
                self.handlers -= 1

        @router.get("/busy")
        def busy(request: Request) -> Response:
            return Response(Code.SERVICE_UNAVAILABLE, max_age=1)

        return router

    def sent_by_client(self) -> list[tuple[float, Message]]:
        return [
            (sent.time, sent.message)
            for sent in self.network.trace
            if sent.source.host == CLIENT and isinstance(sent.message, Message)
        ]


Scenario = Callable[[Client, World], Awaitable[object]]


async def piggybacked(name: str, client: Client, world: World) -> None:
    await getattr(client, name)(URI, "/now?a")


async def separate(client: Client, world: World) -> None:
    await client.request(Code.GET, URI, "/later")


async def non_confirmable(client: Client, world: World) -> None:
    await client.request(Code.GET, URI, "/later", confirmable=False)


async def lost(client: Client, world: World) -> None:
    """It is repeated, and given up in the end."""
    world.network.drop(matching=lambda source, destination, data: b"lost" in data)
    with pytest.raises(RequestFailed):
        await client.request(Code.GET, URI, "/now?lost")


async def several_in_turn(client: Client, world: World) -> None:
    async with trio.open_nursery() as nursery:
        for path in ("/now", "/later", "/now", "/later"):
            nursery.start_soon(client.request, Code.GET, URI, path)
        nursery.start_soon(client.ping, URI)


async def asked_again(client: Client, world: World) -> None:
    await client.request(Code.GET, URI, "/busy", retry=Retry(attempts=3))


async def behind_a_full_socket(client: Client, world: World) -> None:
    world.transport.blocked = True
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, Code.GET, URI, "/now")
            await trio.sleep(3)
            world.transport.blocked = False
    finally:
        world.transport.blocked = False


async def by_name(client: Client, world: World) -> None:
    """The first of three addresses is silent, the second one answers."""
    world.names.set("plant.example", DEAD, SERVER, "10.0.0.8")
    world.names.seconds = 0.1
    await client.request(Code.POST, "coap://plant.example/now")


async def several_by_name(client: Client, world: World) -> None:
    world.names.set("plant.example", DEAD, SERVER)
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(client.request, Code.POST, "coap://plant.example/now")


async def ping(client: Client, world: World) -> None:
    await client.ping(URI)


async def ping_by_name(client: Client, world: World) -> None:
    world.names.set("plant.example", DEAD, SERVER)
    await client.ping("coap://plant.example")


async def discover(client: Client, world: World) -> None:
    assert await client.discover(URI, rt="now")


async def observe(client: Client, world: World) -> None:
    """Two that observe, and a request between them; the second one is told of the end."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.request, Code.GET, URI, "/now")
        for path in ("/state", "/states"):
            async with client.observe(URI, path) as states:
                nursery.start_soon(client.request, Code.GET, URI, "/later")
                await anext(states)
                world.change()
                with trio.move_on_after(1.5):
                    async for _ in states:
                        await trio.sleep(0.1)


async def observe_what_is_not_observable(client: Client, world: World) -> None:
    async with client.observe(URI, "/later") as states:
        async for _ in states:
            pass


async def observe_for_long(client: Client, world: World) -> None:
    """It registers again, and by name."""
    world.names.set("plant.example", DEAD, SERVER)
    async with client.observe("coap://plant.example/state") as states:
        for _ in range(3):
            await anext(states)


async def multicast(client: Client, world: World) -> None:
    async with client.multicast(f"coap://{GROUP}/now", seconds=2) as responses:
        await trio.sleep(1)
        async for _ in responses:
            await trio.sleep(0.1)


async def multicast_to_a_name(client: Client, world: World) -> None:
    world.names.set("all.example", GROUP)
    async with client.multicast("coap://all.example/now", seconds=1) as responses:
        async for _ in responses:
            pass


async def in_blocks(client: Client, world: World) -> None:
    assert len((await client.get(URI, "/long")).payload) == 3000
    assert (await client.put(URI, "/upload", payload=bytes(3000))).text == "3000"


async def streamed(client: Client, world: World) -> None:
    async with client.stream(Code.GET, URI, "/long") as response:
        async for _ in response:
            await trio.sleep(0.01)


async def streamed_and_read(client: Client, world: World) -> None:
    async with client.stream(Code.GET, URI, "/long") as response:
        assert len(await response.read()) == 3000


async def streamed_and_left(client: Client, world: World) -> None:
    async with client.stream(Code.GET, URI, "/long") as response:
        await anext(response)


async def produced(client: Client, world: World) -> None:
    world.handlers += 1
    try:
        async with client.stream(Code.PUT, URI, "/upload", payload=pieces()) as response:
            assert await response.read() == b"3000"
    finally:
        world.handlers -= 1


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield bytes(1000)
        await trio.sleep(0.01)


#: What is called, and a scenario for it. tests/shell/test_cancellation.py sees to it that no
#: public call is missing.
SCENARIOS: list[tuple[str, Scenario]] = [
    *(
        (f"Client.{name}", partial(piggybacked, name))
        for name in ("get", "post", "put", "delete", "fetch", "patch", "ipatch")
    ),
    ("Client.request", separate),
    ("Client.request", non_confirmable),
    ("Client.request", lost),
    ("Client.request", several_in_turn),
    ("Client.request", asked_again),
    ("Client.request", behind_a_full_socket),
    ("Client.request", by_name),
    ("Client.request", several_by_name),
    ("Client.ping", ping),
    ("Client.ping", ping_by_name),
    ("Client.discover", discover),
    ("Client.observe", observe),
    ("Client.observe", observe_what_is_not_observable),
    ("Client.observe", observe_for_long),
    ("Notifications.__anext__", observe),
    ("Notifications.begin", observe),
    ("Client.request", in_blocks),
    ("Client.stream", streamed),
    ("Client.stream", streamed_and_left),
    ("Client.stream", produced),
    ("StreamedResponse.__anext__", streamed),
    ("StreamedResponse.begin", streamed),
    ("StreamedResponse.read", streamed_and_read),
    ("Client.multicast", multicast),
    ("Client.multicast", multicast_to_a_name),
    ("GroupResponses.__anext__", multicast),
]


async def judge(scenario: Scenario, arm: Callable[[trio.CancelScope], None]) -> bool:
    """Run it; True if it was over before the cancellation."""
    async with open_network() as network, known_names() as names:
        transport, served = network.bind(CLIENT), network.bind(SERVER)
        served.join(GROUP)
        world = World(network, names, transport)
        async with (
            open_server(
                world.router(), transport=served, on_undelivered=world.undelivered.append
            ) as server,
            open_client(transport=transport, rng=random.Random(1)) as client,
        ):
            world.server = server
            await wait_all_tasks_blocked()
            tasks = trio.lowlevel.current_statistics().tasks_living
            finished = False
            with trio.CancelScope() as scope:
                arm(scope)
                await scenario(client, world)
                finished = True
            sent = len(world.sent_by_client())
            await wait_all_tasks_blocked()
            assert trio.lowlevel.current_statistics().tasks_living - world.handlers == tasks
            farewells = deregistrations(client)
            assert client.statistics().own_requests == farewells
            assert not client._listeners
            assert not client._routes.destinations._searches
            await assert_the_next_one_leaves_at_once(client, world, behind=farewells)
            await trio.sleep(300)
            assert_nothing_else_was_sent(world, sent)
            if server.statistics().observers:
                # It was given up before the server had answered: the next state draws an RST.
                world.change()
                await trio.sleep(300)
            assert server.statistics().observers == 0
            for tables in (client.statistics(), server.statistics()):
                assert tables.own_requests == tables.open_requests == 0
                assert tables.timers == tables.peers == tables.dedup_entries == 0
            assert {gone.reason for gone in world.undelivered} <= {Undelivered.RESET}
    return finished


def deregistrations(client: Client) -> int:
    """Those that tell a server that there is no interest any more, and are not answered yet."""
    asked = [peer.asked for peer in client._endpoint.core._peers if peer.asked is not None]
    tokens = [exchange for one in asked for exchange in one.tokens.values()]
    return sum(exchange.request.options.observe == 1 for exchange in tokens)


async def assert_the_next_one_leaves_at_once(client: Client, world: World, behind: int = 0) -> None:
    """But that of a deregistration goes before it, for one round trip (RFC 7641 section 3.6)."""
    before, asked = len(world.network.trace), trio.current_time()
    response = await client.get(URI, "/now?next")
    assert response.text == "next"
    times = [sent.time for sent in world.network.trace[before:] if b"next" in sent.data]
    assert asked <= times[0] <= asked + 0.05 * behind


def assert_nothing_else_was_sent(world: World, sent: int) -> None:
    """But the request after it, and RSTs for the CON responses that came too late.

    A server may hear of the end of an observation after that, if that had to wait; the last
    notification, which has no Observe option, is then taken for the response and acknowledged.
    """
    messages = [message for _, message in world.sent_by_client()]
    later = [m for m in messages[sent:] if m.options.observe != 1]
    observed = any(m.options.observe == 1 for m in messages)
    assert len([m for m in later if m.code is Code.GET]) == 1
    replies = {m.type for m in later if m.code is not Code.GET}
    assert replies <= ({Type.RST, Type.ACK} if observed else {Type.RST})


@pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=name) for name, scenario in SCENARIOS]
)
def test_cancelled_at_every_step(scenario: Scenario) -> None:
    cancel_at_every_step(partial(judge, scenario), least=2)


async def moments(scenario: Scenario) -> list[float]:
    """When anything leaves or arrives in a scenario that nobody cancels."""
    async with open_network() as network, known_names() as names:
        transport, served = network.bind(CLIENT), network.bind(SERVER)
        served.join(GROUP)
        world = World(network, names, transport)
        async with (
            open_server(world.router(), transport=served) as world.server,
            open_client(transport=transport, rng=random.Random(1)) as client,
        ):
            await scenario(client, world)
        times = {sent.time for sent in network.trace}
        times.update(*(sent.arrivals or () for sent in network.trace))
    return sorted(times)


@pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=name) for name, scenario in SCENARIOS]
)
def test_cancelled_by_a_deadline_at_every_moment(scenario: Scenario) -> None:
    """A deadline and a datagram at the same time: either may win, and both are right."""

    def set_deadline(deadline: float, scope: trio.CancelScope) -> None:
        scope.deadline = deadline

    times = trio.run(moments, scenario, clock=MockClock(autojump_threshold=0))
    assert len(times) >= 2
    for moment in times:
        for deadline in (moment - 0.001, moment, moment + 0.001):
            arm = partial(set_deadline, deadline)
            trio.run(judge, scenario, arm, clock=MockClock(autojump_threshold=0))


# -- the client itself -------------------------------------------------------------------


async def a_block(world: World) -> None:
    async with open_client(transport=world.transport) as client:
        await talk(client)


async def a_nursery(world: World) -> None:
    async with trio.open_nursery() as nursery:
        client = await nursery.start(partial(run_client, transport=world.transport))
        await talk(client)
        nursery.cancel_scope.cancel()


async def talk(client: Client) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.get, f"{URI}/now")
        nursery.start_soon(client.get, f"{URI}/later")
        nursery.start_soon(client.get, f"{URI}/now")
        nursery.start_soon(client.ping, URI)
        nursery.start_soon(partial(client.get, f"{URI}/later", confirmable=False))
        async with client.observe(f"{URI}/states") as states:
            async for _ in states:
                pass
        async with client.multicast(f"coap://{GROUP}/now", seconds=0.5) as responses:
            async for _ in responses:
                pass


LIFETIMES: list[tuple[str, Callable[[World], Awaitable[None]]]] = [
    ("open_client", a_block),
    ("run_client", a_nursery),
]


@pytest.mark.parametrize("name", [name for name, _ in LIFETIMES])
def test_a_client_is_cancelled_at_every_step(name: str) -> None:
    async def judge_lifetime(arm: Callable[[trio.CancelScope], None]) -> bool:
        async with open_network() as network, known_names() as names:
            served = network.bind(SERVER)
            served.join(GROUP)
            world = World(network, names, network.bind(CLIENT))
            async with open_server(world.router(), transport=served):
                await wait_all_tasks_blocked()
                tasks = trio.lowlevel.current_statistics().tasks_living
                finished = False
                with trio.CancelScope() as scope:
                    arm(scope)
                    await dict(LIFETIMES)[name](world)
                    finished = True
                sent = len(world.sent_by_client())
                await wait_all_tasks_blocked()
                assert trio.lowlevel.current_statistics().tasks_living - world.handlers == tasks
                assert world.transport.addresses == (Address(CLIENT, 5683),)
                network.bind(CLIENT).close()  # the address was given back
                await trio.sleep(300)
                assert len(world.sent_by_client()) == sent
        return finished

    cancel_at_every_step(judge_lifetime, least=30)


# -- cancelled together ------------------------------------------------------------------


def test_a_hundred_are_cancelled_at_once_and_the_next_one_leaves() -> None:
    async def main() -> None:
        async with open_network() as network, known_names() as names:
            world = World(network, names, network.bind(CLIENT))
            tuning = Tuning(nstart=3)
            async with (
                open_server(world.router(), transport=network.bind(SERVER)),
                open_client(transport=world.transport, tuning=tuning) as client,
            ):
                with trio.move_on_after(0.5):
                    async with trio.open_nursery() as nursery:
                        for number in range(100):
                            path = ("/later", "/now?x", "/later")[number % 3]
                            nursery.start_soon(client.get, URI, path)
                assert client.statistics().own_requests == 0
                await assert_the_next_one_leaves_at_once(client, world)
                left = [m for _, m in world.sent_by_client() if m.code is Code.GET]
                await trio.sleep(300)
                assert len([m for _, m in world.sent_by_client() if m.code is Code.GET]) == len(
                    left
                )
                assert client.statistics().peers == client.statistics().timers == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
