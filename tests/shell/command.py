"""The command line on the virtual network: as a process runs it, but for sockets and clock."""

from __future__ import annotations

import io
import json
import random
from typing import Any, NamedTuple

from coapsep import Transport
from coapsep.cli.arguments import Arguments, parse
from coapsep.cli.asking import make_report, run
from coapsep.cli.console import Console
from coapsep.cli.files import open_files
from coapsep.testing import Network
from tests.shell.client.responder import CLIENT


class Stream(io.TextIOWrapper):
    """Standard output or error, which may say that it is a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        self._kept = io.BytesIO()
        self._terminal = terminal
        super().__init__(self._kept, encoding="utf-8")

    def isatty(self) -> bool:
        return self._terminal

    def kept(self) -> bytes:
        return self._kept.getvalue()


class Ran(NamedTuple):
    """What a command has left."""

    code: int
    data: bytes
    """What went to standard output."""
    errors: str

    @property
    def output(self) -> str:
        return self.data.decode()

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What went to standard output, read as --json writes it."""
        return [json.loads(line) for line in self.output.splitlines()]


async def command(network: Network, *argv: str, terminal: bool = False, host: str = CLIENT) -> Ran:
    """Run a command on this host of the network, to its end."""
    stdout, stderr = Stream(terminal=terminal), Stream(terminal=False)
    arguments = parse(argv)
    report = make_report(arguments, Console(stdout, stderr, quiet=arguments.quiet))

    async def open_transport(arguments: Arguments) -> Transport:
        return network.bind(host)

    # Another command is another process: it has message IDs and tokens of its own.
    rng = random.Random(len(network.trace))
    with open_files(arguments) as files:
        code = await run(arguments, files, report, open_transport=open_transport, rng=rng)
    return Ran(code, stdout.kept(), stderr.kept().decode())
