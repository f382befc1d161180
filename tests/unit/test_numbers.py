"""Message types, codes, option numbers and content formats: RFC 7252 sections 3 and 12."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from coapsep.numbers import BLOCK_SIZES, CODES, IDEMPOTENT, Code, ContentFormat, OptionNumber, Type

EVERY_CODE = range(256)


@pytest.mark.parametrize(("name", "number"), [("CON", 0), ("NON", 1), ("ACK", 2), ("RST", 3)])
def test_message_types(name: str, number: int) -> None:
    """Section 3, field T."""
    assert Type[name] == number
    assert Type(number).name == name
    assert len(Type) == 4


# -- codes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "dotted", "text"),
    [
        (Code.EMPTY, "0.00", "0.00 Empty"),
        (Code.GET, "0.01", "GET"),
        (Code.POST, "0.02", "POST"),
        (Code.PUT, "0.03", "PUT"),
        (Code.DELETE, "0.04", "DELETE"),
        (Code.FETCH, "0.05", "FETCH"),
        (Code.PATCH, "0.06", "PATCH"),
        (Code.IPATCH, "0.07", "IPATCH"),
        (Code.CREATED, "2.01", "2.01 Created"),
        (Code.DELETED, "2.02", "2.02 Deleted"),
        (Code.VALID, "2.03", "2.03 Valid"),
        (Code.CHANGED, "2.04", "2.04 Changed"),
        (Code.CONTENT, "2.05", "2.05 Content"),
        (Code.CONTINUE, "2.31", "2.31 Continue"),
        (Code.BAD_REQUEST, "4.00", "4.00 Bad Request"),
        (Code.UNAUTHORIZED, "4.01", "4.01 Unauthorized"),
        (Code.BAD_OPTION, "4.02", "4.02 Bad Option"),
        (Code.FORBIDDEN, "4.03", "4.03 Forbidden"),
        (Code.NOT_FOUND, "4.04", "4.04 Not Found"),
        (Code.METHOD_NOT_ALLOWED, "4.05", "4.05 Method Not Allowed"),
        (Code.NOT_ACCEPTABLE, "4.06", "4.06 Not Acceptable"),
        (Code.REQUEST_ENTITY_INCOMPLETE, "4.08", "4.08 Request Entity Incomplete"),
        (Code.CONFLICT, "4.09", "4.09 Conflict"),
        (Code.PRECONDITION_FAILED, "4.12", "4.12 Precondition Failed"),
        (Code.REQUEST_ENTITY_TOO_LARGE, "4.13", "4.13 Request Entity Too Large"),
        (Code.UNSUPPORTED_CONTENT_FORMAT, "4.15", "4.15 Unsupported Content Format"),
        (Code.UNPROCESSABLE_ENTITY, "4.22", "4.22 Unprocessable Entity"),
        (Code.TOO_MANY_REQUESTS, "4.29", "4.29 Too Many Requests"),
        (Code.INTERNAL_SERVER_ERROR, "5.00", "5.00 Internal Server Error"),
        (Code.NOT_IMPLEMENTED, "5.01", "5.01 Not Implemented"),
        (Code.BAD_GATEWAY, "5.02", "5.02 Bad Gateway"),
        (Code.SERVICE_UNAVAILABLE, "5.03", "5.03 Service Unavailable"),
        (Code.GATEWAY_TIMEOUT, "5.04", "5.04 Gateway Timeout"),
        (Code.PROXYING_NOT_SUPPORTED, "5.05", "5.05 Proxying Not Supported"),
        (Code.HOP_LIMIT_REACHED, "5.08", "5.08 Hop Limit Reached"),
    ],
)
def test_named_codes(code: Code, dotted: str, text: str) -> None:
    """Section 12.1, and RFC 7959 (2.31, 4.08), 8132, 8516 (4.29), 8768 (5.08)."""
    assert code.dotted == dotted
    assert str(code) == text
    assert f"{code}" == text


@pytest.mark.parametrize("number", EVERY_CODE)
def test_every_number_is_a_code(number: int) -> None:
    """Section 12.1: c.dd is three bits of class and five of detail."""
    code = Code(number)
    assert code == number
    assert code.value == number
    assert code.dotted == f"{number // 32}.{number % 32:02d}"
    assert CODES[number] == code
    assert str(code).strip()
    assert hash(code) == hash(number)


@pytest.mark.parametrize("number", EVERY_CODE)
def test_the_class_of_every_code(number: int) -> None:
    """Section 12.1: 0.01-0.31 requests, 2.00-5.31 responses, 1, 6 and 7 reserved."""
    code = Code(number)
    assert code.is_request == (0 < number <= 0x1F)
    assert code.is_response == (number // 32 in (2, 3, 4, 5))
    assert code.is_success == (number // 32 == 2)


@pytest.mark.parametrize(("number", "text"), [(0x1F, "0.31"), (0x5E, "2.30"), (0xFF, "7.31")])
def test_a_code_without_a_name_prints_as_its_number(number: int, text: str) -> None:
    assert str(Code(number)) == text
    assert f"{Code(number)}" == text
    assert text.replace(".", "_") in repr(Code(number))


def test_nameless_codes_are_not_remembered() -> None:
    """What a peer sends must not make the enum grow."""
    names, values = list(Code.__members__), len(Code._value2member_map_)
    for number in EVERY_CODE:
        Code(number)
    assert list(Code.__members__) == names
    assert len(Code._value2member_map_) == values


@pytest.mark.parametrize("code", [Code.GET, Code(0x1F)], ids=["named", "nameless"])
def test_a_code_can_be_copied_and_pickled(code: Code) -> None:
    for twin in (copy.copy(code), copy.deepcopy(code), pickle.loads(pickle.dumps(code))):
        assert isinstance(twin, Code)
        assert twin == code
        assert str(twin) == str(code)


@pytest.mark.parametrize("value", [-1, 256, 69.5, "GET", None])
def test_what_is_no_code(value: Any) -> None:
    with pytest.raises(ValueError, match="is not a valid Code"):
        Code(value)


def test_codes_is_a_table_of_all_256() -> None:
    assert list(CODES) == list(EVERY_CODE)
    assert all(isinstance(code, Code) for code in CODES)
    assert CODES[Code.CONTENT] is Code.CONTENT


@pytest.mark.parametrize("method", [Code(n) for n in range(1, 32)], ids=str)
def test_idempotent_methods(method: Code) -> None:
    """Section 5.1 and 5.8, RFC 8132 section 2: POST and PATCH are not."""
    assert (method in IDEMPOTENT) == (str(method) in {"GET", "PUT", "DELETE", "FETCH", "IPATCH"})


# -- registries ------------------------------------------------------------------------

OPTION_NUMBERS = {
    # Section 12.2
    "IF_MATCH": 1,
    "URI_HOST": 3,
    "ETAG": 4,
    "IF_NONE_MATCH": 5,
    "URI_PORT": 7,
    "LOCATION_PATH": 8,
    "URI_PATH": 11,
    "CONTENT_FORMAT": 12,
    "MAX_AGE": 14,
    "URI_QUERY": 15,
    "ACCEPT": 17,
    "LOCATION_QUERY": 20,
    "PROXY_URI": 35,
    "PROXY_SCHEME": 39,
    "SIZE1": 60,
    "OBSERVE": 6,  # RFC 7641
    "BLOCK2": 23,  # RFC 7959
    "BLOCK1": 27,
    "SIZE2": 28,
    "NO_RESPONSE": 258,  # RFC 7967
    "OSCORE": 9,  # RFC 8613
    "HOP_LIMIT": 16,  # RFC 8768
    "ECHO": 252,  # RFC 9175
    "REQUEST_TAG": 292,
    "URI_PATH_ABBREV": 13,  # draft-ietf-core-uri-path-abbrev
}

CONTENT_FORMATS = {
    # Section 12.3
    "TEXT": 0,
    "LINK_FORMAT": 40,
    "XML": 41,
    "OCTET_STREAM": 42,
    "EXI": 47,
    "JSON": 50,
    "JSON_PATCH": 51,  # RFC 8132
    "MERGE_PATCH": 52,
    "CBOR": 60,  # RFC 8949
    "CWT": 61,  # RFC 8392
    "CBOR_SEQ": 63,  # RFC 8742
    "SENML_JSON": 110,  # RFC 8428
    "SENSML_JSON": 111,
    "SENML_CBOR": 112,
    "SENSML_CBOR": 113,
    "PROBLEM_DETAILS": 257,  # RFC 9290
}


def test_option_numbers_are_those_of_the_registry() -> None:
    assert {member.name: member.value for member in OptionNumber} == OPTION_NUMBERS


def test_content_formats_are_those_of_the_registry() -> None:
    assert {member.name: member.value for member in ContentFormat} == CONTENT_FORMATS


def test_the_sizes_of_blocks_are_powers_of_two() -> None:
    """RFC 7959 section 2.2: 2**(SZX + 4), and SZX 7 is reserved."""
    assert [2 ** (exponent + 4) for exponent in range(7)] == list(BLOCK_SIZES)
