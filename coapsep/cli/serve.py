"""The command serve: a router as a server, in this process or in several."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import attrs
import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.console import Console
from coapsep.cli.exits import Exit, Failed
from coapsep.collector import gc_policy
from coapsep.errors import EndpointCrashed
from coapsep.hosting.target import TargetError, load_router
from coapsep.hosting.worker import log_to_stderr
from coapsep.hosting.workers import Workers, open_workers
from coapsep.protocol.statistics import Statistics
from coapsep.server.router import Router
from coapsep.server.server import Server, open_server


def serve(arguments: Arguments, console: Console) -> Exit:
    """Serve until a signal; returns the exit code. Raises Failed if it cannot."""
    several = arguments.workers > 1
    if several and not arguments.stateless:
        raise Failed(
            Exit.USAGE,
            "each worker has memory of its own: if no resource needs more than its request, "
            "say --stateless",
        )
    if several and arguments.groups:
        raise Failed(
            Exit.USAGE, "each worker would answer what a group is asked: --group is for one"
        )
    try:
        router = None if several else load_router(arguments.target)
        log_to_stderr(arguments.log_level)
        # With several, this process only waits.
        with gc_policy("default" if several else arguments.gc_policy):
            return trio.run(_serve, arguments, console, router)
    except (TargetError, EndpointCrashed) as exc:
        if exc.__cause__ is not None:
            console.draw("".join(traceback.format_exception(exc.__cause__)))
        mistaken = isinstance(exc, TargetError)
        raise Failed(Exit.USAGE if mistaken else Exit.UNEXPECTED, str(exc)) from exc
    except OSError as exc:
        raise Failed(Exit.UNREACHABLE, exc.strerror or str(exc)) from exc
    except ValueError as exc:
        raise Failed(Exit.USAGE, str(exc)) from exc


async def _serve(arguments: Arguments, console: Console, router: Router | None) -> Exit:
    with trio.open_signal_receiver(*_signals()) as signals:
        async with _open(arguments, router) as server:
            if not arguments.quiet:
                console.print(_where(server, arguments.workers))
            await _until_the_end(signals, server, console)
            with trio.move_on_after(arguments.grace) as grace:
                async with trio.open_nursery() as nursery:

                    async def hurry() -> None:
                        await _until_the_end(signals, server, console)
                        grace.cancel()

                    nursery.start_soon(hurry)
                    await server.drain()
                    nursery.cancel_scope.cancel()
            if arguments.verbose:
                await _tell(server, console)
    return Exit.SUCCESS


def _open(
    arguments: Arguments, router: Router | None
) -> AbstractAsyncContextManager[Server | Workers]:
    if router is None:
        return open_workers(
            arguments.target,
            arguments.workers,
            host=arguments.hosts,
            port=arguments.port,
            gc_policy=arguments.gc_policy,
            log_level=arguments.log_level,
        )
    return open_server(
        router,
        host=arguments.hosts,
        port=arguments.port,
        groups=arguments.groups,
        interfaces=arguments.interfaces,
    )


def _where(server: Server | Workers, workers: int) -> str:
    addresses = ", ".join(f"coap://{address}" for address in server.addresses)
    return f"listening on {addresses}" + (f", in {workers} processes" if workers > 1 else "")


# -- signals -----------------------------------------------------------------------------


def _signals() -> list[signal.Signals]:
    wanted = [signal.SIGTERM]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        wanted.append(signal.SIGINT)  # else it was started in the background of a script
    if sys.platform != "win32":
        wanted.append(signal.SIGUSR1)
    return wanted


async def _until_the_end(
    signals: AsyncIterator[int], server: Server | Workers, console: Console
) -> None:
    """Wait for a signal that ends the server. One that asks what was counted is answered."""
    async for number in signals:
        if sys.platform == "win32" or number != signal.SIGUSR1:
            return
        await _tell(server, console)


async def _tell(server: Server | Workers, console: Console) -> None:
    if isinstance(server, Workers):
        counted = await server.statistics()
    else:
        counted = server.statistics()
    console.draw("".join(f"{line}\n" for line in _lines(counted)))


def _lines(counted: Statistics) -> list[str]:
    """What was counted at all, and is held at all, for people."""
    rows = {name: number for name, number in attrs.asdict(counted).items() if number}
    width = max(map(len, rows), default=0)
    names = [f"{name.replace('_', ' '):{width}}  {number}" for name, number in rows.items()]
    return ["--- statistics ---", *names]
