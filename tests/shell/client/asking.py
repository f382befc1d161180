"""Whom the tests ask, and how to ask beside a test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coapsep import Address
from tests.shell.peer import SERVER

PEER = Address(SERVER, 5683)
HELLO = f"coap://{SERVER}/hello"
SLOW = f"coap://{SERVER}/slow"


async def ask(ends: list[object], call: Callable[[], Awaitable[object]]) -> None:
    """Await it, as a task of its own, and note how it ends: what it returned or raised."""
    try:
        ends.append(await call())
    except Exception as exc:
        ends.append(exc)
