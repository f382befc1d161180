"""The commands that ask for a resource: what they send, what they show, and how they end."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from coapsep import (
    Code,
    ContentFormat,
    Options,
    Request,
    Response,
    Router,
    Server,
    Type,
    open_server,
)
from coapsep.cli.exits import Failed
from coapsep.testing import Network, open_network
from tests.shell.client.responder import open_responder
from tests.shell.command import Ran, command
from tests.shell.peer import SERVER

METHODS = ("get", "put", "post", "delete", "fetch", "patch", "ipatch")
WITH_PAYLOAD = ("put", "post", "fetch", "patch", "ipatch")


@pytest.fixture
def asked(router: Router) -> list[Request]:
    """The requests to /any, which takes all methods and says "done"."""
    requests: list[Request] = []

    @router.route("/any", [Code[method.upper()] for method in METHODS])
    def any_method(request: Request) -> Response:
        requests.append(request)
        return Response(Code.CONTENT, "done")

    return requests


# -- what is asked -----------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
async def test_the_methods(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    asked: list[Request],
    method: str,
) -> None:
    ran = await command(network, method, f"coap://{SERVER}/any?a=1&b=2")
    assert ran == (0, b"done", "")
    (request,) = asked
    assert request.method is Code[method.upper()]
    assert request.query == ("a=1", "b=2")
    assert (request.payload, request.confirmable) == (b"", True)


@pytest.mark.parametrize("uri", [SERVER, f"{SERVER}:5683/", f"COAP://{SERVER}"])
async def test_the_scheme_may_be_left_out(
    autojump_clock: MockClock, network: Network, server: Server, router: Router, uri: str
) -> None:
    router.get("/")(lambda request: "the root")
    assert await command(network, "get", uri) == (0, b"the root", "")


async def test_ipv6(autojump_clock: MockClock, network: Network, router: Router) -> None:
    router.get("/hello")(lambda request: "hello")
    async with open_server(router, transport=network.bind("fd00::1")):
        ran = await command(network, "get", "[FD00:0::1]/hello", "--json", host="fd00::2")
    assert ran.code == 0
    assert (ran.objects[0]["peer"], ran.objects[0]["payload"]) == ("[fd00::1]:5683", "hello")


@pytest.mark.parametrize("method", WITH_PAYLOAD)
async def test_a_text(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    asked: list[Request],
    method: str,
) -> None:
    await command(
        network, method, f"{SERVER}/any", "-d", "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n"
    )
    (request,) = asked
    assert request.payload == b"gr\xc3\xbcn"
    assert request.content_format == ContentFormat.TEXT


async def test_a_file(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    asked: list[Request],
    tmp_path: Path,
) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"\x00\xff\r\n")
    await command(network, "post", f"{SERVER}/any", "-f", str(file))
    await command(network, "post", f"{SERVER}/any", "-f", str(file), "-t", "42")
    assert [request.payload for request in asked] == [b"\x00\xff\r\n"] * 2
    assert [request.content_format for request in asked] == [None, ContentFormat.OCTET_STREAM]


@pytest.fixture
def standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    file = tmp_path / "stdin"
    file.write_bytes(b"from\x00a pipe")
    with open(file) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield


async def test_standard_input(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    asked: list[Request],
    standard_input: None,
) -> None:
    await command(network, "put", f"{SERVER}/any", "-f", "-", "-t", "cbor")
    (request,) = asked
    assert (request.payload, request.content_format) == (b"from\x00a pipe", ContentFormat.CBOR)


async def test_formats_and_options(
    autojump_clock: MockClock, network: Network, server: Server, asked: list[Request]
) -> None:
    await command(
        network,
        *("put", f"{SERVER}/any", "-d", "{}", "-t", "json", "-A", "CBOR"),
        *("-O", "etag=0x0102", "--option", "ETag=abc", "-O", "max-age=0x10"),
        *("-O", "65000=text", "-O", "65000=0x", "-O", "2000=0xC0ffee"),
    )
    (request,) = asked
    assert request.content_format == ContentFormat.JSON
    assert request.options.accept == ContentFormat.CBOR
    assert request.options.etags == (b"\x01\x02", b"abc")
    assert request.options.max_age == 16
    assert request.options.values(65000) == (b"text", b"")
    assert request.options.values(2000) == (b"\xc0\xff\xee",)


async def test_an_option_without_value(autojump_clock: MockClock, network: Network) -> None:
    async with open_responder(network) as responder, trio.open_nursery() as nursery:

        async def answer() -> None:
            request = await responder.expect_request(code=Code.PUT)
            assert request.options.if_none_match
            responder.answer(request, code=Code.CREATED)

        nursery.start_soon(answer)
        ran = await command(network, "put", f"{SERVER}/x", "-O", "if-none-match", "-d", "x")
    assert ran == (0, b"", "")


async def test_a_non_is_sent_once(
    autojump_clock: MockClock, network: Network, server: Server, asked: list[Request]
) -> None:
    assert (await command(network, "get", f"{SERVER}/any", "--non")).code == 0
    assert not asked[0].confirmable
    network.partition(SERVER)
    sent = len(network.trace)
    ran = await command(network, "get", f"{SERVER}/any", "--non", "--timeout", "300")
    assert ran.code == 6
    assert len(network.trace) == sent + 1


async def test_a_payload_that_is_long_goes_in_blocks(
    autojump_clock: MockClock, network: Network, server: Server, router: Router, tmp_path: Path
) -> None:
    router.put("/long")(lambda request: str(len(request.payload)))
    file = tmp_path / "body"
    file.write_bytes(bytes(70_000))
    ran = await command(network, "put", f"{SERVER}/long", "-f", str(file), "--block-size", "512")
    assert ran == (0, b"70000", "")
    assert len(network.trace) == 2 * -(-70_000 // 512)


# -- classes of failure --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "code", "errors"),
    [
        (Response(Code.NOT_FOUND, "no such sensor"), 4, "4.04 Not Found: no such sensor"),
        (Response(Code.BAD_REQUEST), 4, "4.00 Bad Request"),
        (Response(Code.FORBIDDEN, "FORBIDDEN"), 4, "4.03 Forbidden"),
        (Response(Code.INTERNAL_SERVER_ERROR, "a\n\x1b[2Jb"), 5, "5.00 Internal Server Error: "),
        (
            Response(Code.BAD_REQUEST, b"\xa1\x20\x61x", content_format=257),
            4,
            '4.00 Bad Request: {-1: "x"}',
        ),
        (
            Response(Code.BAD_GATEWAY, b"\x00" * 9, content_format=42),
            5,
            "5.02 Bad Gateway: (9 bytes)",
        ),
        (
            Response(Code.SERVICE_UNAVAILABLE, "busy", max_age=5),
            5,
            "5.03 Service Unavailable: busy (ask again after 5 s)",
        ),
        (Response(Code(0x80 | 31), b"\xff"), 4, "4.31: (1 byte)"),
        (Response(Code(0x60)), 9, "3.00"),
    ],
)
async def test_a_code_that_is_no_success(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    router: Router,
    response: Response,
    code: int,
    errors: str,
) -> None:
    router.get("/x")(lambda request: response)
    ran = await command(network, "get", f"{SERVER}/x")
    assert (ran.code, ran.data) == (code, b"")
    assert ran.errors.startswith(errors)
    assert ran.errors.count("\n") == 1
    assert "\x1b" not in ran.errors
    assert await command(network, "get", f"{SERVER}/x", "-q") == (code, b"", "")


async def test_no_response_in_time(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    @router.get("/never")
    async def never(request: Request) -> str:
        await trio.sleep_forever()
        raise AssertionError

    began = trio.current_time()
    ran = await command(network, "get", f"{SERVER}/never", "--timeout", "2.5")
    assert trio.current_time() - began == pytest.approx(2.5)
    assert ran == (
        6,
        b"",
        f"coapsep: coap://{SERVER}/never: no response in 2.5 s: "
        "is the server running? --timeout waits longer\n",
    )
    began = trio.current_time()
    assert (await command(network, "get", f"{SERVER}/never")).code == 6
    assert trio.current_time() - began == pytest.approx(90)


async def test_no_acknowledgement(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "get", f"{SERVER}/x", "--timeout", "1000")
    assert (ran.code, ran.data) == (6, b"")
    assert ran.errors == (
        f"coapsep: {SERVER}:5683: no acknowledgement came: "
        "is the address right, and the server running?\n"
    )
    assert len(network.trace) == 5


async def test_nobody_at_the_port(autojump_clock: MockClock) -> None:
    async with open_network(icmp=True) as network:
        network.add_host(SERVER)
        ran = await command(network, "get", f"{SERVER}/x")
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith(f"coapsep: {SERVER}:5683: ")
    assert ran.errors.endswith(": is the server running?\n")
    assert ran.errors.count("\n") == 1


async def test_no_way(autojump_clock: MockClock, network: Network) -> None:
    ran = await command(network, "get", "[fd00::1]/x")
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith("coapsep: [fd00::1]:5683: ")
    assert "is the server running" not in ran.errors


async def test_a_reset(autojump_clock: MockClock, network: Network) -> None:
    async with open_responder(network) as responder, trio.open_nursery() as nursery:

        async def reset() -> None:
            responder.reset(await responder.expect_request())

        nursery.start_soon(reset)
        ran = await command(network, "get", f"{SERVER}/x")
    assert ran == (
        8,
        b"",
        f"coapsep: {SERVER}:5683: the peer answered with RST: "
        "it takes no such message; -v shows it\n",
    )


@pytest.mark.parametrize(("number", "name"), [(9, "OSCORE"), (65001, "Option 65001")])
async def test_a_response_that_is_not_understood(
    autojump_clock: MockClock, network: Network, number: int, name: str
) -> None:
    async with open_responder(network) as responder, trio.open_nursery() as nursery:

        async def answer() -> None:
            options = Options([(number, b"\x0a")])
            responder.answer(await responder.expect_request(), b"part", options=options)

        nursery.start_soon(answer)
        ran = await command(network, "get", f"{SERVER}/x")
    assert ran == (
        9,
        b"",
        f"coapsep: {SERVER}:5683: the response has critical options that are not understood: "
        f"{name}: this version cannot use it; -v shows it\n",
    )


async def test_no_transport(autojump_clock: MockClock, network: Network) -> None:
    network.bind("10.0.0.2")
    ran = await command(network, "get", f"{SERVER}/x")
    assert (ran.code, ran.data) == (7, b"")
    assert ran.errors.startswith("coapsep: ")
    assert ran.errors.count("\n") == 1


# -- again -------------------------------------------------------------------------------


async def test_retry_waits_as_the_server_wants(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    answers = [
        Response(Code.SERVICE_UNAVAILABLE, max_age=7),
        Response(Code.SERVICE_UNAVAILABLE, max_age=7),
        Response(Code.CONTENT, "now"),
    ]
    router.post("/busy")(lambda request: answers.pop(0))
    began = trio.current_time()
    assert await command(network, "post", f"{SERVER}/busy", "--retry", "2") == (0, b"now", "")
    assert trio.current_time() - began == pytest.approx(14.06)


async def test_retry_is_for_so_many_times_and_in_time(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.get("/busy")(lambda request: Response(Code.SERVICE_UNAVAILABLE, max_age=7))
    began = trio.current_time()
    assert (await command(network, "get", f"{SERVER}/busy", "--retry", "1")).code == 5
    assert trio.current_time() - began == pytest.approx(7.04)
    ran = await command(network, "get", f"{SERVER}/busy", "--retry", "9", "--timeout", "20")
    assert ran.code == 6
    assert trio.current_time() - began == pytest.approx(27.04)


async def test_repetition(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    waits = [0.0, 0.04, 0.01]

    @router.get("/x")
    async def x(request: Request) -> str:
        await trio.sleep(waits.pop(0))
        return "x"

    began = trio.current_time()
    ran = await command(network, "get", f"{SERVER}/x", "--repeat", "3", "-i", "0.5")
    assert trio.current_time() - began == pytest.approx(1.03)
    assert ran == (
        0,
        b"xxx",
        f"--- coap://{SERVER}/x ---\n"
        "3 requests, 3 responses, 0 % lost\n"
        "round trip min/avg/max = 20.000/36.667/60.000 ms\n",
    )


async def test_repetition_goes_on_after_a_failure_and_tells_the_first(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    answers = [Response(Code.CONTENT, "a"), Response(Code.BAD_GATEWAY), Response(Code.NOT_FOUND)]
    router.get("/x")(lambda request: answers.pop(0))
    network.drop(source=SERVER, nth=2)
    uri = f"{SERVER}/x"
    ran = await command(network, "get", uri, "--repeat", "3", "--timeout", "0.5", "--non")
    assert (ran.code, ran.data) == (6, b"a")
    assert ran.errors.splitlines()[1:] == [
        "4.04 Not Found",
        f"--- coap://{SERVER}/x ---",
        "3 requests, 2 responses, 33.3 % lost",
        "round trip min/avg/max = 20.000/20.000/20.000 ms",
    ]


async def test_repetition_without_any_response(autojump_clock: MockClock, network: Network) -> None:
    uri = f"{SERVER}/x"
    ran = await command(network, "get", uri, "--repeat", "2", "--timeout", "0.5", "-q")
    assert ran == (6, b"", "")
    ran = await command(network, "get", uri, "--repeat", "2", "--timeout", "0.5")
    assert ran.errors.splitlines()[2:] == [
        f"--- coap://{SERVER}/x ---",
        "2 requests, 0 responses, 100 % lost",
    ]


async def test_statistics_survive_cancellation(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.get("/x")(lambda request: "x")
    ran: list[Ran] = []
    with trio.move_on_after(2.5):
        ran.append(await command(network, "get", f"{SERVER}/x", "--repeat", "9"))
    assert ran == []
    # Nothing of it is left: the address is free, and nothing more is sent.
    sent = len(network.trace)
    network.bind("10.0.0.2").close()
    await trio.sleep(300)
    assert len(network.trace) == sent


# -- files -------------------------------------------------------------------------------


async def test_a_response_into_a_file(
    autojump_clock: MockClock, network: Network, server: Server, router: Router, tmp_path: Path
) -> None:
    router.get("/x")(lambda request: Response(Code.CONTENT, b"\x00new\n"))
    file = tmp_path / "out"
    for before in (None, b"", b"something that is longer"):
        if before is not None:
            file.write_bytes(before)
        for terminal in (False, True):
            ran = await command(network, "get", f"{SERVER}/x", "-o", str(file), terminal=terminal)
            assert ran == (0, b"", "")
            assert file.read_bytes() == b"\x00new\n"


@pytest.mark.parametrize("before", [None, b"kept"])
async def test_a_request_that_fails_leaves_the_file_alone(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    tmp_path: Path,
    before: bytes | None,
) -> None:
    file = tmp_path / "out"
    if before is not None:
        file.write_bytes(before)
    ran = await command(network, "get", f"{SERVER}/nothing", "-o", str(file))
    assert ran.code == 4
    network.partition(SERVER)
    assert (await command(network, "get", f"{SERVER}/x", "-o", str(file))).code == 6
    assert (file.read_bytes() if file.exists() else None) == before


async def test_the_file_has_the_last_of_many(
    autojump_clock: MockClock, network: Network, server: Server, router: Router, tmp_path: Path
) -> None:
    answers = [Response(Code.CONTENT, "first"), Response(Code.CONTENT, "2nd"), Response(Code.VALID)]
    router.get("/x")(lambda request: answers.pop(0))
    file = tmp_path / "out"
    uri = f"{SERVER}/x"
    assert (await command(network, "get", uri, "-o", str(file), "--repeat", "2")).code == 0
    assert file.read_bytes() == b"2nd"
    assert (await command(network, "get", uri, "-o", str(file))).code == 0
    assert file.read_bytes() == b""


async def test_a_file_that_cannot_be_had_asks_nothing(
    autojump_clock: MockClock, network: Network, server: Server, tmp_path: Path
) -> None:
    missing = tmp_path / "missing" / "out"
    for options in (["-o", str(missing)], ["-o", str(tmp_path)], ["-f", str(missing)]):
        with pytest.raises(Failed) as caught:
            await command(network, "put", f"{SERVER}/x", *options)
        assert caught.value.exit_code == 3
        assert str(caught.value).startswith("cannot ")
    with pytest.raises(Failed, match="has more than 67108864 bytes") as caught:
        await command(network, "put", f"{SERVER}/x", "-f", "/dev/zero")
    assert caught.value.exit_code == 2
    assert len(network.trace) == 0


async def test_a_file_that_is_full(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.get("/x")(lambda request: "x")
    ran = await command(network, "get", f"{SERVER}/x", "-o", "/dev/full")
    assert ran == (3, b"", "coapsep: cannot write /dev/full: No space left on device\n")


# -- JSON --------------------------------------------------------------------------------


async def test_json_of_a_response(
    autojump_clock: MockClock, network: Network, server: Server, router: Router, tmp_path: Path
) -> None:
    options = Options([(65000, b"\x01"), (65000, b"\x02")])
    router.get("/x")(
        lambda request: Response(
            Code.CREATED,
            "\N{SNOWMAN}\n",
            max_age=3,
            etag=b"\xab",
            location=["a", "b c"],
            options=options,
        )
    )
    file = tmp_path / "out"
    ran = await command(network, "get", f"{SERVER}/x", "--json", "-o", str(file))
    assert (ran.code, ran.errors) == (0, "")
    assert ran.objects == [
        {
            "code": "2.01",
            "name": "Created",
            "options": {
                "ETag": ["0xab"],
                "Location-Path": ["a", "b c"],
                "Content-Format": 0,
                "Max-Age": 3,
                "Option 65000": ["0x01", "0x02"],
            },
            "payload": "\N{SNOWMAN}\n",
            "encoding": "text",
            "peer": f"{SERVER}:5683",
            "seconds": 0.02,
        }
    ]
    assert file.read_text() == "\N{SNOWMAN}\n"


@pytest.mark.parametrize(
    ("payload", "content_format", "encoding"),
    [
        (b"", None, "text"),
        (b"text", None, "text"),
        (b"te\x00t", None, "base64"),
        (b"\xff", 0, "base64"),
        (b"\x00", 0, "text"),
        (b"{}", 50, "text"),
        (b"{}", 65000, "text"),
        (b"{}", 60, "base64"),
        (b"{}", 42, "base64"),
    ],
)
async def test_json_of_a_payload(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    router: Router,
    payload: bytes,
    content_format: int | None,
    encoding: str,
) -> None:
    response = Response(Code.CONTENT, payload, content_format=content_format)
    router.get("/x")(lambda request: response)
    (told,) = (await command(network, "get", f"{SERVER}/x", "--json")).objects
    assert told["encoding"] == encoding
    shown = told["payload"]
    assert (base64.b64decode(shown) if encoding == "base64" else shown.encode()) == payload


async def test_json_of_failures_and_statistics(
    autojump_clock: MockClock, network: Network, server: Server
) -> None:
    network.drop(source=SERVER, nth=1)
    ran = await command(
        network, "get", f"{SERVER}/x", "--json", "--repeat", "2", "--timeout", "0.5", "-q"
    )
    assert (ran.code, ran.errors) == (6, "")
    failure, response, statistics = ran.objects
    assert failure == {
        "error": "timed-out",
        "message": f"coap://{SERVER}/x: no response in 0.5 s: "
        "is the server running? --timeout waits longer",
        "seconds": 0.5,
    }
    assert (response["code"], response["name"]) == ("4.04", "Not Found")
    assert statistics == {
        "statistics": {"asked": 2, "answered": 1, "min": 0.02, "avg": 0.02, "max": 0.02}
    }


async def test_json_of_no_transport(autojump_clock: MockClock, network: Network) -> None:
    network.bind("10.0.0.2")
    ran = await command(network, "get", f"{SERVER}/x", "--json")
    assert (ran.code, ran.errors) == (7, "")
    assert ran.objects[0]["error"] == "unreachable"


# -- on a terminal -----------------------------------------------------------------------


async def test_a_payload_on_a_terminal(
    autojump_clock: MockClock,
    network: Network,
    server: Server,
    router: Router,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    payload = b'{"a": [1, true]}'
    router.get("/x")(lambda request: Response(Code.CONTENT, payload, content_format=50))
    uri = f"{SERVER}/x"
    coloured = await command(network, "get", uri, terminal=True)
    assert coloured.output == (
        '{\n  \x1b[34m"a"\x1b[0m: [\n    \x1b[36m1\x1b[0m,\n    \x1b[35mtrue\x1b[0m\n  ]\n}\n'
    )
    plain = '{\n  "a": [\n    1,\n    true\n  ]\n}\n'
    monkeypatch.setenv("TERM", "dumb")
    assert (await command(network, "get", uri, terminal=True)).output == plain
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert (await command(network, "get", uri, terminal=True)).output == plain
    assert (await command(network, "get", uri, "-o", "-", terminal=True)).data == payload
    assert (await command(network, "get", uri)).data == payload


async def test_a_hostile_payload_does_not_steer_the_terminal(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.get("/x")(lambda request: "\x1b]0;title\x07\N{RIGHT-TO-LEFT OVERRIDE}\n\rx\x9b2J")
    ran = await command(network, "get", f"{SERVER}/x", terminal=True)
    assert ran.output == "\\u001b]0;title\\u0007\\u202e\n\\rx\\u009b2J\n"


async def test_a_response_without_payload_on_a_terminal(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    router.post("/x")(
        lambda request: Response(Code.CREATED, location=["a", "b c"], location_query=["d=1"])
    )
    router.put("/x")(lambda request: Code.CHANGED)
    ran = await command(network, "post", f"{SERVER}/x", terminal=True)
    assert ran == (0, b"", "2.01 Created: /a/b%20c?d=1\n")
    assert await command(network, "put", f"{SERVER}/x", terminal=True) == (0, b"", "2.04 Changed\n")
    assert await command(network, "put", f"{SERVER}/x", "-q", terminal=True) == (0, b"", "")
    assert await command(network, "put", f"{SERVER}/x") == (0, b"", "")


# -- the ladder --------------------------------------------------------------------------


async def test_verbose_draws_the_messages(
    autojump_clock: MockClock, network: Network, server: Server, router: Router
) -> None:
    @router.get("/slow")
    async def slow(request: Request) -> str:
        await trio.sleep(5)
        return "done"

    network.drop(source=SERVER, kind=Type.ACK, nth=1)
    ran = await command(network, "get", f"coap://{SERVER}/slow", "-v")
    assert (ran.code, ran.output) == (0, "done")
    assert ran.errors == LADDER


LADDER = """\
       client:5683   10.0.0.1:5683
            |              |
    0.000   +------------->|   CON [MID=0xc209], GET, /slow, T=629f6fbed82c07cd
    2.890   +------------->|   CON [MID=0xc209], GET, /slow, T=629f6fbed82c07cd
    2.910   |<-------------+   ACK [MID=0xc209]
    5.020   |<-------------+   CON [MID=0x2265], 2.05 Content, T=629f6fbed82c07cd, Content-Format=0,
            |              |     "done"
    5.020   +------------->|   ACK [MID=0x2265]
"""
