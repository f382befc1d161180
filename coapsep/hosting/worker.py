"""A worker process: what ``open_workers`` starts, as ``python -m coapsep.hosting.worker``."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import traceback

import trio

from coapsep.collector import gc_policy
from coapsep.hosting.messages import DRAIN, STOP, TELL, Orders, Report, hear, say
from coapsep.hosting.target import TargetError, load_router
from coapsep.params import Limits
from coapsep.server.router import Router
from coapsep.server.server import Server, open_server
from coapsep.transport.udp import UdpTransport


def log_to_stderr(level: str) -> None:
    """Have what is logged told on standard error, unless the program says what to do with it."""
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s %(message)s")


def main(argument: str) -> int:
    """Serve until the parent orders the end, or has gone; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Who ends a whole group of processes ends the parent, which says what is to be done.
        # SIG_IGN would be inherited by what a handler starts.
        signal.signal(number, lambda number, frame: None)
    orders = Orders.read(argument)
    sockets = [socket.socket(fileno=number) for number in orders.sockets]
    with socket.socket(fileno=orders.channel) as channel:
        for sock in (*sockets, channel):
            sock.set_inheritable(False)
        sys.path[:] = orders.path
        try:
            router = load_router(orders.target)
        except TargetError as exc:
            if exc.__cause__ is not None:
                traceback.print_exception(exc.__cause__)
            channel.send(Report(failure=str(exc)).write())
            return 1
        log_to_stderr(orders.log_level)
        with gc_policy(orders.gc_policy):
            trio.run(_serve, router, sockets, channel)
    return 0


async def _serve(router: Router, sockets: list[socket.socket], end: socket.socket) -> None:
    channel = trio.socket.from_stdlib_socket(end)
    transport = UdpTransport(sockets, Limits().datagram_size)
    async with open_server(router, transport=transport) as server:
        await say(channel, Report(ready=True).write())
        order = await _heed(channel, server)
        with trio.CancelScope() as patience:
            async with trio.open_nursery() as nursery:

                async def hurry() -> None:
                    while await _heed(channel, server) != STOP:
                        pass
                    patience.cancel()

                if order == STOP:
                    patience.cancel()
                nursery.start_soon(hurry)
                await server.drain()
                nursery.cancel_scope.cancel()
        await say(channel, Report(statistics=server.statistics()).write())


async def _heed(channel: trio.socket.SocketType, server: Server) -> bytes:
    """Answer the parent until it gives an order, DRAIN or STOP. If it has gone, that is STOP."""
    while (order := await hear(channel)) == TELL:
        await say(channel, Report(statistics=server.statistics()).write())
    return order if order == DRAIN else STOP


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
