"""What can be typed: the commands, their options, and the help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from coapsep.cli import values
from coapsep.cli.exits import MEANINGS
from coapsep.cli.serve_arguments import EXAMPLES, add_serve
from coapsep.collector import GcPolicy
from coapsep.message.uri import CoapURI

#: What coap-client waits for.
_TIMEOUT = 90.0
#: A pong is sent at once: this is ACK_TIMEOUT (RFC 7252 section 4.8).
_PING_TIMEOUT = 2.0

_METHODS = {
    "get": "show a resource",
    "put": "create or replace a resource",
    "post": "have a resource process a payload",
    "delete": "delete a resource",
    "fetch": "show the parts of a resource that the payload names",
    "patch": "change a resource as the payload says",
    "ipatch": "the same, for a change that may be made twice",
}
_WITH_PAYLOAD = ("put", "post", "fetch", "patch", "ipatch")

_EXAMPLES = """\
examples:
  coapsep get localhost/time
  coapsep get -v "coap://[::1]/async?3"           the messages, as they come and go
  coapsep put localhost/example_data -d hello
  coapsep post localhost/config -t cbor -f config.cbor
  coapsep get localhost/log -A json -o log.json
  coapsep get localhost/time --repeat 10 -i 0.5   and how long it took
  coapsep observe localhost/obs                   each new state, until Ctrl-C
  coapsep discover localhost rt=clock             what a server has
  coapsep discover 224.0.1.187 --interface eth0   which servers there are
  coapsep ping localhost -c 3
  coapsep serve app.py:router                     a server of your own
