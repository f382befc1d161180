# SPDX-License-Identifier: MIT
"""The benchmark's resource on aiocoap.  usage: aiocoap_server.py PORT [SECONDS]

With a number the handler sleeps for so long, and the answer is a separate response.
"""

from __future__ import annotations

import asyncio
import sys

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]  # untyped
    Context,
    Message,
)
from aiocoap.resource import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    Resource,
    Site,
)
from peer_note import note_at_end


class Hello(Resource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """Answers 10 bytes without waiting, which aiocoap piggybacks."""

    async def render_get(self, request: Message) -> Message:
        """Answer GET."""
        return Message(payload=b"hello, 123")


class HelloLate(Resource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """Answers the same when the request is long acknowledged."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    async def render_get(self, request: Message) -> Message:
        """Answer GET."""
        await asyncio.sleep(self.seconds)
        return Message(payload=b"hello, 123")


async def main(port: int, seconds: float = 0) -> None:
    """Serve until SIGTERM."""
    site = Site()
    site.add_resource(["hello"], HelloLate(seconds) if seconds else Hello())
    await Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    await asyncio.get_running_loop().create_future()


note_at_end("aiocoap")
asyncio.run(main(int(sys.argv[1]), *map(float, sys.argv[2:])))
