"""How a client begins and ends: around a block, or as a task of your nursery."""

from __future__ import annotations

import functools
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from coapsep.background import open_background
from coapsep.client.client import Client
from coapsep.client.retry import Retry
from coapsep.params import Limits, Tuning
from coapsep.transport.base import Transport
from coapsep.transport.udp import open_udp_client


async def run_client(
    *,
    host: str | Sequence[str] | None = None,
    transport: Transport | None = None,
    tuning: Tuning | None = None,
    limits: Limits | None = None,
    rng: random.Random | None = None,
    retry: Retry | None = None,
    task_status: trio.TaskStatus[Client] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a client until cancelled.

    In a nursery of yours, ``client = await nursery.start(run_client)`` hands back the Client.
    Whoever still waits for a response when it ends gets ``trio.ClosedResourceError``.

    ``host`` is the local address to ask from, or several; None leaves it to the system, IPv4
    and IPv6. A ``transport`` takes its place, and is closed in the end. ``retry`` says when
    to ask again; by default, never. ``rng`` draws tokens, message IDs and timeouts: for tests
    only, since they must not be guessed.

    Raises OSError if the address cannot be had.
    """
    _check("transport", transport, Transport)
    try:
        _check("tuning", tuning, Tuning)
        _check("limits", limits, Limits)
        _check("rng", rng, random.Random)
        _check("retry", retry, Retry)
        size = (limits or Limits()).datagram_size
        transport = transport or await open_udp_client(host, datagram_size=size)
        client = Client(transport, tuning=tuning, limits=limits, rng=rng, retry=retry)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client._endpoint.run)
                task_status.started(client)
        finally:
            client._endpoint.hurry()
            client._wake_all()
    finally:
        if transport is not None:
            transport.close()


@asynccontextmanager
async def open_client(
    *,
    host: str | Sequence[str] | None = None,
    transport: Transport | None = None,
    tuning: Tuning | None = None,
    limits: Limits | None = None,
    rng: random.Random | None = None,
    retry: Retry | None = None,
) -> AsyncGenerator[Client, None]:
    """A client for the length of a block; the parameters are those of ``run_client``.

    ::

        async with open_client() as client:
            response = await client.get("coap://[::1]/sensors/temperature")

    An exception of the block leaves it as it is. If the client itself fails, the block is
    cancelled and EndpointCrashed is raised from the cause; if both fail, an ExceptionGroup.
    """
    run = functools.partial(
        run_client,
        host=host,
        transport=transport,
        tuning=tuning,
        limits=limits,
        rng=rng,
        retry=retry,
    )
    async with open_background(run) as client:
        yield client


def _check(name: str, value: object, kind: type) -> None:
    """A wrong object is refused where it is given, not when the first request leaves."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, not {value!r}")
