"""Bodies of a gigabyte in all through the example server: how fast, and in how much memory.

    python bench/gigabyte.py            16 clients, each 31 MB up and 31 MB down

Linux only: it reads the peak of the resident memory from /proc. One client can move some 67 MB in
four minutes, since it has 65,536 message IDs for that time (RFC 7252 section 4.4).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import trio

from coapsep import Code, open_client

SERVER = Path(__file__).parent.parent / "examples" / "server.py"
CHUNK = bytes(range(256)) * 64
MEGABYTE = 1_000_000


def peak_of(process: int) -> float:
    """The most memory a process has had, MB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


async def move(uri: str, size: int) -> None:
    """A body up and another one down; neither is ever in memory as a whole."""
    digest, down = hashlib.sha256(), 0

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(CHUNK)):
            digest.update(CHUNK)
            yield CHUNK

    async with open_client() as client:
        async with client.stream(Code.PUT, f"{uri}/upload", payload=pieces()) as response:
            told = (await response.read()).decode()
        assert digest.hexdigest() in told, told
        async with client.stream(Code.GET, f"{uri}/large?{size}") as response:
            async for part in response:
                down += len(part)
        assert down == size


async def move_all(uri: str, clients: int, size: int) -> float:
    """All clients at once; returns the seconds that they took."""
    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(clients):
            nursery.start_soon(move, uri, size)
    return time.perf_counter() - began


def main(clients: int, megabytes: int, port: int) -> None:
    """Start the server, move the bodies, and tell."""
    command = [sys.executable, str(SERVER), "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            while "READY" not in server.stdout.readline():
                assert server.poll() is None, "the server has ended"
            uri = f"coap://127.0.0.1:{port}"
            seconds = trio.run(move_all, uri, clients, megabytes * MEGABYTE)
            total = 2 * clients * megabytes
            print(f"{total} MB in {seconds:.0f} s, {total / seconds:.1f} MB/s")
            print(f"peak memory: server {peak_of(server.pid):.0f} MB", end=", ")
            print(f"all clients {peak_of(os.getpid()):.0f} MB")
        finally:
            server.kill()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--megabytes", type=int, default=31, help="each way, of each client")
    parser.add_argument("--port", type=int, default=6011)
    options = parser.parse_args()
    main(options.clients, options.megabytes, options.port)
