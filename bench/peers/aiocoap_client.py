# SPDX-License-Identifier: MIT
"""The same as coapsep_client.py from aiocoap's client.

It keeps to one outstanding request for each server (NSTART is 1, and cannot be changed), so that
only several ports get several requests at a time from it.
usage: aiocoap_client.py FIRST_PORT PORTS REQUESTS CONCURRENCY
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]  # untyped
    GET,
    Context,
    Message,
)
from peer_note import note

WARM_UP = 64


async def ask(client: Any, targets: list[str]) -> None:
    """One after the other, until the list is empty: others work on it too."""
    while targets:
        response = await client.request(Message(code=GET, uri=targets.pop())).response
        assert response.payload == b"hello, 123", response


async def main(first: int, ports: int, requests: int, concurrency: int) -> None:
    """Warm up, then measure."""
    targets = [f"coap://127.0.0.1:{first + i % ports}/hello" for i in range(requests)]
    client = await Context.create_client_context(transports=["udp6"])
    await ask(client, targets[:WARM_UP])
    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask(client, targets) for _ in range(concurrency)))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - used
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "note": note("aiocoap")}))
    await client.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
