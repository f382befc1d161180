# SPDX-License-Identifier: MIT
"""One request to a server on this machine, for what is no load: tell it to do something."""

from __future__ import annotations

import os
import socket
import time

from servers import HOST, Unavailable

CON, ACK = 0, 2
POST = 2


def post(port: int, path: str, seconds: float) -> bytes:
    """POST to a path of one segment; returns the payload of the response, whenever it comes.

    Raises ``Unavailable`` if none comes within these seconds, or an error.
    """
    ids, token = os.urandom(2), os.urandom(4)
    segment = path.strip("/").encode()
    request = bytes([0x44, POST]) + ids + token + bytes([0xB0 | len(segment)]) + segment
    deadline = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        sock.send(request)
        while time.monotonic() < deadline:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                answer = sock.recv(2048)
            except TimeoutError:
                break
            if answer[0] >> 4 & 3 == CON:
                sock.send(bytes([0x60, 0]) + answer[2:4])
            if answer[1] and answer[4:8] == token:
                if answer[1] >> 5 != 2:
                    raise Unavailable(f"POST {path} draws {answer[1] >> 5}.{answer[1] & 31:02}")
                return answer[8:].partition(b"\xff")[2]
    raise Unavailable(f"POST {path} has no response within {seconds:g} s")
