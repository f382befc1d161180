"""Who talks to whom: an address, and the session between two of them."""

from __future__ import annotations

import attrs

#: The groups of "All CoAP Nodes" (RFC 7252 section 12.8): of IPv4, and of IPv6 on a link and
#: within a site.
ALL_COAP_NODES: tuple[str, ...] = ("224.0.1.187", "ff02::fd", "ff05::fd")


@attrs.frozen(cache_hash=True)
class Address:
    """An IP address and a UDP port.

    ``host`` is the numeric form without brackets and without a zone; ``scope_id`` is the
    interface index that an IPv6 address of one link needs, host or group, else 0.
    """

    host: str
    port: int = attrs.field()
    scope_id: int = 0

    @port.validator
    def _port_in_range(self, attribute: attrs.Attribute[int], value: int) -> None:
        if not 0 <= value <= 65535:
            raise ValueError(f"port must be from 0 to 65535, not {value}")

    @property
    def is_ipv6(self) -> bool:
        """Whether ``host`` is an IPv6 literal."""
        return ":" in self.host

    def __str__(self) -> str:
        if not self.is_ipv6:
            return f"{self.host}:{self.port}"
        zone = f"%{self.scope_id}" if self.scope_id else ""
        return f"[{self.host}{zone}]:{self.port}"


@attrs.frozen(cache_hash=True)
class Session:
    """One pair of endpoints on one transport (RFC 7252 section 4.1).

    Message IDs and tokens mean something within a session only. The local address is part
    of it: a host that is asked at two of its addresses is two endpoints.
    """

    local: Address
    peer: Address
    transport: str = "udp"
    group: Address | None = None
    """The multicast group that a datagram was sent to, if it was. ``local`` is then the
    address that an answer leaves from, never that of the group (RFC 7252 section 8.2)."""

    @property
    def unicast(self) -> Session:
        """The session without the group: that of the answer."""
        return self if self.group is None else attrs.evolve(self, group=None)

    def __str__(self) -> str:
        group = "" if self.group is None else f" in {self.group}"
        return f"{self.transport} {self.local}{group} <- {self.peer}"
