# SPDX-License-Identifier: MIT
"""Floor of a codec in Python: a blocking socket loop around aiocoap's codec, nothing else.

What a server adds on top of this is its own: the event loop, deduplication, routing, tasks.
usage: echo_codec.py PORT
"""

from __future__ import annotations

import socket
import sys

from aiocoap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    ACK,
    CONTENT,
    Message,
)
from peer_note import note_at_end


def reply(data: bytes, address: tuple[str, int]) -> bytes:
    """Decode the request, encode its piggybacked response."""
    request = Message.decode(data, address)
    response = Message(code=CONTENT, payload=b"hello, 123")
    response.mtype, response.mid, response.token = ACK, request.mid, request.token
    return bytes(response.encode())


def main(port: int) -> None:
    """Answer every request until SIGTERM."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", port))
        while True:
            data, address = sock.recvfrom(2048)
            sock.sendto(reply(data, address), address)


note_at_end("aiocoap")
main(int(sys.argv[1]))
