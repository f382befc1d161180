"""Filters that read well in a test: "drop the second ACK from a to b"."""

from __future__ import annotations

from collections.abc import Callable, Collection

from coapsep.address import Address
from coapsep.message.codec import decode
from coapsep.message.message import Message
from coapsep.numbers import Code, Type
from coapsep.testing.hosts import parse_address, parse_any


class Drop:
    """A filter that loses what it matches; ``Network.drop`` makes one."""

    def __init__(
        self,
        *,
        source: str | Address | None,
        destination: str | Address | None,
        kind: Type | None,
        code: Code | None,
        mid: int | None,
        token: bytes | None,
        matching: Callable[[Address, Address, bytes], bool] | None,
        nth: int | Collection[int] | None,
        remove: Callable[[Drop], None],
    ) -> None:
        self._source = _place(source)
        self._destination = _place(destination)
        self._kind, self._mid = kind, mid
        self._code, self._token = code, token
        self._reads = any(field is not None for field in (kind, code, mid, token))
        self._matching = matching
        self._nth = _numbers(nth)
        self._remove = remove
        #: Datagrams that matched, ``nth`` left aside.
        self.matched: int = 0
        #: Datagrams that it has lost.
        self.dropped: int = 0

    def remove(self) -> None:
        """Lose nothing more. Removing it twice does nothing."""
        self._remove(self)

    def drops(self, source: Address, destination: Address, data: bytes) -> bool:
        """Count a datagram that is sent; whether to lose it. Raises what ``matching`` does."""
        if not (
            _is_at(source, self._source)
            and _is_at(destination, self._destination)
            and (not self._reads or self._fits(data))
            and (self._matching is None or self._matching(source, destination, data))
        ):
            return False
        self.matched += 1
        if self._nth is not None and self.matched not in self._nth:
            return False
        self.dropped += 1
        return True

    def _fits(self, data: bytes) -> bool:
        message = decode(data)  # one that is malformed may have a type and a message ID
        if self._kind is not None and message.type != self._kind:
            return False
        if self._mid is not None and message.mid != self._mid:
            return False
        if self._code is None and self._token is None:
            return True
        return (
            isinstance(message, Message)
            and (self._code is None or message.code == self._code)
            and (self._token is None or message.token == self._token)
        )


def _place(place: str | Address | None) -> str | Address | None:
    if place is None:
        return None
    return parse_address(place) if isinstance(place, Address) else parse_any(place)


def _is_at(address: Address, place: str | Address | None) -> bool:
    return place is None or (
        address == place if isinstance(place, Address) else address.host == place
    )


def _numbers(nth: int | Collection[int] | None) -> frozenset[int] | None:
    if nth is None:
        return None
    numbers = frozenset(nth if isinstance(nth, Collection) else (nth,))
    if not numbers or any(not isinstance(number, int) or number < 1 for number in numbers):
        raise ValueError(f"nth is one or more whole numbers from 1 up, not {nth!r}")
    return numbers
