"""Many slow requests through a network that loses, doubles, delays and reorders."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Code,
    Message,
    Options,
    Request,
    Router,
    Tuning,
    Type,
    Undelivered,
    UndeliveredResponse,
    open_server,
)
from coapsep.message.codec import decode, empty, encode
from coapsep.testing import Conditions, open_network
from tests.shell.peer import SERVER, Peer, open_peer

REQUESTS = 300


class StrictClient:
    """Sends requests as RFC 7252 section 4.2 says, and takes each response once."""

    def __init__(self, peer: Peer, seed: int) -> None:
        self.peer = peer
        self.rng = random.Random(seed)
        self.unacknowledged: dict[int, trio.CancelScope] = {}
        self.responses: dict[bytes, list[bytes]] = {}
        self.given_up: set[bytes] = set()
        self._seen: set[int] = set()

    async def receive(self) -> None:
        while True:
            message = decode(await self.peer.receive_bytes())
            assert isinstance(message, Message)
            scope = self.unacknowledged.pop(message.mid, None)
            if message.type is Type.ACK and scope is not None:
                scope.cancel()
            if message.type is Type.CON:
                self.peer.send(empty(Type.ACK, message.mid))
                if message.mid in self._seen:
                    continue
                self._seen.add(message.mid)
                for waiting, scope in list(self.unacknowledged.items()):
                    if waiting == int.from_bytes(message.token, "big"):
                        scope.cancel()  # a response stands for a lost ACK (section 5.2.2)
            if message.code.is_response and not (message.type is Type.ACK and scope is None):
                self.responses.setdefault(message.token, []).append(message.payload)

    async def request(self, mid: int, path: str) -> None:
        token = mid.to_bytes(2, "big")
        options = Options.build(uri_path=(path,), uri_query=(str(mid),))
        data = encode(Message(Code.GET, Type.CON, mid, token, options))
        with trio.CancelScope() as scope:
            self.unacknowledged[mid] = scope
            timeout = self.rng.uniform(2, 3)
            for _ in range(5):
                self.peer.send(data)
                await trio.sleep(timeout)
                timeout *= 2
            self.given_up.add(token)


@pytest.mark.parametrize("path", ["slow", "later"])
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_nothing_runs_twice_and_nothing_is_lost_that_the_link_did_not_defeat(
    autojump_clock: MockClock, path: str, seed: int
) -> None:
    runs: Counter[str] = Counter()
    undelivered: list[UndeliveredResponse] = []
    router = Router()

    @router.get("/slow")
    async def slow(request: Request) -> str:
        runs[request.query[0]] += 1
        await trio.sleep(5)
        return request.query[0]

    @router.get("/later")
    def later(request: Request) -> str | None:
        if request.pending is None:
            runs[request.query[0]] += 1
            request.asyncs.register_async(request, 5)
            return None
        return request.query[0]

    terrible = Conditions(delay=0.05, jitter=3, loss=0.3, duplication=0.3)
    async with (
        open_network(seed=seed, conditions=terrible) as network,
        open_server(
            router,
            transport=network.bind(SERVER),
            tuning=Tuning(response_window=16),
            rng=random.Random(seed),
            on_undelivered=undelivered.append,
        ) as server,
        open_peer(network) as peer,
        trio.open_nursery() as nursery,
    ):
        client = StrictClient(peer, seed)
        nursery.start_soon(client.receive)
        for mid in range(REQUESTS):
            nursery.start_soon(client.request, mid, path)
        await trio.sleep(900)
        statistics = server.statistics()
        nursery.cancel_scope.cancel()

    assert max(runs.values()) == 1
    for token, payloads in client.responses.items():
        assert payloads == [str(int.from_bytes(token, "big")).encode()]
    # Whoever has no response: its request never came, or its response was given up after
    # five copies, which the server knows. (It may also have been heard: an ACK can be lost.)
    never_came = {mid.to_bytes(2, "big") for mid in range(REQUESTS) if str(mid) not in runs}
    told = {gone.request.token for gone in undelivered}
    everybody = {mid.to_bytes(2, "big") for mid in range(REQUESTS)}
    assert everybody - client.responses.keys() <= never_came | told
    assert never_came <= client.given_up
    assert {gone.reason for gone in undelivered} <= {Undelivered.TIMED_OUT}
    assert len(client.responses) > 0.9 * REQUESTS
    assert statistics.open_requests == statistics.dedup_entries == statistics.peers == 0
