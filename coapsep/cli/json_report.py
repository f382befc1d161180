"""What a command tells, for programs: a JSON object a line, on standard output."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import TypeAlias

from coapsep.address import Address
from coapsep.cli.exits import Failed
from coapsep.cli.payloads import is_text
from coapsep.cli.report import Report
from coapsep.cli.tally import Tally
from coapsep.client.response import ClientResponse
from coapsep.message.definitions import DEFINITIONS, Format, option_name
from coapsep.message.linkformat import Link
from coapsep.message.options import Options

Value: TypeAlias = str | int | bool


class JsonReport(Report):
    """For programs. Failures are objects that have an ``error``."""

    def response(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        text = is_text(response.payload, response.content_format)
        self._write(
            code=response.code.dotted,
            name=str(response.code).partition(" ")[2],
            options=_options(response.options),
            payload=(response.payload if text else base64.b64encode(response.payload)).decode(),
            encoding="text" if text else "base64",
            peer=str(response.peer),
            seconds=_round(seconds),
        )

    def state(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        self.response(response, seconds, saved=saved)

    def failure(self, failure: Failed, seconds: float | None = None) -> None:
        more = {} if seconds is None else {"seconds": _round(seconds)}
        self._write(error=failure.exit_code.word, message=str(failure), **more)

    def links(self, links: Sequence[Link], peer: Address | None) -> None:
        for link in links:
            about: dict[str, object] = {} if peer is None else {"peer": str(peer)}
            self._write(**about, href=link.target, attributes=_attributes(link))

    def pong(self, number: int, peer: str, seconds: float) -> None:
        self._write(seq=number, peer=peer, seconds=_round(seconds))

    def no_pong(self, number: int, failure: Failed) -> None:
        self._write(seq=number, error=failure.exit_code.word, message=str(failure))

    def statistics(self, name: str, tally: Tally, *, of_pings: bool) -> None:
        times: dict[str, object] = {}
        if tally.answered:
            times = {
                "min": _round(tally.shortest),
                "avg": _round(tally.average),
                "max": _round(tally.longest),
            }
        self._write(statistics={"asked": tally.asked, "answered": tally.answered, **times})

    def _write(self, **members: object) -> None:
        self.console.print(json.dumps(members))


def _round(seconds: float) -> float:
    return round(seconds, 6)


def _options(options: Options) -> dict[str, Value | list[Value]]:
    """By name. One that may repeat is a list, and so is one that is not known."""
    members: dict[str, Value | list[Value]] = {}
    for number in dict.fromkeys(number for number, _ in options):
        definition = DEFINITIONS.get(number)
        kind = Format.OPAQUE if definition is None else definition.format
        values = [_option(kind, value) for value in options.values(number)]
        several = definition is None or definition.repeatable
        members[option_name(number)] = values if several else values[0]
    return members


def _option(kind: Format, value: bytes) -> Value:
    if kind is Format.UINT:
        return int.from_bytes(value, "big")
    return value.decode() if kind is Format.STRING else f"0x{value.hex()}"


def _attributes(link: Link) -> dict[str, Value | list[Value]]:
    """As in RFC 6690's attributes: a name that is there twice has a list."""
    members: dict[str, Value | list[Value]] = {}
    for name in dict.fromkeys(name for name, _ in link.attributes):
        values: list[Value] = [
            True if value is None else value for known, value in link.attributes if known == name
        ]
        members[name] = values if len(values) > 1 else values[0]
    return members
