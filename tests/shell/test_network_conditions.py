"""What links do to datagrams: delay, jitter, loss, copies, reordering, bandwidth, MTU."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address
from coapsep.testing import Conditions, Network, VirtualTransport, open_network
from tests.shell.listener import open_listener

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


async def fates(
    seed: int,
    conditions: Conditions,
    count: int = 200,
    *,
    hosts: tuple[str, str] = (B, A),
    size: int = 10,
) -> list[tuple[float, ...]]:
    """Seconds to the arrivals of datagrams sent a millisecond apart."""
    async with open_network(seed=seed, conditions=conditions) as network:
        target, sender = network.bind(hosts[1]), network.bind(hosts[0])
        for _ in range(count):
            sender.send(bytes(size), sender.session_to(target.address))
            await trio.sleep(0.001)
        await trio.sleep(60)
        return [
            tuple(round(arrival - datagram.time, 9) for arrival in datagram.arrivals or ())
            for datagram in network.trace
        ]


TERRIBLE = Conditions(delay=0.1, jitter=1, loss=0.3, duplication=0.3)


async def test_the_fate_of_a_datagram_is_a_function_of_the_seed(
    autojump_clock: MockClock,
) -> None:
    first = await fates(7, TERRIBLE)
    assert await fates(7, TERRIBLE) == first
    assert await fates(8, TERRIBLE) != first
    lost = sum(1 for arrivals in first if not arrivals)
    twice = sum(1 for arrivals in first if len(arrivals) == 2)
    assert 40 < lost < 80
    assert 25 < twice < 65
    delays = [delay for arrivals in first for delay in arrivals]
    assert all(0.1 <= delay <= 1.1 for delay in delays)
    assert min(delays) < 0.2
    assert max(delays) > 1


def test_it_is_the_same_in_every_process() -> None:
    """Python's own hash of a str is not."""
    program = (
        "from coapsep import Address;"
        "from coapsep.testing.conditions import Conditions;"
        "from coapsep.testing.link import Flow, Link;"
        "link = Link('10.0.0.1', '10.0.0.2', Conditions(jitter=1));"
        "flow = Flow(1, Address('10.0.0.1', 1), Address('10.0.0.2', 2), link, to_group=False);"
        "print(flow.fate(10, 0.0))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert "," in printed.pop()


async def test_each_pair_of_addresses_has_fates_of_its_own(autojump_clock: MockClock) -> None:
    first = await fates(7, TERRIBLE)
    assert await fates(7, TERRIBLE, hosts=(C, A)) != first
    assert await fates(7, TERRIBLE, hosts=(A, B)) != first


async def test_what_else_is_sent_does_not_change_a_fate(autojump_clock: MockClock) -> None:
    """Neither other sockets of the same host, nor other conditions for a while."""
    expected = await fates(7, TERRIBLE, 50)
    async with open_network(seed=7, conditions=TERRIBLE) as network:
        target, sender, other = network.bind(A), network.bind(B), network.bind(B, 0)
        drop = network.drop(source=sender.address, nth=range(10, 20))
        for number in range(50):
            network.link(B, A, Conditions() if number < 10 else TERRIBLE)
            for transport in (other, sender):
                transport.send(bytes(10), transport.session_to(target.address))
            await trio.sleep(0.001)
        assert drop.dropped == 10
        got = [
            tuple(round(arrival - datagram.time, 9) for arrival in datagram.arrivals or ())
            for datagram in network.trace
            if datagram.source == sender.address
        ]
    assert got[:9] == [(0.01,)] * 9
    assert got[9:19] == [()] * 10
    assert got[19:] == expected[19:]


async def test_the_order_of_tasks_does_not_change_a_fate(autojump_clock: MockClock) -> None:
    """Trio shuffles those that are ready in one instant; here they are on one host."""
    runs = []
    for _ in range(8):
        async with (
            open_network(seed=7, conditions=TERRIBLE) as network,
            trio.open_nursery() as nursery,
        ):
            start = trio.current_time()
            target = network.bind(A)
            for transport in [network.bind(B, 0) for _ in range(8)]:
                nursery.start_soon(send_often, transport, target.address)
        runs.append(
            {
                (datagram.source, datagram.data): [
                    round(arrival - start, 9) for arrival in datagram.arrivals or ()
                ]
                for datagram in network.trace
            }
        )
    assert len(runs[0]) == 80
    assert all(run == runs[0] for run in runs)


async def send_often(transport: VirtualTransport, to: Address) -> None:
    for number in range(10):
        transport.send(bytes([number]), transport.session_to(to))
        await trio.sleep(0.5)


@pytest.mark.parametrize("seed", range(5))
async def test_the_trace_tells_what_happens(autojump_clock: MockClock, seed: int) -> None:
    conditions = Conditions(
        delay=0.2,
        jitter=0.5,
        loss=0.2,
        duplication=0.2,
        reordering=0.2,
        bandwidth=2000,
        queue=400,
    )
    async with (
        open_network(seed=seed, conditions=conditions) as network,
        open_listener(network, A) as a,
        open_listener(network, B) as b,
    ):
        for number in range(200):
            b.send(bytes([number]), a.address)
            await trio.sleep(0.01)
        await trio.sleep(10)
        expected = sorted(
            (round(arrival, 6), datagram.data)
            for datagram in network.trace
            for arrival in datagram.arrivals or ()
        )
        times = [round(when, 6) for when in a.times]
        assert sorted(zip(times, a.arrived, strict=True)) == expected
        assert {datagram.lost for datagram in network.trace} == {"", "loss", "queue"}


async def test_a_perfect_link_is_the_default(autojump_clock: MockClock) -> None:
    assert await fates(1, Conditions(), 20) == [(0.01,)] * 20


@pytest.mark.parametrize(
    ("conditions", "reason"), [(Conditions(loss=1), "loss"), (Conditions(mtu=37), "mtu")]
)
async def test_what_is_always_lost(
    autojump_clock: MockClock, conditions: Conditions, reason: str
) -> None:
    async with open_network(conditions=conditions) as network, open_listener(network, A) as a:
        sender = network.bind(B)
        for _ in range(20):
            sender.send(bytes(10), sender.session_to(a.address))
        await trio.sleep(60)
        assert a.arrived == []
        assert [(datagram.arrivals, datagram.lost) for datagram in network.trace] == [
            ((), reason)
        ] * 20


async def test_jitter_reorders(autojump_clock: MockClock) -> None:
    conditions = Conditions(delay=0.1, jitter=0.5)
    async with open_network(conditions=conditions) as network, open_listener(network, A) as a:
        sender = network.bind(B)
        for number in range(50):
            sender.send(bytes([number]), sender.session_to(a.address))
        await trio.sleep(1)
    assert a.arrived != sorted(a.arrived)
    assert sorted(a.arrived) == [bytes([n]) for n in range(50)]


async def test_reordering_without_jitter(autojump_clock: MockClock) -> None:
    conditions = Conditions(reordering=0.2, reordering_delay=0.5)
    got = await fates(3, conditions)
    assert set(got) == {(0.01,), (0.51,)}
    assert 20 < got.count((0.51,)) < 60


async def test_copies_have_delays_of_their_own(autojump_clock: MockClock) -> None:
    got = await fates(3, Conditions(duplication=1, reordering=0.5, reordering_delay=1))
    assert set(got) == {(0.01, 0.01), (0.01, 1.01), (1.01, 1.01)}
    twice = Conditions(duplication=1)
    async with open_network(conditions=twice) as network, open_listener(network, A) as a:
        network.bind(B).send(b"x", network.bind(B, 0).session_to(a.address))
        await trio.sleep(1)
        assert a.arrived == [b"x", b"x"]
        assert len(network.trace) == 1


async def test_a_link_has_conditions_of_its_own(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        network.link(B, A, Conditions(delay=3))
        start = trio.current_time()
        b.send(b"slow", a.address)
        a.send(b"fast", b.address)
        await trio.sleep(10)
        assert a.times == [pytest.approx(start + 3)]
        assert b.times == [pytest.approx(start + 0.01)]


# -- bandwidth ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "size"), [((B, A), 100 - 28), (("2001:db8::2", "2001:db8::1"), 100 - 48)]
)
async def test_datagrams_wait_for_bandwidth(
    autojump_clock: MockClock, hosts: tuple[str, str], size: int
) -> None:
    """Headers count: a hundred bytes take a second here."""
    got = await fates(1, Conditions(bandwidth=100, delay=0.5), 5, hosts=hosts, size=size)
    assert [len(arrivals) for arrivals in got] == [1] * 5
    assert [arrival for (arrival,) in got] == pytest.approx([1.5 + n * 0.999 for n in range(5)])


async def test_an_idle_link_does_not_save_up(autojump_clock: MockClock) -> None:
    conditions = Conditions(bandwidth=100, delay=0)
    async with open_network(conditions=conditions) as network, open_listener(network, A) as a:
        sender = network.bind(B)
        for pause in (0.25, 10, 10):
            start = trio.current_time()
            sender.send(bytes(22), sender.session_to(a.address))
            await trio.sleep(pause)
        assert a.times[-1] == pytest.approx(start + 0.5)
        assert a.times[1] - a.times[0] == pytest.approx(0.5)  # it had to wait


async def test_all_that_goes_to_a_host_shares_a_link(
    autojump_clock: MockClock, network: Network
) -> None:
    """Whatever the ports, and only in one direction, and only to that host."""
    slow = Conditions(bandwidth=100, delay=0)
    for ends in ((A, B), (B, A), (A, C)):
        network.link(*ends, slow)
    async with (
        open_listener(network, A) as a,
        open_listener(network, A, 0) as second,
        open_listener(network, B) as b,
        open_listener(network, C) as c,
    ):
        start = trio.current_time()
        a.send(bytes(72), b.address)
        second.send(bytes(72), b.address)
        b.send(bytes(72), a.address)
        a.send(bytes(72), c.address)
        await trio.sleep(10)
        assert b.times == [pytest.approx(start + 1), pytest.approx(start + 2)]
        assert a.times == [pytest.approx(start + 1)]
        assert c.times == [pytest.approx(start + 1)]


@pytest.mark.parametrize(("queue", "arrive"), [(0, 1), (99, 1), (100, 2), (200, 3), (299, 3)])
async def test_a_queue_is_bounded(autojump_clock: MockClock, queue: int, arrive: int) -> None:
    conditions = Conditions(bandwidth=300, queue=queue)
    async with open_network(conditions=conditions) as network, open_listener(network, A) as a:
        sender = network.bind(B)
        for _ in range(2):  # when all of it has left, there is room again
            for number in range(6):
                sender.send(bytes([number]) * 72, sender.session_to(a.address))
            await trio.sleep(10)
        assert [data[0] for data in a.arrived] == list(range(arrive)) * 2
        lost = [datagram.lost for datagram in network.trace]
        assert lost == ([""] * arrive + ["queue"] * (6 - arrive)) * 2


async def test_what_is_lost_takes_its_time_and_a_copy_takes_none(
    autojump_clock: MockClock,
) -> None:
    conditions = Conditions(bandwidth=100, delay=0, duplication=1)
    assert list((await fates(1, conditions, 2, size=72))[1]) == pytest.approx([1.999, 1.999])
    conditions = Conditions(bandwidth=100, delay=0, loss=1)
    async with open_network(conditions=conditions) as network, open_listener(network, A) as a:
        sender = network.bind(B)
        sender.send(bytes(72), sender.session_to(a.address))
        network.link(B, A, Conditions(bandwidth=100, delay=0))
        start = trio.current_time()
        sender.send(bytes(72), sender.session_to(a.address))
        await trio.sleep(10)
        assert a.times == [pytest.approx(start + 2)]


@pytest.mark.parametrize(("prefix", "headers"), [("10.0.0.", 28), ("2001:db8::", 48)])
async def test_the_mtu_is_the_size_of_a_packet(
    autojump_clock: MockClock, prefix: str, headers: int
) -> None:
    conditions = Conditions(mtu=1280)
    async with (
        open_network(conditions=conditions) as network,
        open_listener(network, f"{prefix}1") as a,
        open_listener(network, f"{prefix}2") as b,
    ):
        for size in (1280 - headers, 1280 - headers + 1):
            b.send(bytes(size), a.address)
        await trio.sleep(1)
        assert [len(data) for data in a.arrived] == [1280 - headers]
        assert [datagram.lost for datagram in network.trace] == ["", "mtu"]


# -- checks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": 1.1},
        {"loss": -0.1},
        {"duplication": 2},
        {"reordering": math.nan},
        {"delay": -1},
        {"jitter": -1},
        {"jitter": math.inf},
        {"reordering_delay": math.nan},
        {"bandwidth": 0},
        {"bandwidth": math.nan},
        {"queue": -1},
        {"queue": 1.5},
        {"mtu": 0},
        {"mtu": 65536},
        {"mtu": 1280.0},
    ],
)
def test_conditions_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Conditions(**wrong)
