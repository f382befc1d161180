"""One address of a virtual network, with everything that it was told."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import trio
import trio.testing

from coapsep import Address, Batch, Session
from coapsep.background import open_background
from coapsep.testing import Network, VirtualTransport


class Listener:
    """Sends what it is told to, and writes down what arrives."""

    def __init__(self, transport: VirtualTransport) -> None:
        self.transport = transport
        self.address = transport.address
        self.batches: list[Batch] = []
        self.times: list[float] = []
        self.refused: list[tuple[bytes, Session]] = []

    def hear(self, batch: Batch) -> None:
        self.batches.append(batch)
        self.times += [trio.current_time()] * len(batch)

    def hear_refused(self, quote: bytes, session: Session) -> None:
        self.refused.append((quote, session))

    @property
    def arrived(self) -> list[bytes]:
        """The datagrams so far."""
        return [data for batch in self.batches for data, _ in batch]

    @property
    def sessions(self) -> list[Session]:
        """The sessions they came in."""
        return [session for batch in self.batches for _, session in batch]

    def send(self, data: bytes, to: Address) -> bool:
        return self.transport.send(data, self.transport.session_to(to))


@asynccontextmanager
async def open_listener(
    network: Network, host: str, port: int = 5683
) -> AsyncGenerator[Listener, None]:
    """A Listener for the length of a block, whose exceptions leave as they are."""
    listener = Listener(network.bind(host, port))

    async def listen(*, task_status: trio.TaskStatus[None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                listener.transport.run, listener.hear, nothing_is_lost, listener.hear_refused
            )
            await trio.testing.wait_all_tasks_blocked()
            task_status.started()

    async with open_background(listen):
        yield listener


def nothing_is_lost(session: Session) -> None:
    """For ``run``: there are no connections here."""
    raise AssertionError(f"lost {session}")
