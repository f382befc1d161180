"""The command ``coapsep serve`` as a process: what it serves, what it says, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.processes import PATIENCE, ROOT, Finished, Running, run
from tests.interop.raw import ACK, CON, NON, Parsed, RawPeer, empty, request

SERVE = [sys.executable, "-m", "coapsep", "serve"]
SERVED = "tests.interop.served"
LOCAL = ["--host", "127.0.0.1", "--port", "0"]


class Serving(Running):
    """The command under way: ``coapsep serve`` with these arguments, once it listens."""

    def __init__(self, *argv: str, before: tuple[str, ...] = ()) -> None:
        super().__init__([*before, *SERVE, *argv])
        line = self._lines.get(timeout=PATIENCE)
        if line is None:
            self.process.wait(PATIENCE)
            errors = self.errors
            self.close()
            raise AssertionError(f"it ended: {errors!r}")
        #: What it says when it listens.
        self.line: str = line
        self.output.append(line)
        self.port = int(re.findall(r":([0-9]+)", line)[-1])

    def wait_for_errors(self, pattern: str) -> str:
        """Wait until this is on standard error; returns all of it."""
        end = time.monotonic() + PATIENCE
        while not re.search(pattern, self.errors):
            assert time.monotonic() < end, f"no {pattern!r} in {self.errors!r}"
            time.sleep(0.01)
        return self.errors


@contextmanager
def serving(*argv: str) -> Generator[tuple[Serving, RawPeer], None, None]:
    """The command, and somebody who asks it."""
    with Serving(*argv, *LOCAL) as running, RawPeer(running.port) as peer:
        yield running, peer


def refused(*argv: str) -> Finished:
    """What the command says when it does not even begin."""
    finished = run([*SERVE, *argv])
    assert finished.output == ""
    assert finished.errors.startswith("coapsep")
    assert finished.errors.count("\n") == 1
    return finished


# -- what is served ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        f"{SERVED}:router",
        f"{SERVED}:make_router",
        f"{SERVED}:Site.router",
        "tests/interop/served.py:router",
        str(ROOT / "tests/interop/served.py") + ":make_router",
    ],
)
def test_a_router_is_served(target: str) -> None:
    with serving(target) as (running, peer):
        assert running.line == f"listening on coap://127.0.0.1:{running.port}"
        assert peer.ask(request("/pid", 1)).payload == str(running.process.pid).encode()
        assert running.end() == 0
        assert (running.output, running.errors) == ([running.line], "")


def test_several_addresses_and_the_example() -> None:
    hosts = ["--host", "127.0.0.2", "--host", "127.0.0.1", "--port", "0"]
    with Serving("examples/server.py:router", *hosts) as running:
        port = running.port
        assert running.line == f"listening on coap://127.0.0.2:{port}, coap://127.0.0.1:{port}"
        for host in ("127.0.0.1", "127.0.0.2"):
            with RawPeer(port, host) as peer:
                assert peer.ask(request("/hello", 1)).payload == b"hello"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loopback has another name")
def test_a_group_is_joined() -> None:
    with serving(f"{SERVED}:router", "--group", "224.0.1.187", "--interface", "lo") as (_, peer):
        assert peer.ask(request("/pid", 1)).code == "2.05"


@pytest.mark.parametrize(
    ("policy", "told"),
    [("default", b"(700, 10, 10) False"), ("frozen", b"(5000, 5, 100000) True")],
)
def test_a_gc_policy(policy: str, told: bytes) -> None:
    with serving(f"{SERVED}:router", "--gc-policy", policy) as (_, peer):
        payload = peer.ask(request("/gc", 1)).payload
    if policy == "frozen" or sys.version_info < (3, 12):
        assert payload == told
    else:
        assert b"50000" not in payload  # what is the default changes


@pytest.mark.parametrize("workers", [[], ["--workers", "1"], ["--workers", "2", "--stateless"]])
def test_the_log(tmp_path: Path, workers: list[str]) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        f"import sys; sys.path.append({str(ROOT)!r})\n"
        f"from {SERVED} import fail, router\n"
        "router.get('/fail')(lambda request: fail())\n"
    )
    with serving(f"{app}:router", *workers) as (running, peer):
        assert peer.ask(request("/fail", 1)).code == "5.00"
        assert running.wait_for_errors("not today\n").startswith("ERROR coapsep.")
    app.write_text(
        "import logging; logging.basicConfig(format='mine: %(name)s')\n" + app.read_text()
    )
    with serving(f"{app}:router", *workers) as (running, peer):
        assert peer.ask(request("/fail", 1)).code == "5.00"
        assert running.wait_for_errors("not today\n").startswith("mine: coapsep.")


# -- what is not -------------------------------------------------------------------------


def test_help() -> None:
    finished = run([*SERVE, "--help"])
    assert (finished.code, finished.errors) == (0, "")
    for word in ("MODULE:ROUTER", "--workers", "--stateless", "--gc-policy", "examples:"):
        assert word in finished.output


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("served", "'served' names no router: it is MODULE:ROUTER or FILE:ROUTER, "),
        (":router", "':router' names no router"),
        ("served:", "'served:' names no router"),
        ("no.such:router", "no module 'no' is installed, or in "),
        ("tests.no_such:router", "no module 'tests.no_such' is installed, or in "),
        ("a b:router", "'a b' is no name of a module, nor of a file, which ends with .py"),
        ("no/such.py:router", "there is no file "),
        (f"{SERVED}:nope", f"{SERVED} has no 'nope'"),
        (f"{SERVED}:router.nope", f"{SERVED} has no 'router.nope'"),
        (f"{SERVED}:NO_ROUTER", f"NO_ROUTER of {SERVED} is no Router, but 5"),
    ],
)
def test_a_target_that_is_none(target: str, text: str) -> None:
    finished = refused(target, *LOCAL)
    assert finished.code == 2
    assert finished.errors.startswith(f"coapsep: {text}")


@pytest.mark.parametrize("workers", [[], ["--workers", "2", "--stateless"]])
def test_a_module_that_fails_says_where(tmp_path: Path, workers: list[str]) -> None:
    app = tmp_path / "app_that_fails.py"
    app.write_text("1 / 0\n")
    for target, text in [
        (f"{app}:router", "app_that_fails.py failed as it was imported: ZeroDivisionError"),
        (f"{SERVED}:fail", f"fail() of {SERVED} failed: RuntimeError('not today')"),
    ]:
        finished = run([*SERVE, target, *LOCAL, *workers])
        assert (finished.code, finished.output) == (2, "")
        assert finished.errors.count("Traceback") == 1
        assert finished.errors.splitlines()[-1].startswith(f"coapsep: {text}")


def test_modules_beside_a_file_and_names_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("from coapsep import Router\nrouter = Router()\n")
    (tmp_path / "app.py").write_text("from beside import router\n")
    (tmp_path / "json.py").write_text("from beside import router\n")
    with Serving(f"{tmp_path / 'app.py'}:router", *LOCAL) as running:
        assert running.end() == 0
    finished = refused(f"{tmp_path / 'json.py'}:router", *LOCAL)
    assert (finished.code, finished.errors) == (
        2,
        "coapsep: json.py has the name of a module that is in use: call it otherwise\n",
    )


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--workers", "2"], 2, "coapsep: each worker has memory of its own: "),
        (["--workers", "2", "--stateless", "--group", "224.0.1.187"], 2, "coapsep: each worker "),
        (["--workers", "0"], 2, "coapsep serve: argument --workers: "),
        (["--port", "65536"], 2, "coapsep serve: argument --port: a port is a number from 0 "),
        (["--port", "coap"], 2, "coapsep serve: argument --port: "),
        (["--grace", "-1"], 2, "coapsep serve: argument --grace: "),
        (["--gc-policy", "never"], 2, "coapsep serve: argument --gc-policy: "),
        (["--group", "10.0.0.1"], 2, "coapsep: "),
        (["--interface", "lo"], 2, "coapsep: interfaces are for groups"),
        (["--host", "a..b"], 7, "coapsep: no address for host 'a..b': not a host name"),
        (["--host", "192.0.2.1"], 7, "coapsep: cannot listen on 192.0.2.1:"),
    ],
)
def test_options_that_are_none(options: list[str], code: int, text: str) -> None:
    finished = refused(f"{SERVED}:router", *options)
    assert finished.code == code
    assert finished.errors.startswith(text)


@pytest.mark.parametrize("workers", [[], ["--workers", "2", "--stateless"]])
def test_a_port_in_use(workers: list[str]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        finished = refused(f"{SERVED}:router", "--host", "127.0.0.1", "--port", str(port), *workers)
    text = f"coapsep: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert (finished.code, finished.errors) == (7, text)
    quiet = run([*SERVE, f"{SERVED}:nope", "-q"])
    assert quiet == (2, "", "")


# -- how it ends -------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_under_way_is_finished(number: signal.Signals) -> None:
    with serving(f"{SERVED}:router") as (running, peer):
        assert peer.ask(request("/later?0.5", 1)) == Parsed(ACK, "0.00", 1)
        running.process.send_signal(number)
        answer = peer.receive()
        assert (answer.type, answer.code) == (CON, "2.05")
        peer.send(empty(ACK, answer.mid))
        assert running.wait() == 0
        assert running.errors == ""


def test_what_is_new_meanwhile_is_refused() -> None:
    with serving(f"{SERVED}:router") as (running, peer):
        assert peer.ask(request("/later?60", 1, b"a")) == Parsed(ACK, "0.00", 1)
        running.process.send_signal(signal.SIGTERM)
        mid = 2
        while peer.ask(request("/pid", mid)).code == "2.05":  # it has not heard it yet
            mid += 1
        assert peer.ask(request("/pid", mid + 1)).code == "5.03"
        assert running.process.poll() is None


@pytest.mark.parametrize("workers", [[], ["--workers", "2", "--stateless"]])
@pytest.mark.parametrize("again", [False, True])
def test_grace_ends_by_itself_or_by_a_second_signal(workers: list[str], again: bool) -> None:
    grace = "600" if again else "0.2"
    with serving(f"{SERVED}:router", "--grace", grace, *workers) as (running, peer):
        assert peer.ask(request("/later?600", 1, b"a")) == Parsed(ACK, "0.00", 1)
        running.process.send_signal(signal.SIGTERM)
        if again:
            mid = 2
            while peer.ask(request("/pid", mid)).code == "2.05":
                mid += 1
            running.process.send_signal(signal.SIGINT)
        answer = peer.receive()
        assert (answer.type, answer.code, answer.token) == (NON, "5.03", b"a")
        assert running.wait() == 0
        assert running.errors == ""


def test_an_interrupt_that_was_ignored_before() -> None:
    script = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with Serving(f"{SERVED}:router", *LOCAL, before=script) as running:
        running.process.send_signal(signal.SIGINT)
        with RawPeer(running.port) as peer:
            assert peer.ask(request("/pid", 1)).code == "2.05"
        assert running.end() == 0


# -- what it says ------------------------------------------------------------------------


def test_statistics_at_the_end_and_in_between() -> None:
    with serving(f"{SERVED}:router", "-v") as (running, peer):
        for mid in range(3):
            assert peer.ask(request("/pid", mid)).code == "2.05"
        running.process.send_signal(signal.SIGUSR1)
        running.wait_for_errors(r"\nrequests +3\n")
        assert peer.ask(request("/pid", 9)).code == "2.05"
        assert running.end() == 0
        first, second = running.errors.split("--- statistics ---\n")[1:]
        assert re.search(r"^piggybacked +3$", first, re.MULTILINE)
        assert re.search(r"^piggybacked +4$", second, re.MULTILINE)
        assert not re.search(r" 0$", first, re.MULTILINE)


def test_nothing_is_left_open() -> None:
    # Python's development mode tells of sockets and generators that nobody closed.
    development = ("env", "PYTHONDEVMODE=1", "PYTHONWARNINGS=error")
    for workers in ([], ["--workers", "2", "--stateless"]):
        argv = [f"{SERVED}:router", *LOCAL, *workers]
        with Serving(*argv, before=development) as running:
            with RawPeer(running.port) as peer:
                assert peer.ask(request("/pid", 1)).code == "2.05"
            assert running.end() == 0
            assert running.errors == ""
