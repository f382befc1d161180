"""The example server as a program: its options, what it prints, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import time

import pytest

from tests.interop.processes import (
    REQUIRE,
    ExampleServer,
    example,
    find_program,
    has_ipv6,
)
from tests.interop.raw import ACK, CON, RST, Parsed, RawPeer, empty, request

SIGNALS = [signal.SIGINT, signal.SIGTERM]


# -- options -----------------------------------------------------------------------------


def test_help() -> None:
    finished = example("--help")
    assert (finished.code, finished.errors) == (0, "")
    for word in ("--host", "--port", "--log-level", "5683", "warning"):
        assert word in finished.output


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "65536"],
        ["--port=-1"],
        ["--port", "coap"],
        ["--port"],
        ["--log-level", "loud"],
        ["5683"],
    ],
)
def test_options_that_are_none(options: list[str]) -> None:
    finished = example(*options)
    assert (finished.code, finished.output) == (2, "")
    assert finished.errors.startswith("usage: server.py")
    assert re.search(r"^server\.py: error: ", finished.errors, re.MULTILINE)


def test_a_port_in_use() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        finished = example("--host", "127.0.0.1", "--port", str(port))
    text = f"cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert finished == (1, "", text)


def test_a_port_in_use_on_the_second_host() -> None:
    with ExampleServer(["127.0.0.2"]) as first:
        hosts = ["--host", "127.0.0.1", "--host", "127.0.0.2"]
        finished = example(*hosts, "--port", str(first.port))
        text = f"cannot listen on 127.0.0.2:{first.port}: Address already in use\n"
        assert finished == (1, "", text)
        with RawPeer(first.port, "127.0.0.2") as peer:  # the first one is as it was
            assert peer.ask(request("/hello", 1)).payload == b"hello"


def test_an_address_of_another_machine() -> None:
    finished = example("--host", "192.0.2.1", "--port", "0")
    assert (finished.code, finished.output) == (1, "")
    text = "cannot listen on 192.0.2.1:0: Cannot assign requested address\n"
    assert finished.errors == text


@pytest.mark.parametrize(
    "host",
    [
        "",
        "no such host",
        "999.999.999.999",
        "[::1]",
        "coap://127.0.0.1",
        # No name of the DNS may look like these, so Python does not even ask.
        "a..b",
        ".invalid",
        "a" * 64 + ".invalid",
    ],
)
def test_a_host_that_is_none(host: str) -> None:
    finished = example(f"--host={host}", "--port", "0")
    assert (finished.code, finished.output) == (1, "")
    assert finished.errors.startswith(f"no address for host {host!r}: ")
    assert finished.errors.count("\n") == 1


# -- what it prints ----------------------------------------------------------------------


def test_the_default_is_every_address() -> None:
    with ExampleServer(hosts=()) as server:
        everywhere = [f"listening on coap://0.0.0.0:{server.port}"]
        if has_ipv6():
            everywhere.append(f"listening on coap://[::]:{server.port}")
        else:
            everywhere.insert(0, "no IPv6 on this host: IPv4 only")
        assert server.output == [*everywhere, "READY"]
        assert server.end() == 0
        assert server.output == [*everywhere, "READY"]  # and not a word more
        assert server.errors == ""


def test_several_hosts_share_one_port() -> None:
    hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    if has_ipv6():
        hosts.append("::1")
    with ExampleServer(hosts) as server:
        shown = [f"[{host}]" if ":" in host else host for host in hosts]
        listening = [f"listening on coap://{host}:{server.port}" for host in shown]
        assert server.output == [*listening, "READY"]
        for host in hosts:
            with RawPeer(server.port, host) as peer:
                assert peer.ask(request("/hello", 1)).payload == b"hello"
                assert peer.ask(request("/async?0.1", 2)) == Parsed(ACK, "0.00", 2)
                answer = peer.receive()
                assert (answer.type, answer.payload) == (CON, b"done")
                peer.send(empty(ACK, answer.mid))
        # It does not listen where it was not told to.
        with RawPeer(server.port, "127.0.0.4") as nobody:
            nobody.send(empty(CON, 1))
            with pytest.raises(ConnectionRefusedError):
                nobody.receive_bytes()


def test_a_host_that_is_given_twice_or_by_its_name() -> None:
    with ExampleServer(["127.0.0.1", "127.0.0.1", "localhost"]) as server:
        assert server.listening.count(f"127.0.0.1:{server.port}") == 1
        with RawPeer(server.port) as peer:
            assert peer.ask(request("/hello", 1)).payload == b"hello"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_log_level(level: str) -> None:
    with ExampleServer(options=["--log-level", level]) as server, RawPeer(server.port) as peer:
        assert peer.ask(request("/hello", 1)).payload == b"hello"
        assert peer.ask(request("/async?0.1", 2)) == Parsed(ACK, "0.00", 2)
        peer.send(empty(RST, peer.receive().mid))  # an answer that is not delivered
        assert peer.drawn() == []
        assert server.end() == 0
        # Whatever is logged is one line of level, name and text.
        lines = server.errors.splitlines()
        assert bool(lines) == (level in ("debug", "info"))
        for line in lines:
            assert re.match(r"(DEBUG|INFO) \S+ \S", line), line


# -- how it ends -------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("paths", [[], ["/async?60", "/slow?60"]])
def test_a_signal_ends_it_at_once(number: signal.Signals, paths: list[str]) -> None:
    with ExampleServer() as server, RawPeer(server.port) as peer:
        for mid, path in enumerate(paths):
            assert peer.ask(request(path, mid, bytes((mid,)))) == Parsed(ACK, "0.00", mid)
        began = time.monotonic()
        assert server.end(number) == 0
        assert time.monotonic() - began < 2
        assert server.output[-1] == "READY"
        assert server.errors == ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_answers_are_unacknowledged(number: signal.Signals) -> None:
    with ExampleServer() as server, RawPeer(server.port) as peer:
        for mid in range(20):
            assert peer.ask(request("/async?0.3", mid, bytes((mid,)))) == Parsed(ACK, "0.00", mid)
        tokens = {peer.receive().token for _ in range(20)}
        assert tokens == {bytes((mid,)) for mid in range(20)}
        began = time.monotonic()
        assert server.end(number) == 0
        assert time.monotonic() - began < 2
        assert server.errors == ""


def test_the_port_is_free_again_at_once() -> None:
    with ExampleServer() as first, RawPeer(first.port) as peer:
        port = first.port
        assert peer.ask(request("/async?60", 1)) == Parsed(ACK, "0.00", 1)
        assert first.end() == 0
    with ExampleServer(options=["--port", str(port)]) as second, RawPeer(port) as peer:
        assert second.port == port
        # It knows nothing of what the first one was asked.
        assert peer.ask(request("/counter", 1)).payload == b"1"


def test_nothing_is_left_open() -> None:
    # Python's development mode tells of sockets and generators that nobody closed.
    with ExampleServer(hosts=(), interpreter_options=["-X", "dev"]) as server:
        with RawPeer(server.port) as peer:
            assert peer.ask(request("/hello", 1)).payload == b"hello"
            assert peer.ask(request("/slow?60", 2, b"s")) == Parsed(ACK, "0.00", 2)
            assert peer.ask(request("/async?60", 3, b"a")) == Parsed(ACK, "0.00", 3)
            assert server.end(signal.SIGINT) == 0
        assert server.errors == ""


# -- the rule about missing peers --------------------------------------------------------


def test_a_missing_peer_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-coap is not installed"):
        find_program("no-such-coap")
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match=f"no-such-coap is not installed.*{REQUIRE}"):
        find_program("no-such-coap")
