# SPDX-License-Identifier: MIT
"""Run a program to its end on one core and read the line of JSON that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from machine import pin
from servers import HERE, PEERS, Running, Unavailable, compile_c

# Exit codes of the load programs: all went well, or something was not answered, which they tell.
MEASURED = (0, 1)


def python_program(script: str, *arguments: object) -> list[str]:
    """The command of a script in ``peers/``."""
    return [sys.executable, str(PEERS / script), *map(str, arguments)]


def c_program(source: str, build: Path) -> Path:
    """A program in C next to this file, compiled once for each run."""
    program = build / Path(source).stem
    return program if program.exists() else compile_c(HERE / source, build)


def load_program(
    program: Path, options: Mapping[str, float], server: Running, path: str
) -> list[str]:
    """The command of one that asks a server, and looks at how much it uses."""
    parts = [part for option in options.items() for part in option]
    return [*map(str, [program, *parts, "-P", server.process.pid, server.port, path])]


def run_program(command: Sequence[str], core: int | None, seconds: float) -> dict[str, Any]:
    """Run it; raises ``Unavailable`` if it fails, or takes much longer than these seconds."""
    try:
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds + 10,
            env=environment(),
            preexec_fn=pin(core),
        )
    except subprocess.TimeoutExpired:
        raise Unavailable("the measuring program did not end in time") from None
    output = result.stdout.strip().splitlines()
    if result.returncode not in MEASURED or not output:
        words = (result.stderr.strip() or "no reason given").splitlines()[-1]
        raise Unavailable(f"the measuring program failed: {words}")
    found = json.loads(output[-1])
    assert isinstance(found, dict)
    return found


def environment() -> dict[str, str]:
    """The checkout comes first, so that it and not an installed coapsep is measured."""
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}
