"""What the core tells the shell: frozen values, in the order in which they happened."""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from coapsep.address import Session
from coapsep.message.message import Message
from coapsep.protocol.held import Body, Observer, Upload
from coapsep.protocol.records import ClientExchange, Exchange, GroupExchange
from coapsep.protocol.transfer_state import Progress


class EndReason(enum.Enum):
    """Why a request ended without its response."""

    REPLACED = "a different request took its token"
    SESSION_LOST = "its session has gone"


class Undelivered(enum.Enum):
    """Why nobody knows that a response arrived."""

    RESET = "the client answered it with RST"
    TIMED_OUT = "the client did not acknowledge it"
    DROPPED = "it waited behind a response that timed out, and the client was silent"
    SESSION_LOST = "the session has gone"


@attrs.frozen
class RequestReceived:
    """A new request; answer it with ``Core.send_response``, or ``Core.defer`` it."""

    exchange: Exchange


@attrs.frozen
class RequestEnded:
    """Nobody waits for this request's response any more.

    One that was deferred is closed. One that runs is abandoned: it may finish, and must
    still be answered or closed, but what it answers is not sent. ``attachment`` is the one
    of its exchange, which a closed exchange has no more.
    """

    attachment: object
    reason: EndReason


@attrs.frozen
class ResponseUndelivered:
    """A separate response that was sent, and is not known to have arrived."""

    exchange: Exchange
    response: Message
    reason: Undelivered


@attrs.frozen
class BlockReceived:
    """The next block of a body that is streamed to the application; ``Core.next_block`` asks
    for the one after it. The last one's ``exchange`` is to be answered."""

    upload: Upload
    exchange: Exchange
    data: bytes
    last: bool


@attrs.frozen
class UploadEnded:
    """A body that was streamed to the application will never be whole."""

    upload: Upload
    reason: str
    """For people."""


@attrs.frozen
class BodyWanted:
    """A stream should produce more: ``Core.supply`` takes it."""

    body: Body


@attrs.frozen
class BodyEnded:
    """Nobody will ask for the rest of a stream, or everybody has it."""

    body: Body


@attrs.frozen
class ObserverEnded:
    """A client is not kept up to date any more (RFC 7641 section 4.1)."""

    observer: Observer


class Failure(enum.Enum):
    """Why a request of ours has no response."""

    TIMED_OUT = "no acknowledgement came"
    TOO_LATE = "no response came in Tuning.response_timeout"
    RESET = "the peer answered with RST"
    UNREACHABLE = "unreachable"
    SESSION_LOST = "the session has gone"
    BAD_OPTION = "the response has critical options that are not understood"
    TOO_LARGE = "the response is longer than Limits.datagram_size"
    BAD_BLOCK = "the blocks of a body do not fit together"
    BODY_TOO_LARGE = "there is no room for the body of the response"
    BODY_CHANGED = "the body changed while it was fetched"
    INCOMPLETE = "the rest of the body cannot be had"


@attrs.frozen
class ResponseReceived:
    """The response to a request of ours, or a pong: ``message`` is then the RST."""

    exchange: ClientExchange
    message: Message


@attrs.frozen
class RequestFailed:
    """A request of ours, or a ping, is over without a response."""

    exchange: ClientExchange
    failure: Failure
    detail: str = ""
    """What more is known, for people."""


@attrs.frozen
class NotificationReceived:
    """What is observed has a new state, and more will come (RFC 7641 section 3.2).

    The first one is the response to the registration. ResponseReceived is the last one, and
    RequestFailed says that there will be none.
    """

    exchange: ClientExchange
    message: Message


@attrs.frozen
class RequestBodyWanted:
    """More of the body of a request of ours is needed: ``Core.supply_request`` takes it."""

    exchange: ClientExchange


@attrs.frozen
class ResponseBodyReceived:
    """The next part of a response's body that streams; ``Core.consumed`` asks for more.

    The last one ends the request.
    """

    exchange: ClientExchange
    message: Message | None
    """The response, with the first part; its payload is to be found in ``data``."""
    data: bytes
    last: bool


@attrs.frozen
class Progressed:
    """A request of ours, for which this was asked, is a step further."""

    exchange: ClientExchange
    progress: Progress


@attrs.frozen
class GroupResponse:
    """One of the responses to a request of ours to a group."""

    exchange: GroupExchange
    message: Message
    session: Session


@attrs.frozen
class GroupRequestFailed:
    """A request of ours to a group could not be sent."""

    exchange: GroupExchange
    detail: str
    """The system's word for it, for people."""


ServerEvent: TypeAlias = (
    RequestReceived
    | RequestEnded
    | ResponseUndelivered
    | BlockReceived
    | UploadEnded
    | BodyWanted
    | BodyEnded
    | ObserverEnded
)
ClientEvent: TypeAlias = (
    ResponseReceived
    | RequestFailed
    | NotificationReceived
    | RequestBodyWanted
    | ResponseBodyReceived
    | Progressed
    | GroupResponse
    | GroupRequestFailed
)
Event: TypeAlias = ServerEvent | ClientEvent
