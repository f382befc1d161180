"""A partition: sets of hosts that cannot reach each other."""

from __future__ import annotations

from collections.abc import Iterable

from coapsep.testing.hosts import parse_host


class Partition:
    """Which hosts are apart. A single set is apart from all other hosts.

    Raises ValueError if there is no set, or if a host is in two.
    """

    def __init__(self, sides: Iterable[str | Iterable[str]]) -> None:
        self._sides: dict[str, int] = {}
        count = 0
        for side in sides:
            count += 1
            for host in (side,) if isinstance(side, str) else side:
                name = parse_host(host)
                if self._sides.setdefault(name, count) != count:
                    raise ValueError(f"{host!r} is on two sides of the partition")
        if not self._sides:
            raise ValueError("a partition needs at least one set of hosts")
        # Hosts that are on none of two or more sides reach everybody.
        self._others = 0 if count == 1 else None

    def separates(self, source: str, destination: str) -> bool:
        """Whether nothing gets from one host to the other."""
        here = self._sides.get(source, self._others)
        there = self._sides.get(destination, self._others)
        return here != there and here is not None and there is not None
