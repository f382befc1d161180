"""``Client.observe`` (RFC 7641), against a real server and against one that speaks in datagrams."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Address,
    Client,
    ClientResponse,
    Code,
    Message,
    NotFound,
    Notifications,
    Options,
    PeerUnreachable,
    Request,
    RequestFailed,
    RequestTimedOut,
    ResetByPeer,
    Response,
    Retry,
    Router,
    Server,
    Type,
    UnsuccessfulResponse,
    open_client,
    open_server,
)
from coapsep.testing import Network, open_network
from tests.shell.client.asking import HELLO, ask
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT, Responder, open_responder
from tests.shell.peer import SERVER

URI = f"coap://{SERVER}/t"


class Sensor:
    """What the server has at /t."""

    def __init__(self) -> None:
        self.reading: str | Exception = "1"
        self.asked: list[Request] = []
        #: How many generators run for /ticks.
        self.ticking = 0

    def answer(self, request: Request) -> Response:
        self.asked.append(request)
        if isinstance(self.reading, Exception):
            raise self.reading
        return Response(Code.CONTENT, self.reading, max_age=1000)


@pytest.fixture
def sensor() -> Sensor:
    return Sensor()


@pytest.fixture
def router(router: Router, sensor: Sensor) -> Router:
    router.get("/t", observable=True)(sensor.answer)
    router.fetch("/t", observable=True)(sensor.answer)

    @router.get("/ticks", observable=True)
    async def ticks(request: Request) -> AsyncIterator[str]:
        sensor.ticking += 1
        try:
            for number in range(3):
                yield f"tick {number}"
                await trio.sleep(1)
        finally:
            sensor.ticking -= 1

    return router


async def collect(states: Notifications, texts: list[str]) -> None:
    async for response in states:
        texts.append(response.text)


# -- a real server ------------------------------------------------------------------------------


async def test_each_new_state_is_shown(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    async with client.observe(URI) as states:
        assert states.observed
        assert states.peer == Address(SERVER, 5683)
        for number in range(1, 20):
            sensor.reading = str(number)
            if number > 1:
                server.notify("/t")
            response = await anext(states)
            assert isinstance(response, ClientResponse)
            assert response.text == str(number)
            assert response.peer == states.peer
            assert response.max_age == 1000
    assert not states.observed
    assert states.dropped == 0


async def test_leaving_tells_the_server_and_waits_for_nothing(
    autojump_clock: MockClock, client: Client, server: Server, network: Network
) -> None:
    async with client.observe(URI) as states:
        await anext(states)
        assert server.statistics().observers == 1
        left = trio.current_time()
    assert trio.current_time() == left
    last = network.trace[-1].message
    assert isinstance(last, Message)
    assert last.options.observe == 1
    await trio.sleep(0.1)
    assert server.statistics().observers == 0
    assert client.statistics().own_requests == 0
    server.notify("/t")
    sent = len(network.trace)
    await trio.sleep(300)
    assert len(network.trace) == sent


async def test_leaving_with_the_client_tells_the_server_as_well(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    async with (
        open_client(transport=network.bind(CLIENT)) as client,
        client.observe(URI),
    ):
        pass
    await trio.sleep(1)
    assert server.statistics().observers == 0


async def test_whoever_is_slow_gets_the_newest_state(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    async with client.observe(URI) as states:
        for number in range(2, 6):
            sensor.reading = str(number)
            server.notify("/t")
            await trio.sleep(1)
        assert states.dropped == 4
        assert (await anext(states)).text == "5"
        with trio.move_on_after(10) as scope:
            await anext(states)
        assert scope.cancelled_caught


async def test_a_buffer_keeps_more_of_them(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    texts: list[str] = []
    async with client.observe(URI, buffer=3) as states:
        for number in range(2, 6):
            sensor.reading = str(number)
            server.notify("/t")
            await trio.sleep(1)
        with trio.move_on_after(1):
            await collect(states, texts)
    assert texts == ["3", "4", "5"]
    assert states.dropped == 2


async def test_what_is_cancelled_takes_no_state_with_it(
    autojump_clock: MockClock, client: Client, server: Server
) -> None:
    async with client.observe(URI) as states:
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(states)
        assert (await anext(states)).text == "1"


async def test_a_server_that_does_not_observe(
    autojump_clock: MockClock, client: Client, server: Server
) -> None:
    """Its response is shown, and that is all."""
    texts: list[str] = []
    async with client.observe(HELLO) as states:
        assert not states.observed
        await collect(states, texts)
        await collect(states, texts)
    assert texts == ["hello"]


async def test_entering_raises_for_an_error(
    autojump_clock: MockClock, client: Client, server: Server
) -> None:
    with pytest.raises(UnsuccessfulResponse) as caught:
        async with client.observe(f"coap://{SERVER}/nothing"):
            raise AssertionError("unreachable")
    assert caught.value.response.code is Code.NOT_FOUND
    assert client.statistics().own_requests == 0


async def test_the_iteration_raises_for_an_error(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    """What came before it is shown first; the error is raised as often as one asks."""
    texts: list[str] = []
    async with client.observe(URI) as states:
        sensor.reading = NotFound("it is gone")
        server.notify("/t")
        await trio.sleep(1)
        assert not states.observed
        for _ in range(2):
            with pytest.raises(UnsuccessfulResponse, match="it is gone"):
                await collect(states, texts)
    assert texts == ["1"]
    assert client.statistics().own_requests == 0


async def test_a_generator_on_the_other_side(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    texts: list[str] = []
    async with client.observe(f"coap://{SERVER}/ticks") as states:
        await collect(states, texts)
    # The server learns only after the last one that it was the last, and says it once more.
    assert texts == ["tick 0", "tick 1", "tick 2", "tick 2"]
    async with client.observe(f"coap://{SERVER}/ticks") as states:
        await anext(states)
        assert sensor.ticking == 1
    await trio.sleep(0.5)
    assert sensor.ticking == 0


async def test_fetch_observes_what_its_payload_names(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    """RFC 8132 section 2.4."""
    async with client.observe(URI, method=Code.FETCH, payload="part") as states:
        await anext(states)
        server.notify("/t")
        await anext(states)
    assert {(request.method, request.payload) for request in sensor.asked} == {
        (Code.FETCH, b"part")
    }
    await trio.sleep(1)
    assert server.statistics().observers == 0


async def test_by_name(
    autojump_clock: MockClock, client: Client, server: Server, names: Names
) -> None:
    names.set("plant.example", "10.0.0.9", SERVER)
    async with client.observe("coap://plant.example/t") as states:
        assert (await anext(states)).text == "1"
        assert states.peer.host == SERVER


async def test_many_at_a_time(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    """They and requests go side by side, also with an NSTART of one."""
    readings: list[str] = []

    async def watch() -> None:
        async with client.observe(URI) as states:
            await anext(states)
            readings.append((await anext(states)).text)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(watch)
        await trio.sleep(5)
        assert (await client.get(HELLO)).text == "hello"
        sensor.reading = "2"
        server.notify("/t")
    assert readings == ["2"] * 20
    await trio.sleep(5)
    assert server.statistics().observers == client.statistics().own_requests == 0


async def test_a_server_that_was_rebooted_has_the_client_again(
    autojump_clock: MockClock, network: Network, client: Client, sensor: Sensor
) -> None:
    """When the state is out of date, the client registers again (RFC 7641 section 3.3.1)."""
    router = Router()

    @router.get("/t", observable=True)
    def answer(request: Request) -> Response:
        return Response(Code.CONTENT, str(sensor.reading), max_age=5)

    texts: list[str] = []
    async with trio.open_nursery() as nursery:
        async with open_server(router, transport=network.bind(SERVER), rng=random.Random(2)):
            states = await nursery.start(watch, client, texts)
            await trio.sleep(1)
        await trio.sleep(2)
        async with open_server(
            router, transport=network.bind(SERVER), rng=random.Random(3)
        ) as again:
            sensor.reading = "2"
            again.notify("/t")
            await trio.sleep(1)
            assert texts == ["1"]
            await trio.sleep(20)
            assert texts[-1] == "2"
            sensor.reading = "3"
            again.notify("/t")
            await trio.sleep(1)
            assert texts[-1] == "3"
            assert states.observed
            nursery.cancel_scope.cancel()


async def watch(
    client: Client,
    texts: list[str],
    *,
    task_status: trio.TaskStatus[Notifications] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Observe /t, and collect what comes."""
    async with client.observe(URI) as states:
        task_status.started(states)
        await collect(states, texts)


