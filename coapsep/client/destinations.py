"""Which of a name's addresses to use.

A name may have several addresses, and not all of them need to work: a host that listens on
IPv4 only, a network without IPv6. The request itself must go to one of them only, since it
may not be executed twice. So the addresses are tried with pings (RFC 7252 section 4.3), each
a moment after the one before, and the first that answers is it (the idea of RFC 8305).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import attrs
import trio

from coapsep.address import Address
from coapsep.errors import PeerUnreachable, RequestFailed, RequestTimedOut
from coapsep.transport.resolve import resolve

#: Seconds by which the next address waits for the one before it (RFC 8305 section 5).
_HEAD_START = 0.25
#: Seconds for which a choice is kept: a name may get another address.
_KEPT_FOR = 60.0
#: Names of which a choice is kept.
_KEPT = 256


@attrs.define(eq=False)
class _Search:
    """One that is under way: whoever wants the same waits for it."""

    over: trio.Event = attrs.Factory(trio.Event)
    failure: RequestFailed | None = None


class Destinations:
    """The choices that were made of late. ``ping`` raises RequestFailed if nobody answers."""

    def __init__(self, ping: Callable[[Address], Awaitable[object]]) -> None:
        self._ping = ping
        self._chosen: OrderedDict[tuple[str, int], tuple[float, Address]] = OrderedDict()
        self._searches: dict[tuple[str, int], _Search] = {}

    async def find(self, host: str, port: int) -> Address:
        """The address to use for a name. Always a checkpoint.

        Raises PeerUnreachable if the name has none, or nobody is at any of them, and
        RequestTimedOut if none of them answers.
        """
        await trio.lowlevel.checkpoint()
        while True:
            expires, address = self._chosen.get((host, port), (-math.inf, None))
            if address is not None and expires > trio.current_time():
                return address
            search = self._searches.get((host, port))
            if search is None:
                return await self._search(host, port)
            # A hundred requests at once would else be a hundred searches. If it is cancelled,
            # the next one takes its place.
            await search.over.wait()
            if search.failure is not None:
                raise type(search.failure)(*search.failure.args)

    def forget(self, host: str, port: int) -> None:
        """The choice was not a good one: choose again next time."""
        self._chosen.pop((host, port), None)

    async def _search(self, host: str, port: int) -> Address:
        search = self._searches[host, port] = _Search()
        try:
            address = await self._choose(host, port)
        except RequestFailed as exc:
            search.failure = exc
            raise
        finally:
            del self._searches[host, port]
            search.over.set()
        self._chosen[host, port] = (trio.current_time() + _KEPT_FOR, address)
        self._chosen.move_to_end((host, port))
        if len(self._chosen) > _KEPT:
            self._chosen.popitem(last=False)
        return address

    async def _choose(self, host: str, port: int) -> Address:
        try:
            addresses = await resolve(host, port)
        except OSError as exc:
            raise PeerUnreachable(exc.strerror) from exc
        return addresses[0] if len(addresses) == 1 else await self._race(host, addresses)

    async def _race(self, host: str, addresses: list[Address]) -> Address:
        winner: Address | None = None
        failures: dict[Address, RequestFailed] = {}
        error: Exception | None = None

        async def run(address: Address, failed: trio.Event) -> None:
            nonlocal winner, error
            try:
                await self._ping(address)
            except RequestFailed as exc:
                failures[address] = exc
                failed.set()
            except Exception as exc:
                # No fault of this address. The nursery would put it into a group.
                error = exc
                nursery.cancel_scope.cancel()
            else:
                winner = winner or address
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(run, address, failed)
                with trio.move_on_after(_HEAD_START):
                    await failed.wait()  # then there is nothing to wait for
        if winner is not None:
            return winner
        if error is not None:
            raise error
        text = ", ".join(f"{address} ({failure})" for address, failure in failures.items())
        unreachable = all(isinstance(exc, PeerUnreachable) for exc in failures.values())
        kind = PeerUnreachable if unreachable else RequestTimedOut
        raise kind(f"none of the addresses of {host} answers: {text}")
