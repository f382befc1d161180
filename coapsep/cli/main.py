"""One command from its beginning to its exit code. What it does not need is not loaded."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from coapsep.cli.arguments import Arguments, parse
from coapsep.cli.console import Console
from coapsep.cli.exits import Exit, Failed


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line, by default that of the process; returns the exit code.

    What goes wrong is told on standard error, or as JSON. An exception is a mistake of ours.
    """
    try:
        return _command(argv)
    except KeyboardInterrupt:  # before or after the part that handles it
        return Exit.INTERRUPTED


def _command(argv: Sequence[str] | None) -> int:
    console = Console(sys.stdout, sys.stderr)
    try:
        with console.writing():  # --help is written by argparse, to the same stream
            arguments = parse(argv)
        console = Console(sys.stdout, sys.stderr, quiet=arguments.quiet)
        return _run(arguments, console)
    except Failed as failure:
        return console.conclude(failure)
    except SystemExit as exc:  # argparse has said what there is to say
        return exc.code if isinstance(exc.code, int) else Exit.SUCCESS


def _run(arguments: Arguments, console: Console) -> Exit:
    if arguments.command == "serve":
        from coapsep.cli.serve import serve

        return serve(arguments, console)
    from coapsep.cli.asking import run_command

    return run_command(arguments, console)
