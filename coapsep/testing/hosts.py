"""The names of virtual hosts, which are IP addresses, and the ports that are free on one."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Container

from coapsep.address import Address

#: Ports that nobody has registered, for whoever does not care (RFC 6335 section 6).
_FIRST_PORT, _LAST_PORT = 49152, 65535


def parse_host(text: str) -> str:
    """The normal form of the address of one host. Raises ValueError if it is none."""
    address = _parse(text)
    if address.is_multicast:
        raise ValueError(f"{text!r} is the address of a group: bind a host, then join the group")
    if address.is_unspecified:
        raise ValueError(
            f"{text!r} stands for any address, but a virtual host needs one of its own"
        )
    return str(address)


def parse_group(text: str) -> str:
    """The normal form of the address of a group. Raises ValueError if it is none."""
    address = _parse(text)
    if not address.is_multicast:
        raise ValueError(
            f"{text!r} is not the address of a group, such as '224.0.1.187' or 'ff02::fd'"
        )
    return str(address)


def parse_any(text: str) -> str:
    """The normal form of the address of a host or a group. Raises ValueError if it is none."""
    return parse_group(text) if _parse(text).is_multicast else parse_host(text)


def parse_address(address: Address) -> Address:
    """The address with its host in normal form, and without a zone: there is one link only.

    Raises ValueError if the host is no IP address.
    """
    host = parse_any(address.host)
    if host == address.host and not address.scope_id:
        return address
    return Address(host, address.port)


def is_group(host: str) -> bool:
    """Whether this is the address of a group rather than a host."""
    return _parse(host).is_multicast


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if not isinstance(text, str):  # ip_address takes numbers and bytes too
        raise TypeError(f"a virtual host is an IP address in a str, not {text!r}")
    if "%" not in text:  # ip_address takes a zone, which means nothing here
        try:
            return ipaddress.ip_address(text)
        except ValueError:
            pass
    raise ValueError(
        f"a virtual host is an IP address such as '10.0.0.1' or '2001:db8::1', not {text!r}"
    )


class Ports:
    """Hands out the free ports of one host in turn, so that none is soon used again."""

    def __init__(self) -> None:
        self._last = _LAST_PORT

    def free(self, taken: Container[Address], host: str) -> Address:
        """The next address of the host that is not taken. Raises OSError (EADDRINUSE)."""
        for _ in range(_FIRST_PORT, _LAST_PORT + 1):
            self._last = self._last + 1 if self._last < _LAST_PORT else _FIRST_PORT
            address = Address(host, self._last)
            if address not in taken:
                return address
        raise OSError(errno.EADDRINUSE, f"{host} has no free port left")
