# SPDX-License-Identifier: MIT
"""The servers that hold much at once: pending requests, observers, long bodies.

They have the same resources, see ``peers/coapsep_scale.py``. ``coapsep`` has the garbage collector
as Python has it, ``coapsep-frozen`` the policy that is advised where many requests are pending.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servers import Prepared, Running, Unavailable, libcoap_server, python_server
from suite import Bench

OURS = ("coapsep", "coapsep-frozen")
ALL = (*OURS, "aiocoap", "libcoap")
PORTS = 64  # source ports of a load: a message ID must not come again within 247 s
#: Requests that may be without an ACK at a time. aiocoap acknowledges after 0.1 s only, and with
#: 64 at a time would have to wait for that.
WINDOWS = {"aiocoap": 256}


def prepare(bench: Bench, names: Iterable[str], *, bodies: bool = False) -> dict[str, Prepared]:
    """Those of these names that can be had; ``bodies``: with block-wise transfers."""
    prepared = {}
    for name in filter(bench.wanted, names):
        try:
            prepared[name] = _prepare(name, bench.build, bodies)
        except Unavailable as exc:
            bench.leave_out(name, str(exc))
    return prepared


def _prepare(name: str, build: Path, bodies: bool) -> Prepared:
    if name == "coapsep":
        return python_server("coapsep_scale.py")
    if name == "coapsep-frozen":
        return python_server("coapsep_scale.py", "frozen")
    if name == "aiocoap":
        return python_server("aiocoap_scale.py")
    server = libcoap_server("libcoap_scale.c", build)
    if not bodies:  # they cost it time for everything else
        return server
    return Prepared([*server.command, "bodies"], server.versions)


def load_pending(
    bench: Bench,
    name: str,
    server: Running,
    *,
    n: int,
    delay: int,
    seconds: float,
    rate: int = 0,
    window: int | None = None,
) -> dict[str, Any]:
    """Register ``n`` requests that are due after ``delay`` seconds, and wait for their responses.

    ``rate``: so many new ones a second; 0: as fast as they go. Raises ``Unavailable`` if not all
    were registered within these seconds.
    """
    options: dict[str, float] = {"-n": n, "-x": seconds, "-s": PORTS}
    options["-W"] = window or WINDOWS.get(name, PORTS)
    if rate:
        options["-q"] = rate
    arguments = [part for option in options.items() for part in option]
    path = f"/async?{delay}"
    report = bench.load(server, path, "-m", "pending", *arguments, seconds=seconds)
    if report["registered"] < n:
        raise Unavailable(f"registered {report['registered']} of {n} requests in {seconds:g} s")
    return report
