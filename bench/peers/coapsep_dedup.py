# SPDX-License-Identifier: MIT
"""What coapsep's core remembers of requests that were answered; prints bytes for each as JSON.

Once as Python counts them (``traced``), which makes it slow, once as the resident memory grows.
usage: coapsep_dedup.py REQUESTS PEERS traced|resident
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tracemalloc
from pathlib import Path

from peer_note import note

from coapsep import Address, Code, Limits, Response, Session, Tuning
from coapsep.protocol.core import Core
from coapsep.protocol.events import RequestReceived

MANY = 10_000_000
LIMITS = Limits(
    peers=MANY, dedup_entries=MANY, dedup_entries_per_session=65_536, dedup_bytes=1 << 32
)
SECOND = 1e5  # requests in one second of the core's time
LOCAL = Address("127.0.0.1", 5683)
RESPONSE = Response(Code.CONTENT, b"hello, 123")


def ask(core: Core, requests: range, peers: int) -> None:
    """GET /hello, answered at once; each peer in turn, each with message IDs of its own."""
    for i in requests:
        now = i / SECOND
        ids = (i // peers).to_bytes(2, "big")
        peer = Session(LOCAL, Address(f"127.0.{i % peers >> 8}.{i % peers & 255}", 40_000))
        core.receive_datagram(b"\x48\x01" + ids + i.to_bytes(8, "big") + b"\xb5hello", peer, now)
        for event in core.events:
            assert isinstance(event, RequestReceived), event
            core.send_response(event.exchange, RESPONSE, now)
        core.events.clear()
        core.outgoing.clear()
        if i % 64 == 0:
            core.handle_timers(now)
    core.handle_timers(requests.stop / SECOND + 1)  # no ACK is owed any more


def resident() -> int:
    """Bytes."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def main(requests: int, peers: int, how: str) -> None:
    """Fill the table; nothing of it expires meanwhile."""
    core = Core(Tuning(), LIMITS, random.Random(1))
    gc.collect()
    if how == "traced":
        tracemalloc.start()
    before = resident()
    ask(core, range(requests), peers)
    gc.collect()
    entries = core.statistics().dedup_entries
    assert entries == requests, f"{entries} entries of {requests} requests"
    grown = tracemalloc.get_traced_memory()[0] if how == "traced" else resident() - before
    print(json.dumps({"bytes": grown / requests, "note": note("coapsep")}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
