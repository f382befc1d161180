# SPDX-License-Identifier: MIT
"""The benchmark's resource on coapsep.  usage: coapsep_server.py PORT [async|sync]"""

from __future__ import annotations

import sys

import trio
from peer_note import note_at_end

from coapsep import Request, Router, serve


async def hello(request: Request) -> bytes:
    """An async handler that never has to wait."""
    return b"hello, 123"


def hello_sync(request: Request) -> bytes:
    """The same as a plain function."""
    return b"hello, 123"


def main(port: int, kind: str = "async") -> None:
    """Serve until SIGTERM."""
    router = Router()
    if kind == "sync":
        router.get("/hello")(hello_sync)
    else:
        router.get("/hello")(hello)
    trio.run(lambda: serve(router, host="127.0.0.1", port=port))


note_at_end("coapsep", "trio")
main(int(sys.argv[1]), *sys.argv[2:])
