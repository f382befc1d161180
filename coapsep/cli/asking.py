"""The commands that ask servers, from the command line to the exit code: one client, one task."""

from __future__ import annotations

import random
import signal
from collections.abc import Awaitable, Callable

import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.console import Console
from coapsep.cli.discover import discover
from coapsep.cli.exits import Exit, Failed
from coapsep.cli.files import Files, open_files
from coapsep.cli.json_report import JsonReport
from coapsep.cli.observe import observe
from coapsep.cli.ping import ping, tuning_for
from coapsep.cli.report import Report, TextReport
from coapsep.cli.requests import ask
from coapsep.cli.verbose import drawn
from coapsep.client.lifetime import open_client
from coapsep.params import Limits
from coapsep.transport.base import Transport
from coapsep.transport.udp import open_udp_client

#: A person may look at a response of any size, bytes.
_DATAGRAM_SIZE = 65_535
_BODY_SIZE = 1024 * 1024 * 1024


def run_command(arguments: Arguments, console: Console) -> Exit:
    """Run a command of a process, until it is done or SIGINT; returns its exit code."""
    report = make_report(arguments, console)
    try:
        with open_files(arguments) as files:
            return trio.run(_until_interrupted, lambda: run(arguments, files, report))
    except Failed as failure:
        return report.conclude(failure)


def make_report(arguments: Arguments, console: Console) -> Report:
    """How this command tells what happens."""
    if arguments.json:
        return JsonReport(console)
    return TextReport(console, raw=arguments.output == "-")


async def _until_interrupted(command: Callable[[], Awaitable[Exit]]) -> Exit:
    """Let SIGINT cancel the command, so that it ends in good order wherever it is."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return await command()  # so it was started, in the background of a script
    code = Exit.INTERRUPTED
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def wait_for_signal() -> None:
                await signals.__anext__()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait_for_signal)
            code = await command()
            nursery.cancel_scope.cancel()
    return code


async def open_sockets(arguments: Arguments) -> Transport:
    """The transport of a command. Raises OSError."""
    return await open_udp_client(
        arguments.bind,
        datagram_size=_DATAGRAM_SIZE,
        multicast_interface=arguments.interface,
    )


async def run(
    arguments: Arguments,
    files: Files,
    report: Report,
    *,
    open_transport: Callable[[Arguments], Awaitable[Transport]] = open_sockets,
    rng: random.Random | None = None,
) -> Exit:
    """Run a command; returns its exit code.

    ``open_transport`` and ``rng``, which is that of ``open_client``, are for tests.
    """
    try:
        return await _run(arguments, files, report, open_transport, rng)
    except Failed as failure:
        return report.conclude(failure)


async def _run(
    arguments: Arguments,
    files: Files,
    report: Report,
    open_transport: Callable[[Arguments], Awaitable[Transport]],
    rng: random.Random | None,
) -> Exit:
    try:
        transport = await open_transport(arguments)
    except OSError as exc:
        raise Failed(Exit.UNREACHABLE, exc.strerror or str(exc)) from exc
    if arguments.verbose or arguments.json:
        report.console.shows_progress = False  # the lines would get in each other's way
    if arguments.verbose:
        transport = drawn(transport, report.console)
    async with open_client(
        transport=transport,
        tuning=tuning_for(arguments) if arguments.command == "ping" else None,
        limits=Limits(
            datagram_size=_DATAGRAM_SIZE,
            body_size=_BODY_SIZE,
            body_bytes=_BODY_SIZE,
            body_bytes_per_session=_BODY_SIZE,
        ),
        rng=rng,
    ) as client:
        if arguments.command == "ping":
            return await ping(client, arguments, report)
        if arguments.command == "observe":
            return await observe(client, arguments, files, report)
        if arguments.command == "discover":
            return await discover(client, arguments, report)
        return await ask(client, arguments, files, report)
    raise AssertionError("the block returns or raises")
