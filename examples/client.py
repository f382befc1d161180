"""A client with a deadline for everything, and a poller that never piles up.

    python examples/server.py
    python examples/client.py coap://localhost

It asks for three resources at a time. One of them takes longer than anybody wants to wait:
its request is cancelled, and leaves nothing behind. Then it watches the clock for a while.
"""

from __future__ import annotations

import argparse
import sys

import trio

from coapsep import Client, RequestFailed, open_client


async def show(client: Client, uri: str, seconds: float) -> None:
    """Ask, and print what comes, or that nothing did in time."""
    with trio.move_on_after(seconds) as deadline:
        try:
            response = (await client.get(uri)).raise_for_code()
        except RequestFailed as exc:
            print(f"{uri}: {exc}")
        else:
            print(f"{uri}: {response.text.splitlines()[0]}")
    if deadline.cancelled_caught:
        print(f"{uri}: not in {seconds:g} s")


async def watch(client: Client, uri: str, period: float, times: int) -> None:
    """Ask every ``period`` seconds; a slow answer costs its turn and no other."""
    began = trio.current_time()
    for turn in range(times):
        await trio.sleep_until(began + turn * period)
        await show(client, uri, period)


async def main(base: str) -> None:
    async with open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show, client, f"{base}/hello", 5)
            nursery.start_soon(show, client, f"{base}/slow?1", 5)
            nursery.start_soon(show, client, f"{base}/async?60", 2)
        await watch(client, f"{base}/time", 1, 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An example CoAP client.")
    parser.add_argument("base", nargs="?", default="coap://localhost", help="the server's URI")
    try:
        trio.run(main, parser.parse_args().base)
    except KeyboardInterrupt:
        sys.exit(130)
