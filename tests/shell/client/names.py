"""Names for tests: a resolver that knows what it was told, and takes as long as it was told."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import trio


class Names(trio.abc.HostnameResolver):
    """Host names and their addresses, the one to try first in front."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        #: How long a lookup takes, seconds.
        self.seconds = 0.0
        #: The names that were looked up, in order.
        self.asked: list[str] = []

    def set(self, name: str, *hosts: str) -> None:
        """From now on, the name has these addresses."""
        self._known[name] = hosts

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,  # noqa: A002 - Trio calls it that
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        assert isinstance(host, bytes)
        name = host.decode()
        self.asked.append(name)
        await trio.sleep(self.seconds)
        if name not in self._known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", (known, port, 0, 0))
            if ":" in known
            else (socket.AF_INET, socket.SOCK_DGRAM, 17, "", (known, port))
            for known in self._known[name]
        ]

    async def getnameinfo(
        self, sockaddr: tuple[str, int] | tuple[str, int, int, int], flags: int
    ) -> tuple[str, str]:
        raise AssertionError("nobody asks for the name of an address")


@asynccontextmanager
async def known_names() -> AsyncGenerator[Names, None]:
    """Names that resolve for the length of a block, and no others."""
    names = Names()
    before = trio.socket.set_custom_hostname_resolver(names)
    try:
        yield names
    finally:
        trio.socket.set_custom_hostname_resolver(before)
