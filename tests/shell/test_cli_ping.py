"""The command ping: a line for each pong, and what is said at the end."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from coapsep import Server, Type
from coapsep.testing import Network, open_network
from tests.shell.client.names import known_names
from tests.shell.client.responder import open_responder
from tests.shell.command import command
from tests.shell.peer import SERVER


async def test_pongs_and_a_summary(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    began = trio.current_time()
    ran = await command(network, "ping", SERVER, "-c", "3")
    assert trio.current_time() - began == pytest.approx(2.02)
    assert (ran.code, ran.errors) == (0, "")
    assert ran.output == (
        f"pong from {SERVER}:5683: seq=1 time=20.000 ms\n"
        f"pong from {SERVER}:5683: seq=2 time=20.000 ms\n"
        f"pong from {SERVER}:5683: seq=3 time=20.000 ms\n"
        f"--- {SERVER}:5683 ---\n"
        "3 pings, 3 pongs, 0 % lost\n"
        "round trip min/avg/max = 20.000/20.000/20.000 ms\n"
    )


async def test_a_lost_ping_is_not_repeated(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    network.drop(destination=SERVER, nth=2)
    network.drop(source=SERVER, nth=2)
    began = trio.current_time()
    ran = await command(network, "ping", SERVER, "-c", "4", "-i", "0.25", "--timeout", "0.5")
    assert trio.current_time() - began == pytest.approx(0.25 + 0.5 + 0.5 + 0.02)
    assert ran.code == 0
    assert ran.output.splitlines()[1:] == [
        "no pong: seq=2 in 0.5 s",
        "no pong: seq=3 in 0.5 s",
        f"pong from {SERVER}:5683: seq=4 time=20.000 ms",
        f"--- {SERVER}:5683 ---",
        "4 pings, 2 pongs, 50 % lost",
        "round trip min/avg/max = 20.000/20.000/20.000 ms",
    ]
    assert sum(sent.destination.host == SERVER for sent in network.trace) == 4


async def test_silence(autojump_clock: MockClock, network: Network) -> None:
    began = trio.current_time()
    ran = await command(network, "ping", f"coap://{SERVER}:1234/ignored", "-c", "2", "-i", "0")
    assert trio.current_time() - began == pytest.approx(4)
    assert ran == (
        6,
        b"no pong: seq=1 in 2 s\nno pong: seq=2 in 2 s\n"
        b"--- 10.0.0.1:1234 ---\n2 pings, 0 pongs, 100 % lost\n",
        "",
    )


async def test_quiet_has_the_summary_only(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    network.drop(source=SERVER, nth=1)
    ran = await command(network, "ping", SERVER, "-c", "2", "-q")
    assert ran.output.splitlines() == [
        f"--- {SERVER}:5683 ---",
        "2 pings, 1 pong, 50 % lost",
        "round trip min/avg/max = 20.000/20.000/20.000 ms",
    ]


async def test_a_server_that_comes_up(autojump_clock: MockClock) -> None:
    async with open_network(icmp=True) as network:
        network.add_host(SERVER)
        with trio.move_on_after(2.5):
            await command(network, "ping", SERVER)
        ran = await command(network, "ping", SERVER, "-c", "1")
        assert ran.code == 7
        first, *rest = ran.output.splitlines()
        assert first.startswith(f"no pong: seq=1 {SERVER}:5683: ")
        assert first.endswith(": is the server running?")
        assert rest == [f"--- {SERVER}:5683 ---", "1 ping, 0 pongs, 100 % lost"]
        async with open_responder(network) as responder, trio.open_nursery() as nursery:

            async def answer() -> None:
                responder.reset(await responder.expect_ping())

            nursery.start_soon(answer)
            assert (await command(network, "ping", SERVER, "-c", "1")).code == 0


async def test_an_acknowledgement_is_a_sign_of_life(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_responder(network) as responder, trio.open_nursery() as nursery:

        async def acknowledge() -> None:
            responder.ack(await responder.expect_ping())

        nursery.start_soon(acknowledge)
        assert (await command(network, "ping", SERVER, "-c", "1")).code == 0


async def test_a_name_that_nobody_knows_ends_it(
    autojump_clock: MockClock, network: Network
) -> None:
    async with known_names():
        ran = await command(network, "ping", "nowhere.example")
    assert ran == (
        7,
        b"",
        "coapsep: no address for host 'nowhere.example': Name or service not known\n",
    )


async def test_a_name(autojump_clock: MockClock, network: Network, server: Server) -> None:
    async with known_names() as names:
        names.set("sensor.example", SERVER)
        ran = await command(network, "ping", "sensor.example", "-c", "1")
    assert ran.code == 0
    assert ran.output.startswith("pong from sensor.example:5683: seq=1 time=20.000 ms\n")


async def test_no_way(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "ping", "[fd00::1]")
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith("coapsep: [fd00::1]:5683: ")


async def test_a_name_that_is_a_group(autojump_clock: MockClock, network: Network) -> None:
    async with known_names() as names:
        names.set("all.example", "224.0.1.187")
        ran = await command(network, "ping", "all.example")
        assert (ran.code, ran.errors.count("\n")) == (2, 1)
        assert "224.0.1.187:5683 is a group" in ran.errors
        ran = await command(network, "get", "all.example")
        assert (ran.code, ran.errors.count("\n")) == (2, 1)
    assert len(network.trace) == 0


async def test_json(autojump_clock: MockClock, network: Network, server: Server) -> None:
    network.drop(kind=Type.RST, nth=1)
    ran = await command(network, "ping", SERVER, "-c", "2", "--json")
    assert (ran.code, ran.errors) == (0, "")
    assert ran.objects == [
        {"seq": 1, "error": "timed-out", "message": "in 2 s"},
        {"seq": 2, "peer": f"{SERVER}:5683", "seconds": 0.02},
        {"statistics": {"asked": 2, "answered": 1, "min": 0.02, "avg": 0.02, "max": 0.02}},
    ]


async def test_verbose(autojump_clock: MockClock, network: Network, server: Server) -> None:
    ran = await command(network, "ping", SERVER, "-c", "1", "-v")
    assert ran.errors == (
        "       client:5683   10.0.0.1:5683\n"
        "            |              |\n"
        "    0.000   +------------->|   CON [MID=0xc209]\n"
        "    0.020   |<-------------+   RST [MID=0xc209]\n"
    )
