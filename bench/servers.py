# SPDX-License-Identifier: MIT
"""The servers that are compared: how each is made ready, started, checked and stopped."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import installing
from installing import Unavailable as Unavailable
from machine import pin

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
HOST = "127.0.0.1"  # nothing here ever sends anywhere else

PATIENCE = 10.0  # seconds a server may take to answer for the first time
LIBCOAP = ("libcoap-3-notls", "libcoap-3", "libcoap-3-openssl", "libcoap-3-gnutls")


@dataclass(frozen=True)
class Prepared:
    """A server that is ready to be started: its command, to which the port is appended."""

    command: Sequence[str]
    versions: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


#: Makes a server ready: given a scratch directory, and that of the peers that were installed.
Prepare = Callable[[Path, Path], Prepared]


@dataclass
class Running:
    """A started server; the note it leaves is known once it has been stopped."""

    process: subprocess.Popen[str]
    port: int
    log: Path
    note: dict[str, Any] = field(default_factory=dict)

    def last_words(self) -> str:
        """The last line it wrote to stderr: with Python, the exception."""
        lines = self.log.read_text(errors="replace").strip(" |+-\n").splitlines()
        return lines[-1].strip(" |") if lines else "no reason given"


def compile_c(source: Path, build: Path, flags: Sequence[str] = ()) -> Path:
    """Compile one C file into the build directory."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Unavailable("no C compiler (gcc or cc) found")
    target = build / source.stem
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(target), str(source), *flags]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise Unavailable(f"{source.name} does not compile: {_first_error(result.stderr)}")
    return target


def python_server(script: str, *arguments: str) -> Prepared:
    """A server in Python from ``peers/``; the arguments follow the port."""
    return Prepared([sys.executable, str(PEERS / script), "{port}", *arguments])


def node_server(cache: Path, *arguments: str) -> Prepared:
    """The server on node-coap; the arguments follow the port."""
    command = ["node", str(PEERS / "node_server.js"), "{port}", *arguments]
    return Prepared(command, environment={"NODE_PATH": str(installing.node_coap(cache))})


def coapthon_server(cache: Path) -> Prepared:
    """The server on CoAPthon3."""
    return replace(
        python_server("coapthon_server.py"),
        environment={"PYTHONPATH": str(installing.coapthon(cache))},
    )


def c_server(source: str, build: Path) -> Prepared:
    """A server in C from ``peers/`` that needs no library."""
    return Prepared([str(compile_c(PEERS / source, build)), "{port}"])


def libcoap_server(source: str, build: Path) -> Prepared:
    """A server in C from ``peers/``, with the first libcoap that pkg-config knows."""
    if shutil.which("pkg-config") is None:
        raise Unavailable("pkg-config, which finds libcoap, is not installed")
    for package in LIBCOAP:
        version = _pkg_config("--modversion", package)
        if version is not None:
            flags = (_pkg_config("--cflags", "--libs", package) or "").split()
            program = compile_c(PEERS / source, build, flags)
            return Prepared([str(program), "{port}"], {"libcoap": f"{version} ({package})"})
    raise Unavailable("libcoap 3 is not installed (Debian: apt install libcoap3-dev pkg-config)")


def _pkg_config(*arguments: str) -> str | None:
    result = subprocess.run(["pkg-config", *arguments], capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else None


def _python(script: str, *arguments: str) -> Prepare:
    return lambda build, cache: python_server(script, *arguments)


KINDS: dict[str, Prepare] = {
    "coapsep": _python("coapsep_server.py", "async"),
    "coapsep-sync": _python("coapsep_server.py", "sync"),
    "aiocoap": _python("aiocoap_server.py"),
    "libcoap": lambda build, cache: libcoap_server("libcoap_server.c", build),
    "node-coap": lambda build, cache: node_server(cache),
    "CoAPthon3": lambda build, cache: coapthon_server(cache),
    # Floors: a socket loop around aiocoap's codec; one with a fixed reply; the same in C.
    "echo-codec": _python("echo_codec.py"),
    "echo-python": _python("echo_python.py"),
    "echo-c": lambda build, cache: c_server("echo.c", build),
}


@contextmanager
def running(
    prepared: Prepared, core: int | None, log: Path, expect: bytes | None = None
) -> Iterator[Running]:
    """A server on the core that has answered once; stopped whatever happens.

    ``expect``: the payload that GET /hello must bring, piggybacked; None: any answer will do.
    """
    port = _free_port()
    with log.open("w+") as errors, _launched(prepared, port, core, errors.fileno()) as process:
        server = Running(process, port, log)
        try:
            _await_answer(server, expect)
            yield server
        finally:
            server.note = _stop(process)


@contextmanager
def _launched(
    prepared: Prepared, port: int, core: int | None, errors: int
) -> Iterator[subprocess.Popen[str]]:
    """The process, in a session of its own: Ctrl-C is for this program, which then stops it."""
    command = [part.format(port=port) for part in prepared.command]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=_environment(prepared),
        start_new_session=True,
        preexec_fn=pin(core),
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _environment(prepared: Prepared) -> dict[str, str]:
    """The checkout comes first, so that it and not an installed coapsep is measured."""
    inherited = [prepared.environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
    path = os.pathsep.join([str(HERE.parent), *filter(None, inherited)])
    return {**os.environ, **prepared.environment, "PYTHONPATH": path}


def _stop(process: subprocess.Popen[str]) -> dict[str, Any]:
    """End the server and return the note that a Python peer leaves (see peers/peer_note.py)."""
    process.terminate()
    try:
        output, _ = process.communicate(timeout=3)
        note = json.loads(output.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((HOST, 0))
        return int(sock.getsockname()[1])


def _await_answer(server: Running, expect: bytes | None) -> None:
    """Ask until there is an answer, and see to it that it is the one that is compared."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise Unavailable(f"does not start: {server.last_words()}")
        answer, head = _ask(server.port)
        if answer is not None:
            as_expected = expect is None or (
                answer.startswith(head) and answer.endswith(b"\xff" + expect)
            )
            if not as_expected:
                raise Unavailable(f"gives another answer than a piggybacked 2.05: {answer.hex()}")
            return
    raise Unavailable(f"does not answer within {PATIENCE:g} s: {server.last_words()}")


def _ask(port: int) -> tuple[bytes | None, bytes]:
    """Send one GET /hello; return the answer, if any, and how it has to begin."""
    ids, token = os.urandom(2), os.urandom(8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.3)
        sock.connect((HOST, port))
        try:
            sock.send(b"\x48\x01" + ids + token + b"\xb5hello")
            answer = sock.recv(2048)
        except TimeoutError:
            answer = None
        except OSError:  # refused: not bound yet
            time.sleep(0.05)
            answer = None
    return answer, b"\x68\x45" + ids + token


def _first_error(output: str) -> str:
    """What went wrong first: all that follows is mostly a consequence."""
    lines = [line for line in output.splitlines() if "error" in line]
    return lines[0].rpartition("error:")[2].strip() if lines else output.strip()[-200:]
