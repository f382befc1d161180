"""What a handler did, as a response."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, TypeAlias

from coapsep.errors import NotAcceptable, ResponseError
from coapsep.message.response import Response
from coapsep.numbers import SAFE, Code, ContentFormat, OptionNumber
from coapsep.server.streaming import StreamingResponse

if TYPE_CHECKING:
    from coapsep.server.request import Request
    from coapsep.server.router import Result

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

#: Types of results of which nothing has to be awaited, as most are.
SETTLED: frozenset[type] = frozenset({bytes, str, Response, type(None)})
#: What a pass of a handler comes to; None is no response yet.
Answer: TypeAlias = Response | StreamingResponse | None

_CONTENT = Code.CONTENT
#: The response code of a bare payload.
_DEFAULT_CODES = {
    Code.GET: Code.CONTENT,
    Code.FETCH: Code.CONTENT,
    Code.POST: Code.CHANGED,
    Code.PUT: Code.CHANGED,
    Code.PATCH: Code.CHANGED,
    Code.IPATCH: Code.CHANGED,
    Code.DELETE: Code.DELETED,
}


def to_response(request: Request, result: Result | AsyncIterable[Any]) -> Answer:
    """The response that a handler's return value stands for; None for None.

    A representation that the client says it has is 2.03 Valid (RFC 7252 section 5.9.1.3).

    Raises TypeError or ValueError for what is none, NotAcceptable (RFC 7252 section 5.10.4)
    for a representation in another format than the one asked for.
    """
    response: Answer
    asked = request._exchange.request
    if isinstance(result, bytes | str):
        # A route that promises one format means it for what its handler just returns, too.
        promised = request._route.content_formats
        response = Response(
            _DEFAULT_CODES.get(asked.code, _CONTENT),
            result,
            content_format=promised[0] if len(promised) == 1 else None,
        )
    elif result is None or isinstance(result, Response | StreamingResponse):
        response = result
    elif isinstance(result, Code):
        response = Response(result)
    elif isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Code):
        response = Response(*result)
    elif isinstance(result, AsyncIterable):
        promised = request._route.content_formats
        response = StreamingResponse(
            result,
            _DEFAULT_CODES.get(asked.code, _CONTENT),
            content_format=promised[0] if len(promised) == 1 else None,
        )
    else:
        raise TypeError(
            f"a handler returns a Response, bytes, str, a Code, (Code, payload), an async "
            f"iterable of bytes or None, not {result!r:.200}"
        )
    if response is None or asked.options.is_plain or asked.code not in SAFE:
        return response
    head = response.head if isinstance(response, StreamingResponse) else response
    if head.code is not _CONTENT:
        return response
    accept, etags = asked.options.accept, asked.options.etags
    if accept is not None and head.options.content_format != accept:
        raise NotAcceptable("Not Acceptable")
    if etags and set(head.options.etags) & set(etags):
        return Response(Code.VALID, options=head.options.without(OptionNumber.CONTENT_FORMAT))
    return response


def from_error(exc: Exception) -> Response | None:
    """The response that an exception asks for; None if it is a fault of the handler.

    A handler that uses a nursery raises its ResponseError wrapped in a group.
    """
    inner: BaseException = exc
    while isinstance(inner, BaseExceptionGroup) and len(inner.exceptions) == 1:
        inner = inner.exceptions[0]
    return error_response(inner) if isinstance(inner, ResponseError) else None


def error_response(exc: ResponseError) -> Response:
    """The response that a ResponseError stands for."""
    if exc.problem is not None:
        problem = exc.problem.to_cbor()
        details = ContentFormat.PROBLEM_DETAILS
        return Response(exc.code, problem, content_format=details, max_age=exc.max_age)
    return Response(exc.code, exc.diagnostic.encode(), max_age=exc.max_age)
