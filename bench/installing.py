# SPDX-License-Identifier: MIT
"""Peers that are no packages of this environment: where they are, and how they get there.

They are installed into a cache directory of their own, and only when that is asked for, since it
takes the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

OPTION = "--install-peers"


class Unavailable(Exception):
    """A subject cannot take part; the message is the reason."""


def cache_directory() -> Path:
    """Where the peers stay between runs."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "coapsep-bench"


def node_coap(cache: Path) -> Path:
    """The directory of node's modules with node-coap in it."""
    if shutil.which("node") is None:
        raise Unavailable("Node is not installed (Debian: apt install nodejs npm)")
    return _found(cache / "node_modules", "coap")


def coapthon(cache: Path) -> Path:
    """The directory of Python's modules with CoAPthon3 in it."""
    return _found(cache / "python", "coapthon")


def install(cache: Path) -> None:
    """Install both into the cache. One that cannot be installed is told on stderr."""
    cache.mkdir(parents=True, exist_ok=True)
    _run("npm", "install", "--prefix", str(cache), "--no-audit", "--no-fund", "coap@1")
    target = ("--target", str(cache / "python"), "--upgrade")
    _run(sys.executable, "-m", "pip", "install", "--quiet", *target, "CoAPthon3")


def _found(directory: Path, package: str) -> Path:
    if not (directory / package).is_dir():
        raise Unavailable(f"not installed ({OPTION})")
    return directory


def _run(*command: str) -> None:
    try:
        result = subprocess.run(command, stdout=sys.stderr)
    except OSError as exc:
        print(f"{command[0]}: {exc.strerror}", file=sys.stderr)
        return
    if result.returncode:
        print(f"failed: {' '.join(command)}", file=sys.stderr)
