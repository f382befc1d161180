# SPDX-License-Identifier: MIT
"""The same as coapsep_bodies.py with aiocoap's client.

usage: aiocoap_bodies.py PORT PATH BYTES TIMES
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]  # untyped
    GET,
    PUT,
    Context,
    Message,
)
from peer_note import note


async def main(port: str, path: str, size: str, times: str) -> None:
    """Write and read in turn."""
    target, body = f"coap://127.0.0.1:{port}{path}", bytes(range(256)) * (int(size) // 256)
    up = down = up_cpu = down_cpu = 0.0
    client = await Context.create_client_context(transports=["udp6"])
    for _ in range(int(times)):
        begun, used = time.perf_counter(), time.process_time()
        response = await client.request(Message(code=PUT, uri=target, payload=body)).response
        assert response.code.is_successful(), response
        up += time.perf_counter() - begun
        up_cpu += time.process_time() - used
        begun, used = time.perf_counter(), time.process_time()
        response = await client.request(Message(code=GET, uri=target)).response
        down += time.perf_counter() - begun
        down_cpu += time.process_time() - used
        assert response.payload == body, "the body has changed on its way"
    await client.shutdown()
    total = int(times) * len(body)
    figures = {"up_s": up, "down_s": down, "up_cpu_s": up_cpu, "down_cpu_s": down_cpu}
    print(json.dumps({"bytes": total, **figures, "note": note("aiocoap")}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
