"""The command ``coapsep`` as a process: peers, signals, pipes, terminals, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.interop.processes import (
    PATIENCE,
    ROOT,
    AiocoapServer,
    ExampleServer,
    Finished,
    LibcoapServer,
    Running,
    environment,
    find_program,
    has_ipv6,
    run,
)
from tests.interop.raw import ACK, EMPTY, code, message, parse
from tests.interop.test_client_groups import GROUP, LOOPBACK, answer, member

MODULE = [sys.executable, "-m", "coapsep"]


def coapsep(*argv: str) -> Finished:
    """Run the command to its end."""
    return run([*MODULE, *argv])


def shell(script: str, *argv: str) -> Finished:
    """Run the command as ``"$@"`` in a script of the shell."""
    return run(["sh", "-c", script, "sh", *MODULE, *argv])


class Command(Running):
    """The command under way."""

    def __init__(self, *argv: str) -> None:
        super().__init__([*MODULE, *argv])

    def next_line(self) -> str:
        """The next line that it prints."""
        line = self._lines.get(timeout=PATIENCE)
        assert line is not None, "it has ended"
        self.output.append(line)
        return line


@pytest.fixture
def silent() -> Generator[socket.socket, None, None]:
    """A port that takes datagrams, and answers only what the test answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(PATIENCE)
        yield sock


def uri_of(sock: socket.socket, path: str = "/x") -> str:
    host, port = sock.getsockname()
    return f"coap://{host}:{port}{path}"


# -- peers -------------------------------------------------------------------------------


def test_the_command_and_the_module_are_one(server: ExampleServer) -> None:
    for command in ([find_program("coapsep")], MODULE):
        assert run([*command, "get", server.uri("/hello")]) == (0, "hello", "")
        finished = run([*command, "get", server.uri("/nothing")])
        assert finished == (4, "", "4.04 Not Found\n")
        assert run([*command, "--help"]).output.startswith("usage: coapsep ")


def test_ipv6(server: ExampleServer, ipv6: str) -> None:
    (told,) = map(
        json.loads, coapsep("get", server.uri("/hello", ipv6), "--json").output.splitlines()
    )
    assert (told["payload"], told["peer"]) == ("hello", f"[::1]:{server.port}")


def test_a_resource_from_nothing_to_nothing(fresh_server: ExampleServer, tmp_path: Path) -> None:
    uri = fresh_server.uri("/example_data")
    source, sink = tmp_path / "source", tmp_path / "sink"
    source.write_bytes(bytes(range(256)))
    sink.write_text("as before")
    assert coapsep("get", uri, "-o", str(sink)).code == 4
    assert sink.read_text() == "as before"
    assert coapsep("put", uri, "-f", str(source), "-t", "octet-stream") == (0, "", "")
    assert coapsep("get", uri, "-o", str(sink)) == (0, "", "")
    assert sink.read_bytes() == source.read_bytes()
    piped = shell('printf "from a pipe" | "$@"', "put", uri, "-f", "-", "-t", "text", "--json")
    assert json.loads(piped.output)["code"] == "2.04"
    assert coapsep("get", uri) == (0, "from a pipe", "")
    assert coapsep("delete", uri) == (0, "", "")
    assert coapsep("get", uri).code == 4


def test_libcoap(libcoap_server: LibcoapServer) -> None:
    finished = coapsep("get", libcoap_server.uri("/async?1"), "-v")
    assert (finished.code, finished.output) == (0, "done")
    title, lifelines, *rows = finished.errors.splitlines()
    assert re.fullmatch(rf" *client:[0-9]+ +127\.0\.0\.1:{libcoap_server.port}", title)
    assert re.fullmatch(r" *\| +\|", lifelines)
    (mid, token, separate), shown = read_ladder(rows)
    assert shown == [
        f"+> CON [MID={mid}], GET, /async?1, T={token}",
        f"<+ ACK [MID={mid}]",
        f'<+ CON [MID={separate}], 2.05 Content, T={token}, "done"',
        f"+> ACK [MID={separate}]",
    ]
    table = coapsep("discover", libcoap_server.uri(), "rt=ti*")
    assert table.code == 0
    assert [line.split()[0] for line in table.output.splitlines()] == ["path", "/time"]
    # It answers a ping a second.
    pinged = coapsep("ping", libcoap_server.uri(), "-c", "2", "-i", "1.2")
    assert (pinged.code, pinged.errors) == (0, "")
    assert "\n2 pings, 2 pongs, 0 % lost\n" in pinged.output


