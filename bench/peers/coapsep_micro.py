# SPDX-License-Identifier: MIT
"""CPU time of the single parts of coapsep, and of aiocoap's codec; prints ns per operation as JSON.

usage: coapsep_micro.py [ROUNDS]
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable

import trio
from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    ACK,
    CONTENT,
)
from aiocoap import (
    Message as AiocoapMessage,
)
from peer_note import note
from silent_transport import LOCAL, SilentTransport

from coapsep import (
    Address,
    Code,
    Limits,
    Message,
    Options,
    Request,
    Response,
    Router,
    Session,
    Tuning,
    Type,
    open_server,
)
from coapsep.message.codec import Codec
from coapsep.protocol.core import Core
from coapsep.protocol.events import RequestReceived

N = 5_000  # operations of one round
LIMITS = Limits(dedup_entries=10 * N, dedup_entries_per_session=10 * N)
PAYLOAD = b"hello, 123"
PATH = b"\xb5hello"
BLOCK, BLOCKS = 1024, 256


def head(number: int, code: int = Code.GET) -> bytes:
    """A CON with a message ID and a token that no other has."""
    return bytes((0x48, code)) + (number & 0xFFFF).to_bytes(2, "big") + number.to_bytes(8, "big")


def timed(operations: int, run: Callable[[], object]) -> float:
    """ns of CPU time for each."""
    begun = time.process_time_ns()
    run()
    return (time.process_time_ns() - begun) / operations


# -- codec ---------------------------------------------------------------------------


def decode() -> float:
    """A request whose options were seen before."""
    codec, datagrams = Codec(), [head(i) + PATH for i in range(N)]
    return timed(N, lambda: [codec.decode(data) for data in datagrams])


def decode_new() -> float:
    """Requests of which each has other options than those before."""
    codec, datagrams = Codec(), [head(i) + PATH + b"\x44%04d" % i for i in range(N)]
    return timed(N, lambda: [codec.decode(data) for data in datagrams])


def encode() -> float:
    """A response without options."""
    codec = Codec()
    messages = [
        Message(Code.CONTENT, Type.ACK, i, i.to_bytes(8, "big"), Options(), PAYLOAD)
        for i in range(N)
    ]
    return timed(N, lambda: [codec.encode(message) for message in messages])


def aiocoap_decode() -> float:
    """The same as ``decode``."""
    datagrams = [head(i) + PATH for i in range(N)]
    return timed(N, lambda: [AiocoapMessage.decode(data) for data in datagrams])


def aiocoap_encode() -> float:
    """The same as ``encode``, the making of the message not counted here either."""
    messages = []
    for i in range(N):
        message = AiocoapMessage(code=CONTENT, payload=PAYLOAD)
        message.mtype, message.mid, message.token = ACK, i, i.to_bytes(8, "big")
        messages.append(message)
    return timed(N, lambda: [message.encode() for message in messages])


# -- the core, without a socket --------------------------------------------------------


def new_core() -> tuple[Core, Session]:
    """A core, and somebody who asks it."""
    return Core(Tuning(), LIMITS, random.Random(1)), Session(LOCAL, Address("127.0.0.1", 40_000))


def core_request() -> float:
    """From a datagram to the request, and from its response to the datagram that leaves."""
    core, session = new_core()
    response = Response(Code.CONTENT, PAYLOAD)
    datagrams = [head(i) + PATH for i in range(N)]

    def run() -> None:
        for i, data in enumerate(datagrams):
            now = i * 1e-4
            core.receive_datagram(data, session, now)
            answer(core, response, now)
            if i % 64 == 0:
                core.handle_timers(now)

    return timed(N, run)


def answer(core: Core, response: Response, now: float) -> None:
    """Do what a server does: accept a body, and answer what is whole."""
    events = core.events[:]
    core.events.clear()
    for event in events:
        if isinstance(event, RequestReceived):
            if event.exchange.upload is not None:
                core.accept_body(event.exchange, now)
                answer(core, response, now)
            else:
                core.send_response(event.exchange, response, now)
    core.outgoing.clear()


def block_up() -> float:
    """One block of a body that is put together."""
    core, session = new_core()
    datagrams = []
    for i in range(BLOCKS):
        option = (i << 4 | (i + 1 < BLOCKS) << 3 | 6).to_bytes(2, "big")
        datagrams.append(head(i, Code.PUT) + PATH + b"\xd2\x03" + option + b"\xff" + bytes(BLOCK))

    def run() -> None:
        for i, data in enumerate(datagrams):
            core.receive_datagram(data, session, i * 1e-4)
            answer(core, Response(Code.CHANGED), i * 1e-4)

    return timed(BLOCKS, run)


def block_down() -> float:
    """One block of a body that is kept."""
    core, session = new_core()
    response = Response(Code.CONTENT, bytes(BLOCK * BLOCKS))
    datagrams = [head(i) + PATH + b"\xc2" + (i << 4 | 6).to_bytes(2, "big") for i in range(BLOCKS)]

    def run() -> None:
        for i, data in enumerate(datagrams):
            core.receive_datagram(data, session, i * 1e-4)
            answer(core, response, i * 1e-4)

    return timed(BLOCKS, run)


# -- the registry ----------------------------------------------------------------------


async def registering() -> float:
    """Register a pending request and free it, the start and the end of its task included."""
    router, found = Router(), trio.Event()
    taken: list[int] = []

    @router.get("/hello")
    async def hello(request: Request) -> bytes:
        begun = time.process_time_ns()
        for i in range(N):
            request.asyncs.free_async(request.asyncs.register_async(request, 60))
            if i % 64 == 0:
                await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        taken.append(time.process_time_ns() - begun)
        found.set()
        return PAYLOAD

    transport = SilentTransport()
    async with open_server(router, transport=transport):
        await transport.running.wait()
        transport.deliver([(head(1) + PATH, Session(LOCAL, Address("127.0.0.1", 40_000)))])
        await found.wait()
    return taken[0] / N


OPERATIONS: dict[str, Callable[[], float]] = {
    "coapsep: decode ns": decode,
    "aiocoap: decode ns": aiocoap_decode,
    "coapsep: decode, new options ns": decode_new,
    "coapsep: encode ns": encode,
    "aiocoap: encode ns": aiocoap_encode,
    "coapsep: request in core ns": core_request,
    "coapsep: block up in core ns": block_up,
    "coapsep: block down in core ns": block_down,
    "coapsep: register and free ns": lambda: trio.run(registering),
}


def main(rounds: int = 5) -> None:
    """All in turn, and that several times."""
    taken: dict[str, list[float]] = {name: [] for name in OPERATIONS}
    for _ in range(rounds):
        for name, operation in OPERATIONS.items():
            taken[name].append(operation())
    medians = {name: statistics.median(found) for name, found in taken.items()}
    print(json.dumps({"ns": medians, "note": note("coapsep", "trio", "aiocoap")}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
