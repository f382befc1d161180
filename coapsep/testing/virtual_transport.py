"""A transport on a virtual network: what a server or a client is given in a test."""

from __future__ import annotations

from collections.abc import Callable

import trio

from coapsep.address import Address, Session
from coapsep.testing.carrier import Carrier
from coapsep.testing.link import Flow
from coapsep.testing.port import Port
from coapsep.transport.base import Batch, Refused, Transport


class VirtualTransport(Transport):
    """One address of a virtual network; ``Network.bind`` makes one."""

    def __init__(self, carrier: Carrier, port: Port) -> None:
        self._carrier = carrier
        self._port = port
        self._flows: dict[Address, Flow] = {}
        self._unblocked: trio.Event | None = None
        #: Where it is bound.
        self.address: Address = port.address

    @property
    def addresses(self) -> tuple[Address, ...]:
        return (self.address,)

    @property
    def dropped(self) -> int:  # type: ignore[override]  # the port counts, so it is read only
        return self._port.dropped

    def session_to(self, peer: Address) -> Session:
        """The session with a peer or a group; its ``peer`` has the host in normal form.

        Raises ValueError for a host that cannot be on the network, and OSError for one of
        another family.
        """
        return self._port.session_with(self._flow_to(peer).destination)

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        await self._port.run(deliver, refused)
        raise trio.ClosedResourceError("this transport is closed")

    def poll(self) -> Batch:
        return self._port.take()

    def send(self, data: bytes, session: Session) -> bool:
        """Send one datagram; False while the transport is blocked.

        It leaves from the transport's own address. Raises what ``Network.fail_sends`` asks for.
        """
        if self._port.closed:
            raise trio.ClosedResourceError("this transport is closed")
        if self._unblocked is not None:
            return False
        self._carrier.carry(self._flow_to(session.peer), data)
        return True

    async def wait_writable(self, session: Session) -> None:
        await trio.lowlevel.checkpoint()
        while self._unblocked is not None and not self._port.closed:
            await self._unblocked.wait()

    def close(self) -> None:
        self._carrier.places.release(self._port)
        if self._unblocked is not None:
            self._unblocked.set()

    # -- beyond the interface --------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether ``send`` takes nothing, as if the socket's buffer were full. Assign to it."""
        return self._unblocked is not None

    @blocked.setter
    def blocked(self, blocked: bool) -> None:
        if blocked and self._unblocked is None:
            self._unblocked = trio.Event()
        elif not blocked and self._unblocked is not None:
            self._unblocked.set()
            self._unblocked = None

    def join(self, group: str) -> None:
        """Receive what is sent to this port of a group, such as "224.0.1.187" or "ff02::fd".

        It arrives in sessions whose ``group`` is that address. Raises ValueError if it is no
        group, or of another family.
        """
        self._carrier.places.join(self._port, group)

    def leave(self, group: str) -> None:
        """Receive that no more. Leaving a group twice does nothing."""
        self._carrier.places.leave(self._port, group)

    def _flow_to(self, peer: Address) -> Flow:
        flow = self._flows.get(peer)
        if flow is None:
            flow = self._flows[peer] = self._carrier.flow(self.address, peer)
        return flow
