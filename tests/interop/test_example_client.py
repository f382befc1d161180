"""The example client against the example server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.interop.processes import ExampleServer

CLIENT = Path(__file__).parents[2] / "examples" / "client.py"


def run(uri: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", str(CLIENT), uri]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_each_resource_has_its_deadline(server: ExampleServer) -> None:
    uri = f"coap://127.0.0.1:{server.port}"
    done = run(uri)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert sorted(lines[:3]) == [
        f"{uri}/async?60: not in 2 s",
        f"{uri}/hello: hello",
        f"{uri}/slow?1: done",
    ]
    assert [line.startswith(f"{uri}/time: 20") for line in lines[3:]] == [True] * 3


def test_a_server_that_is_not_there_is_told() -> None:
    done = run("coap://127.0.0.1:9")
    assert (done.returncode, done.stderr) == (0, "")
    assert "coap://127.0.0.1:9/hello: 127.0.0.1:9: unreachable" in done.stdout
