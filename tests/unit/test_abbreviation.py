"""Paths that have a number: draft-ietf-core-uri-path-abbrev."""

from __future__ import annotations

import pytest

from coapsep.message.abbreviation import expand, expand_path
from coapsep.message.codec import decode, encode
from coapsep.message.message import Message
from coapsep.message.options import EMPTY, Options
from coapsep.numbers import Code, OptionNumber, Type

# Section 6.2, table 2.
REGISTRY = {
    0: "/.well-known/core",
    1: "/.well-known/rd",
    2: "/.well-known/edhoc",
    301: "/.well-known/est/crts",
    302: "/.well-known/est/sen",
    303: "/.well-known/est/sren",
    304: "/.well-known/est/skg",
    305: "/.well-known/est/skc",
    306: "/.well-known/est/att",
    401: "/.well-known/brski/es",
    402: "/.well-known/brski/rv",
    403: "/.well-known/brski/vs",
}


@pytest.mark.parametrize(("number", "path"), REGISTRY.items())
def test_the_registry(number: int, path: str) -> None:
    assert expand(number) == tuple(path[1:].split("/"))


def test_no_number_is_known_beside_those() -> None:
    assert [number for number in range(1000) if expand(number) is not None] == list(REGISTRY)
    assert expand(-1) is None
    assert expand(0xFFFFFFFF) is None


def test_it_is_treated_like_the_path() -> None:
    """Section 2.1; what else was asked for stays."""
    options = Options.build(uri_path_abbrev=0, uri_query=["rt=x"], accept=40)
    assert expand_path(options) == Options.build(
        uri_path=[".well-known", "core"], uri_query=["rt=x"], accept=40
    )


@pytest.mark.parametrize("options", [EMPTY, Options.build(uri_path=["a"], accept=0)])
def test_a_request_without_it_is_left_alone(options: Options) -> None:
    assert expand_path(options) is options


def test_a_number_that_is_not_known_is_refused() -> None:
    """Section 2.1: 4.02 and not 4.04, since the path may be there."""
    assert expand_path(Options.build(uri_path_abbrev=3)) is None


@pytest.mark.parametrize("path", [[".well-known", "core"], [""], ["a"]])
def test_it_does_not_go_with_a_path(path: list[str]) -> None:
    """Section 2.4: "mutually exclusive", even if both say the same."""
    assert expand_path(Options.build(uri_path_abbrev=0, uri_path=path)) is None


def test_what_is_faulty_stays_so() -> None:
    options = Options([(13, b"")], faulty=(OptionNumber.URI_PORT,))
    expanded = expand_path(options)
    assert expanded is not None
    assert expanded.faulty == (OptionNumber.URI_PORT,)


def test_two_of_them_are_one_that_is_not_understood() -> None:
    """Section 2: not repeatable. The second is refused with 4.02 (RFC 7252 section 5.4.5)."""
    twice = Message(Code.GET, Type.CON, 1, options=Options([(13, b""), (13, b"\x01")]))
    read = decode(encode(twice))
    assert isinstance(read, Message)
    assert read.options.faulty == (13,)


def test_two_bytes_say_it() -> None:
    """The abstract: "in as little as two bytes"."""
    message = Message(Code.GET, Type.CON, 1, options=Options.build(uri_path_abbrev=0))
    assert encode(message) == bytes.fromhex("40010001 d000")
    assert decode(encode(message)) == message
