"""The command observe: each state of a resource, until there were enough or Ctrl-C."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack

import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.attempt import attempt
from coapsep.cli.exits import Exit, exit_code_of, failure_of
from coapsep.cli.files import Files
from coapsep.cli.report import Report
from coapsep.cli.requests import parts_of
from coapsep.client.client import Client
from coapsep.client.observation import Notifications
from coapsep.client.response import UnsuccessfulResponse
from coapsep.errors import CoapError


async def observe(client: Client, arguments: Arguments, files: Files, report: Report) -> Exit:
    """Observe, and show; returns the exit code of what ended it.

    Leaving, also by Ctrl-C, tells the server. Raises Failed if there is nothing to observe.
    """
    began = trio.current_time()
    parts = parts_of(arguments, None)
    del parts["retry"]
    try:
        async with AsyncExitStack() as stack:
            with attempt(arguments):
                states = await stack.enter_async_context(client.observe(arguments.uri, **parts))
            with trio.move_on_at(began + (arguments.seconds or math.inf)):
                await _show(states, arguments, files, report, began)
    except UnsuccessfulResponse as exc:
        report.response(exc.response, trio.current_time() - began, saved=False)
        return exit_code_of(exc.response.code)
    except CoapError as exc:
        raise failure_of(exc) from exc
    return Exit.SUCCESS


async def _show(
    states: Notifications, arguments: Arguments, files: Files, report: Report, began: float
) -> None:
    shown = 0
    async for response in states:
        if files.output is not None:
            files.output.write(response.payload)
        report.state(response, trio.current_time() - began, saved=files.output is not None)
        shown += 1
        if shown == arguments.count:
            return
    if not states.observed:
        report.console.note("coapsep: the server does not tell about this resource any more")
