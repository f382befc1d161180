"""A program of aiocoap's that the tests start: ``aiocoap_program.py BASE_URI SCENARIO``.

It prints one JSON document: a list of [code, payload, message type] for each request.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiocoap import CON, DELETE, FETCH, GET, NON, POST, PUT, Context, Message
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


async def bodies(ask: Ask) -> list[Told]:
    """Bodies of 10 kB and 1 MB up and down; of what comes, the size is told."""
    told = []
    for size in (10_000, 1_000_000):
        body = bytes(range(250)) * (size // 250)
        told.append(await ask(PUT, "/upload", payload=body))
        code, text, kind = await ask(GET, f"/large?{size}")
        told.append([code, str(len(text)), kind])
    return told


async def both_ways(ask: Ask) -> list[Told]:
    """Long bodies that make long responses."""
    asked = []
    for method, size in ((POST, 10_000), (FETCH, 10_000), (FETCH, 300_000)):
        body = "".join(f"{at:>15}\n" for at in range(0, size, 16))[:size]
        asked.append(await ask(method, "/reverse", payload=body.encode()))
    return asked


SCENARIOS = {
    "reading": reading,
    "changing": changing,
    "non": non,
    "many": many,
    "bodies": bodies,
    "both_ways": both_ways,
}


async def observed(context: Context, uri: str) -> list[Told]:
    """Three states of what is observed."""
    request = context.request(Message(code=GET, uri=uri, observe=0))
    first = await request.response
    told = [[first.code.dotted, first.payload.decode(), str(first.mtype)]]
    async for state in request.observation:
        told.append([state.code.dotted, state.payload.decode(), str(state.mtype)])
        if len(told) == 3:
            break
    request.observation.cancel()
    await asyncio.sleep(0.2)
    return told


async def _put(context: Context, uri: str, body: str) -> None:
    await context.request(Message(code=PUT, uri=uri, payload=body.encode())).response


async def long_states(context: Context, uri: str) -> list[Told]:
    """Three states of several blocks each, put there by itself."""
    await _put(context, uri, "1" * 3000)
    request = context.request(Message(code=GET, uri=uri, observe=0))
    first = await request.response
    told = [[first.code.dotted, first.payload.decode(), ""]]
    states = aiter(request.observation)
    for letter in "23":
        await _put(context, uri, letter * 3000)
        state = await anext(states)
        told.append([state.code.dotted, state.payload.decode(), ""])
    return told


async def leaving(context: Context, uri: str) -> list[Told]:
    """An observation that ends before the program does; only the first state is for it."""
    await _put(context, uri, "1")
    # With its own handling of blocks, aiocoap acknowledges notifications for ever.
    request = context.request(Message(code=GET, uri=uri, observe=0), handle_blockwise=False)
    first = await request.response
    request.observation.cancel()
    for letter in "23":  # it acknowledges one notification more, and resets the next
        await _put(context, uri, letter)
        await asyncio.sleep(0.1)
    return [[first.code.dotted, first.payload.decode(), ""]]


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
        if scenario == "observed":
            return await observed(context, base + "/obs")
        if scenario == "long_states":
            return await long_states(context, base + "/state")
        if scenario == "leaving":
            return await leaving(context, base + "/state")
        return await SCENARIOS[scenario](ask)
    finally:
        await context.shutdown()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
