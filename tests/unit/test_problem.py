"""Concise problem details: RFC 9290, from the bytes to what a client is told."""

from __future__ import annotations

from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coapsep import (
    Address,
    ClientResponse,
    Code,
    ContentFormat,
    Options,
    Problem,
    UnsuccessfulResponse,
)
from coapsep.errors import BadRequest
from coapsep.server.results import error_response

# Section 3.2, figures 3 and 4 but for the key of the entry.
NESTED = {
    0: "machine readable error cause",
    1: (
        ("first parameter name", "must be a positive integer"),
        ("second parameter name",),
    ),
    2: "d34db33f",
}
WHOLE = Problem(
    "title of the error",
    detail="detailed information about the error",
    instance="coaps://pd.example/FA317434",
    response_code=Code.BAD_REQUEST,
    entries={"tag:3gpp.org,2022-03:TS29112": NESTED, 4711: NESTED},
)


def read(value: object) -> Problem:
    return Problem.read(cbor2.dumps(value))


# -- bytes ---------------------------------------------------------------------------------


def test_the_figures() -> None:
    assert cbor2.loads(WHOLE.to_cbor()) == {
        -1: "title of the error",
        -2: "detailed information about the error",
        -3: "coaps://pd.example/FA317434",
        -4: 128,
        "tag:3gpp.org,2022-03:TS29112": {key: _lists(value) for key, value in NESTED.items()},
        4711: {key: _lists(value) for key, value in NESTED.items()},
    }
    assert Problem.read(WHOLE.to_cbor()) == WHOLE


def _lists(value: Any) -> Any:
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("key", "value", "name", "expected"),
    [
        (-1, "t", "title", "t"),
        (-2, "d", "detail", "d"),
        (-3, "../i", "instance", "../i"),
        (-4, 132, "response_code", Code.NOT_FOUND),
        (-5, "coap://h/", "base_uri", "coap://h/"),
        (-6, "de-AT", "base_lang", "de-AT"),
        (-7, True, "base_rtl", True),
        (-7, False, "base_rtl", False),
        (-8, 13, "unprocessed_options", (13,)),
        (-8, [11, 13], "unprocessed_options", (11, 13)),
        (-9, [1, None], "entries", {-9: (1, None)}),
        (0, {1: 2}, "entries", {0: {1: 2}}),
        (7807, {"type": "x"}, "entries", {7807: {"type": "x"}}),
        ("https://x/", {0: 0}, "entries", {"https://x/": {0: 0}}),
    ],
)
def test_each_entry_has_its_key(key: int | str, value: Any, name: str, expected: Any) -> None:
    """Section 6.1, table 1; what is not recognised is kept (section 3)."""
    problem = read({key: value})
    assert getattr(problem, name) == expected
    assert problem == Problem(**{name: expected})
    assert cbor2.loads(problem.to_cbor()) == {key: value}


def test_the_draft_of_uri_path_abbrev_has_an_example() -> None:
    """draft-ietf-core-uri-path-abbrev section 2.1: the payload a1270d."""
    assert Problem(unprocessed_options=[13]).to_cbor() == bytes.fromhex("a1270d")


@pytest.mark.parametrize("parts", [["en", "Hello"], ["ar", "Hello", True], ["de", "Hello", None]])
def test_a_text_with_its_language_is_its_text(parts: list[Any]) -> None:
    """Appendix A: tag 38."""
    problem = read({-1: cbor2.CBORTag(38, parts), -2: cbor2.CBORTag(38, parts)})
    assert problem == Problem("Hello", detail="Hello")


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "text",
        7,
        None,
        {-1: 1},
        {-1: b"bytes"},
        {-1: cbor2.CBORTag(38, ["en"])},
        {-1: cbor2.CBORTag(38, ["en", 7])},
        {-1: cbor2.CBORTag(38, "en")},
        {-1: cbor2.CBORTag(32, "coap://h")},
        {-2: ["d"]},
        {-3: 1},
        {-4: 256},
        {-4: -1},
        {-4: "4.04"},
        {-5: 1},
        {-6: b"en"},
        {-7: 1},
        {-7: "rtl"},
        {-8: "13"},
        {-8: [11, "13"]},
        {-8: 65536},
        {-8: -1},
        {-8: True},
        {0: "no map"},
        {"https://x/": [1]},
        {b"bytes": {}},
        {1.5: {}},
        {None: {}},
        {-1: None},  # an entry that says nothing leaves nothing
    ],
    ids=repr,
)
def test_what_is_no_problem_details(value: object) -> None:
    with pytest.raises(ValueError):
        read(value)


