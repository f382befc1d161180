# SPDX-License-Identifier: MIT
"""GET of a handler that waits, answered by a separate response: CPU time per request.

It sleeps for 150 ms, or, as ``coapsep-event``, waits for an event that comes every 300 ms: to sleep
is dearer for Trio.

An empty ACK leaves after 100 ms, the response is a CON of its own, which the client acknowledges:
four datagrams instead of two. The codec floor answers at once, as in ``hello``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from load import GRACE, WARM_UP, closed_loop
from sample import Sample
from servers import Prepared, Unavailable, node_server, python_server
from suite import Bench

from suites.hello import PAYLOAD, figures, require

NAME = "separate"
DELAY = "0.15"  # seconds; the servers send an empty ACK after 0.1 or less
EVERY = "0.3"  # seconds between two events, so that most requests wait for more than 0.1
WINDOWS = (256, 2048)
PEER_WINDOWS = (256,)  # with more at once, peers lose requests


def run(bench: Bench) -> Iterator[Sample]:
    """coapsep and its peers with a handler that waits, and the floor."""
    prepared = {
        "coapsep": python_server("coapsep_server.py", "late", DELAY),
        "coapsep-event": python_server("coapsep_server.py", "event", EVERY),
        "aiocoap": python_server("aiocoap_server.py", DELAY),
    }
    try:
        prepared["node-coap"] = node_server(bench.cache, DELAY)
    except Unavailable as exc:
        bench.leave_out("node-coap", str(exc))
    prepared["echo-codec"] = python_server("echo_codec.py")
    measures = {name: partial(measure, bench, name, which) for name, which in prepared.items()}
    yield from bench.interleave(measures)


def measure(bench: Bench, name: str, prepared: Prepared) -> Iterator[Sample]:
    """One server, started afresh for each window."""
    floor = name == "echo-codec"
    for window in WINDOWS if floor or name.startswith("coapsep") else PEER_WINDOWS:
        with bench.running(name, prepared, expect=PAYLOAD if floor else None) as server:
            loop = closed_loop(window, bench.seconds)
            seconds = WARM_UP + bench.seconds + GRACE
            report = bench.load(server, "/hello", *loop, seconds=seconds)
        if floor:
            require(report, "piggybacked")
        else:  # one whose timer for the ACK is late may still ride in the ACK
            require(report, "separate_con", at_least=0.6 if name == "coapsep-event" else 0.95)
        for sample in figures(name, report, {"W": window}):
            # One that waits may leave its core idle; of one that does not, only the CPU compares.
            if sample.metric == "CPU us/req" if floor else sample.metric != "core used %":
                yield sample
