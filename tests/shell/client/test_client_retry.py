"""Retry: when a request is repeated as a new one, and when not."""

from __future__ import annotations

import math
import random
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Address,
    BadResponse,
    Client,
    ClientResponse,
    Code,
    Message,
    OptionNumber,
    Options,
    PeerUnreachable,
    Request,
    RequestFailed,
    RequestTimedOut,
    ResetByPeer,
    Response,
    Retry,
    Router,
    Server,
    Tuning,
    UnsuccessfulResponse,
    open_client,
    open_server,
)
from coapsep.testing import Network, open_network
from tests.shell.client.asking import HELLO, PEER, ask
from tests.shell.client.names import Names
from tests.shell.client.responder import CLIENT, Responder
from tests.shell.peer import SERVER

#: Without the factor that is drawn.
EXACT = Tuning(ack_random_factor=1.0)
#: MAX_TRANSMIT_WAIT then (RFC 7252 section 4.8.2).
GIVEN_UP = 62.0
IDEMPOTENT = ["get", "put", "delete", "fetch", "ipatch"]
OTHERS = ["post", "patch"]


class Longest(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Busy:
    """A resource that refuses the first few requests."""

    def __init__(self, refusal: Response, times: int) -> None:
        self._refusal = refusal
        self._left = times
        #: When it was asked.
        self.asked: list[float] = []

    def handle(self, request: Request) -> Response:
        self.asked.append(trio.current_time())
        self._left -= 1
        return self._refusal if self._left >= 0 else Response(Code.CONTENT, "at last")


def busy(router: Router, refusal: Response, times: int) -> Busy:
    resource = Busy(refusal, times)
    router.route("/busy", [Code(number) for number in range(1, 8)])(resource.handle)
    return resource


UNAVAILABLE = Response(Code.SERVICE_UNAVAILABLE, max_age=7)
TOO_MANY = Response(Code.TOO_MANY_REQUESTS, max_age=20)


# -- the server says when to come back ---------------------------------------------------


@pytest.mark.parametrize("method", [*IDEMPOTENT, *OTHERS])
@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [(UNAVAILABLE, 7), (TOO_MANY, 20), (Response(Code.TOO_MANY_REQUESTS), 60)],
    ids=["5.03", "4.29", "4.29 without Max-Age"],
)
async def test_any_method_is_repeated_when_the_server_says_so(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    client: Client,
    method: str,
    refusal: Response,
    seconds: float,
) -> None:
    resource = busy(router, refusal, 2)
    response = await getattr(client, method)(PEER, "/busy", retry=Retry(attempts=3))
    assert response.text == "at last"
    # To the second: what the client waits is what it was told, and the way takes 0.01 s.
    gaps = [b - a for a, b in pairwise(resource.asked)]
    assert gaps == [pytest.approx(seconds + 0.02)] * 2


async def test_each_attempt_is_a_request_of_its_own(
    autojump_clock: MockClock, network: Network, router: Router, server: Server, client: Client
) -> None:
    busy(router, UNAVAILABLE, 2)
    await client.post(PEER, "/busy", payload="x", retry=Retry(), query=(q for q in ("a", "b")))
    sent = [one.message for one in network.trace if one.source.host == CLIENT]
    requests = [message for message in sent if isinstance(message, Message)]
    assert len(requests) == 3
    assert len({request.mid for request in requests}) == 3
    assert len({request.token for request in requests}) == 3
    assert {request.options for request in requests} == {
        Options.build(uri_path=["busy"], uri_query=["a", "b"], content_format=0)
    }


async def test_when_the_attempts_are_used_up_the_last_response_is_the_result(
    autojump_clock: MockClock, router: Router, server: Server, client: Client
) -> None:
    resource = busy(router, UNAVAILABLE, 99)
    response = await client.get(PEER, "/busy", retry=Retry(attempts=4))
    assert response.code is Code.SERVICE_UNAVAILABLE
    assert len(resource.asked) == 4
    assert trio.current_time() == pytest.approx(3 * 7 + 4 * 0.02)


@pytest.mark.parametrize(
    "refusal",
    [
        Response(Code.SERVICE_UNAVAILABLE),
        Response(Code.SERVICE_UNAVAILABLE, max_age=61),
        Response(Code.TOO_MANY_REQUESTS, max_age=2**32 - 1),
        Response(Code.INTERNAL_SERVER_ERROR, max_age=1),
        Response(Code.GATEWAY_TIMEOUT),
        Response(Code.NOT_FOUND),
        Response(Code.CONTENT, max_age=1),
    ],
    ids=lambda refusal: f"{refusal.code} {refusal.options}",
)
async def test_any_other_response_is_the_result(
    autojump_clock: MockClock, router: Router, server: Server, client: Client, refusal: Response
) -> None:
    resource = busy(router, refusal, 99)
    response = await client.get(PEER, "/busy", retry=Retry())
    assert response.code is refusal.code
    assert len(resource.asked) == 1


