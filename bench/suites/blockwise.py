# SPDX-License-Identifier: MIT
"""Long bodies in blocks of 1024 bytes, up and down: MB/s and CPU time of servers and of clients.

``end=server``: clients in C, one or 16 at once. ``end=client``: a server in C. ``end=both``: each
implementation with itself. One client alone waits for each block in turn, so that what it takes to
wake the other process counts as much as the program does; 16 keep a server busy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import scale
import servers
from programs import c_program, load_program, python_program, run_program
from sample import Sample
from servers import Prepared, c_server
from suite import Bench

NAME = "blockwise"
MIB = 1 << 20
MANY = 16
LIMIT = 120
SUBJECTS = ("coapsep", "aiocoap", "libcoap")
CLIENTS = ("coapsep", "aiocoap")


def run(bench: Bench) -> Iterator[Sample]:
    """The servers, the clients, and both together."""
    prepared = scale.prepare(bench, SUBJECTS, bodies=True)
    cases = [(1, 1, 2), (MANY, 1, 1)] + ([(4, 10, 1)] if bench.full else [])
    for at_once, size, times in cases:
        yield from bench.interleave(
            {
                name: partial(measure_server, bench, name, which, at_once, size, times)
                for name, which in prepared.items()
            }
        )
    floor = c_server("echo_blocks.c", bench.build)
    yield from bench.interleave(
        {name: partial(measure_client, bench, name, floor, "client") for name in CLIENTS}
    )
    yield from bench.interleave(
        {
            name: partial(measure_client, bench, name, prepared[name], "both")
            for name in CLIENTS
            if name in prepared
        }
    )


def measure_server(
    bench: Bench, name: str, prepared: Prepared, at_once: int, size: int, times: int
) -> Iterator[Sample]:
    """One server under the load in C; the CPU time is the server's."""
    program = c_program("coapblocks.c", bench.build)
    with bench.running(name, prepared) as server:
        options = {"-b": size * MIB, "-T": at_once, "-r": times, "-x": LIMIT}
        command = load_program(program, options, server, "body")
        found = run_program(command, bench.cores.load, 2 * LIMIT)
    setting: dict[str, float | str] = {"end": "server", "MiB": size, "clients": at_once}
    yield from figures(name, found, setting)


def measure_client(bench: Bench, name: str, prepared: Prepared, end: str) -> Iterator[Sample]:
    """One client on the core that is measured; the CPU time is the client's."""
    log = bench.build / f"{name}-bodies.log"
    with servers.running(prepared, bench.cores.load, log) as server:
        command = python_program(f"{name}_bodies.py", server.port, "/body", MIB, 2)
        found = run_program(command, bench.cores.server, LIMIT)
    bench.notes[name] = found["note"]
    yield from figures(name, found, {"end": end, "MiB": 1, "clients": 1})


def figures(name: str, found: dict[str, Any], setting: dict[str, float | str]) -> Iterator[Sample]:
    """Both ways."""
    for way in ("up", "down"):
        yield Sample(name, f"{way} MB/s", found["bytes"] / 1e6 / found[f"{way}_s"], setting)
        cpu = found[f"{way}_cpu_s"] * 1e6 / (found["bytes"] / 1024)
        yield Sample(name, f"{way} CPU us/block", cpu, setting)
