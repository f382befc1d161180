# SPDX-License-Identifier: MIT
"""The benchmark's resource on aiocoap.  usage: aiocoap_server.py PORT"""

from __future__ import annotations

import asyncio
import sys

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    Context,
    Message,
)
from aiocoap.resource import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    Resource,
    Site,
)
from peer_note import note_at_end


class Hello(Resource):  # type: ignore[misc, unused-ignore]
    """Answers 10 bytes without waiting, which aiocoap piggybacks."""

    async def render_get(self, request: Message) -> Message:
        """Answer GET."""
        return Message(payload=b"hello, 123")


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    site = Site()
    site.add_resource(["hello"], Hello())
    await Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    await asyncio.get_running_loop().create_future()


note_at_end("aiocoap")
asyncio.run(main(int(sys.argv[1])))
