"""A program of aiocoap's that the tests start: ``aiocoap_program.py BASE_URI SCENARIO``.

It prints one JSON document: a list of [code, payload, message type] for each request.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiocoap import CON, DELETE, GET, NON, POST, PUT, Context, Message
from aiocoap.numbers.codes import Code
from aiocoap.numbers.types import Type

Told: TypeAlias = list[str]
Ask: TypeAlias = Callable[..., Awaitable[Told]]


async def reading(ask: Ask) -> list[Told]:
    """Answers of every kind."""
    paths = ("/hello", "/slow?1", "/async?1", "/nothing")
    return await asyncio.gather(*(ask(GET, path) for path in paths))


async def changing(ask: Ask) -> list[Told]:
    """A resource from nothing to nothing."""
    path = "/example_data"
    return [
        await ask(GET, path),
        await ask(PUT, path, payload=b"first", content_format=0),
        await ask(GET, path),
        await ask(PUT, path, payload=b"second", content_format=0),
        await ask(GET, path),
        await ask(DELETE, path),
        await ask(GET, path),
        await ask(POST, "/counter"),
        await ask(POST, "/counter"),
    ]


async def non(ask: Ask) -> list[Told]:
    """Non-confirmable requests."""
    paths = ("/hello", "/slow?1", "/async?1")
    return await asyncio.gather(*(ask(GET, path, kind=NON) for path in paths))


async def many(ask: Ask) -> list[Told]:
    """Twenty at once, and one that must not wait for them."""
    asked = [asyncio.ensure_future(ask(GET, "/async?1")) for _ in range(20)]
    quick = await ask(GET, "/hello")
    done = sum(one.done() for one in asked)
    return [quick, [str(done), "", ""], *await asyncio.gather(*asked)]


async def big(ask: Ask) -> list[Told]:
    """A body that aiocoap sends in blocks."""
    return [await ask(PUT, "/example_data", payload=b"0123456789" * 300)]


SCENARIOS = {"reading": reading, "changing": changing, "non": non, "many": many, "big": big}


async def main(base: str, scenario: str) -> list[Told]:
    """Run one scenario with a client of its own."""
    context = await Context.create_client_context()

    async def ask(
        code: Code,
        path: str,
        *,
        kind: Type = CON,
        payload: bytes = b"",
        content_format: int | None = None,
    ) -> Told:
        request = Message(code=code, uri=base + path, payload=payload)
        request.mtype = kind
        if content_format is not None:
            request.opt.content_format = content_format
        response = await context.request(request).response
        return [response.code.dotted, response.payload.decode(), str(response.mtype)]

    try:
        return await SCENARIOS[scenario](ask)
    finally:
        await context.shutdown()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
