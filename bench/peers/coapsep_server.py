# SPDX-License-Identifier: MIT
"""The benchmark's resource on coapsep.  usage: coapsep_server.py PORT KIND [SECONDS]

KIND is that of the handler: ``async``, ``sync``; ``late``, which sleeps for so many seconds;
``event``, which waits for an event that comes every so many seconds.
"""

from __future__ import annotations

import sys

import trio
from peer_note import note_at_end

from coapsep import Handler, Request, Router, serve


async def hello(request: Request) -> bytes:
    """An async handler that never has to wait."""
    return b"hello, 123"


def hello_sync(request: Request) -> bytes:
    """The same as a plain function."""
    return b"hello, 123"


def hello_after(seconds: float) -> Handler:
    """A handler that waits, and so has an answer when the request is long acknowledged."""

    async def hello_late(request: Request) -> bytes:
        await trio.sleep(seconds)
        return b"hello, 123"

    return hello_late


class Ticker:
    """An event that happens again and again, such as a sensor that has measured."""

    def __init__(self, period: float) -> None:
        self._period = period
        self._next = trio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(self._period)
            self._next.set()
            self._next = trio.Event()

    async def hello(self, request: Request) -> bytes:
        """A handler that waits for the next one."""
        await self._next.wait()
        return b"hello, 123"


async def main(port: int, kind: str, period: float) -> None:
    """Serve until SIGTERM."""
    ticker = Ticker(period)
    handlers: dict[str, Handler] = {
        "async": hello,
        "sync": hello_sync,
        "late": hello_after(period),
        "event": ticker.hello,
    }
    router = Router()
    router.get("/hello")(handlers[kind])
    async with trio.open_nursery() as nursery:
        if kind == "event":
            nursery.start_soon(ticker.run)
        nursery.start_soon(lambda: serve(router, host="127.0.0.1", port=port))


note_at_end("coapsep", "trio")
trio.run(main, int(sys.argv[1]), sys.argv[2], float((sys.argv[3:] or ["0"])[0]))
