"""Piggybacked and separate responses through the whole server (RFC 7252 section 5.2)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from coapsep import Code, Request, Router, Server, Type, UndeliveredResponse
from coapsep.protocol.events import Undelivered
from tests.shell.peer import Peer

TOKENS = [b"", b"a", b"ab", b"abc", b"abcd", b"abcde", b"abcdef", b"abcdefg", b"abcdefgh"]


@pytest.fixture
def runs(router: Router) -> list[float]:
    """A server with one resource of each kind; gives the times at which handlers ran."""
    runs: list[float] = []

    @router.get("/sync")
    def sync(request: Request) -> str:
        runs.append(trio.current_time())
        return "sync"

    @router.get("/async")
    async def not_blocking(request: Request) -> str:
        runs.append(trio.current_time())
        return "async"

    @router.get("/slow")
    async def slow(request: Request) -> str:
        runs.append(trio.current_time())
        await trio.sleep(5)
        return "slow"

    @router.get("/later")
    def later(request: Request) -> str | None:
        if request.pending is None:
            runs.append(trio.current_time())
            request.asyncs.register_async(request, delay=5)
            return None
        return "later"

    return runs


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_a_quick_answer_to_a_con_rides_in_the_ack(
    autojump_clock: MockClock,
    server: Server,
    runs: list[float],
    peer: Peer,
    path: str,
    token: bytes,
) -> None:
    request = peer.request(path, token=token)
    answer = await peer.expect(Type.ACK, Code.CONTENT, mid=request.mid, token=token)
    assert answer.payload == path[1:].encode()
    await peer.expect_silence()


@pytest.mark.parametrize("path", ["/sync", "/async"])
async def test_a_quick_answer_to_a_non_is_a_non_with_an_id_of_its_own(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer, path: str
) -> None:
    request = peer.request(path, kind=Type.NON)
    answer = await peer.expect(Type.NON, Code.CONTENT, token=request.token)
    assert answer.mid != request.mid
    await peer.expect_silence()


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(("path", "ack_after"), [("/slow", 0.1), ("/later", 0.0)])
async def test_a_slow_answer_to_a_con_is_separate(
    autojump_clock: MockClock,
    server: Server,
    runs: list[float],
    peer: Peer,
    path: str,
    ack_after: float,
    token: bytes,
) -> None:
    start = trio.current_time()
    request = peer.request(path, token=token)
    await peer.expect_ack(request)
    assert trio.current_time() - start == pytest.approx(0.02 + ack_after)
    answer = await peer.expect_separate(token, path[1:].encode())
    assert trio.current_time() - start == pytest.approx(5.02)
    assert answer.mid != request.mid
    await peer.expect_silence()
    assert server.statistics().delivered == 1


@pytest.mark.parametrize("path", ["/slow", "/later"])
async def test_a_slow_answer_to_a_non_is_a_non(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer, path: str
) -> None:
    start = trio.current_time()
    request = peer.request(path, kind=Type.NON)
    await peer.expect(Type.NON, Code.CONTENT, token=request.token)
    assert trio.current_time() - start == pytest.approx(5.02)
    await peer.expect_silence()


@pytest.mark.parametrize("path", ["/slow", "/later"])
async def test_copies_of_a_slow_con_in_every_phase(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer, path: str
) -> None:
    request = peer.request(path)
    peer.again(request)  # in the same batch: before the handler could say anything
    await peer.expect_ack(request)
    peer.again(request)  # while it is pending
    await peer.expect_ack(request)
    response = await peer.expect(Type.CON, Code.CONTENT, token=request.token)
    peer.again(request)  # while the response is unacknowledged
    await peer.expect_ack(request)
    peer.ack(response)
    await trio.sleep(60)
    peer.again(request)  # long after it was acknowledged
    await peer.expect_ack(request)
    assert len(runs) == 1
    await peer.expect_silence()


async def test_copies_of_a_quick_con_get_the_same_bytes(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer
) -> None:
    request = peer.request("/sync")
    first = await peer.receive_bytes()
    for wait in (0, 1, 100, 145):
        await trio.sleep(wait)
        peer.again(request)
        assert await peer.receive_bytes() == first
    assert len(runs) == 1
    await trio.sleep(10)  # 256 s: EXCHANGE_LIFETIME is over, and this is a new request
    peer.again(request)
    assert await peer.receive_bytes() == first
    assert len(runs) == 2


@pytest.mark.parametrize("path", ["/sync", "/slow", "/later"])
async def test_copies_of_a_non_are_dropped(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer, path: str
) -> None:
    request = peer.request(path, kind=Type.NON)
    peer.again(request)
    await peer.expect(Type.NON, Code.CONTENT)
    peer.again(request)
    await peer.expect_silence(140)
    assert len(runs) == 1
    assert server.statistics().copies_ignored == 2


async def test_a_separate_response_is_repeated_until_acknowledged(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer
) -> None:
    request = peer.request("/later")
    await peer.expect_ack(request)
    copies = [await peer.receive_bytes() for _ in range(3)]
    assert copies[0] == copies[1] == copies[2]
    peer.send(b"\x60\x00" + copies[0][2:4])
    await peer.expect_silence()
    assert server.statistics().retransmissions == 2


async def test_rst_ends_the_separate_response_and_is_told(
    autojump_clock: MockClock,
    server: Server,
    runs: list[float],
    peer: Peer,
    undelivered: list[UndeliveredResponse],
) -> None:
    request = peer.request("/later")
    await peer.expect_ack(request)
    peer.reset(await peer.expect(Type.CON, Code.CONTENT))
    await peer.expect_silence()
    assert [told.reason for told in undelivered] == [Undelivered.RESET]
    assert undelivered[0].request.token == request.token
    assert undelivered[0].response.payload == b"later"
    assert server.statistics().reset == 1


async def test_a_silent_client_is_given_up_after_five_copies(
    autojump_clock: MockClock,
    server: Server,
    runs: list[float],
    peer: Peer,
    undelivered: list[UndeliveredResponse],
) -> None:
    await peer.expect_ack(peer.request("/later"))
    copies = {await peer.receive_bytes() for _ in range(5)}
    assert len(copies) == 1
    await peer.expect_silence()
    assert [told.reason for told in undelivered] == [Undelivered.TIMED_OUT]


async def test_an_rst_with_the_requests_own_id_means_nothing(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer
) -> None:
    request = peer.request("/later")
    await peer.expect_ack(request)
    peer.reset(request)
    await peer.expect_separate(request.token, b"later")
    assert server.statistics().ignored == 1


async def test_a_failing_callback_costs_nothing(
    autojump_clock: MockClock,
    network: object,
    runs: list[float],
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    from coapsep import open_server
    from coapsep.testing import Network
    from tests.shell.peer import SERVER

    assert isinstance(network, Network)

    def callback(told: UndeliveredResponse) -> None:
        raise KeyError(told.reason)

    async with open_server(router, transport=network.bind(SERVER), on_undelivered=callback):
        await peer.expect_ack(peer.request("/later"))
        peer.reset(await peer.expect(Type.CON, Code.CONTENT))
        peer.request("/sync", token=b"2")
        await peer.expect(Type.ACK, Code.CONTENT, payload=b"sync")
    assert "on_undelivered failed" in errors.text


async def test_nothing_is_left_after_the_lifetimes(
    autojump_clock: MockClock, server: Server, runs: list[float], peer: Peer
) -> None:
    for path in ("/sync", "/async", "/slow", "/later"):
        for kind in (Type.CON, Type.NON):
            peer.request(path, kind=kind, token=f"{path[1:3]}{kind}".encode())
    for _ in range(10):
        message = await peer.receive()
        if message.type is Type.CON:
            peer.ack(message)
    await peer.expect_silence()
    statistics = server.statistics()
    assert statistics.requests == 8
    assert statistics.piggybacked + statistics.separate + statistics.non_responses == 8
    held = ("peers", "open_requests", "dedup_entries", "dedup_bytes", "timers", "pending")
    assert {name: getattr(statistics, name) for name in held} == dict.fromkeys(held, 0)
