"""A server of ours that the tests start, for what the example server has not.

``own_server.py --host HOST --port PORT``. Like the example server it says where it listens, then
READY, and runs until SIGTERM.
"""

from __future__ import annotations

import argparse
import json
import signal

import attrs
import trio

from coapsep import Code, NotFound, Request, Response, Router, Server, open_server


class Resources:
    """What it serves. ``server`` is there before the first request is."""

    server: Server

    def __init__(self) -> None:
        self.state: bytes | None = None
        self.router = Router()
        self.router.route("/reverse", [Code.POST, Code.FETCH])(self.reverse)
        self.router.get("/state", observable=True)(self.get)
        self.router.fetch("/state", observable=True)(self.fetch)
        self.router.put("/state")(self.put)
        self.router.delete("/state")(self.delete)
        self.router.get("/statistics")(self.statistics)

    def reverse(self, request: Request) -> bytes:
        """The body of the request, back to front: a long one makes a long answer."""
        return request.payload[::-1]

    def get(self, request: Request) -> bytes:
        """The state, of any length."""
        if self.state is None:
            raise NotFound
        return self.state

    def fetch(self, request: Request) -> bytes:
        """Those lines of the state that the request names."""
        named = set(request.payload.splitlines())
        return b"\n".join(line for line in self.get(request).splitlines() if line in named)

    def put(self, request: Request) -> Code:
        """A new state, of which the observers are told."""
        self.state = request.payload
        self.server.notify("/state")
        return Code.CHANGED

    def delete(self, request: Request) -> Code:
        """No state: each observer is told that it is gone, and is one no more."""
        self.state = None
        self.server.notify("/state")
        return Code.DELETED

    def statistics(self, request: Request) -> Response:
        """Those numbers of ``Server.statistics`` that the query names."""
        numbers = attrs.asdict(self.server.statistics())
        return Response(Code.CONTENT, json.dumps({name: numbers[name] for name in request.query}))


async def main(host: str, port: int) -> None:
    """Serve until a signal."""
    resources = Resources()
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with open_server(resources.router, host=host, port=port) as server:
            resources.server = server
            for address in server.addresses:
                print(f"listening on coap://{address}")
            print("READY", flush=True)
            await anext(signals)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    trio.run(main, options.host, options.port)
