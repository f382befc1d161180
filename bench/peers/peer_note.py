# SPDX-License-Identifier: MIT
"""What a Python peer tells about itself, at its end."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import platform
import signal
import sys
from types import FrameType


def note_at_end(*packages: str) -> None:
    """At SIGTERM print one line of JSON about this process, then leave.

    It is written at the end, not at the start, so that it shows the state under which the
    figures came about: a library may well set the garbage collector when it begins to serve.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        print(json.dumps(note(*packages)), flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)


def note(*packages: str) -> dict[str, object]:
    """The versions of Python and of these packages, and the garbage collector as it is now."""
    versions = {package: _version(package) for package in packages}
    return {"versions": {"python": platform.python_version(), **versions}, "gc": _gc_state()}


def _gc_state() -> dict[str, object]:
    return {
        "enabled": gc.isenabled(),
        "threshold": gc.get_threshold(),
        "frozen": gc.get_freeze_count(),
        "collections": [generation["collections"] for generation in gc.get_stats()],
    }


def _version(package: str) -> str:
    """The installed version; a package used from a checkout may only have ``__version__``."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(package), "__version__", "unknown"))
