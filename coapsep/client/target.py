"""What a request is for: from what the caller writes to a destination and Uri options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import TypeAlias

import attrs

from coapsep.address import Address
from coapsep.message.memo import Memo
from coapsep.message.options import Options
from coapsep.message.uri import CoapURI, parse_uri

#: A URI, as text or read already; or an address, for which a path says the rest.
TargetLike: TypeAlias = str | CoapURI | Address


@attrs.frozen
class Target:
    """Where a request goes, and what it asks for there."""

    host: str
    """A name, or an IP address."""
    port: int
    address: Address | None
    """Where it goes, unless ``host`` is a name that must be resolved first."""
    options: Options
    """The Uri options (RFC 7252 section 6.4). The port is never one: it is where it goes."""


class Targets:
    """Reads targets, and remembers what the last ones were."""

    def __init__(self) -> None:
        self._memo: Memo[tuple[TargetLike, str], Target] = Memo()

    def read(
        self, target: TargetLike, path: str | Sequence[str] = "", query: Iterable[str] = ()
    ) -> Target:
        """What ``target`` and ``path`` name together.

        A path that is text is the one of a URI, percent-encoded and perhaps with a query; one
        that is a sequence holds the segments as they are. ``query`` adds arguments.

        Raises ValueError or TypeError for what names nothing.
        """
        if (
            query != ()
            or not isinstance(path, str)
            or not isinstance(target, str | CoapURI | Address)
        ):
            return _read(target, path, query)
        known = self._memo.entries.get((target, path))
        if known is None:
            known = _read(target, path, ())
            self._memo.keep((target, path), known)
        return known


def _read(target: TargetLike, path: str | Sequence[str], query: Iterable[str]) -> Target:
    segments, arguments = _read_path(path)
    arguments += _items(query, "a query is a sequence of arguments, such as ['a=1']")
    if isinstance(target, Address):
        _check_address(target)
        options = Options.build(uri_path=segments, uri_query=arguments)
        return Target(target.host, target.port, target, options)
    if isinstance(target, str):
        target = parse_uri(target)
    elif not isinstance(target, CoapURI):
        raise TypeError(f"a target is a URI or an Address, not {target!r}")
    if target.scheme != "coap":
        raise ValueError(f"{target.scheme} is not supported: only coap://, over UDP")
    if segments:
        if target.path:
            raise ValueError(f"{target} has a path: leave out the other one, {path!r}")
        target = attrs.evolve(target, path=segments)
    if arguments:
        target = attrs.evolve(target, query=target.query + arguments)
    address = Address(target.host, target.port) if _is_plain(target) else None
    return Target(target.host, target.port, address, target.options())


def _is_plain(uri: CoapURI) -> bool:
    """Whether the host is the address to send to; a zone has to be looked up first."""
    return uri.host_is_ip and "%" not in uri.host


def _read_path(path: str | Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not isinstance(path, str):
        return _items(path, "a path is text or a sequence of segments"), ()
    if not path:
        return (), ()
    if "#" in path:
        raise ValueError(f"a path has no fragment: write # as %23 in {path!r}")
    if not path.startswith(("/", "?")):
        path = "/" + path
    uri = parse_uri(f"coap://host{path}")
    return uri.path, uri.query


def _items(values: Iterable[str], rule: str) -> tuple[str, ...]:
    # Bytes and a dict can be iterated as well, and would give something else than was meant.
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"{rule}, not {values!r}")
    items = tuple(values)
    for item in items:
        if not isinstance(item, str):
            raise TypeError(f"{rule}, but one of them is {item!r}")
    return items


def _check_address(address: Address) -> None:
    # A name would be resolved by the system at every send, and block everything meanwhile.
    try:
        ip_address(address.host)
    except ValueError:
        raise ValueError(
            f"an Address holds a number, not a name: ask for 'coap://{address.host}'"
        ) from None
    if address.port == 0:
        raise ValueError(f"{address}: nothing can be sent to port 0")


def is_group(address: Address) -> bool:
    """Whether it is a multicast address, one of IPv4 that is written as IPv6 included."""
    host = ip_address(address.host)
    mapped = host.ipv4_mapped if isinstance(host, IPv6Address) else None
    return (mapped or host).is_multicast
