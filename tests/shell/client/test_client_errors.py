"""What the system and the network say of a datagram: send errors, ICMP, a full socket."""

from __future__ import annotations

import errno
import logging
from collections.abc import AsyncGenerator, Callable
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    ClientResponse,
    Limits,
    PeerUnreachable,
    RequestTimedOut,
    Router,
    Server,
    Session,
    Tuning,
    open_client,
    open_server,
)
from coapsep.testing import Network, VirtualTransport, open_network
from tests.shell.client.asking import HELLO, PEER, SLOW, ask
from tests.shell.client.responder import CLIENT, Responder, open_responder
from tests.shell.peer import SERVER
from tests.shell.wrapped import Wrapped

NO_ROUTE = OSError(errno.ENETUNREACH, "Network is unreachable")
OTHER = "10.0.0.8"


# -- send errors -------------------------------------------------------------------------


@pytest.mark.parametrize("confirmable", [True, False])
async def test_a_request_that_cannot_be_sent_fails_at_once(
    autojump_clock: MockClock, network: Network, client: Client, confirmable: bool
) -> None:
    network.fail_sends(CLIENT, SERVER, NO_ROUTE)
    text = r"^10\.0\.0\.1:5683: unreachable: Network is unreachable$"
    with pytest.raises(PeerUnreachable, match=text):
        await client.get(HELLO, confirmable=confirmable)
    assert trio.current_time() == 0
    statistics = client.statistics()
    assert (statistics.send_errors, statistics.requests_failed) == (1, 1)
    assert (statistics.own_requests, statistics.datagrams_sent) == (0, 0)


async def test_a_ping_that_cannot_be_sent_fails_at_once(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    network.fail_sends(CLIENT, SERVER, NO_ROUTE)
    with pytest.raises(PeerUnreachable, match="Network is unreachable"):
        await client.ping(PEER)
    assert trio.current_time() == 0


async def test_an_error_without_words(
    autojump_clock: MockClock, network: Network, client: Client
) -> None:
    network.fail_sends(CLIENT, SERVER, OSError("weird"))
    with pytest.raises(PeerUnreachable, match="weird"):
        await client.get(HELLO)


async def test_one_peer_out_of_reach_does_not_touch_the_others(
    autojump_clock: MockClock, network: Network, router: Router, server: Server, client: Client
) -> None:
    network.fail_sends(CLIENT, OTHER, NO_ROUTE)
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(ask, ends, partial(client.get, f"coap://{OTHER}"))
            nursery.start_soon(ask, ends, partial(client.get, HELLO))
    assert sum(isinstance(end, PeerUnreachable) for end in ends) == 10
    assert sum(isinstance(end, ClientResponse) for end in ends) == 10


async def test_those_that_queue_for_the_same_peer_each_have_their_try(
    autojump_clock: MockClock, network: Network, server: Server, client: Client
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, SLOW))
        for _ in range(3):
            await trio.sleep(0.001)
            nursery.start_soon(ask, ends, partial(client.get, HELLO))
        await trio.sleep(0.05)
        network.fail_sends(CLIENT, SERVER, NO_ROUTE)
        await trio.sleep(1)
        network.fail_sends(CLIENT, SERVER, None)
    assert [type(end) for end in ends] == [PeerUnreachable] * 3 + [ClientResponse]