@pytest.mark.parametrize(("max_age", "asked"), [(0, 3), (9, 3), (10, 1)])
async def test_the_longest_wait(
    autojump_clock: MockClock,
    router: Router,
    server: Server,
    client: Client,
    max_age: int,
    asked: int,
) -> None:
    resource = busy(router, Response(Code.SERVICE_UNAVAILABLE, max_age=max_age), 99)
    await client.get(PEER, "/busy", retry=Retry(longest_wait=9))
    assert len(resource.asked) == asked


# -- nobody answers ----------------------------------------------------------------------


def attempts(network: Network) -> list[float]:
    """When a request left for the first time."""
    times: dict[bytes, float] = {}
    for sent in network.trace:
        if sent.source.host == CLIENT:
            times.setdefault(sent.data, sent.time)
    return list(times.values())


@pytest.mark.parametrize(
    ("rng", "factor"), [(random.Random(1), None), (Longest(), 1.5)], ids=["drawn", "longest"]
)
async def test_the_pause_doubles_from_attempt_to_attempt(
    autojump_clock: MockClock, network: Network, rng: random.Random, factor: float | None
) -> None:
    retry = Retry(attempts=5, pause=10, longest_wait=1000)
    transport = network.bind(CLIENT)
    async with open_client(transport=transport, tuning=EXACT, rng=rng, retry=retry) as client:
        with pytest.raises(RequestTimedOut):
            await client.get(HELLO)
    times = attempts(network)
    pauses = [b - a - GIVEN_UP for a, b in pairwise(times)]
    if factor is not None:
        assert pauses == [pytest.approx(10 * 2**n * factor) for n in range(4)]
    else:
        assert all(10 * 2**n <= pause <= 15 * 2**n for n, pause in enumerate(pauses))
        assert len({pause / 2**n for n, pause in enumerate(pauses)}) == 4  # drawn anew
    assert len(times) == 5


async def test_a_pause_is_no_longer_than_the_longest_wait(
    autojump_clock: MockClock, network: Network
) -> None:
    retry = Retry(attempts=4, pause=10, longest_wait=12)
    transport = network.bind(CLIENT)
    async with open_client(transport=transport, tuning=EXACT, rng=Longest(), retry=retry) as client:
        with pytest.raises(RequestTimedOut):
            await client.get(HELLO)
    assert attempts(network) == [pytest.approx(n * (GIVEN_UP + 12)) for n in range(4)]


async def test_a_client_may_try_for_weeks(autojump_clock: MockClock, network: Network) -> None:
    network.fail_sends(CLIENT, SERVER, OSError(101, "Network is unreachable"))
    retry = Retry(attempts=2000)  # 2.0**1024 is too large for a float
    async with open_client(transport=network.bind(CLIENT), retry=retry) as client:
        with pytest.raises(PeerUnreachable):
            await client.get(HELLO)
    assert trio.current_time() == pytest.approx(60 * 2000, rel=0.01)


@pytest.mark.parametrize("method", IDEMPOTENT)
async def test_an_idempotent_request_is_repeated(
    autojump_clock: MockClock, network: Network, client: Client, method: str
) -> None:
    with pytest.raises(RequestTimedOut):
        await getattr(client, method)(HELLO, retry=Retry())
    assert len(attempts(network)) == 3


@pytest.mark.parametrize("method", OTHERS)
async def test_any_other_could_be_executed_twice(
    autojump_clock: MockClock, network: Network, client: Client, method: str
) -> None:
    with pytest.raises(RequestTimedOut):
        await getattr(client, method)(HELLO, retry=Retry())
    assert len(attempts(network)) == 1


async def test_nobody_at_the_port_may_be_a_restart(
    autojump_clock: MockClock, router: Router
) -> None:
    async with open_network(icmp=True) as network:
        network.add_host(SERVER)
        async with (
            open_client(transport=network.bind(CLIENT)) as client,
            trio.open_nursery() as nursery,
        ):
            ends: list[object] = []
            nursery.start_soon(ask, ends, partial(client.get, HELLO, retry=Retry(pause=5)))
            await trio.sleep(1)
            async with open_server(router, transport=network.bind(SERVER)):
                await trio.sleep(10)
            assert isinstance(ends[0], ClientResponse)


