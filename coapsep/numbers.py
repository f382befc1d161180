"""The numbers of CoAP, as typed enums: message types, codes, option numbers, content formats.

The registries are the CoRE Parameters of IANA, begun by RFC 7252 section 12. Only what a
program has reason to name is listed; every other number stays a plain int.
"""

from __future__ import annotations

import enum


class Type(enum.IntEnum):
    """Message type (RFC 7252 section 3)."""

    CON = 0
    NON = 1
    ACK = 2
    RST = 3


class Code(enum.IntEnum):
    """Request method, response code, or Empty (RFC 7252 section 12.1).

    ``Code(n)`` works for every n from 0 to 255: a number without a name becomes a nameless
    member that prints as its dotted form, so that nothing a peer sends needs a special case.
    """

    EMPTY = 0x00

    GET = 0x01
    POST = 0x02
    PUT = 0x03
    DELETE = 0x04
    FETCH = 0x05
    PATCH = 0x06
    IPATCH = 0x07

    CREATED = 0x41
    DELETED = 0x42
    VALID = 0x43
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F

    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    METHOD_NOT_ALLOWED = 0x85
    NOT_ACCEPTABLE = 0x86
    REQUEST_ENTITY_INCOMPLETE = 0x88
    CONFLICT = 0x89
    PRECONDITION_FAILED = 0x8C
    REQUEST_ENTITY_TOO_LARGE = 0x8D
    UNSUPPORTED_CONTENT_FORMAT = 0x8F
    UNPROCESSABLE_ENTITY = 0x96
    TOO_MANY_REQUESTS = 0x9D

    INTERNAL_SERVER_ERROR = 0xA0
    NOT_IMPLEMENTED = 0xA1
    BAD_GATEWAY = 0xA2
    SERVICE_UNAVAILABLE = 0xA3
    GATEWAY_TIMEOUT = 0xA4
    PROXYING_NOT_SUPPORTED = 0xA5
    HOP_LIMIT_REACHED = 0xA8

    @classmethod
    def _missing_(cls, value: object) -> Code | None:
        if not isinstance(value, int) or not 0 <= value <= 255:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"CODE_{value >> 5}_{value & 31:02}"
        member._value_ = value
        return member

    @property
    def dotted(self) -> str:
        """The form ``c.dd`` of the specifications, such as ``2.05``."""
        return f"{self >> 5}.{self & 31:02}"

    @property
    def is_request(self) -> bool:
        """Whether this is a method code, class 0 but not Empty."""
        return 1 <= self < 32

    @property
    def is_response(self) -> bool:
        """Whether this is a response code, class 2 to 5."""
        return 64 <= self < 192

    @property
    def is_success(self) -> bool:
        """Whether this is a response code of class 2."""
        return 64 <= self < 96

    def __str__(self) -> str:
        if self.name.startswith("CODE_"):
            return self.dotted
        if self.is_request:
            return self.name
        return f"{self.dotted} {self.name.replace('_', ' ').title()}"


#: Every code by its number: a list index is faster than the enum's call.
CODES: tuple[Code, ...] = tuple(Code(n) for n in range(256))

#: Methods whose repetition does no harm (RFC 7252 section 5.1, RFC 8132 section 2).
IDEMPOTENT: frozenset[int] = frozenset({Code.GET, Code.PUT, Code.DELETE, Code.FETCH, Code.IPATCH})

#: The sizes that a block of a body may have, bytes (RFC 7959 section 2.2).
BLOCK_SIZES = (16, 32, 64, 128, 256, 512, 1024)


#: Methods that only read (RFC 7252 section 5.1, RFC 8132 section 2).
SAFE: frozenset[int] = frozenset({Code.GET, Code.FETCH})


class OptionNumber(enum.IntEnum):
    """Option numbers that have a name. Odd ones are critical (RFC 7252 section 5.4.6)."""

    IF_MATCH = 1
    URI_HOST = 3
    ETAG = 4
    IF_NONE_MATCH = 5
    OBSERVE = 6
    URI_PORT = 7
    LOCATION_PATH = 8
    OSCORE = 9
    URI_PATH = 11
    CONTENT_FORMAT = 12
    URI_PATH_ABBREV = 13
    MAX_AGE = 14
    URI_QUERY = 15
    HOP_LIMIT = 16
    ACCEPT = 17
    LOCATION_QUERY = 20
    BLOCK2 = 23
    BLOCK1 = 27
    SIZE2 = 28
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60
    ECHO = 252
    NO_RESPONSE = 258
    REQUEST_TAG = 292


class ContentFormat(enum.IntEnum):
    """Content formats that have a name (RFC 7252 section 12.3 and later registrations)."""

    TEXT = 0
    LINK_FORMAT = 40
    XML = 41
    OCTET_STREAM = 42
    EXI = 47
    JSON = 50
    JSON_PATCH = 51
    MERGE_PATCH = 52
    CBOR = 60
    CWT = 61
    CBOR_SEQ = 63
    SENML_JSON = 110
    SENSML_JSON = 111
    SENML_CBOR = 112
    SENSML_CBOR = 113
    PROBLEM_DETAILS = 257