async def test_a_retransmission_that_cannot_be_sent_is_survived(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    """The network may be back before the request is given up."""
    ends: list[object] = []
    tuning = Tuning(ack_random_factor=1.0)  # it is repeated after 2, 6 and 14 s
    async with (
        open_client(transport=network.bind(CLIENT), tuning=tuning) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        first = await responder.expect_request()
        network.fail_sends(CLIENT, SERVER, NO_ROUTE)
        await trio.sleep(8)
        assert ends == []
        network.fail_sends(CLIENT, SERVER, None)
        again = await responder.expect_request()
        assert again == first
        responder.answer(again, b"after all")
    assert isinstance(ends[0], ClientResponse)
    assert client.statistics().send_errors == 2


async def test_an_acknowledgement_that_cannot_be_sent_costs_nothing(
    autojump_clock: MockClock, network: Network, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        request = await responder.expect_request()
        network.fail_sends(CLIENT, SERVER, NO_ROUTE)
        response = responder.answer(request, b"x", kind=request.type)
        await trio.sleep(1)
        assert isinstance(ends[0], ClientResponse)
        network.fail_sends(CLIENT, SERVER, None)
        responder.again(response)
        await responder.expect_ack_of(response)


# -- ICMP --------------------------------------------------------------------------------


@pytest.fixture
async def icmp(autojump_clock: MockClock) -> AsyncGenerator[Network, None]:
    """A network where a host says that nobody is at a port."""
    async with open_network(icmp=True) as network:
        network.add_host(SERVER)
        yield network


@pytest.fixture
async def asker(icmp: Network) -> AsyncGenerator[Client, None]:
    async with open_client(transport=icmp.bind(CLIENT)) as client:
        yield client


@pytest.mark.parametrize("confirmable", [True, False])
async def test_nobody_at_the_port(
    autojump_clock: MockClock, icmp: Network, asker: Client, confirmable: bool
) -> None:
    with pytest.raises(PeerUnreachable, match=r"^10\.0\.0\.1:5683: .*nobody is at that port$"):
        await asker.get(HELLO, confirmable=confirmable)
    with pytest.raises(PeerUnreachable):
        await asker.ping(PEER)
    assert trio.current_time() == pytest.approx(0.04)
    assert len(icmp.trace) == 2
    statistics = asker.statistics()
    assert (statistics.refusals, statistics.own_requests) == (2, 0)


async def test_a_request_fails_alone(
    autojump_clock: MockClock, icmp: Network, router: Router, asker: Client
) -> None:
    """Those that have not left yet have their own try, which a restarted server answers."""
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(asker.get, HELLO))
        await trio.sleep(0.001)
        nursery.start_soon(ask, ends, partial(asker.get, HELLO))
        await trio.sleep(0.014)
        async with open_server(router, transport=icmp.bind(SERVER)):
            await trio.sleep(1)
    assert [type(end) for end in ends] == [PeerUnreachable, ClientResponse]


async def test_a_server_that_stops_while_its_response_is_awaited(
    autojump_clock: MockClock, icmp: Network, asker: Client
) -> None:
    """Once acknowledged, nothing is sent, so there is nothing to be refused."""
    with trio.move_on_after(10_000) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.get, HELLO)
            async with open_responder(icmp) as responder:
                responder.ack(await responder.expect_request())
                await trio.sleep(1)
    assert scope.cancelled_caught


@pytest.mark.parametrize(
    "forge",
    [
        lambda data: data[:4] + bytes(8) + data[12:],  # another token
        lambda data: data[:2] + bytes(2) + data[4:],  # another message ID
        lambda data: data[:11],  # the token cut short
        lambda data: b"",
        lambda data: data[:3],
        lambda data: bytes(len(data)),
    ],
    ids=["token", "mid", "cut", "empty", "stub", "zeros"],
)
async def test_a_forged_refusal_changes_nothing(
    autojump_clock: MockClock,
    network: Network,
    client: Client,
    responder: Responder,
    forge: Callable[[bytes], bytes],
) -> None:
    """Who has not seen the request cannot quote it (RFC 7252 section 4.2)."""
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        request = await responder.expect_request()
        network.refuse(forge(network.trace[0].data), Address(CLIENT, 5683), PEER)
        await trio.sleep(1)
        assert ends == []
        responder.answer(request)
    assert isinstance(ends[0], ClientResponse)
    assert client.statistics().refusals == 1


async def test_a_refusal_of_a_request_to_another_peer(
    autojump_clock: MockClock, network: Network, client: Client, responder: Responder
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        request = await responder.expect_request()
        network.refuse(network.trace[0].data, Address(CLIENT, 5683), Address(SERVER, 5684))
        await trio.sleep(1)
        assert ends == []
        responder.answer(request)


@pytest.mark.parametrize("size", [12, 20, 28])
async def test_a_quote_that_is_cut_after_the_token_is_enough(
    autojump_clock: MockClock, network: Network, client: Client, size: int
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, PEER, "/a/long/path/that/is/cut"))
        await trio.sleep(1)
        network.refuse(network.trace[0].data[:size], Address(CLIENT, 5683), PEER)
    assert isinstance(ends[0], PeerUnreachable)
    assert trio.current_time() == 1


async def test_a_late_refusal_of_a_cancelled_request(
    autojump_clock: MockClock, network: Network, client: Client, responder: Responder
) -> None:
    with trio.move_on_after(1):
        await client.get(HELLO)
    data = network.trace[0].data
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        await responder.expect_request()
        request = await responder.expect_request()
        network.refuse(data, Address(CLIENT, 5683), PEER)
        await trio.sleep(1)
        responder.answer(request)
    assert isinstance(ends[0], ClientResponse)


async def test_ipv6_nobody_at_the_port(autojump_clock: MockClock, icmp: Network) -> None:
    icmp.add_host("2001:db8::1")
    async with open_client(transport=icmp.bind("2001:db8::2")) as client:
        with pytest.raises(PeerUnreachable, match=r"^\[2001:db8::1\]:5683: "):
            await client.get("coap://[2001:db8::1]/")
    assert trio.current_time() == pytest.approx(0.02)


# -- a full socket -----------------------------------------------------------------------


@pytest.fixture
def transport(network: Network) -> VirtualTransport:
    return network.bind(CLIENT)


async def test_requests_wait_for_the_socket_and_go_out_in_order(
    autojump_clock: MockClock, network: Network, server: Server, transport: VirtualTransport
) -> None:
    ends: list[object] = []
    async with (
        open_client(transport=transport, tuning=Tuning(nstart=10)) as client,
        trio.open_nursery() as nursery,
    ):
        transport.blocked = True
        for number in range(10):
            nursery.start_soon(ask, ends, partial(client.get, HELLO, query=[f"{number}"]))
            await trio.sleep(0.01)
        assert len(network.trace) == 0
        transport.blocked = False
    assert [type(end) for end in ends] == [ClientResponse] * 10
    sent = [sent.data for sent in network.trace if sent.source.host == CLIENT]
    assert [data[-1:] for data in sent] == [b"%d" % number for number in range(10)]
    assert client.statistics().datagrams_unsent == 0


async def test_what_the_socket_has_no_room_for_is_repeated_as_if_it_were_lost(
    autojump_clock: MockClock, network: Network, server: Server, transport: VirtualTransport
) -> None:
    ends: list[object] = []
    limits, tuning = Limits(unsent=2), Tuning(nstart=5)
    async with (
        open_client(transport=transport, limits=limits, tuning=tuning) as client,
        trio.open_nursery() as nursery,
    ):
        transport.blocked = True
        for _ in range(5):
            nursery.start_soon(ask, ends, partial(client.get, HELLO))
        await trio.sleep(1)
        transport.blocked = False
    assert [type(end) for end in ends] == [ClientResponse] * 5
    assert client.statistics().datagrams_unsent == 3
    assert client.statistics().retransmissions == 3


async def test_a_request_that_is_cancelled_while_it_waits_for_the_socket_does_not_leave(
    autojump_clock: MockClock, network: Network, server: Server, transport: VirtualTransport
) -> None:
    async with open_client(transport=transport) as client:
        transport.blocked = True
        with trio.move_on_after(5):  # it has been repeated meanwhile, for all the core knows
            await client.get(HELLO, query=["cancelled"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, HELLO)
            await trio.sleep(1)
            transport.blocked = False
        await trio.sleep(300)
    sent = [sent.data for sent in network.trace if sent.source.host == CLIENT]
    assert len(sent) == 1
    assert b"cancelled" not in sent[0]


async def test_a_send_that_fails_after_it_had_to_wait(
    autojump_clock: MockClock, network: Network, transport: VirtualTransport
) -> None:
    ends: list[object] = []
    async with open_client(transport=transport) as client, trio.open_nursery() as nursery:
        transport.blocked = True
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        nursery.start_soon(ask, ends, partial(client.get, f"coap://{OTHER}/"))
        await trio.sleep(1)
        network.fail_sends(CLIENT, SERVER, NO_ROUTE)
        transport.blocked = False
        await trio.sleep(1)
        assert [type(end) for end in ends] == [PeerUnreachable]
        assert client.statistics().own_requests == 1
    assert isinstance(ends[1], RequestTimedOut)


class Stuck(Wrapped):
    """Two sockets with full buffers, of which one fails and the other one stays full."""

    def send(self, data: bytes, session: Session) -> bool:
        if session.peer.host == SERVER and trio.current_time() >= 1:
            raise NO_ROUTE
        return False

    async def wait_writable(self, session: Session) -> None:
        if session.peer.host == SERVER:
            await trio.sleep_until(1)
        else:
            await trio.sleep_forever()


async def test_a_failure_is_told_while_others_still_wait_for_the_socket(
    autojump_clock: MockClock, network: Network
) -> None:
    ends: list[object] = []
    async with (
        open_client(transport=Stuck(network.bind(CLIENT))) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(ask, ends, partial(client.get, HELLO))
        await trio.sleep(0.5)
        nursery.start_soon(ask, ends, partial(client.get, f"coap://{OTHER}/"))
        await trio.sleep(1)
        assert [type(end) for end in ends] == [PeerUnreachable]
        nursery.cancel_scope.cancel()


# -- a transport with connections --------------------------------------------------------


class Connection(Wrapped):
    """A transport that can say that a session has gone."""

    async def run(
        self,
        deliver: Callable[[list[tuple[bytes, Session]]], None],
        lost: Callable[[Session], None],
        refused: Callable[[bytes, Session], None] | None = None,
    ) -> None:
        self.lose = lost
        await super().run(deliver, lost, refused)


async def test_a_session_that_is_gone_fails_all_that_was_asked_in_it(
    autojump_clock: MockClock, network: Network, responder: Responder
) -> None:
    ends: list[object] = []
    transport = Connection(network.bind(CLIENT))
    async with open_client(transport=transport) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, ends, partial(client.get, SLOW))
            responder.ack(await responder.expect_request())
            for _ in range(3):  # one is sent, and two wait
                nursery.start_soon(ask, ends, partial(client.get, HELLO))
            await responder.expect_request()
            transport.lose(transport.session_to(PEER))
        assert [type(end) for end in ends] == [PeerUnreachable] * 4
        assert str(ends[0]) == "10.0.0.1:5683: the session has gone"
        await responder.expect_silence()
        assert client.statistics().own_requests == client.statistics().timers == 0


async def test_the_log_tells_of_send_errors(
    autojump_clock: MockClock,
    network: Network,
    client: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    network.fail_sends(CLIENT, SERVER, NO_ROUTE)
    with pytest.raises(PeerUnreachable):
        await client.get(HELLO)
    assert "10.0.0.1:5683: [Errno 101] Network is unreachable" in caplog.text
