"""Who is where, what our server answers, and how our client asks while the other side plays."""

from __future__ import annotations

from typing import Any

import attrs
import trio
import trio.testing

from coapsep import Address, Client, ClientResponse, Request, RequestFailed, Response
from coapsep.testing import ScriptedPeer

SERVER = Address("10.0.0.1", 5683)
CLIENT = Address("10.0.0.2", 40000)


@attrs.define
class Sensor:
    """A resource that answers as the figure at hand has it."""

    reading: Response | Exception | None = None
    takes: float = 0.0
    """How long, seconds."""

    asked: int = 0
    """How often."""

    async def answer(self, request: Request) -> Response:
        self.asked += 1
        await trio.sleep(self.takes)
        if isinstance(self.reading, Exception):
            raise self.reading
        assert self.reading is not None
        return self.reading


@attrs.define
class Outcome:
    """How a request of our client has ended, once it has."""

    response: ClientResponse | None = None
    failure: RequestFailed | None = None


async def ask_while_playing(
    client: Client, server: ScriptedPeer, script: str, path: str = "/temperature", **parts: Any
) -> Outcome:
    """Let the server play its script, and the client GET from it, to the end of both."""
    outcome = Outcome()

    async def ask() -> None:
        try:
            outcome.response = await client.get(SERVER, path, **parts)
        except RequestFailed as exc:
            outcome.failure = exc

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.play, script)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(ask)
    return outcome
