"""The virtual network itself."""

from __future__ import annotations

import sys

import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, EndpointCrashed, Request, Router, Session, open_server
from coapsep.testing import Conditions, Network, Sent, open_network
from tests.shell.peer import SERVER, Peer, open_peer

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


async def exchange(seed: int, conditions: Conditions, count: int = 200) -> list[Sent]:
    """The log of one peer sending ``count`` datagrams to another."""
    async with open_network(seed=seed, conditions=conditions) as network:
        async with open_peer(network, "a"), open_peer(network, "b", server="a") as sender:
            for number in range(count):
                sender.send(b"%d" % number)
                await trio.sleep(0.001)
            await trio.sleep(10)
        return network.log


async def test_the_fate_of_a_datagram_is_a_function_of_the_seed(
    autojump_clock: MockClock,
) -> None:
    terrible = Conditions(delay=0.1, jitter=1, loss=0.3, duplication=0.3)

    def fates(log: list[Sent]) -> list[tuple[float, ...]]:
        return [tuple(round(a - sent.time, 9) for a in sent.arrivals) for sent in log]

    first = fates(await exchange(7, terrible))
    assert fates(await exchange(7, terrible)) == first
    assert fates(await exchange(8, terrible)) != first
    lost = sum(1 for arrivals in first if not arrivals)
    twice = sum(1 for arrivals in first if len(arrivals) == 2)
    assert 40 < lost < 80
    assert 25 < twice < 65


async def test_equal_times_arrive_in_sending_order(autojump_clock: MockClock) -> None:
    async with open_network() as network, open_peer(network, "a", 5683) as receiver:
        senders = [Peer(network.bind(f"s{n}"), "a") for n in range(50)]
        for number, sender in enumerate(senders):
            sender.send(b"%d" % number)
        assert [await receiver.receive_bytes() for _ in senders] == [b"%d" % n for n in range(50)]


async def test_jitter_reorders(autojump_clock: MockClock) -> None:
    conditions = Conditions(delay=0.1, jitter=0.5)
    async with open_network(conditions=conditions) as network, open_peer(network, "a", 5683) as a:
        sender = Peer(network.bind("b"), "a")
        for number in range(50):
            sender.send(bytes([number]))
        got = [await a.receive_bytes() for _ in range(50)]
    assert got != sorted(got)
    assert sorted(got) == [bytes([n]) for n in range(50)]


async def test_partitions_open_and_heal(autojump_clock: MockClock, network: Network) -> None:
    async with open_peer(network, "a", 5683) as receiver:
        near, far = Peer(network.bind("b"), "a"), Peer(network.bind("c"), "a")
        network.partition({"a", "b"}, {"c"})
        near.send(b"near")
        far.send(b"lost")
        assert await receiver.receive_bytes() == b"near"
        network.heal()
        far.send(b"far")
        assert await receiver.receive_bytes() == b"far"


async def test_a_link_has_conditions_of_its_own(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_peer(network, "a", 5683) as receiver:
        sender = Peer(network.bind("b"), "a")
        network.link("b", "a", Conditions(delay=3))
        start = trio.current_time()
        sender.send(b"x")
        await receiver.receive_bytes()
        assert trio.current_time() - start == pytest.approx(3)


async def test_a_filter_sees_every_datagram(autojump_clock: MockClock, network: Network) -> None:
    seen: list[tuple[str, str, bytes]] = []

    def second_only(source: Address, destination: Address, data: bytes) -> bool:
        seen.append((source.host, destination.host, data))
        return len(seen) == 2

    network.filter = second_only
    async with open_peer(network, "a", 5683) as receiver:
        sender = Peer(network.bind("b"), "a")
        sender.send(b"1")
        sender.send(b"2")
        assert await receiver.receive_bytes() == b"2"
    assert seen == [("b", "a", b"1"), ("b", "a", b"2")]


async def test_addresses_are_taken_and_given_back(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = network.bind("a")
    with pytest.raises(OSError, match="a:5683 is taken"):
        network.bind("a")
    transport.close()
    transport.close()
    with pytest.raises(trio.ClosedResourceError):
        transport.send(b"", Session(transport.address, Address("b", 1)))
    again = network.bind("a")
    assert again.addresses == (Address("a", 5683),)
    again.send(b"to nobody", Session(again.address, Address("nobody", 1)))
    await trio.sleep(1)
    await again.wait_writable(Session(again.address, Address("nobody", 1)))


async def test_what_arrives_before_anybody_listens_is_kept(
    autojump_clock: MockClock, network: Network
) -> None:
    early = network.bind("a")
    Peer(network.bind("b"), "a").send(b"early")
    await trio.sleep(1)
    got: list[bytes] = []
    with trio.move_on_after(1):
        await early.run(lambda batch: got.extend(data for data, _ in batch), lambda session: None)
    assert got == [b"early"]


async def test_a_failure_while_delivering_belongs_to_the_receiver(
    autojump_clock: MockClock, network: Network, peer: Peer
) -> None:
    router = Router()

    @router.get("/exit")
    def leave(request: Request) -> None:
        raise SystemExit(3)

    with pytest.raises(BaseException) as caught:  # any group of any depth
        async with open_server(router, transport=network.bind(SERVER)):
            peer.request("/exit")
            await trio.sleep(10)
    found: BaseException = caught.value
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert isinstance(found, SystemExit)
    assert not isinstance(caught.value, EndpointCrashed)


@pytest.mark.parametrize(
    "wrong", [{"loss": 1.1}, {"loss": -0.1}, {"duplication": 2}, {"delay": -1}, {"jitter": -1}]
)
def test_conditions_are_checked(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Conditions(**wrong)


async def test_an_exception_of_the_block_leaves_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_network():
            raise KeyError("mine")
