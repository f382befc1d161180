"""A bounded memory of results that are paid for once."""

from __future__ import annotations

from typing import Generic, TypeVar

_K = TypeVar("_K")
_V = TypeVar("_V")


class Memo(Generic[_K, _V]):
    """A bounded dict that forgets its oldest entry; a flood costs it its use, not memory."""

    __slots__ = ("_limit", "entries")

    def __init__(self, limit: int = 1024) -> None:
        self.entries: dict[_K, _V] = {}
        self._limit = limit

    def keep(self, key: _K, value: _V) -> None:
        """Remember one more result."""
        if len(self.entries) >= self._limit:
            del self.entries[next(iter(self.entries))]
        self.entries[key] = value
