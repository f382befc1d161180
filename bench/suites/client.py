# SPDX-License-Identifier: MIT
"""Requests per second of clients, 64 at a time, to a server in C that is never the limit.

aiocoap's client keeps to one outstanding request for each server (NSTART), so ``servers=64`` is the
case in which both have 64: it asks as many ports. Both use fresh ports of their own, and no more
requests than there are message IDs.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import servers
from programs import python_program, run_program
from sample import Sample
from servers import Prepared, Unavailable, c_server
from suite import Bench

NAME = "client"
CONCURRENCY = 64
SEARCHED = (20_000, 32_000)  # where systems do not pick ports for clients
PORTS = (64, 1)
REQUESTS = {"coapsep": 30_000, "aiocoap": 8_000}
FULL_REQUESTS = {"coapsep": 50_000, "aiocoap": 50_000}
SLOWEST = 1_000  # requests a second


def run(bench: Bench) -> Iterator[Sample]:
    """Many servers, then one."""
    echo = c_server("echo_ports.c", bench.build)
    counts = FULL_REQUESTS if bench.full else REQUESTS
    for ports in PORTS:
        yield from bench.interleave(
            {name: partial(measure, bench, name, echo, ports, n) for name, n in counts.items()}
        )


def measure(bench: Bench, name: str, echo: Prepared, ports: int, n: int) -> Iterator[Sample]:
    """One client, on the core that is measured; the server has the other."""
    first = free_ports(ports)
    prepared = Prepared([*echo.command, str(first), str(ports)])
    with servers.running(prepared, bench.cores.load, bench.build / "echo_ports.log"):
        command = python_program(f"{name}_client.py", first, ports, n, CONCURRENCY)
        found = run_program(command, bench.cores.server, n / SLOWEST)
    bench.notes[name] = found["note"]
    setting: dict[str, float | str] = {"servers": ports}
    yield Sample(name, "req/s", n / found["seconds"], setting)
    yield Sample(name, "CPU us/req", found["cpu_s"] / n * 1e6, setting)
    yield Sample(name, "core used %", found["cpu_s"] / found["seconds"] * 100, setting)


def free_ports(count: int) -> int:
    """The first of so many UDP ports in a row that nobody has."""
    for first in range(*SEARCHED, count):
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                    sock.bind((servers.HOST, port))
            except OSError:
                continue
            return first
    raise Unavailable(f"there are no {count} free ports in a row")
