"""A captured trace, played to a server in virtual time."""

from __future__ import annotations

import io
import random

import pytest
import trio
import trio.testing

from coapsep import EndpointCrashed, Request, Response, Router, Session, open_server
from coapsep.address import Address
from coapsep.message.codec import empty, encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.testing import Conditions, Network, VirtualTransport, open_network
from coapsep.trace import Datagram, Trace, read_pcapng, replay
from tests.unit.wire import ACK, CLIENT, CLIENT_ACK, CONTENT, GET, SERVER, down, up

OTHER = Address("10.0.0.3", 50000)
ELSEWHERE = Address("10.0.0.4", 5683)

router = Router()


@router.get("/temperature")
async def temperature(request: Request) -> Response:
    await trio.sleep(5)
    return Response(Code.CONTENT, "21.5 C")


async def play(
    network: Network,
    trace: Trace | list[Datagram],
    *,
    host: str = "10.9.9.9",
    patience: float = 93.0,
) -> Address:
    """Play a trace to a server on this network; returns its address."""
    transport = network.bind(host)
    async with open_server(router, transport=transport, rng=random.Random(1)):
        await replay(
            trace,
            lambda source: network.bind(source.host, source.port),
            server=transport.address,
            patience=patience,
        )
        await trio.sleep(1)  # what is under way arrives
    return transport.address


def sent(network: Network, source: Address) -> list[tuple[float, bytes]]:
    return [(round(d.time, 3), d.data) for d in network.trace if d.source == source]


async def test_requests_are_sent_at_their_times_and_answers_acknowledged(
    autojump_clock: trio.testing.MockClock,
) -> None:
    field = [
        up(1000, GET),
        down(1000.02, ACK),
        up(1002.5, GET),
        down(1003, CONTENT),
        up(1003.01, CLIENT_ACK),
        up(1004, empty(Type.RST, 1)),
    ]
    async with open_network() as network:
        await trio.sleep(10)
        server = await play(network, field)
    response_mid = network.trace[4].data[2:4]
    assert sent(network, CLIENT) == [
        (10, GET),
        (12.5, GET),
        (15.02, empty(Type.ACK, int.from_bytes(response_mid, "big"))),
    ]
    assert network.trace.ladder(names={CLIENT: "field", server: "server"}) == (
        "          field   server\n"
        "            |        |\n"
        "    0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71\n"
        "    0.110   |<-------+   ACK [MID=0x7d34]\n"
        "    2.500   +------->|   CON [MID=0x7d34], GET, /temperature, T=71\n"
        "    2.510   |<-------+   ACK [MID=0x7d34]\n"
        "    5.010   |<-------+   CON [MID=0x"
        f'{response_mid.hex()}], 2.05 Content, T=71, Content-Format=0, "21.5 C"\n'
        f"    5.020   +------->|   ACK [MID=0x{response_mid.hex()}]\n"
        "            |        |\n"
    )


async def test_each_source_is_one_to_the_server(autojump_clock: trio.testing.MockClock) -> None:
    field = [up(0, GET), Datagram(0, OTHER, ELSEWHERE, GET), Datagram(1, OTHER, SERVER, GET)]
    async with open_network() as network:
        server = await play(network, field)
    # One is answered before the other, but Trio does not say which.
    answers = [d.destination for d in network.trace if d.source == server and len(d.data) > 4]
    assert sorted(map(str, answers)) == [str(CLIENT), str(OTHER)]


async def test_over_ipv6(autojump_clock: trio.testing.MockClock) -> None:
    source, destination = Address("2001:db8::2", 40000), Address("2001:db8::1", 5683)
    async with open_network() as network:
        await play(network, [Datagram(0, source, destination, GET)], host="2001:db8::9")
    assert sent(network, source)[0] == (0, GET)


async def test_what_is_malformed_and_pings_are_sent_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    malformed, ping = b"\x49\x01\0\5", empty(Type.CON, 6)
    field = [up(0, GET), up(1, malformed), up(2, ping), down(3, malformed), down(3, GET[:3])]
    async with open_network() as network:
        server = await play(network, field)
    assert [data for _, data in sent(network, CLIENT)][:3] == [GET, malformed, ping]
    assert empty(Type.RST, 5) in [data for _, data in sent(network, server)]
    assert empty(Type.RST, 6) in [data for _, data in sent(network, server)]