@given(st.binary(max_size=60))
def test_bytes_are_problem_details_or_a_value_error(data: bytes) -> None:
    try:
        problem = Problem.read(data)
    except ValueError:
        return
    assert str(problem).isprintable()
    assert Problem.read(problem.to_cbor()).to_cbor() == problem.to_cbor()


def test_problem_details_have_a_length() -> None:
    assert len(Problem("x" * 65_000).to_cbor()) == 65_005
    with pytest.raises(ValueError, match="have 65536 bytes at most, not 65543"):
        Problem("x" * 65_536)
    with pytest.raises(ValueError, match="have 65536 bytes at most, not 65543"):
        Problem.read(cbor2.dumps({-1: "x" * 65_536}))


# -- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({}, ValueError, "say something at least"),
        ({"title": 1}, TypeError, "title"),
        ({"detail": b"d"}, TypeError, "detail"),
        ({"instance": 1}, TypeError, "instance"),
        ({"response_code": 300}, ValueError, "300"),
        ({"base_lang": 1}, TypeError, "base_lang"),
        ({"base_rtl": 1}, TypeError, "base_rtl"),
        ({"unprocessed_options": ["13"]}, TypeError, "'13'"),
        ({"unprocessed_options": [65536]}, ValueError, "from 0 to 65535, not 65536"),
        ({"entries": {-8: 13}}, ValueError, "the entry -8 has a name of its own"),
        ({"entries": {-1: "t"}}, ValueError, "the entry -1 has a name of its own"),
        ({"entries": {b"k": {}}}, TypeError, "a number or a URI"),
        ({"entries": {True: {}}}, TypeError, "a number or a URI"),
        ({"entries": {1: "x"}}, TypeError, "the value of 1 is a mapping"),
        ({"entries": {1: {0: object()}}}, TypeError, "there is no CBOR"),
        ({"title": "\ud800"}, ValueError, "surrogates"),
    ],
)
def test_what_cannot_be_sent_is_refused_where_it_is_made(
    keywords: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        Problem(**keywords)


def test_a_problem_is_a_value_of_its_own() -> None:
    entries: dict[int | str, Any] = {-9: 1}
    problem = Problem("t", entries=entries)
    entries[-10] = 2
    assert problem == Problem("t", entries={-9: 1})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        problem.title = "x"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a"), "a"),
        (Problem(detail="b"), "b"),
        (Problem("a", detail="b"), "a: b"),
        (Problem(response_code=Code.NOT_FOUND), ""),
        (Problem("a\nb\x1b[2J", detail="\u202e"), r"a\nb\x1b[2J: \u202e"),
    ],
)
def test_the_text_is_for_people(problem: Problem, text: str) -> None:
    assert str(problem) == text


# -- from a handler to a client ------------------------------------------------------------


def response(payload: bytes, content_format: int | None) -> ClientResponse:
    options = Options.build(content_format=content_format)
    return ClientResponse(Code.BAD_REQUEST, options, payload, Address("10.0.0.1", 5683))


def test_what_a_handler_raises_is_what_a_client_reads() -> None:
    sent = error_response(BadRequest(problem=WHOLE, max_age=5))
    assert sent.code is Code.BAD_REQUEST
    assert sent.options.content_format == ContentFormat.PROBLEM_DETAILS
    assert sent.options.max_age == 5
    assert response(sent.payload, sent.options.content_format).problem() == WHOLE


@pytest.mark.parametrize(
    ("payload", "content_format", "match"),
    [
        (b"no", None, "there is no content format"),
        (WHOLE.to_cbor(), None, "there is no content format"),
        (WHOLE.to_cbor(), ContentFormat.CBOR, r"not problem details: .* CBOR \(60\)"),
        (b"", 257, "it ends in the middle"),
        (b"\xa0", 257, "say something at least"),
        (b"\x81\x00", 257, "are a map"),
    ],
)
def test_a_response_without_problem_details(
    payload: bytes, content_format: int | None, match: str
) -> None:
    with pytest.raises(ValueError, match=match):
        response(payload, content_format).problem()


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (WHOLE.to_cbor(), "title of the error: detailed information about the error"),
        (Problem("a\x1b[31m").to_cbor(), r"a\x1b[31m"),
        (Problem("x" * 300).to_cbor(), "x" * 200),
        (Problem(base_lang="en").to_cbor(), ""),
        (b"\xff", ""),
    ],
)
def test_the_error_of_a_client_says_what_the_problem_is(payload: bytes, text: str) -> None:
    error = UnsuccessfulResponse(response(payload, 257))
    assert str(error) == ("4.00 Bad Request" + (f": {text}" if text else ""))
