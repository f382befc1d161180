"""What is typed as an argument, read: URIs, content formats, options, numbers.

Each function raises argparse.ArgumentTypeError that says what is wrong with the text.
"""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from ipaddress import ip_address

from coapsep.cli.formats import NAMES
from coapsep.message.definitions import DEFINITIONS, Format, encode_value, option_name
from coapsep.message.uri import CoapURI, parse_uri
from coapsep.numbers import BLOCK_SIZES, OptionNumber

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://")
_NUMBER = re.compile(r"[0-9]{1,10}")
_OPTIONS = {option_name(number).lower(): int(number) for number in OptionNumber}
_LARGEST_FORMAT = 65535


def uri(text: str) -> CoapURI:
    """A coap URI; without a scheme it is one all the same."""
    scheme = _SCHEME.match(text)
    if scheme is None:
        text = f"coap://{text}"
    elif scheme[1].lower() != "coap":
        raise ArgumentTypeError(
            f"{scheme[1]}:// is not supported: there is only coap://, which is CoAP over UDP"
        )
    try:
        return parse_uri(text)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None


def uri_of_one(text: str) -> CoapURI:
    """A URI of one peer, and not of a group."""
    read = uri(text)
    if is_group(read):
        raise ArgumentTypeError(f"{read.host} is a group of peers: only discover asks a group")
    return read


def is_group(read: CoapURI) -> bool:
    """Whether its host is a multicast address."""
    return read.host_is_ip and ip_address(read.host.partition("%")[0]).is_multicast


def content_format(text: str) -> int:
    """A content format, by name or number."""
    if _NUMBER.fullmatch(text) and int(text) <= _LARGEST_FORMAT:
        return int(text)
    named = NAMES.get(text.lower().replace("_", "-"))
    if named is None:
        raise ArgumentTypeError(
            f"{text!r} is no content format: it is a number up to {_LARGEST_FORMAT}, or one of "
            f"{', '.join(NAMES)}"
        )
    return int(named)


def option(text: str) -> tuple[int, bytes]:
    """An option, ``NUMBER_OR_NAME=VALUE``, as its number and the bytes of its value."""
    name, equals, value = text.partition("=")
    number = _option_number(name)
    definition = DEFINITIONS.get(number)
    kind = Format.OPAQUE if definition is None else definition.format
    if bool(equals) == (kind is Format.EMPTY):
        needs = "no value" if equals else "a value, after ="
        raise ArgumentTypeError(f"{option_name(number)} takes {needs}: {text!r}")
    try:
        return number, encode_value(number, _option_value(kind, value))
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None


def _option_number(name: str) -> int:
    if _NUMBER.fullmatch(name) and int(name) <= 65535:
        return int(name)
    number = _OPTIONS.get(name.lower().replace("_", "-"))
    if number is None:
        raise ArgumentTypeError(
            f"{name!r} is no option: it is a number up to 65535, or one of "
            f"{', '.join(option_name(number) for number in OptionNumber)}"
        )
    return number


def _option_value(kind: Format, value: str) -> bytes | str | int | bool:
    if kind is Format.EMPTY:
        return True
    if kind is Format.STRING:
        return value
    if kind is Format.UINT:
        if not re.fullmatch("[0-9]{1,10}|0x[0-9A-Fa-f]{1,8}", value):
            raise ValueError(f"the value is a number, such as 60 or 0x3c, not {value!r}")
        return int(value, 16 if value.startswith("0x") else 10)
    if not value.startswith("0x"):
        return value.encode()
    try:
        return bytes.fromhex(value[2:])
    except ValueError:
        raise ValueError(f"after 0x stand hexadecimal digits, two a byte: {value!r}") from None


def link_filter(text: str) -> str:
    """A filter for links, ``name=value`` (RFC 6690 section 4.1)."""
    name, equals, _ = text.partition("=")
    if not (name and equals):
        raise ArgumentTypeError(f"a filter is NAME=VALUE, such as rt=light*, not {text!r}")
    try:
        encode_value(OptionNumber.URI_QUERY, text)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None
    return text


def seconds(text: str) -> float:
    """A positive number of seconds."""
    read = _float(text)
    if not (read > 0 and math.isfinite(read)):
        raise ArgumentTypeError(f"it is a positive number of seconds, not {text!r}")
    return read


def seconds_or_zero(text: str) -> float:
    """A number of seconds that may be zero."""
    read = _float(text)
    if not (read >= 0 and math.isfinite(read)):
        raise ArgumentTypeError(f"it is zero or more seconds, not {text!r}")
    return read


def _float(text: str) -> float:
    # float() would also take 1_0, and digits of any script.
    return float(text) if re.fullmatch(r"[0-9]*\.?[0-9]+|[0-9]+\.", text) else math.nan


def count(text: str) -> int:
    """A whole number, at least one."""
    if not _NUMBER.fullmatch(text) or int(text) < 1:
        raise ArgumentTypeError(f"it is a whole number of at least 1, not {text!r}")
    return int(text)


def port(text: str) -> int:
    """A UDP port, or 0."""
    if not _NUMBER.fullmatch(text) or int(text) > 65535:
        raise ArgumentTypeError(f"a port is a number from 0 (any free one) to 65535, not {text!r}")
    return int(text)


def block_size(text: str) -> int:
    """The size of a block, bytes."""
    if not _NUMBER.fullmatch(text) or int(text) not in BLOCK_SIZES:
        raise ArgumentTypeError(f"it is one of {', '.join(map(str, BLOCK_SIZES))}, not {text!r}")
    return int(text)


def count_or_zero(text: str) -> int:
    """A whole number that may be zero."""
    if not _NUMBER.fullmatch(text):
        raise ArgumentTypeError(f"it is a whole number, zero or more, not {text!r}")
    return int(text)
