"""From what a caller names to the session with whoever is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from coapsep.address import Address, Session
from coapsep.client.destinations import Destinations
from coapsep.client.target import Target, is_group
from coapsep.endpoint import Endpoint
from coapsep.errors import PeerUnreachable, RequestFailed, RequestTimedOut
from coapsep.message.memo import Memo

#: Addresses that were looked at once.
_KNOWN = 4096


class Routes:
    """The ways to the peers of one client. ``ping`` tells which address of a name answers."""

    def __init__(self, endpoint: Endpoint, ping: Callable[[Address], Awaitable[object]]) -> None:
        self._endpoint = endpoint
        self.destinations: Destinations = Destinations(ping)
        self.groups: Memo[Address, bool] = Memo(_KNOWN)

    async def find(self, wanted: Target) -> Address:
        """The address of a target; for a name, a checkpoint. Raises as ``Destinations.find``."""
        return wanted.address or await self.destinations.find(wanted.host, wanted.port)

    async def session_of(self, wanted: Target) -> Session:
        """The session with the one peer that is asked. Raises ValueError for a group."""
        destination = await self.find(wanted)
        if self.is_group(destination):
            raise ValueError(f"{destination} is a group: ask it with multicast()")
        return self.session_to(destination)

    def session_to(self, address: Address) -> Session:
        """The session with an address. Raises PeerUnreachable, ``trio.ClosedResourceError``."""
        if self._endpoint.over:
            raise trio.ClosedResourceError("the client was closed")
        try:
            return self._endpoint.transport.session_to(address)
        except OSError as exc:
            raise PeerUnreachable(f"{address}: {exc.strerror or exc}") from exc

    def reconsider(self, wanted: Target, failure: RequestFailed) -> None:
        """The address that was chosen for a name may have been the wrong one."""
        if wanted.address is None and isinstance(failure, RequestTimedOut | PeerUnreachable):
            self.destinations.forget(wanted.host, wanted.port)

    def is_group(self, address: Address) -> bool:
        """Whether it is a multicast address."""
        known = self.groups.entries.get(address)
        if known is None:
            known = is_group(address)
            self.groups.keep(address, known)
        return known
