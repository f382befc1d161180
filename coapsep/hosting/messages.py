"""What a worker process is started with, and what it and its parent say to each other.

They talk over a pair of sockets that keep messages apart. When one of them has gone, however it
went, the other one reads that nothing more comes.
"""

from __future__ import annotations

import json
import socket
from contextlib import suppress

import attrs
import trio

from coapsep.collector import GcPolicy
from coapsep.protocol.statistics import Statistics

# From the parent: finish what is under way and end; end now; say what was counted.
DRAIN, STOP, TELL = b"drain", b"stop", b"tell"
#: Longer than any message, bytes.
_ROOM = 65_536


@attrs.frozen(kw_only=True)
class Orders:
    """What a worker serves, and how. Sockets are file descriptors that it inherits."""

    target: str
    path: tuple[str, ...]
    """Where modules are looked for."""
    sockets: tuple[int, ...]
    channel: int
    gc_policy: GcPolicy
    log_level: str

    def write(self) -> str:
        """As an argument of a command."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def read(cls, text: str) -> Orders:
        """From that argument."""
        return cls(**json.loads(text))


@attrs.frozen
class Report:
    """What a worker says: it serves; it cannot, and why; or what it has counted."""

    ready: bool = False
    failure: str | None = None
    statistics: Statistics | None = None

    def write(self) -> bytes:
        """As a message."""
        return json.dumps(attrs.asdict(self)).encode()

    @classmethod
    def read(cls, message: bytes) -> Report:
        """From a message."""
        said = json.loads(message)
        if said["statistics"] is not None:
            said["statistics"] = Statistics(**said["statistics"])
        return cls(**said)


def make_channel() -> tuple[socket.socket, socket.socket]:
    """The two ends of a channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


async def say(channel: trio.socket.SocketType, message: bytes) -> None:
    """Send a message; to one that has gone, nothing is said."""
    with suppress(OSError, trio.ClosedResourceError):  # whoever reads from it notices
        await channel.send(message)


async def hear(channel: trio.socket.SocketType) -> bytes:
    """The next message; ``b""`` when there will be none, since the other one has gone."""
    try:
        return await channel.recv(_ROOM)
    except OSError:  # it went with a message unread
        return b""
