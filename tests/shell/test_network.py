"""The virtual network: its hosts, how datagrams arrive, and the trace."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import Address, Batch, EndpointCrashed, Request, Router, Session, open_server
from coapsep.testing import Conditions, Network, VirtualTransport, open_network
from coapsep.trace import Datagram
from tests.shell.listener import nothing_is_lost, open_listener
from tests.shell.peer import SERVER, Peer

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


# -- arrival -----------------------------------------------------------------------------


async def test_equal_times_arrive_in_sending_order_as_one_batch(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B) as b:
        senders = [network.bind(f"10.0.1.{n}") for n in range(50)]
        for number, sender in enumerate(senders):
            for listener in (a, b):
                sender.send(bytes([number]), sender.session_to(listener.address))
        await trio.sleep(1)
    for listener in (a, b):
        assert listener.arrived == [bytes([n]) for n in range(50)]
        assert [session.peer.host for session in listener.sessions] == [
            f"10.0.1.{n}" for n in range(50)
        ]
        assert len(listener.batches) == 1


async def test_without_delay_other_tasks_get_their_turn(autojump_clock: MockClock) -> None:
    """Two that answer each other at once, for ever, and a task that ends that."""
    async with open_network(conditions=Conditions(delay=0)) as network:
        ends = network.bind(A), network.bind(B)
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for end in ends:
                nursery.start_soon(end.run, partial(echo, end), nothing_is_lost)
            await wait_all_tasks_blocked()
            ends[0].send(b"x", ends[0].session_to(ends[1].address))
            for _ in range(20):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert trio.current_time() == start
        assert len(network.trace) > 5


def echo(transport: VirtualTransport, batch: Batch) -> None:
    for data, session in batch:
        transport.send(data, session)


async def test_a_datagram_arrives_in_the_session_of_its_answer(
    autojump_clock: MockClock, network: Network
) -> None:
    async with open_listener(network, A) as a, open_listener(network, B, 0) as b:
        session = b.transport.session_to(a.address)
        assert session == Session(b.address, a.address, "virtual")
        b.transport.send(b"question", session)
        await trio.sleep(1)
        assert a.sessions == [a.transport.session_to(b.address)]
        a.transport.send(b"answer", a.sessions[0])
        await trio.sleep(1)
    assert b.arrived == [b"answer"]
    assert b.sessions[0] is session


async def test_what_arrives_before_anybody_listens_is_kept_up_to_a_bound(
    autojump_clock: MockClock, network: Network
) -> None:
    early, sender = network.bind(A), network.bind(B)
    for number in range(1500):
        sender.send(number.to_bytes(2, "big"), sender.session_to(early.address))
    await trio.sleep(1)
    assert early.dropped == 1500 - 1024
    assert sender.dropped == 0
    got: list[bytes] = []
    with trio.move_on_after(1):
        await early.run(lambda batch: got.extend(data for data, _ in batch), nothing_is_lost)
    assert got == [n.to_bytes(2, "big") for n in range(1024)]
    sender.send(b"late", sender.session_to(early.address))
    await trio.sleep(1)
    assert [data for data, _ in early.poll()] == [b"late"]
    assert early.poll() == []


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


async def test_a_failure_of_one_receiver_does_not_touch_the_others(
    autojump_clock: MockClock, network: Network
) -> None:
    def fail(batch: Batch) -> None:
        raise KeyError("mine")

    async def run(broken: VirtualTransport) -> None:
        with pytest.raises(KeyError, match="mine"):
            await broken.run(fail, nothing_is_lost)

    broken = network.bind(A)
    async with open_listener(network, B) as b, open_listener(network, C) as c:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, broken)
            await wait_all_tasks_blocked()
            c.send(b"1", broken.address)
            c.send(b"2", b.address)
        await trio.sleep(1)
        assert b.arrived == [b"2"]


async def test_an_exception_of_the_block_leaves_as_it_is(autojump_clock: MockClock) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_network():
            raise KeyError("mine")


async def test_cancelling_around_it_is_plain_cancellation(autojump_clock: MockClock) -> None:
    with trio.move_on_after(5) as scope:
        async with open_network() as network, open_listener(network, A):
            await trio.sleep_forever()
    assert scope.cancelled_caught


# -- hosts and ports ---------------------------------------------------------------------


async def test_addresses_are_taken_and_given_back(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = network.bind(A)
    with pytest.raises(OSError, match=r"10\.0\.0\.1:5683 is taken") as caught:
        network.bind(A)
    assert caught.value.errno == errno.EADDRINUSE
    session = transport.session_to(Address(B, 1))
    transport.close()
    transport.close()
    with pytest.raises(trio.ClosedResourceError):
        transport.send(b"", session)
    with pytest.raises(trio.ClosedResourceError):
        await transport.run(lambda batch: None, nothing_is_lost)
    again = network.bind(A)
    assert again.addresses == (Address(A, 5683),)
    transport.close()  # it is not this one's any more
    with pytest.raises(OSError, match="taken"):
        network.bind(A)


async def test_closing_ends_run_and_what_was_under_way(
    autojump_clock: MockClock, network: Network
) -> None:
    transport, sender = network.bind(A), network.bind(B)
    got: list[Batch] = []
    sender.send(b"late", sender.session_to(transport.address))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, transport, got.append)
        await wait_all_tasks_blocked()
        transport.close()
    await trio.sleep(1)
    assert got == []
    assert network.trace[0].lost == "nobody there"


async def expect_closed(transport: VirtualTransport, deliver: Callable[[Batch], None]) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await transport.run(deliver, nothing_is_lost)


async def test_a_receiver_that_closes_another_one(
    autojump_clock: MockClock, network: Network
) -> None:
    """Both have a datagram due in the same instant; the second one is closed by then."""
    first, second, sender = network.bind(A), network.bind(B), network.bind(C)
    got: list[Batch] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.run, lambda batch: second.close(), nothing_is_lost)
        nursery.start_soon(expect_closed, second, got.append)
        await wait_all_tasks_blocked()
        for target in (first, second):
            sender.send(b"x", sender.session_to(target.address))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert got == []


@pytest.mark.parametrize("host", [A, "2001:db8::1"])
async def test_port_0_picks_free_ones_in_turn(
    autojump_clock: MockClock, network: Network, host: str
) -> None:
    network.bind(host, 49153)
    first, second = network.bind(host, 0), network.bind(host, 0)
    assert [first.address.port, second.address.port] == [49152, 49154]
    first.close()
    assert network.bind(host, 0).address.port == 49155  # not soon the same one again
    for _ in range(49156, 65536):
        network.bind(host, 0)
    assert network.bind(host, 0).address.port == 49152
    with pytest.raises(OSError, match="no free port"):
        network.bind(host, 0)
    assert network.bind("10.9.9.9", 0).address.port == 49152


@pytest.mark.parametrize(
    "wrong",
    ["a", "", "10.0.0", "10.0.0.1 ", "10.0.0.1:5683", "[::1]", "fe80::1%eth0", "fe80::1%1"],
)
async def test_a_host_is_an_ip_address(
    autojump_clock: MockClock, network: Network, wrong: str
) -> None:
    for call in (
        lambda: network.bind(wrong),
        lambda: network.add_host(wrong),
        lambda: network.link(A, wrong, Conditions()),
        lambda: network.link(wrong, A, Conditions()),
        lambda: network.partition({A, wrong}),
        lambda: network.nat(A, wrong),
        lambda: network.fail_sends(wrong, A, None),
        lambda: network.drop(source=wrong),
        lambda: network.bind(A, 0).session_to(Address(wrong, 1)),
    ):
        with pytest.raises(ValueError, match="a virtual host is an IP address"):
            call()


@pytest.mark.parametrize("wrong", [1, b"\x0a\x00\x00\x01", None])
async def test_a_host_is_a_str(autojump_clock: MockClock, network: Network, wrong: object) -> None:
    with pytest.raises(TypeError, match="an IP address in a str"):
        network.bind(wrong)  # type: ignore[arg-type]  # wrong on purpose


async def test_hosts_have_one_form_and_an_address_of_their_own(
    autojump_clock: MockClock, network: Network
) -> None:
    assert network.bind("2001:DB8:0::0001").address == Address("2001:db8::1", 5683)
    with pytest.raises(OSError, match="taken"):
        network.bind("2001:db8::1")
    with pytest.raises(ValueError, match="join the group"):
        network.bind("224.0.1.187")
    for wildcard in ("0.0.0.0", "::"):
        with pytest.raises(ValueError, match="stands for any address"):
            network.bind(wildcard)


async def test_ipv6_in_any_form(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, "fe80::1") as a, open_listener(network, "fe80::2") as b:
        b.send(b"1", Address("FE80:0::1", 5683))
        b.transport.send(b"2", Session(b.address, Address("fe80::1", 5683, scope_id=2), "virtual"))
        await trio.sleep(1)
    assert a.arrived == [b"1", b"2"]
    assert set(a.sessions) == {Session(a.address, b.address, "virtual")}
    assert b.transport.session_to(Address("FE80:0::1", 5683)).peer == a.address


async def test_there_is_no_way_between_families(
    autojump_clock: MockClock, network: Network
) -> None:
    transport = network.bind(A)
    for send in (
        lambda: transport.session_to(Address("::1", 5683)),
        lambda: transport.send(b"", Session(transport.address, Address("::1", 5683), "virtual")),
    ):
        with pytest.raises(OSError, match="no way") as caught:
            send()
        assert caught.value.errno == errno.EAFNOSUPPORT


# -- sends that fail ---------------------------------------------------------------------


async def test_a_transport_that_is_blocked(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a:
        transport = network.bind(B)
        session = transport.session_to(a.address)
        await transport.wait_writable(session)
        transport.blocked = True
        transport.blocked = True
        assert transport.blocked
        assert not transport.send(b"1", session)
        with trio.move_on_after(100) as scope:
            await transport.wait_writable(session)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.wait_writable, session)
            await wait_all_tasks_blocked()
            transport.blocked = False
        assert not transport.blocked
        assert transport.send(b"2", session)
        await trio.sleep(1)
        assert a.arrived == [b"2"]
        transport.blocked = True
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.wait_writable, session)
            await wait_all_tasks_blocked()
            transport.close()
    assert len(network.trace) == 1


async def test_sends_fail_on_one_link_only(autojump_clock: MockClock, network: Network) -> None:
    async with open_listener(network, A) as a, open_listener(network, C) as c:
        sender = network.bind(B)
        network.fail_sends(B, A, OSError(errno.ENETUNREACH, "Network is unreachable"))
        for _ in range(2):
            with pytest.raises(OSError, match="unreachable") as caught:
                sender.send(b"1", sender.session_to(a.address))
            assert caught.value.errno == errno.ENETUNREACH
        sender.send(b"2", sender.session_to(c.address))
        a.send(b"3", c.address)
        network.fail_sends(B, A, None)
        sender.send(b"4", sender.session_to(a.address))
        await trio.sleep(1)
        assert (a.arrived, c.arrived) == ([b"4"], [b"2", b"3"])
    assert [datagram.data for datagram in network.trace] == [b"2", b"3", b"4"]


# -- the trace ---------------------------------------------------------------------------


async def test_the_trace_has_everything_that_was_sent(autojump_clock: MockClock) -> None:
    async with (
        open_network(conditions=Conditions(delay=0.5)) as network,
        open_listener(network, A) as a,
        open_listener(network, B) as b,
    ):
        start = trio.current_time()
        a.send(b"1", b.address)
        nobody = Address(B, 1)
        a.send(b"2", nobody)
        assert network.trace[1] == Datagram(start, a.address, nobody, b"2", (start + 0.5,))
        await trio.sleep(1)
        assert list(network.trace) == [
            Datagram(start, a.address, b.address, b"1", (start + 0.5,)),
            Datagram(start, a.address, nobody, b"2", (), "nobody there"),
        ]


async def test_who_is_there_shows_on_arrival(autojump_clock: MockClock, network: Network) -> None:
    sender = network.bind(B)
    sender.send(b"1", sender.session_to(Address(A, 5683)))
    async with open_listener(network, A) as a:
        await trio.sleep(1)
        assert a.arrived == [b"1"]
    assert network.trace[0].lost == ""
    assert len(network.trace[0].arrivals or ()) == 1


async def test_one_copy_finds_somebody_and_the_other_one_does_not(
    autojump_clock: MockClock,
) -> None:
    conditions = Conditions(duplication=1, reordering=0.5, reordering_delay=5)
    async with open_network(conditions=conditions) as network:
        target, sender = network.bind(A), network.bind(B)
        # The first whose copies are 5 seconds apart.
        while True:
            sender.send(b"x", sender.session_to(target.address))
            first, second = network.trace[-1].arrivals or ()
            if second - first > 1:
                break
        await trio.sleep_until(first + 1)
        target.close()
        await trio.sleep(10)
        assert network.trace[-1].arrivals == (first,)
        assert network.trace[-1].lost == "nobody there"


@pytest.mark.parametrize(
    ("limit", "kept"), [(None, [b"0", b"1", b"2"]), (2, [b"1", b"2"]), (0, [])]
)
async def test_the_trace_is_bounded(
    autojump_clock: MockClock, limit: int | None, kept: list[bytes]
) -> None:
    async with open_network(trace_limit=limit) as network:
        sender = network.bind(A)
        for number in range(3):
            sender.send(b"%d" % number, sender.session_to(Address(B, 1)))
        await trio.sleep(1)
        assert [datagram.data for datagram in network.trace] == kept
        assert {datagram.lost for datagram in network.trace} == (
            {"nobody there"} if kept else set()
        )


async def test_a_trace_that_was_cleared_stays_clear(
    autojump_clock: MockClock, network: Network
) -> None:
    sender = network.bind(A)
    sender.send(b"1", sender.session_to(Address(B, 1)))
    network.trace.clear()
    await trio.sleep(0.001)
    sender.send(b"2", sender.session_to(Address(B, 1)))
    await trio.sleep(1)
    assert [datagram.data for datagram in network.trace] == [b"2"]
