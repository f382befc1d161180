"""Every exception of the library, on one page.

::

    CoapError
      LocalProtocolError             you asked for what the protocol does not allow
        MessageIdsExhausted          all 65,536 message IDs to one peer are in use
      RemoteProtocolError            the peer did
      RequestFailed                  a request of yours has no response you can use
        RequestTimedOut              nobody answered
        ResetByPeer                  the peer does not take it, and says no more
        PeerUnreachable              there is no way to the peer, or nobody at its port
        BadResponse                  it came, and had to be rejected (also a RemoteProtocolError)
        BodyChanged                  it became another one while it came, again and again
        UnsuccessfulResponse         it came, and says 4.xx or 5.xx; only raise_for_code()
                                     raises it, and it lives with the response it carries, in
                                     client/response.py
      EndpointCrashed                a task of the library failed behind your back
      ResponseError                  raise it in a handler: the client gets its code
        BadRequest, NotFound, ...    one class for the codes that handlers raise most
        TooManyRequests              4.29, with the time to wait
        ServiceUnavailable           5.03, with the time to wait
          AsyncAlreadyRegistered     the token has a pending request
          TooManyPending             a limit on pending requests is reached

What a closed object raises is ``trio.ClosedResourceError``.
"""

from __future__ import annotations

from typing import ClassVar

from coapsep.numbers import Code
from coapsep.problem import Problem


class CoapError(Exception):
    """Base of all exceptions of this library."""


class LocalProtocolError(CoapError):
    """The caller asked for something that CoAP, or the state of the request, rules out."""


class MessageIdsExhausted(LocalProtocolError):
    """Every message ID to this peer was used within its lifetime (RFC 7252 section 4.4)."""


class RemoteProtocolError(CoapError):
    """The peer did what CoAP rules out."""


class RequestFailed(CoapError):
    """A request of yours has no response that you can use; the subclass says why.

    Unless it is an UnsuccessfulResponse, whether the peer acted on the request is unknown.
    """


class RequestTimedOut(RequestFailed):
    """No acknowledgement came in MAX_TRANSMIT_WAIT, or no response in Tuning.response_timeout."""


class ResetByPeer(RequestFailed):
    """The peer answered with RST: it cannot process the message (RFC 7252 section 4.2)."""


class PeerUnreachable(RequestFailed):
    """There is no way to the peer: no address or route, nobody at its port, or its session
    has gone."""


class BadResponse(RequestFailed, RemoteProtocolError):
    """The response had to be rejected: a critical option that is not understood (RFC 7252
    section 5.4.1), more bytes than Limits allow, or blocks that do not fit together."""


class BodyChanged(RequestFailed):
    """The body of the response became another one while it was fetched block by block (RFC 7959
    section 2.4), and to fetch it anew did not help, or would have run the request again."""


class EndpointCrashed(CoapError):
    """A background task failed; ``__cause__`` is what it raised."""


class ResponseError(CoapError):
    """An error response, as an exception for handlers to raise.

    ``diagnostic`` becomes the payload (RFC 7252 section 5.5.2): a short text for the person
    who reads a trace. ``problem`` takes its place where a program is to read it (RFC 9290).
    Both leave the process, so they must hold no secrets. ``max_age`` is seconds.

    Raises ValueError for a code that is no error, for a diagnostic and a problem at once, and
    for a problem that says it belongs to another code.
    """

    def __init__(
        self,
        code: Code,
        diagnostic: str = "",
        *,
        max_age: int | None = None,
        problem: Problem | None = None,
    ) -> None:
        code = Code(code)
        if not 128 <= code < 192:
            raise ValueError(f"a ResponseError needs a 4.xx or 5.xx code, not {code}")
        if problem is not None:
            if diagnostic:
                raise ValueError("one payload: a diagnostic or a problem, not both")
            if problem.response_code not in (None, code):
                raise ValueError(f"a problem of {problem.response_code} in a {code}")
        text = diagnostic if problem is None else str(problem)
        super().__init__(f"{code}: {text}" if text else str(code))
        self.code = code
        self.diagnostic = diagnostic
        self.max_age = max_age
        self.problem = problem


class _FixedCode(ResponseError):
    """A ResponseError whose class says the code."""

    fixed_code: ClassVar[Code]

    def __init__(
        self,
        diagnostic: str = "",
        *,
        max_age: int | None = None,
        problem: Problem | None = None,
    ) -> None:
        super().__init__(self.fixed_code, diagnostic, max_age=max_age, problem=problem)


class BadRequest(_FixedCode):
    """4.00: the request makes no sense."""

    fixed_code = Code.BAD_REQUEST


class Unauthorized(_FixedCode):
    """4.01: the client must first say who it is."""

    fixed_code = Code.UNAUTHORIZED


class BadOption(_FixedCode):
    """4.02: a critical option is not understood."""

    fixed_code = Code.BAD_OPTION


class Forbidden(_FixedCode):
    """4.03: the client may not do this."""

    fixed_code = Code.FORBIDDEN


class NotFound(_FixedCode):
    """4.04: there is no such resource."""

    fixed_code = Code.NOT_FOUND


class MethodNotAllowed(_FixedCode):
    """4.05: the resource has no such method."""

    fixed_code = Code.METHOD_NOT_ALLOWED


class NotAcceptable(_FixedCode):
    """4.06: no representation has the content format asked for."""

    fixed_code = Code.NOT_ACCEPTABLE


class RequestEntityIncomplete(_FixedCode):
    """4.08: blocks of the body are missing (RFC 7959 section 2.9.2)."""

    fixed_code = Code.REQUEST_ENTITY_INCOMPLETE


class Conflict(_FixedCode):
    """4.09: the request does not fit the state of the resource."""

    fixed_code = Code.CONFLICT


class PreconditionFailed(_FixedCode):
    """4.12: the resource is not in the state that If-Match or If-None-Match asks for."""

    fixed_code = Code.PRECONDITION_FAILED


class RequestEntityTooLarge(_FixedCode):
    """4.13: the payload is larger than the server takes."""

    fixed_code = Code.REQUEST_ENTITY_TOO_LARGE


class UnsupportedContentFormat(_FixedCode):
    """4.15: the payload has a content format that the resource does not read."""

    fixed_code = Code.UNSUPPORTED_CONTENT_FORMAT


class UnprocessableEntity(_FixedCode):
    """4.22: the payload can be read, but not be acted on (RFC 8132 section 3.4)."""

    fixed_code = Code.UNPROCESSABLE_ENTITY


class TooManyRequests(_FixedCode):
    """4.29: the client asks too often; ``max_age`` seconds from now it may again (RFC 8516)."""

    fixed_code = Code.TOO_MANY_REQUESTS


class BadGateway(_FixedCode):
    """5.02: the backend gave no usable answer."""

    fixed_code = Code.BAD_GATEWAY


class ServiceUnavailable(_FixedCode):
    """5.03: not now; ``max_age`` seconds from now it may work (RFC 7252 section 5.9.3.4)."""

    fixed_code = Code.SERVICE_UNAVAILABLE


class GatewayTimeout(_FixedCode):
    """5.04: the backend did not answer in time."""

    fixed_code = Code.GATEWAY_TIMEOUT


class HopLimitReached(_FixedCode):
    """5.08: the request has come through as many proxies as it may (RFC 8768)."""

    fixed_code = Code.HOP_LIMIT_REACHED


class AsyncAlreadyRegistered(ServiceUnavailable):
    """This session and token already have a pending request."""


class TooManyPending(ServiceUnavailable):
    """A limit on pending requests is reached."""
