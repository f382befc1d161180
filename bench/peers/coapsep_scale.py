# SPDX-License-Identifier: MIT
"""coapsep with limits for a million of everything: pending, observers, long bodies.

usage: coapsep_scale.py PORT [frozen]

``frozen`` asks for the policy of the garbage collector that is meant for many pending requests.
"""

from __future__ import annotations

import sys
import time

import trio
from peer_note import note_at_end

from coapsep import Code, Limits, Request, Response, Router, Server, gc_policy, serve

MANY = 2_000_000
LIMITS = Limits(
    peers=MANY,
    requests=MANY,
    requests_per_session=MANY,
    pending=MANY,
    pending_per_session=MANY,
    dedup_entries=MANY,
    dedup_entries_per_session=65_536,
    dedup_bytes=1 << 30,
    observers=MANY,
    observers_per_session=MANY,
)

router = Router()


@router.get("/hello")
async def hello(request: Request) -> bytes:
    """The resource of all benchmarks; by it one knows that the server is there."""
    return b"hello, 123"


@router.get("/async")
def later(request: Request) -> bytes | None:
    """``?SECONDS``: a pending request that is answered when its time has come."""
    if request.pending is None:
        request.asyncs.register_async(request, delay=float(request.query[0]))
        return None
    return b"done"


@router.post("/free")
async def free(request: Request) -> bytes:
    """End all pending requests; the answer is how long that took, in seconds."""
    begun = time.perf_counter()
    for pending in request.asyncs:
        request.asyncs.free_async(pending)
    freed = time.perf_counter()
    for _ in range(2):  # all of their tasks run once, and end, before this one goes on
        await trio.lowlevel.checkpoint()
    return b"%.6f %.6f" % (freed - begun, time.perf_counter() - begun)


class State:
    """What is observed, and the body that is read and written."""

    server: Server
    count = 0
    body = bytes(1 << 20)


@router.get("/state", observable=True)
async def state(request: Request) -> bytes:
    """It changes whenever it is told to."""
    return b"%d" % State.count


@router.post("/state")
async def change(request: Request) -> Response:
    """Tell all observers."""
    State.count += 1
    State.server.notify("/state")
    return Response(Code.CHANGED)


@router.get("/body")
async def read(request: Request) -> bytes:
    """What was written last."""
    return State.body


@router.put("/body")
async def write(request: Request) -> Response:
    """Write it."""
    State.body = request.payload
    return Response(Code.CHANGED)


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    async with trio.open_nursery() as nursery:
        State.server = await nursery.start(
            lambda task_status: serve(
                router, host="127.0.0.1", port=port, limits=LIMITS, task_status=task_status
            )
        )


note_at_end("coapsep", "trio")
with gc_policy("frozen" if "frozen" in sys.argv[2:] else "default"):
    trio.run(main, int(sys.argv[1]))