def read_ladder(rows: list[str]) -> tuple[tuple[str, str, str], list[str]]:
    """First and last message ID and the token of a ladder, and its rows without time and shaft."""
    shown = [re.sub(r"^ +[0-9.]+ +\|?(\+|<)-+(>|\+)\|? +", r"\1\2 ", row) for row in rows]
    text = "\n".join(shown)
    mids = re.findall(r"MID=(0x[0-9a-f]{4})", text)
    (token,) = set(re.findall(r"T=([0-9a-f]+)", text))
    return (mids[0], token, mids[-1]), shown


def test_aiocoap() -> None:
    with AiocoapServer() as server:
        assert coapsep("get", server.uri("/hello"), "--non") == (0, "hello", "")
        assert coapsep("get", server.uri("/slow")) == (0, "slow", "")
        echoed = coapsep("post", server.uri("/echo?a=1"), "-d", "body", "-t", "json")
        assert echoed == (0, "POST?a=1:body", "")
        links = coapsep("discover", server.uri(), "--json", "rt=greeting")
        (link,) = map(json.loads, links.output.splitlines())
        assert (link["href"], link["attributes"]["rt"]) == ("/hello", "greeting")
        assert coapsep("get", server.uri("/busy")).code == 5
        assert coapsep("ping", server.uri(), "-c", "1").code == 0


def test_a_group() -> None:
    with member() as asked:
        target = f"{GROUP}:{asked.getsockname()[1]}"
        options = ["--interface", LOOPBACK, "--seconds", "1.5"]
        with Command("discover", target, *options) as running:
            answer(asked, "127.0.0.1", b"</one>;rt=x")
            assert running.wait() == 0
    first, *table = running.output
    assert re.fullmatch(r"coap://127\.0\.0\.1:[0-9]+", first)
    assert table == ["  path  rt", "  /one  x"]


# -- addresses ---------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of it")
def test_nobody_at_the_port(silent: socket.socket) -> None:
    uri = uri_of(silent)
    silent.close()
    began = time.monotonic()
    finished = coapsep("get", uri)
    assert time.monotonic() - began < 5
    assert (finished.code, finished.output) == (7, "")
    assert finished.errors.endswith(": is the server running?\n")
    assert finished.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "text"),
    [
        # No name of the DNS may look like these, so Python does not even ask.
        ("a..b", "no address for host 'a..b': not a host name"),
        ("a" * 64 + ".invalid", "no address for host 'aaa"),
        ("[fe80::1%25nope]", "no address for host 'fe80::1%nope': "),
        ("[fe80::1]", "[fe80::1]:5683: fe80::1 is an address of one link: add its interface"),
        ("0.0.0.0", "0.0.0.0:5683: 0.0.0.0 stands for any address: it is no peer"),
    ],
)
def test_a_host_that_is_none(host: str, text: str) -> None:
    if "fe80" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    for command in ("get", "ping", "discover"):
        finished = coapsep(command, f"coap://{host}")
        assert (finished.code, finished.output) == (7, "")
        assert finished.errors.startswith(f"coapsep: {text}")
        assert finished.errors.count("\n") == 1


def test_a_local_address(silent: socket.socket) -> None:
    with Command("get", uri_of(silent), "-B", "127.0.0.2") as running:
        data, source = silent.recvfrom(100)
        assert source[0] == "127.0.0.2"
        asked = parse(data)
        silent.sendto(message(ACK, code("2.05"), asked.mid, asked.token, (), b"here"), source)
        assert running.wait() == 0
        assert running.output == ["here"]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["get", "127.0.0.1", "-B", "192.0.2.1"], "cannot listen on 192.0.2.1:0: "),
        (["discover", GROUP, "--interface", "nope"], "no network interface 'nope'; "),
    ],
)
def test_an_address_of_another_machine(argv: list[str], text: str) -> None:
    finished = coapsep(*argv)
    assert (finished.code, finished.output) == (7, "")
    assert finished.errors.startswith(f"coapsep: {text}")
    assert finished.errors.count("\n") == 1


# -- Ctrl-C ------------------------------------------------------------------------------


@pytest.mark.parametrize("acknowledged", [False, True])
def test_an_interrupt_while_a_request_waits(
    silent: socket.socket, tmp_path: Path, acknowledged: bool
) -> None:
    file = tmp_path / "out"
    with Command("get", uri_of(silent), "-o", str(file)) as running:
        data, source = silent.recvfrom(100)
        if acknowledged:
            silent.sendto(message(ACK, EMPTY, parse(data).mid), source)
        began = time.monotonic()
        assert running.end(signal.SIGINT) == 130
        assert time.monotonic() - began < 2
        assert (running.output, running.errors) == ([], "")
    assert not file.exists()


