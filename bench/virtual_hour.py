# SPDX-License-Identifier: MIT
"""How much virtual time a second of one core buys: N clients and a server on a virtual network.

Each client asks every ten seconds.  See README.md next to this file.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from coapsep import Address, Client, Request, Router, open_client, open_server
from coapsep.testing import Network, open_network

SERVER = Address("10.0.0.1", 5683)
PERIOD = 10.0  # seconds between two requests of one client
ANSWER = b"hello, 123"
SEED = 1

HEADINGS = ("clients", "virtual s", "wall s", "virtual s / wall s", "requests", "us per exchange")


@dataclass
class Run:
    """One measurement, while it goes on and when it is over."""

    clients: int
    seconds: float
    requests: int = 0
    wall: float = 0.0
    ready: trio.Event = field(default_factory=trio.Event)

    def row(self) -> list[str]:
        """For the table."""
        return [
            f"{self.clients:,}",
            f"{self.seconds:,.0f}",
            f"{self.wall:.2f}",
            f"{self.seconds / self.wall:,.1f}",
            f"{self.requests:,}",
            f"{self.wall / max(self.requests, 1) * 1e6:.0f}",
        ]


def make_router() -> Router:
    """The server: one resource, a plain function."""
    router = Router()

    @router.get("/hello")
    def hello(request: Request) -> bytes:
        return ANSWER

    return router


async def ask(client: Client, run: Run, phase: float) -> None:
    """One client's requests, the first one ``phase`` seconds after the start."""
    await run.ready.wait()
    due = trio.current_time() + phase
    end = trio.current_time() + run.seconds
    while due < end:
        await trio.sleep_until(due)
        response = await client.get(SERVER, "/hello")
        if response.payload != ANSWER:
            raise RuntimeError(f"an answer that is none: {response}")
        run.requests += 1
        due += PERIOD


async def one_client(
    network: Network, number: int, run: Run, *, task_status: trio.TaskStatus[None]
) -> None:
    """A client on a host of its own."""
    host = f"10.1.{number >> 8}.{number & 255}"
    rng = random.Random(f"{SEED} {number}")
    async with open_client(transport=network.bind(host, 0), rng=rng) as client:
        task_status.started()
        await ask(client, run, rng.uniform(0, PERIOD))


async def measure(run: Run) -> None:
    """Fill in the figures.  Opening the clients is not measured."""
    async with (
        open_network(seed=SEED, trace_limit=0) as network,
        open_server(make_router(), transport=network.bind(SERVER.host), rng=random.Random(SEED)),
    ):
        async with trio.open_nursery() as nursery:
            for number in range(run.clients):
                await nursery.start(one_client, network, number, run)
            begin = time.perf_counter()
            run.ready.set()
        run.wall = time.perf_counter() - begin


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--clients",
        type=clients,
        default=[1, 100, 1000, 10_000],
        metavar="N,...",
        help="how many, one measurement each (1,100,1000,10000)",
    )
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=300.0,
        help="of virtual time; below 247 the tables of message IDs do not fill (300)",
    )
    return parser.parse_args(arguments)


def clients(text: str) -> list[int]:
    """Numbers of clients, each of them with an address in 10.1.0.0/16."""
    counts = [int(part) for part in text.split(",")]
    if not all(1 <= count <= 65_536 for count in counts):
        raise argparse.ArgumentTypeError("from 1 to 65536 clients")
    return counts


def seconds(text: str) -> float:
    """A length of time."""
    value = float(text)
    if not PERIOD <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"from {PERIOD:g} to 1000000 seconds")
    return value


def main() -> int:
    """Run it all."""
    options = parse_arguments()
    widths = [max(len(heading), 9) for heading in HEADINGS]
    print("  ".join(text.rjust(width) for text, width in zip(HEADINGS, widths, strict=True)))
    for count in options.clients:
        run = Run(count, options.seconds)
        trio.run(measure, run, clock=MockClock(autojump_threshold=0))
        cells = zip(run.row(), widths, strict=True)
        print("  ".join(text.rjust(width) for text, width in cells), flush=True)
        gc.collect()  # what one measurement leaves is not to slow down the next one
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
