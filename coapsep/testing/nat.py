"""A NAT: others know a host by addresses that are not its own, and that may change.

It is the friendliest kind (RFC 4787): one outer port for each port of the host, whoever it
talks to, open to anybody, and kept until ``rebind``.
"""

from __future__ import annotations

from collections.abc import Callable

from coapsep.address import Address
from coapsep.testing.hosts import Ports


class Nat:
    """What stands in front of one host; ``Network.nat`` makes one."""

    def __init__(self, host: str, outer_host: str, claim: Callable[[Nat, str], str]) -> None:
        #: The host behind it.
        self.host: str = host
        self._claim = claim
        self._ports = Ports()
        self._outer: dict[int, Address] = {}
        self._inner: dict[Address, Address] = {}
        #: The address of the host as others see it.
        self.outer_host: str = claim(self, outer_host)

    def outer(self, port: int) -> Address:
        """What others see in place of this port of the host.

        From now on, if not before, they reach the port there.
        """
        outer = self._outer.get(port)
        if outer is None:
            outer = self._ports.free(self._inner, self.outer_host)
            self._outer[port] = outer
            self._inner[outer] = Address(self.host, port)
        return outer

    def inner(self, outer: Address) -> Address | None:
        """The address that is reached at this outer one; None if there is none, or no more."""
        return self._inner.get(outer)

    def rebind(self, outer_host: str | None = None) -> None:
        """Forget all ports, and move to another address if one is given.

        The next datagram from each port of the host comes from a new outer port. What is
        sent to the old ones, or is on the way to them, is lost. Raises ValueError if the
        new address is in use.
        """
        if outer_host is not None:
            self.outer_host = self._claim(self, outer_host)
        self._outer.clear()
        self._inner.clear()
