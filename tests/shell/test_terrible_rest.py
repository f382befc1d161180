"""Long bodies and observations on a terrible network: whole or failed; the last state is seen."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncGenerator

import attrs
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    Code,
    Request,
    RequestFailed,
    Response,
    Router,
    Server,
    StreamingResponse,
    Tuning,
    open_client,
    open_server,
)
from coapsep.testing import Conditions, open_network
from tests.shell.peer import SERVER

PEER = Address(SERVER, 5683)
#: Longer than every lifetime (RFC 7252 section 4.8.2), and than Limits.body_age.
LIFETIMES = 900.0

conditions = st.builds(
    Conditions,
    delay=st.sampled_from([0.0, 0.05, 1.5]),
    jitter=st.sampled_from([0.0, 0.2, 3.0]),
    loss=st.sampled_from([0.0, 0.1, 0.3]),
    duplication=st.sampled_from([0.0, 0.3]),
    reordering=st.sampled_from([0.0, 0.3]),
)
SIZES = st.sampled_from([16, 64, 1024])
LENGTHS = st.sampled_from([0, 1, 15, 16, 17, 100, 1023, 1024, 1025, 3000])


def body_of(name: str, length: int) -> bytes:
    return random.Random(name).randbytes(length)


@attrs.frozen
class Plan:
    """One example."""

    seed: int
    conditions: Conditions
    client_size: int
    server_size: int
    lengths: list[int]
    nstart: int


plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    conditions=conditions,
    client_size=SIZES,
    server_size=SIZES,
    lengths=st.lists(LENGTHS, min_size=1, max_size=12),
    nstart=st.sampled_from([1, 3]),
)


def bodies_router(executed: list[str]) -> Router:
    router = Router()

    @router.post("/echo/{name}")
    def echo(request: Request) -> Response:
        executed.append(request.params["name"])
        return Response(Code.CHANGED, request.payload)

    @router.put("/slow/{name}")
    async def slow(request: Request) -> bytes:
        await trio.sleep(3)
        return request.payload

    @router.put("/later/{name}")
    def later(request: Request) -> bytes | None:
        if request.pending is None:
            request.asyncs.register_async(request, 2)
            return None
        return request.payload

    @router.put("/digest/{name}", stream=True)
    async def digest(request: Request) -> str:
        found = hashlib.sha256()
        async for chunk in request.body:
            found.update(chunk)
        return found.hexdigest()

    @router.get("/made/{name}")
    def made(request: Request) -> StreamingResponse:
        return StreamingResponse(pieces(request.params["name"], int(request.query[0])))

    return router


async def pieces(name: str, length: int) -> AsyncGenerator[bytes, None]:
    body = body_of(name, length)
    for at in range(0, length, 100):
        yield body[at : at + 100]
        await trio.sleep(0.01)


async def transfer(client: Client, name: str, length: int, kind: str) -> bool:
    """Move a body there, or back, or both; what comes is what was sent, or nothing comes."""
    body = body_of(name, length)
    try:
        if kind == "made":
            query = [str(length)]
            response = await client.get(PEER, ["made", name], query=query)
        else:
            method = Code.POST if kind == "echo" else Code.PUT
            response = await client.request(method, PEER, [kind, name], payload=body)
    except RequestFailed:
        return False
    if not response.is_success:
        return False  # 4.08, say, where the server has forgotten what the client has not
    if kind == "digest":
        assert response.text == hashlib.sha256(body).hexdigest()
    else:
        assert response.payload == body
    return True


async def move_bodies(plan: Plan) -> None:
    executed: list[str] = []
    went_well: list[bool] = []
    async with (
        open_network(seed=plan.seed, conditions=plan.conditions, trace_limit=0) as network,
        open_server(
            bodies_router(executed),
            transport=network.bind(SERVER),
            tuning=Tuning(block_size=plan.server_size),
            rng=random.Random(1),
        ) as server,
        open_client(
            transport=network.bind("10.0.0.2", 0),
            # A separate response may be lost for good.
            tuning=Tuning(block_size=plan.client_size, nstart=plan.nstart, response_timeout=120),
            rng=random.Random(2),
        ) as client,
    ):
        kinds = ["echo", "slow", "later", "digest", "made"]
        async with trio.open_nursery() as nursery:

            async def one(number: int, length: int) -> None:
                kind = kinds[(number + plan.seed) % len(kinds)]
                went_well.append(await transfer(client, str(number), length, kind))

            for number, length in enumerate(plan.lengths):
                nursery.start_soon(one, number, length)
        assert len(executed) == len(set(executed)), "a POST was executed twice"
        if not (plan.conditions.loss or plan.conditions.jitter or plan.conditions.delay > 1):
            assert all(went_well)
        await trio.sleep(LIFETIMES)
        nothing_is_left(server, client)


def nothing_is_left(server: Server, client: Client) -> None:
    for held in (server.statistics(), client.statistics()):
        left = attrs.asdict(held)
        names = ("peers", "open_requests", "own_requests", "dedup_entries", "timers", "pending")
        assert {name: left[name] for name in (*names, "observers", "body_bytes")} == dict.fromkeys(
            (*names, "observers", "body_bytes"), 0
        )


@given(plans)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_a_body_arrives_whole_or_not_at_all(plan: Plan) -> None:
    trio.run(move_bodies, plan, clock=MockClock(autojump_threshold=0))


@attrs.frozen
class Watching:
    """One example of observing."""

    seed: int
    conditions: Conditions
    observers: int
    changes: int
    long: bool
    generator: bool


watchings = st.builds(
    Watching,
    seed=st.integers(0, 2**32),
    conditions=conditions,
    observers=st.integers(1, 6),
    changes=st.integers(1, 20),
    long=st.booleans(),
    generator=st.booleans(),
)


def text_of(number: int, *, long: bool) -> str:
    return f"{number} " + "x" * (2000 if long else 0)


async def watch(plan: Watching) -> None:
    state = [0]
    changed = [trio.Event()]
    router = Router()
    rng = random.Random(plan.seed)

    @router.get("/called", observable=True)
    def called(request: Request) -> Response:
        return Response(Code.CONTENT, text_of(state[0], long=plan.long), max_age=30)

    @router.get("/generated", observable=True)
    async def generated(request: Request) -> AsyncGenerator[Response, None]:
        while True:
            event = changed[0]
            yield Response(Code.CONTENT, text_of(state[0], long=plan.long), max_age=30)
            await event.wait()

    def change(server: Server, number: int) -> None:
        state[0] = number
        event, changed[0] = changed[0], trio.Event()
        event.set()
        server.notify("/called")

    path = "generated" if plan.generator else "called"
    async with (
        open_network(seed=plan.seed, conditions=plan.conditions, trace_limit=0) as network,
        open_server(router, transport=network.bind(SERVER), rng=random.Random(1)) as server,
        open_client(
            transport=network.bind("10.0.0.2", 0),
            tuning=Tuning(response_timeout=120),
            rng=random.Random(2),
        ) as client,
    ):

        async def observe() -> None:
            """See states, each newer than the one before, until the last one is seen."""
            for _ in range(50):
                try:
                    async with client.observe(PEER, [path]) as states:
                        seen = -1
                        async for response in states:
                            number = int(response.text.split()[0])
                            assert response.text == text_of(number, long=plan.long)
                            assert number >= seen, "a state that is out of date"
                            seen = number
                            if number == plan.changes:
                                return
                except RequestFailed:
                    await trio.sleep(1)  # it is defeated for now, and begins anew
            raise AssertionError("the last state was never seen")

        async with trio.open_nursery() as nursery:
            for _ in range(plan.observers):
                nursery.start_soon(observe)
            for number in range(1, plan.changes + 1):
                await trio.sleep(rng.uniform(0, 20))
                change(server, number)
        await trio.sleep(LIFETIMES)
        # A deregistration may have been lost: the next notification draws an RST.
        change(server, plan.changes + 1)
        await trio.sleep(LIFETIMES)
        nothing_is_left(server, client)


@given(watchings)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
def test_the_last_state_is_seen_in_the_end(plan: Watching) -> None:
    trio.run(watch, plan, clock=MockClock(autojump_threshold=0))
