"""A captured trace played to a server: its requests, at their times, from their sources.

In virtual time it takes none::

    async with open_network() as network:
        transport = network.bind("10.0.0.1")
        async with open_server(router, transport=transport):
            await replay(
                read_pcapng("field.pcapng"),
                lambda source: network.bind(source.host, source.port),
                server=transport.address,
            )
    print(network.trace.ladder())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from coapsep.address import Address
from coapsep.background import open_background
from coapsep.message.codec import decode, empty
from coapsep.message.message import Message
from coapsep.numbers import Type
from coapsep.trace.datagram import Datagram
from coapsep.transport.base import Batch, Transport


async def replay(
    trace: Iterable[Datagram],
    bind: Callable[[Address], Transport],
    *,
    server: Address,
    patience: float = 93.0,
) -> None:
    """Send to a server what clients sent in a trace; return when it has answered.

    ``bind`` is called once for each address that sent a request, and gives the transport
    that plays its part; at the end it is closed. Requests, pings and malformed datagrams are
    sent as they are, copies too, at the intervals of the trace. Its acknowledgements and
    resets are not, since they answer messages of another run: each Confirmable message of
    this one is acknowledged as it arrives. Whatever servers the requests were for, they go
    to this one; of a trace with more, hand over the datagrams that are meant.

    Each request is waited for until it has a response or a reset, but no longer than
    ``patience`` seconds after the last one was sent: MAX_TRANSMIT_WAIT (RFC 7252 section
    4.8.2), unless set.

    Raises ValueError if the trace has no requests, EndpointCrashed if a transport fails
    while it receives, and what ``bind`` raises.
    """
    everything = sorted(trace, key=lambda datagram: datagram.time)
    pairs = {(d.source, d.destination) for d in everything if _is_request(d)}
    datagrams = [d for d in everything if (d.source, d.destination) in pairs and _is_sent(d)]
    if not datagrams:
        raise ValueError("there is no request in this trace")
    clients: dict[Address, _Client] = {}
    try:
        for datagram in datagrams:
            if datagram.source not in clients:
                clients[datagram.source] = _Client(bind(datagram.source), server)

        async def receive(*, task_status: trio.TaskStatus[None]) -> None:
            async with trio.open_nursery() as nursery:
                for client in clients.values():
                    nursery.start_soon(client.receive)
                task_status.started()

        async with open_background(receive):
            begin = trio.current_time() - datagrams[0].time
            for datagram in datagrams:
                await trio.sleep_until(begin + datagram.time)
                await clients[datagram.source].send(datagram.data)
            with trio.move_on_after(patience):
                for client in clients.values():
                    await client.wait_answered()
    finally:
        for client in clients.values():
            client.close()


def _is_request(datagram: Datagram) -> bool:
    message = datagram.message
    return isinstance(message, Message) and message.code.is_request


def _is_sent(datagram: Datagram) -> bool:
    """Whether it means something in another run, too."""
    message = datagram.message
    if message.type in (Type.ACK, Type.RST):
        return False
    return not (isinstance(message, Message) and message.code.is_response)


class _Client:
    """Plays the part of one address."""

    def __init__(self, transport: Transport, server: Address) -> None:
        self._transport = transport
        try:
            self._session = transport.session_to(server)
        except BaseException:
            transport.close()
            raise
        self._sent: set[tuple[int, bytes]] = set()
        self._waiting: dict[bytes, int] = {}  # tokens, and message IDs
        self._answered = trio.Event()

    async def send(self, data: bytes) -> None:
        message = decode(data)
        if isinstance(message, Message) and message.code.is_request:
            key = (message.mid, message.token)
            if key not in self._sent:  # a copy may draw no second response
                self._sent.add(key)
                self._waiting[message.token] = message.mid
        while not self._transport.send(data, self._session):
            await self._transport.wait_writable(self._session)

    async def receive(self) -> None:
        await self._transport.run(self._deliver, lambda session: None)

    async def wait_answered(self) -> None:
        while self._waiting:
            self._answered = trio.Event()
            await self._answered.wait()

    def close(self) -> None:
        self._transport.close()

    def _deliver(self, batch: Batch) -> None:
        for data, session in batch:
            message = decode(data)
            if not isinstance(message, Message):
                continue
            if message.type is Type.CON:
                # If it cannot be sent now, it is sent for the next copy.
                self._transport.send(empty(Type.ACK, message.mid), session)
            if message.type is Type.RST:
                for token in [t for t, mid in self._waiting.items() if mid == message.mid]:
                    del self._waiting[token]
            elif message.code.is_response:
                self._waiting.pop(message.token, None)
        if not self._waiting:
            self._answered.set()
