# SPDX-License-Identifier: MIT
"""The benchmark's resource on coapsep.  usage: coapsep_server.py PORT async|sync|SECONDS

With a number the handler sleeps for so long, and the answer is a separate response.
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


def main(port: int, kind: str) -> None:
    """Serve until SIGTERM."""
    handlers: dict[str, Handler] = {"async": hello, "sync": hello_sync}
    router = Router()
    router.get("/hello")(handlers.get(kind) or hello_after(float(kind)))
    trio.run(lambda: serve(router, host="127.0.0.1", port=port))


note_at_end("coapsep", "trio")
main(int(sys.argv[1]), sys.argv[2])
