"""The sensor example on the virtual network."""

from __future__ import annotations

from functools import partial

import trio
from trio.testing import MockClock

from coapsep import Code, Server, serve
from coapsep.testing import open_network
from examples.own_nursery import Sensor, free_the_impatient, make_router
from tests.shell.peer import SERVER, open_peer


async def test_parked_requests_get_the_next_reading(autojump_clock: MockClock) -> None:
    sensor = Sensor(interval=5)
    async with open_network() as network, trio.open_nursery() as nursery:
        start = partial(serve, make_router(sensor), transport=network.bind(SERVER))
        server: Server = await nursery.start(start)
        nursery.start_soon(sensor.measure, server)
        async with open_peer(network) as peer, open_peer(network, "10.0.0.3") as other:
            await peer.expect_ack(peer.request("/reading", token=b"1"))
            await other.expect_ack(other.request("/reading", token=b"2"))
            before = trio.current_time()
            await peer.expect_separate(b"1", b"20.0")
            await other.expect_separate(b"2", b"20.0")
            assert trio.current_time() - before < 5.1
            await peer.expect_ack(peer.request("/reading", token=b"3"))
            await peer.expect_separate(b"3", b"20.1")
        nursery.cancel_scope.cancel()


async def test_the_impatient_are_freed(autojump_clock: MockClock) -> None:
    sensor = Sensor(interval=1e6)
    async with open_network() as network, trio.open_nursery() as nursery:
        start = partial(serve, make_router(sensor), transport=network.bind(SERVER))
        server: Server = await nursery.start(start)
        nursery.start_soon(free_the_impatient, server, 30)
        async with open_peer(network) as peer:
            await peer.expect_ack(peer.request("/reading"))
            before = trio.current_time()
            answer = await peer.expect_separate(b"tk", b"", Code.SERVICE_UNAVAILABLE)
            assert 29 < trio.current_time() - before < 34
            assert answer.options.max_age == 60
        assert len(server.asyncs) == 0
        nursery.cancel_scope.cancel()