"""


class Arguments(argparse.Namespace):
    """What was typed, read. What a command does not have is as if it were not typed."""

    command: str
    parser: argparse.ArgumentParser
    verbose: bool
    quiet: bool

    # all that ask
    uri: CoapURI
    timeout: float
    json: bool = False
    bind: str | None

    # requests
    accept: int | None = None
    options: Sequence[tuple[int, bytes]] = ()
    confirmable: bool = True
    retry: int = 0
    repeat: int = 1
    interval: float = 1.0
    output: str | None = None
    data: str | None = None
    file: str | None = None
    content_format: int | None = None

    block_size: int | None = None

    # ping, observe
    count: int | None = None

    # discover, observe
    seconds: float | None = None

    # discover
    filters: Sequence[str] = ()
    interface: str | None = None

    # serve
    target: str
    hosts: Sequence[str] | None
    port: int
    groups: Sequence[str]
    interfaces: Sequence[str] | None
    workers: int
    stateless: bool
    gc_policy: GcPolicy
    grace: float
    log_level: str


def parse(argv: Sequence[str] | None = None) -> Arguments:
    """Read a command line; None is that of the process.

    Raises SystemExit after --help and --version, and with a line on standard error if it
    makes no sense.
    """
    arguments, rest = _parser().parse_known_args(argv, namespace=Arguments())
    # argparse takes the filters that follow the URI at once, but not those behind an option.
    options = [text for text in rest if text.startswith("-")]
    if rest and (options or arguments.command != "discover"):
        arguments.parser.error(f"unrecognized arguments: {' '.join(options or rest)}")
    try:
        arguments.filters = [*arguments.filters, *map(values.link_filter, rest)]
    except argparse.ArgumentTypeError as exc:
        arguments.parser.error(f"argument NAME=VALUE: {exc}")
    return arguments


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        from importlib.metadata import version  # 10 ms, which no other command needs

        print(f"coapsep {version('coapsep')}")
        parser.exit()


def _parser() -> _Parser:
    codes = "\n".join(f"{code:5}  {meaning}" for code, meaning in MEANINGS.items())
    parser = _Parser(
        prog="coapsep",
        description="Ask CoAP servers (RFC 7252), or be one, over UDP.",
        epilog=f"{_EXAMPLES}\nexit codes:\n{codes}\n\ncoapsep COMMAND --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, about: str, **more: str) -> _Parser:
        made: _Parser = commands.add_parser(
            name,
            help=about,
            description=more.get("description", f"{about[0].upper()}{about[1:]}."),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=more.get("epilog"),
            allow_abbrev=False,
        )
        made.set_defaults(parser=made)
        return made

    for name, about in _METHODS.items():
        _add_request(command(name, about), with_payload=name in _WITH_PAYLOAD)
    _add_observe(
        command("observe", "show a resource, and each new state of it (RFC 7641)"),
    )
    _add_ping(command("ping", "see whether a peer is there (RFC 7252 section 4.3)"))
    _add_discover(
        command(
            "discover",
            "list the resources of a server, or of a group of servers",
            description=(
                "List the resources of a server, as its /.well-known/core does (RFC 6690). "
                "A multicast\naddress, such as 224.0.1.187, asks every server that listens to it."
            ),
        )
    )
    add_serve(command("serve", "be a server", epilog=EXAMPLES))
    return parser


def _add_request(parser: _Parser, *, with_payload: bool) -> None:
    _add_uri(parser, group=False)
    if with_payload:
        payload = parser.add_argument_group("payload")
        source = payload.add_mutually_exclusive_group()
        source.add_argument("-d", "--data", metavar="TEXT", help="send this text, as UTF-8")
        source.add_argument(
            "-f", "--file", metavar="FILE", help="send what is in this file; - is standard input"
        )
        payload.add_argument(
            "-t",
            "--content-format",
            type=values.content_format,
            metavar="FORMAT",
            help="its format, by name or number: json, cbor, 60 (default: text for -d)",
        )
    request = parser.add_argument_group("request")
    _add_accept_and_options(request)
    request.add_argument(
        "--block-size",
        type=values.block_size,
        metavar="BYTES",
        help="cut what is long into blocks of 16, 32, 64 ... 1024 bytes (default: 1024)",
    )
    request.add_argument(
        "--retry",
        type=values.count_or_zero,
        default=0,
        metavar="N",
        help="ask up to N times more when the server says when to come back, or, but for "
        "POST and PATCH, when it is silent",
    )
    repeat = parser.add_argument_group("repetition")
    repeat.add_argument(
        "--repeat", type=values.count, default=1, metavar="N", help="ask N times in all"
    )
    _add_interval(repeat)
    _add_output(_add_common(parser, _TIMEOUT, "longest wait for a response"))


def _add_observe(parser: _Parser) -> None:
    _add_uri(parser, group=False)
    _add_accept_and_options(parser.add_argument_group("request"))
    end = parser.add_argument_group("end")
    end.add_argument("-c", "--count", type=values.count, metavar="N", help="stop after N states")
    end.add_argument(
        "--seconds", type=values.seconds, metavar="SECONDS", help="stop after so many seconds"
    )
    _add_output(_add_common(parser, _TIMEOUT, "longest wait for the first state"))


def _add_accept_and_options(request: argparse._ArgumentGroup) -> None:
    request.add_argument(
        "-A",
        "--accept",
        type=values.content_format,
        metavar="FORMAT",
        help="take no other format than this one: text, json, cbor, link-format, 50",
    )
    request.add_argument(
        "-O",
        "--option",
        dest="options",
        action="append",
        default=[],
        type=values.option,
        metavar="OPTION=VALUE",
        help="add an option, by name or number: etag=0x0102, if-none-match, 65001=text",
    )
    request.add_argument(
        "--non",
        dest="confirmable",
        action="store_false",
        help="send it once, as a NON, and not again if it is lost",
    )


def _add_output(output: argparse._ArgumentGroup) -> None:
    output.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="put the payload here; what the file holds is kept until a 2.xx response is "
        "there. - is standard output, and no pretty printing",
    )


def _add_ping(parser: _Parser) -> None:
    _add_uri(parser, group=False)
    repeat = parser.add_argument_group("repetition")
    repeat.add_argument("-c", "--count", type=values.count, metavar="N", help="stop after N pings")
    _add_interval(repeat)
    _add_common(parser, _PING_TIMEOUT, "longest wait for a pong")


def _add_discover(parser: _Parser) -> None:
    _add_uri(parser, group=True)
    parser.add_argument(
        "filters",
        nargs="*",
        type=values.link_filter,
        metavar="NAME=VALUE",
        help="only links with this attribute, such as rt=light* or href=/sensors/*",
    )
    group = parser.add_argument_group("groups")
    group.add_argument(
        "--seconds",
        type=values.seconds,
        metavar="SECONDS",
        help="how long to listen to a group (default: 10)",
    )
    group.add_argument("--interface", metavar="NAME", help="where the group is, such as eth0")
    _add_common(parser, _TIMEOUT, "longest wait for a response of one server")


def _add_uri(parser: _Parser, *, group: bool) -> None:
    parser.add_argument(
        "uri",
        type=values.uri if group else values.uri_of_one,
        metavar="URI",
        help='such as "coap://[::1]/sensors?id=3"; without a scheme, it is coap://',
    )


def _add_interval(repeat: argparse._ArgumentGroup) -> None:
    repeat.add_argument(
        "-i",
        "--interval",
        type=values.seconds_or_zero,
        default=1.0,
        metavar="SECONDS",
        help="from one to the next (default: 1)",
    )


def _add_common(parser: _Parser, timeout: float, about: str) -> argparse._ArgumentGroup:
    network = parser.add_argument_group("network")
    network.add_argument(
        "--timeout",
        type=values.seconds,
        default=timeout,
        metavar="SECONDS",
        help=f"{about} (default: {timeout:g})",
    )
    network.add_argument("-B", "--bind", metavar="ADDRESS", help="ask from this local address")
    output = parser.add_argument_group("output")
    output.add_argument(
        "--json", action="store_true", help="results and failures as one JSON object a line"
    )
    notes = output.add_mutually_exclusive_group()
    notes.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="draw the messages on standard error, as they come and go",
    )
    notes.add_argument(
        "-q", "--quiet", action="store_true", help="nothing but the result: the exit code tells"
    )
    return output
