"""What carries bytes between sessions. It knows nothing of CoAP."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import TypeAlias

from coapsep.address import Address, Session

#: Datagrams that arrived together, each with the session it belongs to.
Batch: TypeAlias = list[tuple[bytes, Session]]

#: Told of a datagram of ours that found nobody at its port: what the network quotes of it,
#: from its first byte, perhaps cut short, and the session it was sent in.
Refused: TypeAlias = Callable[[bytes, Session], None]


class Transport(abc.ABC):
    """A bound transport, ready to receive. ``send`` and ``poll`` never block or checkpoint."""

    #: Datagrams that it dropped by itself, for statistics.
    dropped: int = 0

    @property
    @abc.abstractmethod
    def addresses(self) -> tuple[Address, ...]:
        """The local addresses it is bound to, ports filled in."""

    @abc.abstractmethod
    def session_to(self, peer: Address) -> Session:
        """The session in which this transport reaches a peer, or a group.

        What the peer answers arrives in the same session. Raises OSError if there is no way
        to it, such as an IPv6 address for a transport that has only IPv4.
        """

    @abc.abstractmethod
    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        """Hand over what arrives, a bounded batch at a time, until cancelled.

        What was sent to a group is in a session with ``group`` set, and arrives only if the
        transport was told to listen to that group.
        ``lost`` is for transports with connections: it says that a session has gone.
        ``refused`` is told of datagrams that found nobody, where the system says so; None
        does without. Raises ``trio.ClosedResourceError`` when the transport is closed
        meanwhile.
        """

    @abc.abstractmethod
    def poll(self) -> Batch:
        """A bounded batch of what has arrived, without waiting."""

    @abc.abstractmethod
    def send(self, data: bytes, session: Session) -> bool:
        """Send one datagram; False if it was not taken because that would block.

        It leaves from the session's local address, which is never that of a group.
        Raises OSError if the system refuses it for good.
        """

    @abc.abstractmethod
    async def wait_writable(self, session: Session) -> None:
        """Wait until ``send`` may work again."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give the addresses back. Closing twice does nothing."""
