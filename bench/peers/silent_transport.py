# SPDX-License-Identifier: MIT
"""A transport without a network: what arrives is handed in, and what leaves is dropped."""

from __future__ import annotations

from collections.abc import Callable

import trio

from coapsep import Address, Batch, Refused, Session, Transport

LOCAL = Address("127.0.0.1", 5683)


class SilentTransport(Transport):
    """For measuring what is above it."""

    def __init__(self) -> None:
        self.running = trio.Event()
        self.deliver: Callable[[Batch], None]  # once it runs

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The one."""
        return (LOCAL,)

    def session_to(self, peer: Address) -> Session:
        """Any will do."""
        return Session(LOCAL, peer)

    async def run(
        self,
        deliver: Callable[[Batch], None],
        lost: Callable[[Session], None],
        refused: Refused | None = None,
    ) -> None:
        """Until it is cancelled."""
        self.deliver = deliver
        self.running.set()
        await trio.sleep_forever()

    def poll(self) -> Batch:
        """Nothing comes by itself."""
        return []

    def send(self, data: bytes, session: Session) -> bool:
        """It is gone."""
        return True

    async def wait_writable(self, session: Session) -> None:
        """It always is."""
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Nothing is open."""
