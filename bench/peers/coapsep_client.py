# SPDX-License-Identifier: MIT
"""Many requests from coapsep's client, so many at a time; prints what they took as JSON.

usage: coapsep_client.py FIRST_PORT PORTS REQUESTS CONCURRENCY
"""

from __future__ import annotations

import json
import sys
import time

import trio
from peer_note import note

from coapsep import Client, Tuning, open_client

WARM_UP = 64


async def ask(client: Client, targets: list[str]) -> None:
    """One after the other, until the list is empty: others work on it too."""
    while targets:
        response = await client.get(targets.pop())
        assert response.payload == b"hello, 123", response


async def main(first: int, ports: int, requests: int, concurrency: int) -> None:
    """Warm up, then measure."""
    targets = [f"coap://127.0.0.1:{first + i % ports}/hello" for i in range(requests)]
    async with open_client(tuning=Tuning(nstart=concurrency)) as client:
        await ask(client, targets[:WARM_UP])
        begun, used = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for _ in range(concurrency):
                nursery.start_soon(ask, client, targets)
        seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "note": note("coapsep", "trio")}))


if __name__ == "__main__":
    trio.run(lambda: main(*map(int, sys.argv[1:])))