@pytest.mark.parametrize("expected", [ResetByPeer, BadResponse])
async def test_what_a_peer_will_not_do_better_is_not_repeated(
    autojump_clock: MockClock,
    client: Client,
    responder: Responder,
    expected: type[RequestFailed],
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, ends, partial(client.get, HELLO, retry=Retry()))
        request = await responder.expect_request()
        if expected is ResetByPeer:
            responder.reset(request)
        else:
            block2 = Options.build(extra=[(OptionNumber.BLOCK2, b"\x0e")])
            responder.answer(request, options=block2)
    assert [type(end) for end in ends] == [expected]
    await responder.expect_silence()


async def test_a_name_that_has_no_address_may_get_one(
    autojump_clock: MockClock, names: Names, server: Server, client: Client
) -> None:
    ends: list[object] = []
    async with trio.open_nursery() as nursery:
        call = partial(client.get, "coap://late.example/hello", retry=Retry())
        nursery.start_soon(ask, ends, call)
        await trio.sleep(1)
        names.set("late.example", SERVER)
    assert isinstance(ends[0], ClientResponse)
    assert names.asked == ["late.example"] * 2


# -- whose policy ------------------------------------------------------------------------


async def test_by_default_nothing_is_repeated(
    autojump_clock: MockClock, router: Router, server: Server, client: Client
) -> None:
    resource = busy(router, UNAVAILABLE, 99)
    assert (await client.get(PEER, "/busy")).code is Code.SERVICE_UNAVAILABLE
    assert len(resource.asked) == 1


async def test_the_policy_of_the_client_and_that_of_a_request(
    autojump_clock: MockClock, network: Network, router: Router, server: Server
) -> None:
    resource = busy(router, UNAVAILABLE, 99)
    retry = Retry(attempts=5)
    async with open_client(transport=network.bind(CLIENT), retry=retry) as client:
        await client.get(PEER, "/busy")
        assert len(resource.asked) == 5
        await client.get(PEER, "/busy", retry=Retry(attempts=1))
        assert len(resource.asked) == 6
        await client.get(PEER, "/busy", retry=Retry(attempts=2))
        assert len(resource.asked) == 8


async def test_discovery_is_repeated_as_the_client_says(
    autojump_clock: MockClock, network: Network, router: Router
) -> None:
    retry = Retry(attempts=2, pause=1)
    async with (
        open_client(transport=network.bind(CLIENT), tuning=EXACT, retry=retry) as client,
        trio.open_nursery() as nursery,
    ):
        ends: list[object] = []
        nursery.start_soon(ask, ends, partial(client.discover, PEER))
        await trio.sleep(GIVEN_UP + 0.5)
        async with open_server(router, transport=network.bind(SERVER)):
            await trio.sleep(10)
    assert isinstance(ends[0], tuple)


async def test_a_response_with_an_error_can_be_raised_after_all_attempts(
    autojump_clock: MockClock, router: Router, server: Server, client: Client
) -> None:
    busy(router, UNAVAILABLE, 99)
    with pytest.raises(UnsuccessfulResponse) as caught:
        (await client.get(PEER, "/busy", retry=Retry())).raise_for_code()
    assert caught.value.retry_after == 7


# -- cancelled, or out of luck -----------------------------------------------------------


@pytest.mark.parametrize("after", [0.01, 3, 7.03, 12])
async def test_cancelled_at_any_time(
    autojump_clock: MockClock,
    network: Network,
    router: Router,
    server: Server,
    client: Client,
    after: float,
) -> None:
    busy(router, UNAVAILABLE, 99)
    with trio.move_on_after(after) as scope:
        await client.get(PEER, "/busy", retry=Retry(attempts=99))
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(after)
    sent = len([one for one in network.trace if one.source.host == CLIENT])
    assert client.statistics().own_requests == 0
    await trio.sleep(300)
    assert len([one for one in network.trace if one.source.host == CLIENT]) == sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 0},
        {"attempts": True},
        {"attempts": 1.5},
        {"pause": 0},
        {"pause": -1},
        {"pause": math.nan},
        {"pause": "2"},
        {"pause": None},
        {"longest_wait": 0},
        {"longest_wait": math.nan},
    ],
    ids=str,
)
def test_a_policy_that_cannot_be(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=f"^{name} must be .*, not "):
        Retry(**wrong)


def test_a_policy_may_wait_without_end() -> None:
    policy = Retry(longest_wait=math.inf)
    told = ClientResponse(
        Code.SERVICE_UNAVAILABLE, Options.build(max_age=86_400), b"", Address(SERVER, 5683)
    )
    assert policy.wait_after(told, Code.POST, 1, random.Random(1)) == 86_400