async def test_it_returns_when_all_is_answered(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network() as network:
        await play(network, [up(0, GET)])
        assert trio.current_time() == pytest.approx(5.02 + 1)


async def test_a_reset_is_an_answer(autojump_clock: trio.testing.MockClock) -> None:
    """To a request that this server finds malformed, say."""
    async with open_network() as network:
        peer = network.bind("10.9.9.9")

        def reset(batch: object) -> None:
            peer.send(b"nonsense", peer.session_to(CLIENT))
            peer.send(empty(Type.RST, 0x7D34), peer.session_to(CLIENT))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.run, reset, lambda session: None)
            await replay(
                [up(0, GET)],
                lambda source: network.bind(source.host, source.port),
                server=peer.address,
            )
            assert trio.current_time() == pytest.approx(0.02)
            nursery.cancel_scope.cancel()


async def test_patience_ends(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network(conditions=Conditions(loss=1)) as network:
        await play(network, [up(0, GET), up(7, GET)], patience=20)
        assert trio.current_time() == pytest.approx(7 + 20 + 1)


async def test_addresses_are_given_back(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network() as network:
        await play(network, [up(0, GET)])
        network.bind(CLIENT.host, CLIENT.port)


async def test_addresses_are_given_back_when_one_cannot_be_had(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_network() as network:
        network.bind(OTHER.host, OTHER.port)
        with pytest.raises(OSError, match="taken"):
            await play(network, [up(0, GET), Datagram(1, OTHER, SERVER, GET)])
        network.bind(CLIENT.host, CLIENT.port)


async def test_addresses_are_given_back_when_there_is_no_way(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_network() as network:
        source = Address("2001:db8::2", 40000)
        with pytest.raises(OSError, match="no way"):
            await play(network, [up(0, GET), Datagram(0, source, SERVER, GET)])
        network.bind(source.host, source.port)


async def test_cancelling_it_leaves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network() as network:
        with trio.move_on_after(3) as scope:
            await play(network, [up(0, GET), up(100, GET)])
        assert scope.cancelled_caught
        network.bind(CLIENT.host, CLIENT.port)


@pytest.mark.parametrize("field", [[], [down(0, CONTENT), up(1, CLIENT_ACK), up(2, b"x")]])
async def test_there_must_be_a_request(
    autojump_clock: trio.testing.MockClock, field: list[Datagram]
) -> None:
    async with open_network() as network:
        with pytest.raises(ValueError, match="no request in this trace"):
            await play(network, field)


class Congested(VirtualTransport):
    """Takes a datagram only after it was waited for."""

    ready = False

    def send(self, data: bytes, session: Session) -> bool:
        self.ready, ready = False, self.ready
        return ready and super().send(data, session)

    async def wait_writable(self, session: Session) -> None:
        await super().wait_writable(session)
        self.ready = True


async def test_it_waits_where_sending_would_block(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network() as network:
        server = network.bind("10.9.9.9")
        transport = network.bind(CLIENT.host, CLIENT.port)
        transport.__class__ = Congested
        await replay([up(0, GET)], lambda source: transport, server=server.address, patience=1)
    assert sent(network, CLIENT) == [(0, GET)]


async def test_a_transport_that_fails_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    async with open_network() as network:
        server = network.bind("10.9.9.9")
        transport = network.bind(CLIENT.host, CLIENT.port)
        async with trio.open_nursery() as nursery:

            async def close() -> None:
                await trio.sleep(5)
                transport.close()

            nursery.start_soon(close)
            with pytest.raises(EndpointCrashed, match="closed"):
                await replay([up(0, GET)], lambda source: transport, server=server.address)


async def test_a_capture_of_one_run_is_played_to_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    post = encode(Message(Code.POST, Type.NON, 9, b"t", Options.build(uri_path=["none"])))
    async with open_network(seed=1) as network:
        await play(network, [up(0, GET), up(1, post)])
    file = io.BytesIO()
    network.trace.save_pcapng(file, epoch=1_700_000_000)
    async with open_network(seed=2) as again:
        await play(again, read_pcapng(io.BytesIO(file.getvalue())))
    assert [d.data[:2] for d in again.trace] == [d.data[:2] for d in network.trace]
