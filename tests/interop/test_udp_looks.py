"""A socket that is looked at again before a sleep; see transport/lookout.py. Here, for ever."""

from __future__ import annotations

import pytest
import trio

from coapsep import Session, UdpTransport, open_udp
from coapsep.transport.base import Batch
from coapsep.transport.lookout import Lookout
from coapsep.transport.udp import open_udp_client
from tests.interop.sockets import LOOPBACKS, address_of, bound, dead_ports, listening

pytestmark = pytest.mark.usefixtures("never_asleep")


@pytest.fixture
def never_asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lookout, "looks", lambda self: 1_000_000)

    async def sleep(sock: object) -> None:
        raise AssertionError("it sleeps")

    monkeypatch.setattr("trio.lowlevel.wait_readable", sleep)


def nothing(*args: object) -> None:
    raise AssertionError(args)


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_what_arrives_is_handed_over(host: str) -> None:
    transport = await open_udp(host, 0)
    with bound(host) as peer:
        session = Session(transport.addresses[0], address_of(peer))
        to = transport.addresses[0]
        async with listening(transport) as listener:
            for number in range(100):
                peer.sendto(b"%d" % number, (to.host, to.port))
                while len(listener.arrived) <= number:
                    await trio.lowlevel.checkpoint()
            assert listener.arrived == [(b"%d" % number, session) for number in range(100)]


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_an_error_is_told(host: str) -> None:
    transport = await open_udp_client(host)
    with bound(host) as live, dead_ports(host, 1) as (dead,):
        async with listening(transport) as listener:
            to_dead = transport.session_to(dead)
            transport.send(b"?", to_dead)
            await listener.until(lambda: bool(listener.refused))
            assert listener.refused == [(b"?", to_dead)]
            to_live = transport.session_to(address_of(live))
            transport.send(b"!", to_live)
            live.sendto(b"yes", live.recvfrom(10)[1])
            await listener.until(lambda: bool(listener.arrived))
            assert listener.arrived == [(b"yes", to_live)]


async def test_the_others_have_their_turn_and_it_can_be_cancelled() -> None:
    transport = await open_udp("127.0.0.1", 0)
    with trio.move_on_after(0.05) as scope:
        await transport.run(nothing, nothing)
    assert scope.cancelled_caught
    transport.close()


@pytest.mark.parametrize("within", [True, False])
async def test_closing_ends_it(within: bool) -> None:
    """Also from within, when what has arrived says so."""
    transport = await open_udp("127.0.0.1", 0)
    with bound("127.0.0.1") as peer:
        to = transport.addresses[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_until_closed, transport)
            for _ in range(10):
                await trio.lowlevel.checkpoint()
            if within:
                peer.sendto(b"close", (to.host, to.port))
            else:
                transport.close()


async def run_until_closed(transport: UdpTransport) -> None:
    def close(batch: Batch) -> None:
        transport.close()

    with pytest.raises(trio.ClosedResourceError):
        await transport.run(close, nothing)
