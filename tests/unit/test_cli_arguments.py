"""What can be typed, and what is said of what cannot."""

from __future__ import annotations

import pytest

from coapsep import (
    BadResponse,
    ContentFormat,
    OptionNumber,
    PeerUnreachable,
    RequestTimedOut,
    ResetByPeer,
    __version__,
    parse_uri,
)
from coapsep.cli.arguments import parse
from coapsep.cli.exits import MEANINGS, Exit, failure_of
from coapsep.cli.formats import NAMES, Kind, kind_of, name_of
from coapsep.cli.main import main
from coapsep.cli.values import option
from coapsep.errors import MessageIdsExhausted
from coapsep.message.definitions import DEFINITIONS, Format, option_name


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("coap://host/a", "coap://host/a"),
        ("host/a?b=c", "coap://host/a?b=c"),
        ("host:1234", "coap://host:1234/"),
        ("[::1]:5683/x", "coap://[::1]/x"),
        ("[fe80::1%25eth0]", "coap://[fe80::1%25eth0]/"),
        ("127.0.0.1/x?u=http://y", "coap://127.0.0.1/x?u=http://y"),
        ("COAP://Host", "coap://host/"),
    ],
)
def test_uris(text: str, uri: str) -> None:
    assert parse(["get", text]).uri == parse_uri(uri)


def test_defaults() -> None:
    arguments = parse(["get", "host"])
    assert (arguments.timeout, arguments.repeat, arguments.interval) == (90, 1, 1)
    assert arguments.confirmable
    assert not (arguments.json or arguments.verbose or arguments.quiet)
    assert (arguments.retry, arguments.options) == (0, [])
    assert (arguments.accept, arguments.output, arguments.bind) == (None, None, None)
    assert (arguments.data, arguments.file, arguments.content_format) == (None, None, None)
    arguments = parse(["ping", "host"])
    assert (arguments.timeout, arguments.count, arguments.interval) == (2, None, 1)
    arguments = parse(["discover", "host"])
    assert (arguments.filters, arguments.seconds, arguments.interface) == ([], None, None)


def test_options_may_stand_anywhere() -> None:
    for argv in (
        ["discover", "--json", "host", "rt=x", "ct=0"],
        ["discover", "host", "--json", "rt=x", "ct=0"],
        ["discover", "host", "rt=x", "--json", "ct=0"],
        ["discover", "host", "rt=x", "ct=0", "--json"],
    ):
        arguments = parse(argv)
        assert arguments.json
        assert arguments.uri == parse_uri("coap://host")
        assert arguments.filters == ["rt=x", "ct=0"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("text", 0),
        ("link-format", 40),
        ("LINK_FORMAT", 40),
        ("Senml-Cbor", 112),
        ("0", 0),
        ("65535", 65535),
        ("060", 60),
    ],
)
def test_content_formats(text: str, number: int) -> None:
    arguments = parse(["put", "host", "-t", text, "-A", text])
    assert (arguments.content_format, arguments.accept) == (number, number)


def test_every_content_format_has_a_name_and_a_kind() -> None:
    for number in ContentFormat:
        assert NAMES[name_of(number)] is number
        assert kind_of(number) is not Kind.UNKNOWN
    assert name_of(65000) == "65000"
    assert kind_of(65000) is kind_of(None) is Kind.UNKNOWN


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("if-match=", (1, b"")),
        ("If-Match=0xabCD", (1, b"\xab\xcd")),
        ("etag=0", (4, b"0")),
        ("IF_NONE_MATCH", (5, b"")),
        ("5", (5, b"")),
        ("max-age=0", (14, b"")),
        ("14=0x0100", (14, b"\x01\x00")),
        ("uri-path=a=b", (11, b"a=b")),
        ("uri-host=0x00", (3, b"0x00")),
        ("oscore=0x", (9, b"")),
        ("65535=\N{SNOWMAN}", (65535, b"\xe2\x98\x83")),
    ],
)
def test_options(text: str, pair: tuple[int, bytes]) -> None:
    assert option(text) == pair
    assert parse(["get", "host", "-O", text, "-O", "99=0x00"]).options == [pair, (99, b"\x00")]


def test_every_option_can_be_named() -> None:
    for number in OptionNumber:
        kind = DEFINITIONS[number].format
        value = "" if kind is Format.EMPTY else "=0x01" if kind is Format.OPAQUE else "=1"
        assert option(f"{option_name(number)}{value}")[0] == number


