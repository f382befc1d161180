"""coap and coaps URIs: read, write, take apart into options and put together again.

RFC 7252 section 6 over RFC 3986. A name is passed on as it stands: IDNA is the business of
whoever types it or resolves it. Characters outside ASCII are taken as the IRI they make
(RFC 3987 section 3.1), but always written percent-encoded.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, unquote_to_bytes

import attrs

from coapsep.address import Address
from coapsep.message.options import Options

#: The schemes that are known, and the port each has unless the URI says another.
DEFAULT_PORTS: dict[str, int] = {"coap": 5683, "coaps": 5684}

# What quote() leaves alone besides the "unreserved" set, which it always leaves alone
# (RFC 3986 section 2.2, RFC 7252 section 6.5 steps 6 and 8).
_SUB_DELIMS = "!$&'()*+,;="
_SAFE_IN_PATH = _SUB_DELIMS + ":@"
_SAFE_IN_QUERY = _SAFE_IN_PATH.replace("&", "") + "/?"

_LONGEST = 255  # bytes in a Uri-Host, Uri-Path or Uri-Query option

# RFC 3986 appendix B; it matches every string, and each part stops at the next delimiter.
_PARTS = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(#.*)?", re.DOTALL
)
# What must not stand there: a set of all that may, up to U+10FFFF, takes 5 ms to compile.
_NOT_IN_URI = re.compile(r'[\x00-\x20"#<>\[\\\]^`{|}\x7f-\x9f]|\s')
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}", re.DOTALL)
_NOT_IN_NAME = re.compile(r'[\x00-\x20"#%/:<>?@\[\\\]^`{|}\x7f]')
_TO_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def _check_length(value: str, what: str) -> None:
    size = len(value.encode())
    if size > _LONGEST:
        raise ValueError(f"{what} is {size} bytes long, but an option holds {_LONGEST} at most")


def _scheme(scheme: str) -> str:
    lowered = scheme.translate(_TO_LOWER)
    if lowered not in DEFAULT_PORTS:
        raise ValueError(f"unknown scheme {scheme!r}: a CoAP URI begins with coap:// or coaps://")
    return lowered


def _host(host: str) -> str:
    """The host in its one normal form, so that equal hosts compare equal."""
    if not host:
        raise ValueError("the host is empty: a CoAP URI names one, as in coap://example.com/")
    if ":" in host:
        return _ipv6(host)
    # No name that DNS has holds a delimiter of URIs; section 6.5 step 2 lets such a one fail.
    bad = _NOT_IN_NAME.search(host)
    if bad:
        raise ValueError(f"{bad[0]!r} cannot be part of a host name: {host!r}")
    _check_length(host, "the host")
    return host.translate(_TO_LOWER)


def _ipv6(host: str) -> str:
    text, percent, zone = host.partition("%")
    try:
        address = IPv6Address(text)
    except ValueError as error:
        raise ValueError(f"{host!r} is not an IPv6 address: {error}") from None
    if percent and not (zone and zone.isprintable()):
        raise ValueError(f"the zone of {host!r} must be the name or number of an interface")
    # Which of its two forms str() gives to a mapped address depends on Python's version.
    mapped = address.ipv4_mapped
    return (f"::ffff:{mapped}" if mapped else address.compressed) + percent + zone


def _port(port: int) -> int:
    if not 1 <= port <= 65535:
        raise ValueError(f"the port must be from 1 to 65535, not {port}")
    return port


def _path(segments: Iterable[str]) -> tuple[str, ...]:
    return _sequence(segments, "path segment")


def _query(arguments: Iterable[str]) -> tuple[str, ...]:
    return _sequence(arguments, "query argument")


def _sequence(values: Iterable[str], what: str) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError(f"expected a sequence with one string a {what}, not {values!r}")
    values = tuple(values)
    for position, value in enumerate(values, 1):
        _check_length(value, f"{what} {position}")
    return values


@attrs.frozen(cache_hash=True)
class CoapURI:
    """A coap or coaps URI, decoded.

    ``host`` is a name in ASCII lower case, or an IP address: without brackets, but with the
    zone if it has one, as in ``fe80::1%eth0``. ``path`` and ``query`` are what the Uri-Path
    and Uri-Query options hold. Raises ValueError for what no such URI can be.

    Two URIs that are equivalent by RFC 7252 section 6.3 are equal.
    """

    scheme: str = attrs.field(converter=_scheme)
    host: str = attrs.field(converter=_host)
    port: int = attrs.field(converter=_port)
    path: tuple[str, ...] = attrs.field(default=(), converter=_path)
    query: tuple[str, ...] = attrs.field(default=(), converter=_query)

    @property
    def host_is_ip(self) -> bool:
        """Whether ``host`` is an IP address, so that there is no name to resolve."""
        if ":" in self.host:
            return True
        try:
            IPv4Address(self.host)
        except ValueError:
            return False
        return True

    def options(self, destination: Address | None = None) -> Options:
        """The Uri options of a request for this URI (RFC 7252 section 6.4).

        An IP address as host is taken to be where the request goes, and needs no option.
        So is the port, unless ``destination`` has another one.

        Raises ValueError for a path segment "." or "..", which may not be sent
        (section 5.10.1). parse_uri gives one only for a dot that was percent-encoded.
        """
        for segment in self.path:
            if segment in (".", ".."):
                raise ValueError(f"a request cannot have {segment!r} as a path segment")
        port_is_implied = destination is None or destination.port == self.port
        return Options.build(
            uri_host=None if self.host_is_ip else self.host,
            uri_port=None if port_is_implied else self.port,
            uri_path=self.path,
            uri_query=self.query,
        )

    @classmethod
    def from_options(cls, options: Options, destination: Address, scheme: str = "coap") -> CoapURI:
        """The URI that a request asked for (RFC 7252 section 6.5).

        Raises ValueError when its options make none, such as a Uri-Host that is no host.
        """
        host = options.uri_host
        if host is None:
            zone = f"%{destination.scope_id}" if destination.scope_id else ""
            host = destination.host + zone
        elif ":" in host and host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        port = options.uri_port
        return cls(
            scheme,
            host,
            destination.port if port is None else port,
            options.uri_path,
            options.uri_query,
        )

    def __str__(self) -> str:
        """The URI in its normal form (RFC 7252 section 6.5).

        ``parse_uri(str(uri)) == uri``, with one exception: a path of one empty segment.
        """
        # The exception: 6.5 step 6 writes ("",) as "/", step 7 writes () as "/" too, and 6.4
        # step 8 reads "/", like no path at all, as (). So ("",) can be had as a value and be
        # sent as an option, but has no URI of its own. Every longer path has one: ("", "")
        # is "//".
        host, percent, zone = self.host.partition("%")
        if ":" in host:
            host = f"[{host}%25{quote(zone, safe='')}]" if percent else f"[{host}]"
        else:
            host = quote(host, safe=_SUB_DELIMS)
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        path = "/".join(map(write_segment, self.path))
        query = "&".join(quote(argument, safe=_SAFE_IN_QUERY) for argument in self.query)
        return f"{self.scheme}://{host}{port}/{path}{'?' if self.query else ''}{query}"


def write_segment(segment: str) -> str:
    # A bare dot segment would be resolved when the URI is read.
    if segment in (".", ".."):
        return segment.replace(".", "%2E")
    return quote(segment, safe=_SAFE_IN_PATH)


def parse_uri(text: str) -> CoapURI:
    """The URI that is written in ``text`` (RFC 7252 section 6.4).

    Raises ValueError that says what is wrong with it.
    """
    parts = _PARTS.fullmatch(text)
    assert parts is not None
    scheme, authority, path, query, fragment = parts.groups()
    if scheme is None:
        raise ValueError(
            f"{text!r} is a relative reference: a CoAP URI begins with coap:// or coaps://"
        )
    scheme = _scheme(scheme)
    if fragment is not None:
        raise ValueError(f"a CoAP URI has no fragment: leave out {fragment!r}, or write # as %23")
    if authority is None:
        raise ValueError(f"there is no host: write two slashes before it, as in {scheme}://host/")
    host, port = _read_authority(authority)
    return CoapURI(
        scheme,
        host,
        _read_port(port) if port else DEFAULT_PORTS[scheme],
        _read_path(path),
        () if query is None else [_decode(part, "query") for part in query.split("&")],
    )


def _read_authority(authority: str) -> tuple[str, str]:
    """The host, decoded, and the digits of the port, or "" (section 6.1)."""
    if "@" in authority:
        # What stands before the @ may be a password, so the message does not repeat it.
        raise ValueError("a CoAP URI has no userinfo: leave out all from // up to the @")
    if authority.startswith("["):
        literal, bracket, rest = authority[1:].partition("]")
        if not bracket or rest[:1] not in ("", ":"):
            raise ValueError(f"{authority!r} should be [IPv6 address] or [IPv6 address]:port")
        if ":" not in literal:
            raise ValueError(f"only an IPv6 address stands in brackets, not {literal!r}")
        address, percent, zone = literal.partition("%")
        if percent and not zone.startswith("25"):
            raise ValueError(f"the zone of [{literal}] begins with %25, as in [fe80::1%25eth0]")
        return address + percent + _decode(zone[2:], "zone"), rest[1:]
    if authority.count(":") > 1:
        raise ValueError(f"an IPv6 address stands in brackets, as in coap://[::1]: {authority!r}")
    name, _, port = authority.partition(":")
    name = _decode(name, "host")
    if ":" in name:  # was percent-encoded, and would now pass for an IPv6 address
        raise ValueError(f"':' cannot be part of a host name: {name!r}")
    return name, port


def _read_port(digits: str) -> int:
    # int() alone would take "+1", "1_0" and digits of other scripts, and choke on thousands.
    if not re.fullmatch("0*[0-9]{1,5}", digits):
        raise ValueError(f"the port must be a number from 1 to 65535, not {digits!r}")
    return int(digits[-5:])


def _read_path(path: str) -> list[str]:
    """The segments, decoded, after dot segments are resolved (RFC 3986 section 5.2.4).

    Dots count before decoding, so that "%2E%2E" is a segment called "..".
    """
    raw = path.split("/")[1:]
    resolved: list[str] = []
    for segment in raw:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if raw and raw[-1] in (".", ".."):
        resolved.append("")  # "/a/." is "/a/", the directory and not the file
    # No path and "/" are the same: the root (section 6.4 step 8).
    return [] if resolved == [""] else [_decode(segment, "path") for segment in resolved]


def _decode(raw: str, what: str) -> str:
    bad = _NOT_IN_URI.search(raw)
    if bad:
        raise ValueError(f"the {what} has {bad[0]!r}, which a URI must write as {quote(bad[0])}")
    stray = _STRAY_PERCENT.search(raw)
    if stray:
        raise ValueError(
            f"the {what} has {stray[0]!r}, which is no percent-encoding: write % itself as %25"
        )
    try:
        return unquote_to_bytes(raw).decode()
    except UnicodeError:
        raise ValueError(f"the {what} is not UTF-8 when it is decoded: {raw!r}") from None
