"""The command ping, in the manner of ping(8)."""

from __future__ import annotations

import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.exits import Exit, Failed, failure_of
from coapsep.cli.report import Report
from coapsep.cli.tally import Tally
from coapsep.client.client import Client
from coapsep.errors import CoapError, RequestTimedOut
from coapsep.message.uri import CoapURI
from coapsep.params import Tuning


def tuning_for(arguments: Arguments) -> Tuning:
    """Each ping is sent once: a lost one shall count as lost, and not be repeated."""
    return Tuning(
        ack_timeout=arguments.timeout,
        ack_random_factor=1.0,
        max_retransmit=0,
        empty_ack_delay=0.0,
    )


async def ping(client: Client, arguments: Arguments, report: Report) -> Exit:
    """Ping until there were enough; returns success if any pong came."""
    tally = Tally()
    peer = _name(arguments.uri)
    last = Exit.SUCCESS
    due = trio.current_time()
    number = 0
    try:
        while arguments.count is None or number < arguments.count:
            await trio.sleep_until(due)
            due = trio.current_time() + arguments.interval
            number += 1
            try:
                seconds = await client.ping(arguments.uri)
            except (CoapError, ValueError) as exc:
                failure = _failure_of(exc, arguments)
                # With a cause, nothing was sent: there is no such name, or no way from here.
                if number == 1 and (isinstance(exc, ValueError) or exc.__cause__ is not None):
                    raise failure from exc
                last = failure.exit_code
                tally.loss()
                report.no_pong(number, failure)
            else:
                tally.answer(seconds)
                report.pong(number, peer, seconds)
    finally:
        if tally.asked:
            report.statistics(peer, tally, of_pings=True)
    return Exit.SUCCESS if tally.answered else last


def _failure_of(exc: Exception, arguments: Arguments) -> Failed:
    if isinstance(exc, RequestTimedOut):
        return Failed(Exit.TIMED_OUT, f"in {arguments.timeout:g} s")
    return failure_of(exc)


def _name(uri: CoapURI) -> str:
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    return f"{host}:{uri.port}"
