"""A client that speaks in datagrams, with a codec of its own, and a link that loses some.

The codec is a second opinion on the wire: it shares nothing with coapsep's.
"""

from __future__ import annotations

import itertools
import select
import socket
import threading
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import NamedTuple

from tests.interop.processes import PATIENCE

CON, NON, ACK, RST = range(4)
GET, POST, PUT, DELETE = 1, 2, 3, 4
EMPTY = 0
URI_PATH, URI_QUERY = 11, 15

#: Message IDs of pings; tests take theirs from below.
_fences = itertools.cycle(range(0xF000, 0x10000))


def code(text: str) -> int:
    """The byte of a code such as ``2.05``."""
    kind, _, detail = text.partition(".")
    return int(kind) << 5 | int(detail)


class Parsed(NamedTuple):
    """A message; the code in its dotted form."""

    type: int
    code: str
    mid: int
    token: bytes = b""
    options: tuple[tuple[int, bytes], ...] = ()
    payload: bytes = b""

    def option(self, number: int) -> bytes | None:
        """The first value of an option."""
        return next((value for n, value in self.options if n == number), None)


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2, "big")


def write_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options on the wire, sorted."""
    out, last = b"", 0
    for number, value in sorted(options, key=lambda pair: pair[0]):
        (delta, more_delta), (length, more_length) = _nibble(number - last), _nibble(len(value))
        out += bytes((delta << 4 | length,)) + more_delta + more_length + value
        last = number
    return out


def message(
    kind: int,
    number: int,
    mid: int,
    token: bytes = b"",
    options: Iterable[tuple[int, bytes]] = (),
    payload: bytes = b"",
) -> bytes:
    """A datagram. ``number`` is the code."""
    head = bytes((0x40 | kind << 4 | len(token), number)) + mid.to_bytes(2, "big")
    return head + token + write_options(options) + (b"\xff" + payload if payload else b"")


def request(
    path: str,
    mid: int,
    token: bytes = b"",
    *,
    kind: int = CON,
    method: int = GET,
    options: Iterable[tuple[int, bytes]] = (),
    payload: bytes = b"",
) -> bytes:
    """The datagram of a request; ``path`` may have a query."""
    path, _, query = path.partition("?")
    own = [(URI_PATH, part.encode()) for part in path.split("/") if part]
    own += [(URI_QUERY, part.encode()) for part in query.split("&") if part]
    return message(kind, method, mid, token, [*own, *options], payload)


def empty(kind: int, mid: int) -> bytes:
    """The four bytes of an Empty message."""
    return message(kind, EMPTY, mid)


def parse(data: bytes) -> Parsed:
    """Read a datagram; AssertionError if it is not well-formed (RFC 7252 section 3).

    The token may be an extended one (RFC 8974 section 2.1).
    """
    assert len(data) >= 4, data
    assert data[0] >> 6 == 1, data
    tkl, start = data[0] & 15, 4
    dotted = f"{data[1] >> 5}.{data[1] & 31:02}"
    mid = int.from_bytes(data[2:4], "big")
    assert tkl < 15, data
    assert data[1] or len(data) == 4, data
    if tkl > 12:
        start += tkl - 12
        tkl = int.from_bytes(data[4:start], "big") + (13 if start == 5 else 269)
    assert len(data) >= start + tkl, data
    options: list[tuple[int, bytes]] = []
    token = data[start : start + tkl]
    at, number = start + tkl, 0
    payload = b""
    while at < len(data):
        if data[at] == 0xFF:
            payload = data[at + 1 :]
            assert payload, data
            break
        delta, length = data[at] >> 4, data[at] & 15
        at += 1
        extended = []
        for nibble in (delta, length):
            assert nibble < 15, data
            width = max(0, nibble - 12)
            base = (0, 13, 269)[width]
            extended.append(
                base + int.from_bytes(data[at : at + width], "big") if width else nibble
            )
            at += width
        number += extended[0]
        assert at + extended[1] <= len(data), data
        options.append((number, data[at : at + extended[1]]))
        at += extended[1]
    return Parsed(data[0] >> 4 & 3, dotted, mid, token, tuple(options), payload)


class RawPeer:
    """A connected UDP socket: what arrives is from the address it was connected to."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, own_host: str = "", own_port: int = 0
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        if own_port:
            self._socket.bind((own_host, own_port))
        self._socket.connect((host, port))

    def __enter__(self) -> RawPeer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket: datagrams to it draw an ICMP error from now on."""
        self._socket.close()

    @property
    def port(self) -> int:
        """Its own port."""
        port: int = self._socket.getsockname()[1]
        return port

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        self._socket.send(data)

    def receive_bytes(self, seconds: float = PATIENCE) -> bytes:
        """The next datagram."""
        self._socket.settimeout(seconds)
        try:
            return self._socket.recv(65536)
        except TimeoutError:
            raise AssertionError(f"nothing arrived in {seconds} s") from None

    def receive(self, seconds: float = PATIENCE) -> Parsed:
        """The next datagram, read."""
        return parse(self.receive_bytes(seconds))

    def ask(self, data: bytes) -> Parsed:
        """Send, and receive the next datagram."""
        self.send(data)
        return self.receive()

    def expect_silence(self, seconds: float) -> None:
        """Nothing may arrive for so long: for what could only come late."""
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        raise AssertionError(f"there should be silence: {parse(data)}")

    def drawn(self, *datagrams: bytes) -> list[bytes]:
        """Send these, and return what they drew at once.

        Instead of waiting, it pings: datagrams on one path keep their order. The first RST
        may overtake an answer from the same batch; the second ping is of a later batch.
        """
        for data in datagrams:
            self.send(data)
        return [*self._until_fence(), *self._until_fence()]

    def _until_fence(self) -> list[bytes]:
        mid = next(_fences)
        self.send(empty(CON, mid))
        fence, before = empty(RST, mid), []
        while (data := self.receive_bytes()) != fence:
            before.append(data)
        return before


class LossyLink:
    """Stands between one client and a server, and loses chosen datagrams to the client.

    ``lose`` numbers them from 1. The client's own losses are coap-client's ``-l``.
    """

    def __init__(self, port: int, lose: Collection[int]) -> None:
        self._lose = lose
        self._front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._front.bind(("127.0.0.1", 0))
        self._back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._back.connect(("127.0.0.1", port))
        self._stop, self._stopped = socket.socketpair()
        #: What has passed, or has been lost, in its order.
        self.from_client: list[bytes] = []
        self.from_server: list[bytes] = []
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        """Where the client finds it."""
        port: int = self._front.getsockname()[1]
        return port

    def uri(self, path: str) -> str:
        """A URI through this link."""
        return f"coap://127.0.0.1:{self.port}{path}"

    def wait_for(self, number: int) -> None:
        """Wait until the server has sent so many datagrams, lost ones included."""
        with self._arrived:
            in_time = self._arrived.wait_for(lambda: len(self.from_server) >= number, PATIENCE)
        assert in_time, f"{len(self.from_server)} datagrams from the server, not {number}"

    def _run(self) -> None:
        client: tuple[str, int] | None = None
        sockets = [self._front, self._back, self._stopped]
        while True:
            readable, _, _ = select.select(sockets, [], [])
            if self._stopped in readable:
                return
            if self._front in readable:
                data, client = self._front.recvfrom(65536)
                self.from_client.append(data)
                self._back.send(data)
            if self._back in readable and client is not None:
                data = self._back.recv(65536)
                with self._arrived:
                    self.from_server.append(data)
                    self._arrived.notify_all()
                if len(self.from_server) not in self._lose:
                    self._front.sendto(data, client)

    def __enter__(self) -> LossyLink:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.send(b".")
        self._thread.join()
        for sock in (self._front, self._back, self._stop, self._stopped):
            sock.close()
