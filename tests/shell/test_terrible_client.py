"""Clients and a server on a terrible network: whatever happens, what must hold holds.

Hypothesis draws the conditions, the seed of the network and what the clients do; also the
order in which Trio runs its tasks. ``COAPSEP_EXCHANGES`` says how many exchanges to try;
``nox -s long`` tries 100,000.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import AsyncExitStack

import attrs
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from coapsep import (
    Address,
    Client,
    Code,
    Message,
    Request,
    RequestFailed,
    Router,
    Server,
    Tuning,
    open_client,
    open_server,
)
from coapsep.testing import Conditions, Network, open_network
from tests.shell.peer import SERVER

EXCHANGES = int(os.environ.get("COAPSEP_EXCHANGES", "4000"))
#: In one example.
REQUESTS = 200
#: Longer than every lifetime (RFC 7252 section 4.8.2).
LIFETIMES = 600.0
PEER = Address(SERVER, 5683)


@attrs.frozen
class Plan:
    """One example."""

    seed: int
    clients: int
    nstart: int
    conditions: Conditions
    cancelled: float
    """The part of all requests that is cancelled at a random time."""
    non: float
    """The part that is sent as NON."""


TERRIBLE = Conditions(
    delay=0.05, jitter=3, loss=0.3, duplication=0.3, reordering=0.1, reordering_delay=2
)
PARTS = st.sampled_from([0.0, 0.1, 0.5])

plans = st.builds(
    Plan,
    seed=st.integers(0, 2**32),
    clients=st.integers(1, 10),
    nstart=st.sampled_from([1, 1, 2, 8]),
    conditions=st.builds(
        Conditions,
        delay=st.sampled_from([0.0, 0.05, 1.5]),
        jitter=st.sampled_from([0.0, 0.2, 3.0]),
        loss=st.sampled_from([0.0, 0.1, 0.3]),
        duplication=st.sampled_from([0.0, 0.3]),
        reordering=st.sampled_from([0.0, 0.3]),
    ),
    cancelled=PARTS,
    non=PARTS,
)


class Run:
    """What happened in one example."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        #: How often the handler ran, by the name of the request.
        self.runs: Counter[str] = Counter()
        #: How and when each request ended, as its caller sees it.
        self.ends: dict[str, list[tuple[str, float]]] = {}

    def router(self) -> Router:
        router = Router()

        @router.route("/now", [Code.GET, Code.POST])
        def now(request: Request) -> str:
            self.runs[request.query[0]] += 1
            return request.query[0]

        @router.route("/slow", [Code.GET, Code.POST])
        async def slow(request: Request) -> str:
            self.runs[request.query[0]] += 1
            await trio.sleep(float(request.query[1]))
            return request.query[0]

        @router.route("/later", [Code.GET, Code.POST])
        def later(request: Request) -> str | None:
            if request.pending is None:
                self.runs[request.query[0]] += 1
                request.asyncs.register_async(request, float(request.query[1]))
                return None
            return request.query[0]

        return router

    async def ask(self, client: Client, name: str) -> None:
        """One exchange, which ends in one way."""
        plan = self.plan
        rng = random.Random(f"{plan.seed} {name}")  # whatever the order of the tasks
        path = rng.choice(["now", "slow", "later"])
        method = rng.choice([Code.GET, Code.POST])
        query = [name, f"{rng.uniform(0.01, 8):.2f}"]
        confirmable = rng.random() >= plan.non
        patience = rng.uniform(0, 60) if rng.random() < plan.cancelled else float("inf")
        await trio.sleep(rng.uniform(0, 60))
        end = "cancelled"
        with trio.move_on_after(patience):
            try:
                response = await client.request(
                    method, PEER, [path], query=query, confirmable=confirmable
                )
            except RequestFailed:
                end = "failed"
            else:
                assert response.text == name, "a response to another request"
                assert response.code is (Code.CONTENT if method is Code.GET else Code.CHANGED)
                end = "response"
        self.ends.setdefault(name, []).append((end, trio.current_time()))


async def run_example(plan: Plan) -> None:
    run = Run(plan)
    async with (
        open_network(seed=plan.seed, conditions=plan.conditions) as network,
        open_server(
            run.router(), transport=network.bind(SERVER), rng=random.Random(plan.seed)
        ) as server,
        AsyncExitStack() as stack,
    ):
        clients = []
        for number in range(plan.clients):
            opening = open_client(
                transport=network.bind(f"10.0.1.{number}"),
                tuning=Tuning(nstart=plan.nstart, response_timeout=120),
                rng=random.Random(plan.seed + number),
            )
            clients.append(await stack.enter_async_context(opening))
        async with trio.open_nursery() as nursery:
            for number in range(REQUESTS):
                nursery.start_soon(run.ask, clients[number % plan.clients], f"r{number}")
        await trio.sleep(LIFETIMES)
        judge(run, network, server, clients)


def judge(run: Run, network: Network, server: Server, clients: list[Client]) -> None:
    assert len(run.ends) == REQUESTS
    assert all(len(ends) == 1 for ends in run.ends.values())
    assert max(run.runs.values(), default=0) <= 1, "a handler ran twice for one request"
    ends = Counter(ends[0][0] for ends in run.ends.values())
    counted: Counter[str] = Counter()
    for client in clients:
        statistics = client.statistics()
        counted["response"] += statistics.responses
        counted["failed"] += statistics.requests_failed
        counted["cancelled"] += statistics.requests_cancelled
    assert counted == ends
    assert all(run.runs[name] for name, [(end, _)] in run.ends.items() if end == "response")
    for tables in (server.statistics(), *(client.statistics() for client in clients)):
        assert tables.peers == tables.dedup_entries == tables.dedup_bytes == tables.timers == 0
        assert tables.open_requests == tables.own_requests == tables.pending == 0
        assert tables.malformed == tables.send_errors == tables.datagrams_unsent == 0
    assert_quiet_after_the_end(run, network)
    if not run.plan.conditions.loss:
        assert ends["failed"] == 0
    if not run.plan.non:  # at 30 % loss each way, 3.5 % of the requests are never acknowledged
        assert ends["failed"] <= 0.15 * REQUESTS


def assert_quiet_after_the_end(run: Run, network: Network) -> None:
    """Once a request has ended, however it did, no copy of it leaves any more."""
    for sent in network.trace:
        message = sent.message
        if isinstance(message, Message) and message.code.is_request:
            (_, ended), *_ = run.ends[message.options.uri_query[0]]
            assert sent.time <= ended


@settings(
    max_examples=max(1, EXCHANGES // REQUESTS),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(plans)
@example(Plan(1, 5, 1, TERRIBLE, 0.0, 0.0))
@example(Plan(2, 5, 1, TERRIBLE, 0.3, 0.3))
@example(Plan(3, 2, 8, TERRIBLE, 0.5, 0.1))
def test_whatever_the_network_does(plan: Plan) -> None:
    trio.run(run_example, plan, clock=MockClock(autojump_threshold=0))
