# SPDX-License-Identifier: MIT
"""aiocoap with the resources of coapsep_scale.py.  usage: aiocoap_scale.py PORT"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]  # untyped
    CHANGED,
    Context,
    Message,
    resource,
)
from peer_note import note_at_end


class Hello(resource.Resource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """The resource of all benchmarks."""

    async def render_get(self, request: Any) -> Any:
        """Answer at once."""
        return Message(payload=b"hello, 123")


class Later(resource.Resource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """``?SECONDS``: a handler that waits."""

    async def render_get(self, request: Any) -> Any:
        """Answer when the time has come."""
        await asyncio.sleep(float(request.opt.uri_query[0]))
        return Message(payload=b"done")


class State(resource.ObservableResource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """It changes whenever it is told to."""

    count = 0

    async def render_get(self, request: Any) -> Any:
        """The state."""
        return Message(payload=b"%d" % self.count)

    async def render_post(self, request: Any) -> Any:
        """Tell all observers."""
        self.count += 1
        self.updated_state()
        return Message(code=CHANGED)


class Body(resource.Resource):  # type: ignore[misc, unused-ignore]  # its base is untyped
    """A body that is read and written."""

    body = bytes(1 << 20)

    async def render_get(self, request: Any) -> Any:
        """What was written last."""
        return Message(payload=self.body)

    async def render_put(self, request: Any) -> Any:
        """Write it."""
        self.body = request.payload
        return Message(code=CHANGED)


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    site = resource.Site()
    for path, found in {"hello": Hello, "async": Later, "state": State, "body": Body}.items():
        site.add_resource([path], found())
    await Context.create_server_context(site, bind=("127.0.0.1", port), transports=["udp6"])
    await asyncio.get_running_loop().create_future()


note_at_end("aiocoap")
asyncio.run(main(int(sys.argv[1])))
