"""A server of aiocoap's that the tests start: ``aiocoap_server.py HOST PORT``.

It prints READY once it listens, and runs until it is killed.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

from aiocoap import Context, Message
from aiocoap.numbers.codes import CHANGED, CONTENT, DELETED, SERVICE_UNAVAILABLE
from aiocoap.resource import ObservableResource, Resource, Site, WKCResource


class Hello(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """Answers at once."""

    rt = "greeting"

    async def render_get(self, request: Message) -> Message:
        return Message(code=CONTENT, payload=b"hello", content_format=0)


class Slow(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """Answers after a second, by when it has sent an empty ACK."""

    async def render_get(self, request: Message) -> Message:
        await asyncio.sleep(1)
        return Message(code=CONTENT, payload=b"slow")


class Echo(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """Gives back what it got, and says how it was asked."""

    async def _render(self, request: Message) -> Message:
        query = "&".join(request.opt.uri_query)
        return Message(code=CHANGED, payload=f"{request.code}?{query}:".encode() + request.payload)

    render_post = render_put = render_fetch = render_patch = render_ipatch = _render

    async def render_delete(self, request: Message) -> Message:
        return Message(code=DELETED)


class Large(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """More than fits in one message: aiocoap sends it in blocks."""

    async def render_get(self, request: Message) -> Message:
        return Message(code=CONTENT, payload=b"0123456789" * 300)


class Upload(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """Takes a body of any size, and says what it was; gives one back."""

    async def render_put(self, request: Message) -> Message:
        digest = hashlib.sha256(request.payload).hexdigest()
        return Message(code=CHANGED, payload=f"{len(request.payload)} {digest}".encode())

    async def render_get(self, request: Message) -> Message:
        size = int(request.opt.uri_query[0])
        return Message(code=CONTENT, payload=bytes(range(250)) * (size // 250))


class Ticks(ObservableResource):  # type: ignore[misc]  # aiocoap is not typed
    """A number that grows."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    def update_observation_count(self, newcount: int) -> None:
        if newcount and self._task is None:
            self._task = asyncio.ensure_future(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            self._number += 1
            self.updated_state()

    async def render_get(self, request: Message) -> Message:
        return Message(code=CONTENT, payload=str(self._number).encode())


class LongState(ObservableResource):  # type: ignore[misc]  # aiocoap is not typed
    """A state of any length: whoever observes it is told of each new one."""

    def __init__(self) -> None:
        super().__init__()
        self._state = b""

    async def render_put(self, request: Message) -> Message:
        self._state = request.payload
        self.updated_state()
        return Message(code=CHANGED)

    async def render_get(self, request: Message) -> Message:
        return Message(code=CONTENT, payload=self._state)


class Busy(Resource):  # type: ignore[misc]  # aiocoap is not typed
    """Refuses the first request, and says when to come back."""

    def __init__(self) -> None:
        super().__init__()
        self._refused = False

    async def render_get(self, request: Message) -> Message:
        if self._refused:
            return Message(code=CONTENT, payload=b"at last")
        self._refused = True
        return Message(code=SERVICE_UNAVAILABLE, max_age=1)


async def main(host: str, port: int) -> None:
    """Serve for ever."""
    site = Site()
    site.add_resource((".well-known", "core"), WKCResource(site.get_resources_as_linkheader))
    for name, resource in (
        ("hello", Hello()),
        ("slow", Slow()),
        ("echo", Echo()),
        ("large", Large()),
        ("busy", Busy()),
        ("upload", Upload()),
        ("ticks", Ticks()),
        ("state", LongState()),
    ):
        site.add_resource((name,), resource)
    await Context.create_server_context(site, bind=(host, port))
    print("READY", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
