"""Long bodies take little memory: what goes through a server is never in it as a whole.

``COAPSEP_MEGABYTES=1000`` moves a gigabyte, which takes minutes; ``nox -s long`` does.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from coapsep import Code, open_client
from tests.interop.processes import ExampleServer

#: Megabytes in all: one half goes up, the other one comes down.
MEGABYTES = int(os.environ.get("COAPSEP_MEGABYTES", "40"))
#: A client may move 67 MB in four minutes: it has 65,536 message IDs (RFC 7252 section 4.4).
CLIENTS = max(4, MEGABYTES // 60)
#: The most memory that the server may take, MB. Replies are kept for copies, up to a limit.
MOST = min(200, 60 + MEGABYTES)
CHUNK = bytes(range(256)) * 64


def peak_of(process: int) -> float:
    """The most memory a process has had, MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1000


async def move(uri: str, chunks: int) -> int:
    """A body up and one as long down, both as streams; returns the bytes moved."""
    digest, down = hashlib.sha256(), 0

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            digest.update(CHUNK)
            yield CHUNK

    size = chunks * len(CHUNK)
    async with open_client() as client:
        async with client.stream(Code.PUT, f"{uri}/upload", payload=pieces()) as response:
            told = (await response.read()).decode()
        assert told == f"{size} bytes, SHA-256 {digest.hexdigest()}"
        async with client.stream(Code.GET, f"{uri}/large?{size}") as response:
            async for part in response:
                assert part[:16] == b"%15d\n" % down  # each line says where it stands
                down += len(part)
    assert down == size
    return size + down


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of the memory is read from /proc")
async def test_long_bodies_take_little_memory() -> None:
    chunks = MEGABYTES * 500_000 // len(CHUNK) // CLIENTS
    moved: list[int] = []

    async def run_one(uri: str) -> None:
        moved.append(await move(uri, chunks))

    with ExampleServer() as server:
        began = time.monotonic()
        with trio.fail_after(30 + MEGABYTES):
            async with trio.open_nursery() as nursery:
                for _ in range(CLIENTS):
                    nursery.start_soon(run_one, server.uri(""))
        seconds = time.monotonic() - began
        peak = peak_of(server.process.pid)
    print(f"{sum(moved) / 1e6 / seconds:.1f} MB/s, at most {peak:.0f} MB")
    assert sum(moved) > 0.95e6 * MEGABYTES
    assert peak < MOST
