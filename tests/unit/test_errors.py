"""The exceptions: their tree, and the codes of those that become responses."""

from __future__ import annotations

import inspect

import pytest

import coapsep
from coapsep import errors
from coapsep.client import response
from coapsep.client.response import UnsuccessfulResponse
from coapsep.errors import ResponseError
from coapsep.numbers import CODES, Code
from coapsep.problem import Problem

PARENTS: dict[type[Exception], type[Exception]] = {
    errors.CoapError: Exception,
    errors.LocalProtocolError: errors.CoapError,
    errors.MessageIdsExhausted: errors.LocalProtocolError,
    errors.RemoteProtocolError: errors.CoapError,
    errors.RequestFailed: errors.CoapError,
    errors.RequestTimedOut: errors.RequestFailed,
    errors.ResetByPeer: errors.RequestFailed,
    errors.PeerUnreachable: errors.RequestFailed,
    errors.BadResponse: errors.RequestFailed,
    errors.BodyChanged: errors.RequestFailed,
    UnsuccessfulResponse: errors.RequestFailed,
    errors.EndpointCrashed: errors.CoapError,
    errors.ResponseError: errors.CoapError,
    errors.BadRequest: errors.ResponseError,
    errors.Unauthorized: errors.ResponseError,
    errors.BadOption: errors.ResponseError,
    errors.Forbidden: errors.ResponseError,
    errors.NotFound: errors.ResponseError,
    errors.MethodNotAllowed: errors.ResponseError,
    errors.NotAcceptable: errors.ResponseError,
    errors.RequestEntityIncomplete: errors.ResponseError,
    errors.Conflict: errors.ResponseError,
    errors.PreconditionFailed: errors.ResponseError,
    errors.RequestEntityTooLarge: errors.ResponseError,
    errors.UnsupportedContentFormat: errors.ResponseError,
    errors.UnprocessableEntity: errors.ResponseError,
    errors.TooManyRequests: errors.ResponseError,
    errors.BadGateway: errors.ResponseError,
    errors.ServiceUnavailable: errors.ResponseError,
    errors.GatewayTimeout: errors.ResponseError,
    errors.HopLimitReached: errors.ResponseError,
    errors.AsyncAlreadyRegistered: errors.ServiceUnavailable,
    errors.TooManyPending: errors.ServiceUnavailable,
}

DOTTED: dict[type[errors._FixedCode], str] = {
    errors.BadRequest: "4.00",
    errors.Unauthorized: "4.01",
    errors.BadOption: "4.02",
    errors.Forbidden: "4.03",
    errors.NotFound: "4.04",
    errors.MethodNotAllowed: "4.05",
    errors.NotAcceptable: "4.06",
    errors.RequestEntityIncomplete: "4.08",  # RFC 7959 section 2.9.2
    errors.Conflict: "4.09",
    errors.PreconditionFailed: "4.12",
    errors.RequestEntityTooLarge: "4.13",
    errors.UnsupportedContentFormat: "4.15",
    errors.UnprocessableEntity: "4.22",  # RFC 8132 section 3.4
    errors.TooManyRequests: "4.29",  # RFC 8516
    errors.BadGateway: "5.02",
    errors.ServiceUnavailable: "5.03",
    errors.GatewayTimeout: "5.04",
    errors.HopLimitReached: "5.08",  # RFC 8768
    errors.AsyncAlreadyRegistered: "5.03",
    errors.TooManyPending: "5.03",
}


def public_exceptions() -> set[type[Exception]]:
    return {
        value
        for name, value in (*vars(errors).items(), *vars(response).items())
        if inspect.isclass(value) and issubclass(value, Exception) and not name.startswith("_")
    }


# -- the tree --------------------------------------------------------------------------


@pytest.mark.parametrize(("child", "parent"), PARENTS.items())
def test_the_tree(child: type[Exception], parent: type[Exception]) -> None:
    public = [base for base in child.__mro__[1:] if not base.__name__.startswith("_")]
    assert public[0] is parent


def test_the_tree_is_whole() -> None:
    assert public_exceptions() == set(PARENTS)
    assert {kind for kind in PARENTS if issubclass(kind, errors._FixedCode)} == set(DOTTED)


