"""What can be typed behind ``coapsep serve``."""

from __future__ import annotations

import argparse
from typing import get_args

from coapsep.cli import values
from coapsep.collector import GcPolicy

EXAMPLES = """\
examples:
  coapsep serve app:router                        the Router named router in app.py
  coapsep serve src/app.py:make_router            a function that makes one
  coapsep serve app:router --host ::1 --host 127.0.0.1 --port 0
  coapsep serve app:router --group ff02::fd --interface eth0
  coapsep serve app:router --workers 4 --stateless --gc-policy frozen

SIGINT and SIGTERM end it in good order, and at once when they come again. SIGUSR1 has it say
what it has counted so far.
"""


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add what can be typed behind ``coapsep serve``."""
    parser.add_argument(
        "target",
        metavar="MODULE:ROUTER",
        help="a module, or a FILE.py, and the Router in it, or a function that makes one",
    )
    network = parser.add_argument_group("network")
    network.add_argument(
        "--host",
        dest="hosts",
        action="append",
        metavar="ADDRESS",
        help="listen here; may be given several times (default: everywhere, IPv4 and IPv6)",
    )
    network.add_argument(
        "--port",
        type=values.port,
        default=5683,
        metavar="PORT",
        help="UDP port, or 0 for any that is free (default: 5683)",
    )
    network.add_argument(
        "--group",
        dest="groups",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="answer what is asked of this multicast address; may be given several times",
    )
    network.add_argument(
        "--interface",
        dest="interfaces",
        action="append",
        metavar="NAME",
        help="where the groups are, such as eth0 (default: everywhere)",
    )
    process = parser.add_argument_group("process")
    process.add_argument(
        "--workers",
        type=values.count,
        default=1,
        metavar="N",
        help="serve in N processes, each of which loads the module; Linux only (default: 1)",
    )
    process.add_argument(
        "--stateless",
        action="store_true",
        help="say that the resources need nothing from one request to the next, as with "
        "several workers each has memory of its own",
    )
    process.add_argument(
        "--gc-policy",
        choices=get_args(GcPolicy),
        default="default",
        help="how Python looks for cyclic garbage: frozen is for many pending requests "
        "(default: default)",
    )
    process.add_argument(
        "--grace",
        type=values.seconds_or_zero,
        default=10.0,
        metavar="SECONDS",
        help="how long to finish what is under way in the end; the rest is answered 5.03 "
        "(default: 10)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="warning",
        help="what to log to standard error (default: warning)",
    )
    notes = output.add_mutually_exclusive_group()
    notes.add_argument(
        "-v", "--verbose", action="store_true", help="say in the end what was counted"
    )
    notes.add_argument(
        "-q", "--quiet", action="store_true", help="do not say where it listens, nor what fails"
    )
