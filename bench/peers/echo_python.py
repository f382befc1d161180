# SPDX-License-Identifier: MIT
"""Floor of Python: a blocking socket loop with a fixed reply.  usage: echo_python.py PORT"""

from __future__ import annotations

import socket
import sys

from peer_note import note_at_end

HEAD = b"\x68\x45"  # version 1, ACK, 8 bytes of token (all requests here have 8); 2.05 Content
TAIL = b"\xffhello, 123"


def main(port: int) -> None:
    """Answer every datagram, without looking at it, until SIGTERM."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sock.bind(("127.0.0.1", port))
        while True:
            data, address = sock.recvfrom(2048)
            sock.sendto(HEAD + data[2:12] + TAIL, address)


note_at_end()
main(int(sys.argv[1]))