def test_a_bad_response_is_a_mistake_of_the_peer_as_well() -> None:
    theirs = {kind for kind in PARENTS if issubclass(kind, errors.RemoteProtocolError)}
    assert theirs == {errors.RemoteProtocolError, errors.BadResponse}


def test_what_a_backend_says_is_no_response_of_the_server() -> None:
    """A handler that lets an UnsuccessfulResponse through has failed: 5.00, not its code."""
    failures = {kind for kind in PARENTS if issubclass(kind, errors.RequestFailed)}
    assert not any(issubclass(kind, errors.ResponseError) for kind in failures)


@pytest.mark.parametrize("kind", PARENTS)
def test_every_exception_can_be_had_from_the_package(kind: type[Exception]) -> None:
    assert getattr(coapsep, kind.__name__) is kind
    assert kind.__name__ in coapsep.__all__


# -- responses -------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.dotted)
def test_a_response_error_has_an_error_code(code: Code) -> None:
    """RFC 7252 section 5.9: class 4 is the client's error, class 5 the server's."""
    if code >> 5 in (4, 5):
        assert ResponseError(code).code == code
    else:
        with pytest.raises(ValueError, match=r"needs a 4\.xx or 5\.xx code"):
            ResponseError(code)


@pytest.mark.parametrize(("kind", "dotted"), DOTTED.items())
def test_each_class_has_its_code(kind: type[errors._FixedCode], dotted: str) -> None:
    error = kind("why", max_age=7)
    assert error.code.dotted == dotted
    assert isinstance(error.code, Code)
    assert error.diagnostic == "why"
    assert error.max_age == 7


@pytest.mark.parametrize("kind", DOTTED)
def test_a_diagnostic_and_a_time_are_not_needed(kind: type[errors._FixedCode]) -> None:
    error = kind()
    assert error.diagnostic == ""
    assert error.max_age is None
    assert error.problem is None


# -- problem details -------------------------------------------------------------------


@pytest.mark.parametrize("kind", DOTTED)
def test_a_problem_takes_the_place_of_the_diagnostic(kind: type[errors._FixedCode]) -> None:
    """RFC 9290: a payload for programs."""
    problem = Problem("Out of range", detail="1 to 4")
    error = kind(problem=problem, max_age=7)
    assert (error.problem, error.diagnostic, error.max_age) == (problem, "", 7)
    assert str(error) == f"{error.code}: Out of range: 1 to 4"


def test_a_problem_without_text_leaves_the_code() -> None:
    problem = Problem(unprocessed_options=[13])
    assert str(errors.BadOption(problem=problem)) == "4.02 Bad Option"


def test_one_payload_is_either_a_problem_or_a_diagnostic() -> None:
    with pytest.raises(ValueError, match="a diagnostic or a problem, not both"):
        errors.NotFound("no such sensor", problem=Problem("No such sensor"))


def test_a_problem_belongs_to_the_code_it_names() -> None:
    """RFC 9290 section 2: "Generators MUST use the same response code here"."""
    problem = Problem("No", response_code=Code.NOT_FOUND)
    assert errors.NotFound(problem=problem).problem is problem
    with pytest.raises(ValueError, match=r"a problem of 4\.04 Not Found in a 4\.00 Bad Request"):
        errors.BadRequest(problem=problem)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.NotFound(), "4.04 Not Found"),
        (errors.NotFound("no such sensor"), "4.04 Not Found: no such sensor"),
        (ResponseError(Code.TOO_MANY_REQUESTS, "slow down"), "4.29 Too Many Requests: slow down"),
        (ResponseError(Code(0xBF)), "5.31"),
        (errors.TooManyPending("full"), "5.03 Service Unavailable: full"),
    ],
)
def test_what_a_traceback_shows(error: ResponseError, text: str) -> None:
    assert str(error) == text


def test_a_handler_can_catch_all_of_them_at_once() -> None:
    """Both limits of the registry are a 5.03, and every one of these a CoapError."""
    with pytest.raises(errors.ServiceUnavailable) as caught:
        raise errors.AsyncAlreadyRegistered("token 20", max_age=5)
    assert isinstance(caught.value, errors.CoapError)
    assert caught.value.max_age == 5
