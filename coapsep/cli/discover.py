"""The command discover: what one server has, or all servers of a group (RFC 6690)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from coapsep.cli.arguments import Arguments
from coapsep.cli.attempt import attempt
from coapsep.cli.exits import Exit, Failed, exit_code_of, failure_of
from coapsep.cli.report import Report
from coapsep.cli.summary import summary_of
from coapsep.cli.values import is_group
from coapsep.client.client import Client
from coapsep.client.response import ClientResponse
from coapsep.errors import CoapError
from coapsep.message.linkformat import Link, matches
from coapsep.message.uri import CoapURI
from coapsep.numbers import ContentFormat

_PATH = (".well-known", "core")
#: Twice the time over which servers spread their answers (RFC 7252 section 8.2).
_SECONDS = 10.0


async def discover(client: Client, arguments: Arguments, report: Report) -> Exit:
    """List links. Raises Failed if there are none to list."""
    uri = _server(arguments.uri)
    if is_group(uri):
        return await _discover_group(client, uri, arguments, report)
    if arguments.seconds is not None or arguments.interface is not None:
        raise Failed(
            Exit.USAGE, f"--seconds and --interface are for groups, and {uri.host} is none"
        )
    with attempt(arguments):
        response = await client.get(
            uri, _PATH, query=arguments.filters, accept=ContentFormat.LINK_FORMAT
        )
    report.links(_links(response, arguments.filters), None)
    return Exit.SUCCESS


async def _discover_group(
    client: Client, uri: CoapURI, arguments: Arguments, report: Report
) -> Exit:
    seconds = _SECONDS if arguments.seconds is None else arguments.seconds
    answers = 0
    try:
        async with client.multicast(
            uri, _PATH, seconds=seconds, query=arguments.filters, accept=ContentFormat.LINK_FORMAT
        ) as responses:
            async for response in responses:
                try:
                    links = _links(response, arguments.filters)
                except Failed as failure:  # the others may do better
                    report.failure(failure)
                else:
                    answers += 1
                    report.links(links, response.peer)
    except CoapError as exc:
        raise failure_of(exc) from exc
    if not answers:
        raise Failed(
            Exit.TIMED_OUT,
            f"{uri.host}: no server has listed its resources in {seconds:g} s: "
            "is it the right --interface?",
        )
    return Exit.SUCCESS


def _links(response: ClientResponse, filters: Sequence[str]) -> list[Link]:
    """Those that match: a server need not filter. Raises Failed if it is no list."""
    if not response.is_success:
        raise Failed(exit_code_of(response.code), f"{response.peer}: {summary_of(response)}")
    try:
        links = response.links()
    except ValueError as exc:
        raise Failed(
            Exit.BAD_RESPONSE, f"{response.peer} does not list its resources: {exc}"
        ) from exc
    return [link for link in links if matches(link, filters)]


def _server(uri: CoapURI) -> CoapURI:
    """A URI without the path that all servers have for this."""
    if uri.path not in ((), _PATH):
        raise Failed(Exit.USAGE, f"{uri}: discovery has a path of its own: leave this one out")
    return attrs.evolve(uri, path=())
