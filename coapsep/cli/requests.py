"""The commands that ask for a resource: get, put, post, delete, fetch, patch, ipatch."""

from __future__ import annotations

import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.attempt import attempt
from coapsep.cli.console import Console
from coapsep.cli.exits import Exit, Failed, exit_code_of
from coapsep.cli.files import Files
from coapsep.cli.progress import ProgressBar
from coapsep.cli.report import Report
from coapsep.cli.tally import Tally
from coapsep.client.client import Client
from coapsep.client.parts import RequestParts
from coapsep.client.response import ClientResponse
from coapsep.client.retry import Retry
from coapsep.message.options import Options
from coapsep.numbers import Code


async def ask(client: Client, arguments: Arguments, files: Files, report: Report) -> Exit:
    """Ask as often as is wanted; returns the exit code of the first that failed, if any did.

    Raises Failed for what cannot be sent at all.
    """
    tally = Tally()
    first = Exit.SUCCESS
    due = trio.current_time()
    try:
        for _ in range(arguments.repeat):
            await trio.sleep_until(due)
            due = trio.current_time() + arguments.interval
            code = await _ask_and_tell(client, arguments, files, report, tally)
            first = first or code
    finally:
        if arguments.repeat > 1 and tally.asked:
            report.statistics(str(arguments.uri), tally, of_pings=False)
    return first


async def _ask_and_tell(
    client: Client, arguments: Arguments, files: Files, report: Report, tally: Tally
) -> Exit:
    began = trio.current_time()
    try:
        response = await _ask_once(client, arguments, files.payload, report.console)
    except Failed as failure:
        if failure.exit_code is Exit.USAGE:
            raise  # it would fail again
        tally.loss()
        report.failure(failure, trio.current_time() - began)
        return failure.exit_code
    seconds = trio.current_time() - began
    tally.answer(seconds)
    if files.output is not None and response.is_success:
        files.output.write(response.payload)
    report.response(response, seconds, saved=files.output is not None)
    return exit_code_of(response.code)


async def _ask_once(
    client: Client, arguments: Arguments, payload: bytes | str | None, console: Console
) -> ClientResponse:
    """Raises Failed if there is no response."""
    parts = parts_of(arguments, payload)
    bar = ProgressBar(console) if console.shows_progress else None
    if bar is not None:
        parts["progress"] = bar
    try:
        with attempt(arguments):
            return await client.request(Code[arguments.command.upper()], arguments.uri, **parts)
    finally:
        if bar is not None:
            bar.clear()
    raise AssertionError("the block returns or raises")


def parts_of(arguments: Arguments, payload: bytes | str | None) -> RequestParts:
    """What a request has beside its method and URI."""
    parts: RequestParts = {
        "confirmable": arguments.confirmable,
        "options": Options(arguments.options),
        "retry": Retry(attempts=1 + arguments.retry),
    }
    if payload is not None:
        parts["payload"] = payload
    if arguments.content_format is not None:
        parts["content_format"] = arguments.content_format
    if arguments.accept is not None:
        parts["accept"] = arguments.accept
    if arguments.block_size is not None:
        parts["block_size"] = arguments.block_size
    return parts
