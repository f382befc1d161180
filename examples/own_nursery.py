"""A server in a nursery of yours, with requests that your other tasks answer.

    python examples/own_nursery.py
    coap-client -m get coap://localhost/reading     -> the next reading, when there is one

/reading parks each request: nothing runs for it, and no handler waits. A sensor task has a
new reading every few seconds and triggers whoever is parked. A second task frees those that
have waited for too long, as they would if the sensor broke; they are told when to come back.
"""

from __future__ import annotations

import argparse
import signal
from functools import partial

import trio

from coapsep import Code, Request, Response, Router, Server, serve


class Sensor:
    """Measures now and then; ``reading`` is the last value, in degrees."""

    def __init__(self, interval: float) -> None:
        self.interval = interval
        self.reading: float | None = None

    async def measure(self, server: Server) -> None:
        """Trigger all that is parked, each time that there is a new reading."""
        for number in range(1_000_000):
            await trio.sleep(self.interval)
            self.reading = 20 + number % 10 / 10
            for pending in server.asyncs:
                pending.trigger()


async def free_the_impatient(server: Server, patience: float) -> None:
    """Tell those that wait for longer than ``patience`` seconds to come back later."""
    while True:
        await trio.sleep(patience / 10)
        for pending in server.asyncs:
            if trio.current_time() - pending.app_data > patience:
                come_back = Response(Code.SERVICE_UNAVAILABLE, max_age=60)
                server.asyncs.free_async(pending, come_back)


def make_router(sensor: Sensor) -> Router:
    router = Router()

    @router.get("/reading", title="The next reading")
    def reading(request: Request) -> str | None:
        if request.pending is None:
            # delay=0 parks. app_data is ours: here, since when the client has waited.
            request.asyncs.register_async(request, delay=0, app_data=trio.current_time())
            return None
        return f"{sensor.reading:.1f}"

    return router


async def main(host: str | None, port: int, interval: float, patience: float) -> None:
    sensor = Sensor(interval)
    async with trio.open_nursery() as nursery:
        # The server is one of our tasks: if one fails, or the nursery is cancelled, all end.
        server: Server = await nursery.start(
            partial(serve, make_router(sensor), host=host, port=port)
        )
        nursery.start_soon(sensor.measure, server)
        nursery.start_soon(free_the_impatient, server, patience)
        for address in server.addresses:
            print(f"listening on coap://{address}")
        print("READY", flush=True)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A sensor that answers when it has measured.")
    parser.add_argument("--host", help="listen here (default: everywhere)")
    parser.add_argument("--port", type=int, default=5683, help="UDP port (default: 5683)")
    parser.add_argument(
        "--interval", type=float, default=5, help="seconds between readings (default: 5)"
    )
    parser.add_argument(
        "--patience", type=float, default=30, help="seconds a client may wait (default: 30)"
    )
    options = parser.parse_args()
    trio.run(main, options.host, options.port, options.interval, options.patience)
