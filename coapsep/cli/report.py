"""What a command tells: the interface, and how it is told to people."""

from __future__ import annotations

import abc
from collections.abc import Sequence

from coapsep.address import Address
from coapsep.cli.console import Console
from coapsep.cli.exits import Exit, Failed, OutputLost
from coapsep.cli.payloads import for_terminal
from coapsep.cli.summary import summary_of
from coapsep.cli.table import table_of
from coapsep.cli.tally import Tally
from coapsep.client.response import ClientResponse
from coapsep.message.linkformat import Link
from coapsep.message.options import EMPTY
from coapsep.message.uri import CoapURI


class Report(abc.ABC):
    """Tells what happens, as it happens. Times are seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def conclude(self, failure: Failed) -> Exit:
        """Tell why a command ends, as far as there is anybody to tell; returns its exit code."""
        if not isinstance(failure, OutputLost):
            try:
                self.failure(failure)
                return failure.exit_code
            except OutputLost as lost:
                failure = lost
        return self.console.conclude(failure)

    @abc.abstractmethod
    def response(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        """A response came; ``saved`` says that its payload is in a file."""

    @abc.abstractmethod
    def state(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        """A resource that is observed has this state; others may follow."""

    @abc.abstractmethod
    def failure(self, failure: Failed, seconds: float | None = None) -> None:
        """There is no response, or no command."""

    @abc.abstractmethod
    def links(self, links: Sequence[Link], peer: Address | None) -> None:
        """The links of the server that was asked, or of this one of a group."""

    @abc.abstractmethod
    def pong(self, number: int, peer: str, seconds: float) -> None:
        """A peer answered ping number so and so."""

    @abc.abstractmethod
    def no_pong(self, number: int, failure: Failed) -> None:
        """It did not."""

    @abc.abstractmethod
    def statistics(self, name: str, tally: Tally, *, of_pings: bool) -> None:
        """All are done."""


class TextReport(Report):
    """For people. Payloads go to standard output as they are, unless that is a terminal."""

    def __init__(self, console: Console, *, raw: bool = False) -> None:
        super().__init__(console)
        self._pretty = console.is_terminal and not raw

    def response(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        if not response.is_success:
            self.console.note(summary_of(response))
        elif not response.payload:
            if self.console.is_terminal:
                self.console.note(summary_of(response))
        elif saved:
            pass
        elif self._pretty:
            self.console.print(
                for_terminal(
                    response.payload, response.content_format, colours=self.console.has_colours
                )
            )
        else:
            self.console.write(response.payload)

    def state(self, response: ClientResponse, seconds: float, *, saved: bool) -> None:
        self.response(response, seconds, saved=saved)
        # One state a line, for whoever reads them from a pipe.
        if response.payload and not (saved or self._pretty or response.payload.endswith(b"\n")):
            self.console.write(b"\n")

    def failure(self, failure: Failed, seconds: float | None = None) -> None:
        self.console.note(f"coapsep: {failure}")

    def links(self, links: Sequence[Link], peer: Address | None) -> None:
        if peer is not None:
            uri = CoapURI.from_options(EMPTY, peer)
            self.console.print(str(uri).removesuffix("/"))
        if not links:
            self.console.note("coapsep: there is no such resource")
            return
        indent = "" if peer is None else "  "
        self.console.print("\n".join(indent + line for line in table_of(links)))

    def pong(self, number: int, peer: str, seconds: float) -> None:
        if not self.console.quiet:
            self.console.print(f"pong from {peer}: seq={number} time={_ms(seconds)} ms")

    def no_pong(self, number: int, failure: Failed) -> None:
        if not self.console.quiet:
            self.console.print(f"no pong: seq={number} {failure}")

    def statistics(self, name: str, tally: Tally, *, of_pings: bool) -> None:
        asked = _count(tally.asked, "ping" if of_pings else "request")
        came = _count(tally.answered, "pong" if of_pings else "response")
        lines = [f"--- {name} ---", f"{asked}, {came}, {100 * tally.lost:.3g} % lost"]
        if tally.answered:
            times = "/".join(map(_ms, (tally.shortest, tally.average, tally.longest)))
            lines.append(f"round trip min/avg/max = {times} ms")
        if of_pings:
            self.console.print("\n".join(lines))
        else:
            self.console.note("\n".join(lines))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3f}"
