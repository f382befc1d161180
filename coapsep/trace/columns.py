"""The columns of a ladder: which address has which, and what stands above it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coapsep.address import Address
from coapsep.trace.datagram import Datagram
from coapsep.trace.notation import printable

#: More columns than this do not fit. The addresses that come later share the last one.
MAX_COLUMNS = 6


class Columns:
    """Addresses in the order of their columns, which is that of their first appearance."""

    def __init__(self, names: Mapping[Address, str] | None = None) -> None:
        self._names = {} if names is None else names
        self._own: dict[Address, int] = {}
        self._sharing: set[Address] = set()

    def add(self, addresses: Iterable[Address]) -> bool:
        """Make sure that these have columns; returns whether any column is new."""
        before = self.titles
        for address in addresses:
            if address in self._own or address in self._sharing:
                continue
            if self._sharing:
                self._sharing.add(address)
            elif len(self._own) < MAX_COLUMNS:
                self._own[address] = len(self._own)
            else:  # the last one that has a column to itself gives it up
                self._sharing |= {self._own.popitem()[0], address}
        return self.titles != before

    def __getitem__(self, address: Address) -> int:
        return self._own.get(address, MAX_COLUMNS - 1)

    @property
    def titles(self) -> tuple[str, ...]:
        """What stands above the columns."""
        own = tuple(map(self.name, self._own))
        return (*own, "others") if self._sharing else own

    def name(self, address: Address) -> str:
        """What an address is called."""
        return printable(self._names.get(address) or str(address))

    def ends(self, datagram: Datagram) -> str:
        """Who sent it to whom, where the columns alone do not tell."""
        if datagram.source in self._own and datagram.destination in self._own:
            return ""
        return f"{self.name(datagram.source)} -> {self.name(datagram.destination)}: "
