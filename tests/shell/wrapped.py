"""A transport around another one, for tests that interfere between it and the server."""

from __future__ import annotations

from collections.abc import Callable

from coapsep import Address, Batch, Session, Transport
from coapsep.transport.base import Refused


class Wrapped(Transport):
    """Passes every call on; subclasses change what they are about."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    @property
    def addresses(self) -> tuple[Address, ...]:
        return self.inner.addresses

    def session_to(self, peer: Address) -> Session:
        return self.inner.session_to(peer)

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        await self.inner.run(deliver, lost, refused)

    def poll(self) -> Batch:
        return self.inner.poll()

    def send(self, data: bytes, session: Session) -> bool:
        return self.inner.send(data, session)

    async def wait_writable(self, session: Session) -> None:
        await self.inner.wait_writable(session)

    def close(self) -> None:
        self.inner.close()
