# SPDX-License-Identifier: MIT
"""A long body there and back with coapsep's client; prints what it took as JSON.

usage: coapsep_bodies.py PORT PATH BYTES TIMES
"""

from __future__ import annotations

import json
import sys
import time

import trio
from peer_note import note

from coapsep import open_client


async def main(port: str, path: str, size: str, times: str) -> None:
    """Write and read in turn."""
    target, body = f"coap://127.0.0.1:{port}{path}", bytes(range(256)) * (int(size) // 256)
    up = down = up_cpu = down_cpu = 0.0
    async with open_client() as client:
        for _ in range(int(times)):
            begun, used = time.perf_counter(), time.process_time()
            (await client.put(target, payload=body)).raise_for_code()
            up += time.perf_counter() - begun
            up_cpu += time.process_time() - used
            begun, used = time.perf_counter(), time.process_time()
            response = await client.get(target)
            down += time.perf_counter() - begun
            down_cpu += time.process_time() - used
            assert response.payload == body, "the body has changed on its way"
    total = int(times) * len(body)
    figures = {"up_s": up, "down_s": down, "up_cpu_s": up_cpu, "down_cpu_s": down_cpu}
    print(json.dumps({"bytes": total, **figures, "note": note("coapsep", "trio")}))


if __name__ == "__main__":
    trio.run(lambda: main(*sys.argv[1:]))