USAGE = [
    ([], "coapsep: the following arguments are required: COMMAND"),
    (["fetsh", "host"], "coapsep: argument COMMAND: invalid choice: 'fetsh'"),
    (["get"], "coapsep get: the following arguments are required: URI"),
    (["get", "host", "--time", "5"], "coapsep get: unrecognized arguments: --time"),
    (["get", "host", "-d", "x"], "coapsep get: unrecognized arguments: -d"),
    (["put", "host", "-d", "x", "-f", "y"], "coapsep put: argument -f/--file: not allowed with"),
    (["get", "host", "-v", "-q"], "coapsep get: argument -q/--quiet: not allowed with"),
    # URIs
    (["get", ""], "coapsep get: argument URI: the host is empty"),
    (
        ["get", "coaps://host"],
        "coapsep get: argument URI: coaps:// is not supported: there is only",
    ),
    (["get", "coap+tcp://host"], "coapsep get: argument URI: coap+tcp:// is not supported"),
    (["get", "http://host"], "coapsep get: argument URI: http:// is not supported"),
    (["get", "::1"], "coapsep get: argument URI: an IPv6 address stands in brackets"),
    (["get", "[::g]"], "coapsep get: argument URI: '::g' is not an IPv6 address"),
    (["get", "[fe80::1%eth0]"], "coapsep get: argument URI: the zone of [fe80::1%eth0] begins"),
    (["get", "host:0"], "coapsep get: argument URI: the port must be from 1 to 65535"),
    (["get", "host/a b"], "coapsep get: argument URI: the path has ' ', which a URI must write"),
    (["get", "host#x"], "coapsep get: argument URI: a CoAP URI has no fragment"),
    (["get", "224.0.1.187/x"], "coapsep get: argument URI: 224.0.1.187 is a group of peers"),
    (["ping", "[ff02::fd%25lo]"], "coapsep ping: argument URI: ff02::fd%lo is a group of peers"),
    # formats and options
    (["get", "host", "-A", "jason"], "coapsep get: argument -A/--accept: 'jason' is no content"),
    (["get", "host", "-A", "65536"], "coapsep get: argument -A/--accept: '65536' is no content"),
    (["get", "host", "-O", "etga=1"], "coapsep get: argument -O/--option: 'etga' is no option"),
    (["get", "host", "-O", "65536=1"], "coapsep get: argument -O/--option: '65536' is no option"),
    (["get", "host", "-O", "etag"], "coapsep get: argument -O/--option: ETag takes a value"),
    (["get", "host", "-O", "5=1"], "coapsep get: argument -O/--option: If-None-Match takes no"),
    (["get", "host", "-O", "etag=0x123"], "coapsep get: argument -O/--option: after 0x stand"),
    (["get", "host", "-O", "etag="], "coapsep get: argument -O/--option: ETag must be 1 to 8"),
    (["get", "host", "-O", "max-age=1s"], "coapsep get: argument -O/--option: the value is a"),
    (["get", "host", "-O", "max-age=4294967296"], "coapsep get: argument -O/--option: Max-Age"),
    (["get", "host", "-O", "uri-path=.."], "coapsep get: argument -O/--option: Uri-Path must"),
    (["get", "host", "-O", "uri-path=\udcff"], "coapsep get: argument -O/--option: Uri-Path must"),
    # numbers
    (["get", "host", "--timeout", "0"], "coapsep get: argument --timeout: it is a positive"),
    (["get", "host", "--timeout", "nan"], "coapsep get: argument --timeout: it is a positive"),
    (["get", "host", "--timeout", "1_0"], "coapsep get: argument --timeout: it is a positive"),
    (["get", "host", "--timeout", "9" * 400], "coapsep get: argument --timeout: it is a posit"),
    (["get", "host", "--interval", "x"], "coapsep get: argument -i/--interval: it is zero or"),
    (["get", "host", "--repeat", "0"], "coapsep get: argument --repeat: it is a whole number of"),
    (["get", "host", "--retry", "1.5"], "coapsep get: argument --retry: it is a whole number,"),
    (["ping", "host", "-c", "0"], "coapsep ping: argument -c/--count: it is a whole number of"),
    # filters
    (["discover", "host", "rt"], "coapsep discover: argument NAME=VALUE: a filter is NAME=VALUE"),
    (["discover", "host", "--json", "rt"], "coapsep discover: argument NAME=VALUE: a filter is"),
    (["discover", "host", "a=b", "--jsn", "c=d"], "coapsep discover: unrecognized arguments: --j"),
    (["ping", "host", "other"], "coapsep ping: unrecognized arguments: other"),
    (["discover", "host", "=x"], "coapsep discover: argument NAME=VALUE: a filter is NAME=VALUE"),
    (["discover", "host", "rt=" + "x" * 253], "coapsep discover: argument NAME=VALUE: Uri-Query"),
]


@pytest.mark.parametrize(("argv", "text"), USAGE)
def test_usage_errors_are_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], text: str
) -> None:
    assert main(argv) == Exit.USAGE
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(text)
    assert told.err.count("\n") == 1
    assert " --help)" in told.err


def test_each_failure_of_the_client_has_its_exit_code() -> None:
    codes = {
        RequestTimedOut: Exit.TIMED_OUT,
        PeerUnreachable: Exit.UNREACHABLE,
        ResetByPeer: Exit.RESET,
        BadResponse: Exit.BAD_RESPONSE,
        MessageIdsExhausted: Exit.UNEXPECTED,
        ValueError: Exit.USAGE,
    }
    for kind, exit_code in codes.items():
        failure = failure_of(kind("\x1b\n"))
        assert failure.exit_code is exit_code
        assert str(failure).startswith(r"\u001b\n")
        assert str(failure).isprintable()


def test_help_says_what_the_exit_codes_mean(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{code:5}  {meaning}\n" in told.out


@pytest.mark.parametrize("command", ["get", "put", "post", "delete", "ping", "discover"])
def test_each_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "-h"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"usage: coapsep {command} ")
    assert ("--data" in told.out) == (command in ("put", "post"))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"coapsep {__version__}\n", "")