def test_an_interrupt_of_a_repetition_and_of_pings(server: ExampleServer) -> None:
    with Command("get", server.uri("/hello"), "--repeat", "9", "--json") as running:
        assert json.loads(running.next_line())["payload"] == "hello"
        assert running.end(signal.SIGINT) == 130
        assert json.loads(running.output[-1])["statistics"]["answered"] >= 1
        assert running.errors == ""
    with Command("ping", server.uri("")) as running:
        assert running.next_line().startswith("pong from 127.0.0.1:")
        assert running.end(signal.SIGINT) == 130
        assert running.output[-1].startswith("round trip min/avg/max = ")
        assert running.errors == ""


def test_an_interrupt_while_it_reads_its_payload() -> None:
    command = [*MODULE, "put", "127.0.0.1", "-f", "-"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=environment()
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        # More than the pipe holds: once all is written, it reads.
        process.stdin.write(bytes(200_000))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stderr.read() == b""


def test_an_interrupt_that_was_ignored_before(silent: socket.socket) -> None:
    script = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    with Running([*script, *MODULE, "get", uri_of(silent)]) as running:
        data, source = silent.recvfrom(100)
        running.process.send_signal(signal.SIGINT)
        asked = parse(data)
        silent.sendto(message(ACK, code("2.05"), asked.mid, asked.token, (), b"still"), source)
        assert running.wait() == 0
        assert running.output == ["still"]


# -- standard output ---------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_is_closed(server: ExampleServer, unbuffered: str) -> None:
    # The shell of a pipe tells the code of its last program only.
    script = f'export PYTHONUNBUFFERED={unbuffered}; {{ "$@"; echo $? >&2; }} | head -n 1'
    finished = shell(script, "ping", server.uri(""), "-i", "0.01")
    assert finished.output.count("\n") == 1
    assert finished.errors == "141\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "argv",
    [["get", "{hello}"], ["get", "{hello}", "--json"], ["get", "a..b", "--json"], ["--version"]],
)
def test_standard_output_that_is_full(
    server: ExampleServer, unbuffered: str, argv: list[str]
) -> None:
    argv = [text.format(hello=server.uri("/hello")) for text in argv]
    finished = shell(f'PYTHONUNBUFFERED={unbuffered} "$@" > /dev/full', *argv)
    assert finished == (3, "", "coapsep: standard output: No space left on device\n")


def test_no_standard_output(server: ExampleServer) -> None:
    assert shell('"$@" >&-', "get", server.uri("/hello")) == (0, "", "")
    assert shell('"$@" 2>&-', "get", server.uri("/nothing"), "-v") == (4, "", "")
    assert shell('"$@" <&-', "put", server.uri("/nothing"), "-f", "-").code == 4


def test_a_terminal(fresh_server: ExampleServer) -> None:
    uri = fresh_server.uri("/example_data")
    assert coapsep("put", uri, "-d", '{"a":[1]}', "-t", "json").code == 0
    # On a terminal, each newline gets a carriage return in front.
    assert on_a_terminal("get", uri) == (
        '{\r\n  \x1b[34m"a"\x1b[0m: [\r\n    \x1b[36m1\x1b[0m\r\n  ]\r\n}\r\n'
    )
    assert on_a_terminal("get", uri, NO_COLOR="1") == '{\r\n  "a": [\r\n    1\r\n  ]\r\n}\r\n'
    assert on_a_terminal("put", uri, "-d", "x") == "2.04 Changed\r\n"


def on_a_terminal(*argv: str, **variables: str) -> str:
    """What the command shows on a terminal, standard error included."""
    outer, inner = os.openpty()
    env = {**environment(), "TERM": "xterm", **variables}
    if not variables:
        env.pop("NO_COLOR", None)
    try:
        command = subprocess.Popen(
            [*MODULE, *argv], stdin=inner, stdout=inner, stderr=inner, cwd=ROOT, env=env
        )
        assert command.wait(PATIENCE) == 0
        return os.read(outer, 65536).decode()
    finally:
        os.close(outer)
        os.close(inner)


# -- what it costs -----------------------------------------------------------------------


def test_nothing_is_left_open(server: ExampleServer, silent: socket.socket) -> None:
    # Python's development mode tells of sockets and generators that nobody closed.
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "coapsep"]
    assert run([*command, "get", server.uri("/slow?0.2"), "-v"]).code == 0
    assert run([*command, "get", server.uri("/slow?0.2")]) == (0, "done", "")
    assert run([*command, "ping", server.uri(""), "-c", "1"]).errors == ""
    with Running([*command, "get", uri_of(silent), "--repeat", "2"]) as running:
        silent.recvfrom(100)
        assert running.end(signal.SIGINT) == 130
        assert running.errors == ""


def test_what_is_optional_is_not_imported() -> None:
    program = (
        "import sys; from coapsep.cli.main import main; main(['get', '--help']); "
        "print([name for name in ('cbor2', 'rich', 'pytest') "
        "if name in sys.modules])"
    )
    assert run([sys.executable, "-c", program]).output.splitlines()[-1] == "[]"
