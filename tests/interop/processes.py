"""Real programs for the tests: servers that run beside them, and clients that are asked.

Every wait has an end. What a program prints is kept whole, so that a failure shows it.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

import pytest

#: The checkout: the examples lie beside the tests.
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "server.py"

#: Longest wait for anything that a test expects to happen, seconds.
PATIENCE = 15.0
#: Set to 1 where a missing peer must not go unnoticed.
REQUIRE = "COAPSEP_REQUIRE_INTEROP"


# -- programs that may be missing --------------------------------------------------------


def find_program(*names: str) -> str:
    """The path of the first of these programs that is here; else skip, or fail, the test."""
    for name in names:
        beside = Path(sys.executable).parent / name
        found = str(beside) if beside.is_file() else shutil.which(name)
        if found is not None:
            return found
    reason = f"{' or '.join(names)} is not installed"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{reason}, and {REQUIRE} is 1")
    pytest.skip(reason)


def has_ipv6() -> bool:
    """Whether ::1 can be bound on this machine."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def free_port(host: str = "127.0.0.1") -> int:
    """A UDP port that was free a moment ago."""
    with socket.socket(_family(host), socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def environment() -> dict[str, str]:
    """What programs are started with: the system's messages in English."""
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": ""}


# -- a program that runs beside the test -------------------------------------------------

_R = TypeVar("_R", bound="Running")


class Running:
    """A program that was started, with what it prints."""

    def __init__(self, command: Sequence[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - close() closes it
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        #: What it has printed to standard output and the test has looked at.
        self.output: list[str] = []
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            env=environment(),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self._lines.put(line.decode().rstrip("\n"))
        self._lines.put(None)

    @property
    def errors(self) -> str:
        """What it has written to standard error so far."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode()

    def wait_for_line(self, wanted: str, seconds: float = PATIENCE) -> None:
        """Read standard output up to this line."""
        end = time.monotonic() + seconds
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {wanted!r} in {seconds} s: {self._told()}") from None
            assert line is not None, f"it ended without {wanted!r}: {self._told()}"
            self.output.append(line)
            if line == wanted:
                return

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait until it ends by itself; returns its exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self._told()}") from None
        self._reader.join()
        while (line := self._lines.get()) is not None:
            self.output.append(line)
        self._lines.put(None)
        return code

    def end(self, number: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.wait(seconds)

    def close(self) -> None:
        """Whatever happened: it runs no more, and nothing of it is left open."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join()
        self._errors.close()

    def _told(self) -> str:
        return f"output {self.output}, errors {self.errors!r}"

    def __enter__(self: _R) -> _R:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class ExampleServer(Running):
    """examples/server.py on a free port, or a program with the same options.

    Leaving its block ends it and looks at how.
    """

    def __init__(
        self,
        hosts: Iterable[str] = ("127.0.0.1",),
        options: Sequence[str] = (),
        interpreter_options: Sequence[str] = (),
        program: Path = EXAMPLE,
    ) -> None:
        command = [sys.executable, *interpreter_options, str(program), "--port", "0", *options]
        for host in hosts:
            command += ["--host", host]
        super().__init__(command)
        try:
            self.wait_for_line("READY")
        except BaseException:
            self.close()
            raise

    @property
    def listening(self) -> list[str]:
        """The addresses it says it listens on, such as ``[::1]:5683``."""
        found = [re.fullmatch(r"listening on coap://(\S+)", line) for line in self.output]
        return [match[1] for match in found if match is not None]

    @property
    def port(self) -> int:
        """The one port of all its addresses."""
        (port,) = {int(address.rpartition(":")[2]) for address in self.listening}
        return port

    def uri(self, path: str, host: str = "127.0.0.1") -> str:
        """The URI of a resource; ``path`` may have a query."""
        return f"coap://{host}:{self.port}{path}"

    def assert_quiet(self) -> None:
        """It runs, and no exception and no warning was logged."""
        assert self.process.poll() is None, f"it has ended: {self._told()}"
        assert self.errors == ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if exc is None and self.process.poll() is None:
                code = self.end(signal.SIGTERM)
                assert (code, self.errors) == (0, "")
        finally:
            self.close()


class LibcoapServer(Running):
    """libcoap's example server, or another one of its programs, once it answers."""

    def __init__(
        self, *options: str, host: str = "127.0.0.1", name: str = "coap-server-notls"
    ) -> None:
        self._host = host
        self.port = free_port(host)
        program = find_program(name)
        super().__init__([program, "-A", host, "-p", str(self.port), "-v", "3", *options])
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def _wait_until_it_answers(self) -> None:
        # It says nothing when it is ready. A ping that comes too early draws an ICMP error.
        end = time.monotonic() + PATIENCE
        with socket.socket(_family(self._host), socket.SOCK_DGRAM) as sock:
            sock.connect((self._host, self.port))
            sock.settimeout(0.2)
            while time.monotonic() < end:
                assert self.process.poll() is None, f"it has ended: {self._told()}"
                try:
                    sock.send(b"\x40\x00\x12\x34")
                    if sock.recv(64) == b"\x70\x00\x12\x34":
                        return
                except TimeoutError:
                    pass
                except ConnectionRefusedError:
                    time.sleep(0.01)
        raise AssertionError(f"it answers no ping: {self._told()}")

    def uri(self, path: str = "") -> str:
        """The URI of a resource; ``path`` may have a query."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"coap://{host}:{self.port}{path}"


class AiocoapServer(Running):
    """aiocoap's server with the resources of aiocoap_server.py."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.port = free_port(host)
        program = Path(__file__).with_name("aiocoap_server.py")
        super().__init__([sys.executable, str(program), host, str(self.port)])
        self._uri = f"coap://[{host}]" if ":" in host else f"coap://{host}"
        try:
            self.wait_for_line("READY")
        except BaseException:
            self.close()
            raise

    def uri(self, path: str = "") -> str:
        """The URI of a resource; ``path`` may have a query."""
        return f"{self._uri}:{self.port}{path}"


# -- a program that runs to its end ------------------------------------------------------


class Finished(NamedTuple):
    """What a program has left."""

    code: int
    output: str
    errors: str


def run(command: Sequence[str], seconds: float = PATIENCE) -> Finished:
    """Run a program to its end, which must come in time."""
    return Started(command, seconds).finish()


class Started:
    """A client under way; several may run at once. ``finish`` waits for it."""

    def __init__(self, command: Sequence[str], seconds: float = PATIENCE) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
        )

    def finish(self) -> Finished:
        """Wait for its end."""
        try:
            output, errors = self._process.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            output, errors = self._process.communicate()
            raise AssertionError(
                f"no end after {self._seconds} s: {self._process.args!r}\n"
                f"{output.decode(errors='replace')}\n{errors.decode(errors='replace')}"
            ) from None
        return Finished(
            self._process.returncode,
            output.decode(errors="replace"),
            errors.decode(errors="replace"),
        )


# -- coap-client -------------------------------------------------------------------------


class Seen(NamedTuple):
    """One message, as coap-client's log tells it. Options and payload are its text."""

    direction: str
    """"sent", "received", or "dropped": one of those that -l lets it lose."""
    type: str
    code: str
    mid: int
    token: str
    options: str
    payload: str


class Dialogue(NamedTuple):
    """All messages of one run of coap-client, in their order."""

    messages: list[Seen]
    finished: Finished

    def of(self, direction: str) -> list[Seen]:
        """The messages of one direction."""
        return [message for message in self.messages if message.direction == direction]

    @property
    def received(self) -> list[Seen]:
        """What came from the server."""
        return self.of("received")

    @property
    def request(self) -> Seen:
        """The first message, sent or dropped."""
        return self.messages[0]

    @property
    def answer(self) -> Seen:
        """The one response; there must not be a second one."""
        answers = [message for message in self.received if message.code != "0.00"]
        assert len(answers) == 1, self
        return answers[0]

    @property
    def shape(self) -> list[tuple[str, str, str]]:
        """Direction, type and code of every message."""
        return [(m.direction, m.type, m.code) for m in self.messages]


# "netif: recv" is how later versions than 4.3.1 put it.
_TRAFFIC = re.compile(r"UDP : (?:netif: )?(sent|recv|received) +\d+ bytes$")
_DROPPED = re.compile(r"Packet \d+ dropped$")
_MESSAGE = re.compile(
    r"v:1 t:(?P<type>CON|NON|ACK|RST) c:(?P<code>\S+) i:(?P<mid>[0-9a-f]{4}) "
    r"\{(?P<token>[0-9a-f]*)\} \[ (?P<options>.*?) ?\](?: :: (?:'(?P<text>.*)'|(?P<binary>.+)))?$"
)


def read_log(text: str) -> list[Seen]:
    """The messages in the log that coap-client writes with -v 7."""
    seen: list[Seen] = []
    direction = None
    dropped = False
    for line in text.splitlines():
        if _DROPPED.search(line):
            dropped = True
        elif traffic := _TRAFFIC.search(line):
            direction = "received" if traffic[1].startswith("rec") else "sent"
            if direction == "sent" and dropped:
                direction, dropped = "dropped", False
        elif direction is not None and (message := _MESSAGE.match(line)):
            seen.append(
                Seen(
                    direction,
                    message["type"],
                    message["code"],
                    int(message["mid"], 16),
                    message["token"],
                    message["options"],
                    message["text"] or message["binary"] or "",
                )
            )
            direction = None
    return seen


class StartedDialogue:
    """A coap-client under way."""

    def __init__(self, command: Sequence[str]) -> None:
        self._started = Started(command)

    def finish(self) -> Dialogue:
        """Wait for its end and read its log."""
        finished = self._started.finish()
        messages = read_log(finished.output)
        assert messages, f"coap-client showed no message: {finished}"
        return Dialogue(messages, finished)


class CoapClient:
    """libcoap's command line client."""

    def __init__(self, program: str) -> None:
        self._program = program

    def start(
        self, uri: str, *options: str, method: str = "get", give_up: int = 12
    ) -> StartedDialogue:
        """Ask, and do not wait; it gives up after so many seconds."""
        return StartedDialogue(self._command(uri, "-v", "7", *options, m=method, B=give_up))

    def ask(self, uri: str, *options: str, method: str = "get", give_up: int = 12) -> Dialogue:
        """Ask, and wait for the end."""
        return self.start(uri, *options, method=method, give_up=give_up).finish()

    def start_plain(self, uri: str, *options: str, method: str = "get") -> Started:
        """Ask without its log, for what it shows its user, and do not wait."""
        return Started(self._command(uri, *options, m=method, B=12))

    def plain(self, uri: str, *options: str, method: str = "get") -> Finished:
        """Ask without its log, and wait for the end."""
        return self.start_plain(uri, *options, method=method).finish()

    def _command(self, uri: str, *options: str, **more: str | int) -> list[str]:
        command = [self._program]
        for letter, value in more.items():
            command += [f"-{letter}", f"{value}"]
        return [*command, *options, uri]


# -- what the tests of the command line need ----------------------------------------------


def example(*options: str) -> Finished:
    """Run examples/server.py with options for which it ends by itself."""
    return run([sys.executable, str(EXAMPLE), *options])