# -- one that speaks in datagrams ---------------------------------------------------------------


async def entered(responder: Responder, number: int = 1, max_age: int = 10) -> Message:
    """The next request, which must be a registration; it is answered."""
    request = await responder.expect_request()
    assert request.options.observe == 0
    responder.answer(request, b"1", options=Options.build(observe=number, max_age=max_age))
    return request


async def test_entering_waits_for_the_first_response(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:
        texts: list[str] = []
        started = trio.Event()

        async def observe() -> None:
            async with client.observe(URI) as states:
                started.set()
                texts.append((await anext(states)).text)

        nursery.start_soon(observe)
        request = await responder.expect_request()
        responder.ack(request)
        await trio.sleep(30)
        assert not started.is_set()
        response = responder.answer(
            request, b"late", kind=Type.CON, options=Options.build(observe=1)
        )
        await responder.expect_ack_of(response)
    assert texts == ["late"]


async def test_entering_raises_as_a_request_does(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    ends: list[object] = []

    async def observe() -> None:
        try:
            async with client.observe(URI):
                raise AssertionError("unreachable")
        except RequestFailed as exc:
            ends.append(exc)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(observe)
        responder.reset(await responder.expect_request())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(observe)
        await trio.sleep(100)
    assert [type(end) for end in ends] == [ResetByPeer, RequestTimedOut]


async def test_the_iteration_raises_when_nobody_answers_any_more(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    texts: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(entered, responder)
        async with client.observe(URI) as states:
            with pytest.raises(RequestTimedOut):
                await collect(states, texts)
            assert not states.observed
    assert texts == ["1"]
    assert 10 + 5 + 62 <= trio.current_time() <= 10 + 15 + 93
    assert client.statistics().own_requests == 0


async def test_the_iteration_raises_when_nobody_is_there_any_more(
    autojump_clock: MockClock,
) -> None:
    """Nobody is at the port when the client registers again."""
    ends: list[object] = []
    async with (
        open_network(icmp=True) as network,
        open_client(transport=network.bind(CLIENT)) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, ends, partial(watch, client, []))
        async with open_responder(network) as responder:
            await entered(responder)
            await trio.sleep(1)
        responder.transport.close()
    [end] = ends
    assert isinstance(end, PeerUnreachable)
    assert trio.current_time() < 30


async def test_stale_states_are_not_shown(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:
        texts: list[str] = []
        nursery.start_soon(watch, client, texts)
        request = await entered(responder, 5, max_age=1000)
        await trio.sleep(1)
        for number in (7, 6, 8, 8):
            response = responder.answer(
                request,
                str(number).encode(),
                kind=Type.CON,
                options=Options.build(observe=number, max_age=1000),
            )
            await responder.expect_ack_of(response)
        assert texts == ["1", "7", "8"]
        assert client.statistics().notifications_stale == 2
        nursery.cancel_scope.cancel()


async def test_a_notification_after_leaving_is_reset(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(entered, responder)
        async with client.observe(URI):
            pass
    farewell = await responder.expect_request()
    assert farewell.options.observe == 1
    for kind in (Type.NON, Type.CON):
        late = responder.answer(farewell, b"2", kind=kind, options=Options.build(observe=2))
        await responder.expect_reset_of(late)
    responder.answer(farewell, b"2")
    await trio.sleep(1)
    late = responder.answer(farewell, b"3", kind=Type.CON, options=Options.build(observe=3))
    await responder.expect_reset_of(late)


async def test_if_the_client_is_closed_the_iteration_says_so(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    async with trio.open_nursery() as nursery:

        async def observe(client: Client) -> None:
            async with client.observe(URI) as states:
                with pytest.raises(trio.ClosedResourceError):
                    await collect(states, [])
                with pytest.raises(trio.ClosedResourceError):
                    await anext(states)

        async def register(client: Client) -> None:
            with pytest.raises(trio.ClosedResourceError):
                async with client.observe(URI):
                    raise AssertionError("unreachable")

        async with open_client(transport=network.bind(CLIENT)) as client:
            nursery.start_soon(observe, client)
            await entered(responder)
            await trio.sleep(1)
            nursery.start_soon(register, client)
            await wait_all_tasks_blocked()
        with pytest.raises(trio.ClosedResourceError):
            async with client.observe(URI):
                raise AssertionError("unreachable")


async def test_two_tasks_share_the_states(
    autojump_clock: MockClock, client: Client, server: Server, sensor: Sensor
) -> None:
    """Each state goes to one of them, and the end to both."""
    texts: list[str] = []
    async with client.observe(URI) as states, trio.open_nursery() as nursery:
        nursery.start_soon(collect, states, texts)
        nursery.start_soon(collect, states, texts)
        for number in range(2, 5):
            await trio.sleep(1)
            sensor.reading = str(number)
            server.notify("/t")
        await trio.sleep(1)
        states.end()
    assert texts == ["1", "2", "3", "4"]


# -- what it refuses ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "error", "text"),
    [
        ({"method": Code.PUT}, ValueError, "GET and FETCH"),
        ({"method": Code.CONTENT}, ValueError, "not a method"),
        ({"buffer": 0}, ValueError, "buffer"),
        ({"buffer": True}, ValueError, "buffer"),
        ({"buffer": 1.5}, ValueError, "buffer"),
        ({"retry": Retry()}, TypeError, "retried"),
        ({"color": 1}, TypeError, "no color"),
        ({"target": "coap://224.0.1.187/t"}, ValueError, "group"),
    ],
)
async def test_what_cannot_be_observed(
    autojump_clock: MockClock,
    client: Client,
    network: Network,
    parts: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    target = parts.pop("target", URI) if "target" in parts else URI
    with pytest.raises(error, match=text):
        async with client.observe(target, **parts):
            raise AssertionError("unreachable")
    assert len(network.trace) == 0


async def test_options_of_the_application_go_along(
    autojump_clock: MockClock, client: Client, responder: Responder
) -> None:
    """Whatever it says of Observe, this is a registration."""
    async with trio.open_nursery() as nursery:

        async def observe() -> None:
            options = Options.build(observe=1, etags=[b"e"])
            async with client.observe(URI, query=["a=b"], options=options, confirmable=False):
                pass

        nursery.start_soon(observe)
        request = await responder.expect_request(Type.NON)
        assert request.options == Options.build(
            uri_path=["t"], uri_query=["a=b"], etags=[b"e"], observe=0
        )
        responder.answer(
            request, b"", kind=Type.NON, code=Code.VALID, options=Options.build(observe=1)
        )
    farewell = await responder.expect_request()
    assert farewell.options.etags == (b"e",)


async def test_a_farewell_that_waits_for_its_turn_leaves_with_the_client(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    """NSTART holds it back behind a request that is not acknowledged; then the client closes."""
    transport = network.bind(CLIENT)
    async with (
        trio.open_nursery() as others,
        open_client(transport=transport, rng=random.Random(1)) as client,
    ):
        async with client.observe(URI):
            network.drop(source=CLIENT, nth=1)
            others.start_soon(ask, [], partial(client.get, HELLO))
            await wait_all_tasks_blocked()
        assert client.statistics().own_requests == 2
    await trio.sleep(1)
    assert server.statistics().observers == 0
