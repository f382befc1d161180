"""Names with several addresses: each is tried with a ping, and one of them gets the request."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    Address,
    Client,
    ClientResponse,
    Code,
    Limits,
    LocalProtocolError,
    PeerUnreachable,
    Request,
    RequestTimedOut,
    Router,
    Tuning,
    open_client,
    open_server,
)
from coapsep.testing import Conditions, Network, open_network
from tests.shell.client.asking import ask
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT

URI = "coap://plant.example/run"
FIRST, SECOND, THIRD = "10.0.1.1", "10.0.1.2", "10.0.1.3"


class Runs:
    """A POST handler that counts at which of its addresses it ran."""

    def __init__(self) -> None:
        self.at: list[str] = []

    def router(self) -> Router:
        router = Router()

        @router.route("/run", [Code.GET, Code.POST])
        def run(request: Request) -> str:
            self.at.append(request.local.host)
            return request.local.host

        return router


@pytest.fixture
def runs() -> Runs:
    return Runs()


def sent_to(network: Network, *, pings: bool) -> list[str]:
    """The hosts that the client has sent a ping, or anything else, in order."""
    return [
        sent.destination.host
        for sent in network.trace
        if sent.source.host == CLIENT and (sent.data[1] == 0) == pings and sent.data[0] >> 4 == 4
    ]


# -- which one ---------------------------------------------------------------------------


async def test_the_first_that_answers_gets_the_request_and_no_other(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND, THIRD)
    async with AsyncExitStack() as stack:
        for host in (FIRST, SECOND, THIRD):
            await stack.enter_async_context(
                open_server(runs.router(), transport=network.bind(host))
            )
        response = await client.post(URI)
        await trio.sleep(300)
    assert (response.text, response.peer) == (FIRST, Address(FIRST, 5683))
    assert runs.at == [FIRST]
    assert sent_to(network, pings=True) == [FIRST]
    assert sent_to(network, pings=False) == [FIRST]


async def test_a_dead_address_in_front_costs_a_quarter_of_a_second(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND, THIRD)
    async with open_server(runs.router(), transport=network.bind(SECOND)):
        response = await client.post(URI)
        assert response.text == SECOND
        assert trio.current_time() == pytest.approx(0.25 + 0.02 + 0.02)
        await trio.sleep(300)
    assert runs.at == [SECOND]
    assert sent_to(network, pings=True) == [FIRST, SECOND]  # the ping to the dead one ended too


async def test_a_slow_address_in_front_may_still_win(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    network.link(CLIENT, FIRST, Conditions(delay=0.3))
    network.link(CLIENT, SECOND, Conditions(delay=0.3))
    async with (
        open_server(runs.router(), transport=network.bind(FIRST)),
        open_server(runs.router(), transport=network.bind(SECOND)),
    ):
        response = await client.post(URI)
        assert response.text == FIRST
        await trio.sleep(300)
    assert runs.at == [FIRST]
    assert sent_to(network, pings=True) == [FIRST, SECOND]


async def test_an_address_where_nobody_is_costs_nothing(
    autojump_clock: MockClock, names: Names, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_network(icmp=True) as network:
        network.add_host(FIRST)
        async with (
            open_server(runs.router(), transport=network.bind(SECOND)),
            open_client(transport=network.bind(CLIENT)) as client,
        ):
            assert (await client.post(URI)).text == SECOND
            assert trio.current_time() == pytest.approx(0.02 + 0.02 + 0.02)


async def test_an_address_of_a_family_that_is_not_there_costs_nothing(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", "2001:db8::1", FIRST)
    async with open_server(runs.router(), transport=network.bind(FIRST)):
        assert (await client.post(URI)).text == FIRST
        assert trio.current_time() == pytest.approx(0.04)


async def test_ipv6_and_ipv4(
    autojump_clock: MockClock, network: Network, names: Names, runs: Runs
) -> None:
    """A client with IPv6 only."""
    names.set("plant.example", FIRST, "2001:db8::1")
    async with (
        open_server(runs.router(), transport=network.bind("2001:db8::1")),
        open_client(transport=network.bind("2001:db8::2")) as client,
    ):
        response = await client.get(URI)
    assert response.peer == Address("2001:db8::1", 5683)


async def test_one_address_needs_no_ping(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST)
    async with open_server(runs.router(), transport=network.bind(FIRST)):
        await client.post(URI)
    assert sent_to(network, pings=True) == []


async def test_the_port_of_the_uri_is_pinged_and_asked(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_server(runs.router(), transport=network.bind(SECOND, 61616)):
        response = await client.get("coap://plant.example:61616/run")
    assert response.peer == Address(SECOND, 61616)


async def test_a_ping_of_a_name(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_server(runs.router(), transport=network.bind(SECOND)):
        # It is the round trip that is told, not the search for an address.
        assert await client.ping("coap://plant.example") == pytest.approx(0.02)


# -- none --------------------------------------------------------------------------------


async def test_all_are_dead(
    autojump_clock: MockClock, network: Network, names: Names, client: Client
) -> None:
    names.set("plant.example", FIRST, SECOND)
    text = (
        r"^none of the addresses of plant\.example answers: "
        r"10\.0\.1\.1:5683 \(.*no acknowledgement came\), "
        r"10\.0\.1\.2:5683 \(.*no acknowledgement came\)$"
    )
    for ask_ in (client.post, client.ping):
        with pytest.raises(RequestTimedOut, match=f"({text})|\\).*\\("):
            await ask_(URI)
    assert sent_to(network, pings=False) == []


async def test_nobody_is_at_any_of_them(autojump_clock: MockClock, names: Names) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_network(icmp=True) as network:
        network.add_host(FIRST)
        network.add_host(SECOND)
        async with open_client(transport=network.bind(CLIENT)) as client:
            with pytest.raises(PeerUnreachable, match="none of the addresses"):
                await client.post(URI)
        assert trio.current_time() == pytest.approx(0.04)


async def test_one_is_silent_and_nobody_is_at_the_other(
    autojump_clock: MockClock, names: Names
) -> None:
    """The silent one may be there after all: that is a timeout."""
    names.set("plant.example", FIRST, SECOND)
    async with open_network(icmp=True) as network:
        network.add_host(FIRST)
        async with open_client(transport=network.bind(CLIENT)) as client:
            with pytest.raises(RequestTimedOut, match="none of the addresses"):
                await client.post(URI)


@pytest.mark.parametrize("name", ["unknown.example", "-.example", "a..b", "x" * 64 + ".example"])
async def test_a_name_without_an_address(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, name: str
) -> None:
    for ask_ in (client.get, client.ping, client.discover):
        with pytest.raises(PeerUnreachable, match="no address for host"):
            await ask_(f"coap://{name}")
    assert len(network.trace) == 0


async def test_a_caller_who_waits_no_longer(
    autojump_clock: MockClock, network: Network, names: Names, client: Client
) -> None:
    names.set("plant.example", FIRST, SECOND, THIRD)
    with trio.move_on_after(0.4) as scope:
        await client.post(URI)
    assert scope.cancelled_caught
    assert client.statistics().own_requests == 0
    await trio.sleep(300)
    assert sent_to(network, pings=True) == [FIRST, SECOND]


async def test_a_name_of_a_group(
    autojump_clock: MockClock, network: Network, names: Names, client: Client
) -> None:
    names.set("all.example", "224.0.1.187")
    names.set("mixed.example", "10.0.1.1", "224.0.1.187")
    for ask_ in (client.get, client.ping):
        with pytest.raises(ValueError, match="is a group"):
            await ask_("coap://all.example")
        with pytest.raises(ValueError, match="is a group"):
            await ask_("coap://mixed.example")


async def test_what_is_no_fault_of_an_address_is_raised_as_it_is(
    autojump_clock: MockClock, network: Network, names: Names
) -> None:
    names.set("plant.example", FIRST, SECOND)
    transport = network.bind(CLIENT)
    async with open_client(transport=transport, limits=Limits(peers=1)) as client:
        with trio.move_on_after(1):
            await client.get("coap://10.9.9.9/")  # takes the one place there is
        with pytest.raises(LocalProtocolError, match=r"Limits\.peers"):
            await client.get(URI)


# -- the choice is kept ------------------------------------------------------------------


async def test_a_choice_is_kept_for_a_minute(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_server(runs.router(), transport=network.bind(SECOND)):
        await client.post(URI)
        chosen = trio.current_time()
        await trio.sleep(59.9)
        await client.post("coap://PLANT.example:5683/run?again")
        assert sent_to(network, pings=True) == [FIRST, SECOND]
        assert names.asked == ["plant.example"]
        assert trio.current_time() < chosen + 60
        await trio.sleep(60)
        await client.post(URI)
        assert sent_to(network, pings=True) == [FIRST, SECOND] * 2
        assert names.asked == ["plant.example"] * 2
    assert runs.at == [SECOND] * 3


async def test_each_name_and_port_has_a_choice_of_its_own(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST)
    names.set("other.example", FIRST)
    async with (
        open_server(runs.router(), transport=network.bind(FIRST)),
        open_server(runs.router(), transport=network.bind(FIRST, 61616)),
    ):
        for uri in (URI, "coap://other.example/run", "coap://plant.example:61616/run") * 2:
            await client.get(uri)
    assert names.asked == ["plant.example", "other.example", "plant.example"]


async def test_a_choice_that_fails_is_forgotten(
    autojump_clock: MockClock, network: Network, names: Names, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    tuning = Tuning(max_retransmit=0, ack_random_factor=1.0)
    async with open_client(transport=network.bind(CLIENT), tuning=tuning) as client:
        async with open_server(runs.router(), transport=network.bind(FIRST)):
            assert (await client.get(URI)).text == FIRST
        async with open_server(runs.router(), transport=network.bind(SECOND)):
            with pytest.raises(RequestTimedOut):
                await client.get(URI)
            assert (await client.get(URI)).text == SECOND
    assert names.asked == ["plant.example"] * 2


async def test_a_choice_is_kept_when_the_server_says_no(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with open_server(runs.router(), transport=network.bind(FIRST)):
        for _ in range(3):
            assert (await client.get("coap://plant.example/no")).code is Code.NOT_FOUND
    assert names.asked == ["plant.example"]


async def test_thousands_of_names_are_not_all_remembered(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    async with open_server(runs.router(), transport=network.bind(FIRST)):
        for number in range(300):
            names.set(f"n{number}.example", FIRST)
            await client.get(f"coap://n{number}.example/run")
        await client.get("coap://n299.example/run")
        await client.get("coap://n0.example/run")
    assert names.asked[300:] == ["n0.example"]


# -- many at once ------------------------------------------------------------------------


async def test_many_that_ask_for_one_name_look_for_it_once(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    names.seconds = 0.5
    ends: list[object] = []
    async with (
        open_server(runs.router(), transport=network.bind(SECOND)),
        trio.open_nursery() as nursery,
    ):
        for _ in range(100):
            nursery.start_soon(ask, ends, partial(client.post, URI))
    assert sent_to(network, pings=True) == [FIRST, SECOND]
    assert len(ends) == 100
    assert runs.at == [SECOND] * 100
    assert names.asked == ["plant.example"]


async def test_many_that_ask_for_one_name_fail_together(
    autojump_clock: MockClock, network: Network, names: Names, client: Client
) -> None:
    names.set("plant.example", FIRST, SECOND)
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask, ends, partial(client.post, URI))
    assert [type(end) for end in ends] == [RequestTimedOut] * 10
    assert len({str(end) for end in ends}) == 1
    assert len({id(end) for end in ends}) == 10  # each has a traceback of its own
    assert names.asked == ["plant.example"]


async def test_when_the_one_that_looks_is_cancelled_another_one_looks(
    autojump_clock: MockClock, network: Network, names: Names, client: Client, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    names.seconds = 0.5
    ends: list[object] = []
    async with (
        open_server(runs.router(), transport=network.bind(SECOND)),
        trio.open_nursery() as nursery,
    ):
        scope = trio.CancelScope()

        async def looks() -> None:
            with scope:
                await client.get(URI)

        nursery.start_soon(looks)
        await wait_all_tasks_blocked()
        for _ in range(10):
            nursery.start_soon(ask, ends, partial(client.get, URI))
        await trio.sleep(0.2)
        scope.cancel()
    assert [type(end) for end in ends] == [ClientResponse] * 10
    assert runs.at == [SECOND] * 10
    assert names.asked == ["plant.example"] * 2


async def test_a_ping_that_fails_forgets_the_choice_too(
    autojump_clock: MockClock, names: Names, runs: Runs
) -> None:
    names.set("plant.example", FIRST, SECOND)
    async with (
        open_network(icmp=True) as network,
        open_client(transport=network.bind(CLIENT)) as client,
        open_server(runs.router(), transport=network.bind(SECOND)),
    ):
        async with open_server(runs.router(), transport=network.bind(FIRST)):
            await client.ping("coap://plant.example")
        with pytest.raises(PeerUnreachable):
            await client.ping("coap://plant.example")
        await client.ping("coap://plant.example")
        assert (await client.get(URI)).text == SECOND
