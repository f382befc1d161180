"""What a handler did, as a response."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from coapsep.errors import NotAcceptable, ResponseError
from coapsep.message.response import Response
from coapsep.numbers import Code

if TYPE_CHECKING:
    from coapsep.server.request import Request
    from coapsep.server.router import Result

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

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
_SAFE = (Code.GET, Code.FETCH)


def to_response(request: Request, result: Result) -> Response | None:
    """The response that a handler's return value stands for; None for None.

    Raises TypeError or ValueError for what is none, NotAcceptable (RFC 7252 section 5.10.4)
    for a representation in another format than the one asked for.
    """
    if result is None or isinstance(result, Response):
        response = result
    elif isinstance(result, bytes | str):
        # A route that promises one format means it for what its handler just returns, too.
        promised = request._route.content_formats
        code = _DEFAULT_CODES.get(request.method, Code.CONTENT)
        response = Response(
            code, result, content_format=promised[0] if len(promised) == 1 else None
        )
    elif isinstance(result, Code):
        response = Response(result)
    elif isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Code):
        response = Response(*result)
    else:
        raise TypeError(
            f"a handler returns a Response, bytes, str, a Code, (Code, payload) or None, "
            f"not {result!r:.200}"
        )
    if (
        request.accept is not None
        and response is not None
        and response.code is Code.CONTENT
        and request.method in _SAFE
        and response.options.content_format != request.accept
    ):
        raise NotAcceptable("Not Acceptable")
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
    return Response(exc.code, exc.diagnostic.encode(), max_age=exc.max_age)
