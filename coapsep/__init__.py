"""coapsep: CoAP (RFC 7252) with structured concurrency, on Trio.

A server that may take its time: a handler that waits is a child task, and so is every
pending async request; see ``serve``, ``Router`` and ``AsyncRegistry``. A client whose
requests can be cancelled; see ``open_client`` and ``Client``.

A name is loaded when it is first asked for: a server is not kept waiting for the client.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from coapsep.address import ALL_COAP_NODES as ALL_COAP_NODES
    from coapsep.address import Address as Address
    from coapsep.address import Session as Session
    from coapsep.client.client import Client as Client
    from coapsep.client.lifetime import open_client as open_client
    from coapsep.client.lifetime import run_client as run_client
    from coapsep.client.multicast import GroupResponses as GroupResponses
    from coapsep.client.observation import Notifications as Notifications
    from coapsep.client.parts import RequestParts as RequestParts
    from coapsep.client.response import ClientResponse as ClientResponse
    from coapsep.client.response import UnsuccessfulResponse as UnsuccessfulResponse
    from coapsep.client.retry import Retry as Retry
    from coapsep.client.stream import StreamedResponse as StreamedResponse
    from coapsep.client.target import TargetLike as TargetLike
    from coapsep.collector import GcPolicy as GcPolicy
    from coapsep.collector import gc_policy as gc_policy
    from coapsep.errors import AsyncAlreadyRegistered as AsyncAlreadyRegistered
    from coapsep.errors import BadGateway as BadGateway
    from coapsep.errors import BadOption as BadOption
    from coapsep.errors import BadRequest as BadRequest
    from coapsep.errors import BadResponse as BadResponse
    from coapsep.errors import BodyChanged as BodyChanged
    from coapsep.errors import CoapError as CoapError
    from coapsep.errors import Conflict as Conflict
    from coapsep.errors import EndpointCrashed as EndpointCrashed
    from coapsep.errors import Forbidden as Forbidden
    from coapsep.errors import GatewayTimeout as GatewayTimeout
    from coapsep.errors import HopLimitReached as HopLimitReached
    from coapsep.errors import LocalProtocolError as LocalProtocolError
    from coapsep.errors import MessageIdsExhausted as MessageIdsExhausted
    from coapsep.errors import MethodNotAllowed as MethodNotAllowed
    from coapsep.errors import NotAcceptable as NotAcceptable
    from coapsep.errors import NotFound as NotFound
    from coapsep.errors import PeerUnreachable as PeerUnreachable
    from coapsep.errors import PreconditionFailed as PreconditionFailed
    from coapsep.errors import RemoteProtocolError as RemoteProtocolError
    from coapsep.errors import RequestEntityIncomplete as RequestEntityIncomplete
    from coapsep.errors import RequestEntityTooLarge as RequestEntityTooLarge
    from coapsep.errors import RequestFailed as RequestFailed
    from coapsep.errors import RequestTimedOut as RequestTimedOut
    from coapsep.errors import ResetByPeer as ResetByPeer
    from coapsep.errors import ResponseError as ResponseError
    from coapsep.errors import ServiceUnavailable as ServiceUnavailable
    from coapsep.errors import TooManyPending as TooManyPending
    from coapsep.errors import TooManyRequests as TooManyRequests
    from coapsep.errors import Unauthorized as Unauthorized
    from coapsep.errors import UnprocessableEntity as UnprocessableEntity
    from coapsep.errors import UnsupportedContentFormat as UnsupportedContentFormat
    from coapsep.hosting.workers import Workers as Workers
    from coapsep.hosting.workers import open_workers as open_workers
    from coapsep.message.block import Block as Block
    from coapsep.message.linkformat import Link as Link
    from coapsep.message.message import Malformed as Malformed
    from coapsep.message.message import Message as Message
    from coapsep.message.options import Options as Options
    from coapsep.message.response import Response as Response
    from coapsep.message.uri import CoapURI as CoapURI
    from coapsep.message.uri import parse_uri as parse_uri
    from coapsep.numbers import Code as Code
    from coapsep.numbers import ContentFormat as ContentFormat
    from coapsep.numbers import OptionNumber as OptionNumber
    from coapsep.numbers import Type as Type
    from coapsep.params import Limits as Limits
    from coapsep.params import Tuning as Tuning
    from coapsep.problem import Problem as Problem
    from coapsep.protocol.events import Undelivered as Undelivered
    from coapsep.protocol.statistics import Counters as Counters
    from coapsep.protocol.statistics import Statistics as Statistics
    from coapsep.protocol.transfer_state import Progress as Progress
    from coapsep.server.asyncs import AsyncRegistry as AsyncRegistry
    from coapsep.server.body import RequestBody as RequestBody
    from coapsep.server.dispatch import UndeliveredResponse as UndeliveredResponse
    from coapsep.server.pending import Ended as Ended
    from coapsep.server.pending import PendingRequest as PendingRequest
    from coapsep.server.request import Request as Request
    from coapsep.server.router import About as About
    from coapsep.server.router import Handler as Handler
    from coapsep.server.router import Result as Result
    from coapsep.server.router import Router as Router
    from coapsep.server.server import Server as Server
    from coapsep.server.server import open_server as open_server
    from coapsep.server.server import serve as serve
    from coapsep.server.streaming import StreamingResponse as StreamingResponse
    from coapsep.transport.base import Batch as Batch
    from coapsep.transport.base import Refused as Refused
    from coapsep.transport.base import Transport as Transport
    from coapsep.transport.udp import UdpTransport as UdpTransport
    from coapsep.transport.udp import open_udp as open_udp
    from coapsep.transport.udp import open_udp_client as open_udp_client

__version__ = "0.1.0"

__all__ = [
    "ALL_COAP_NODES",
    "About",
    "Address",
    "AsyncAlreadyRegistered",
    "AsyncRegistry",
    "BadGateway",
    "BadOption",
    "BadRequest",
    "BadResponse",
    "Batch",
    "Block",
    "BodyChanged",
    "Client",
    "ClientResponse",
    "CoapError",
    "CoapURI",
    "Code",
    "Conflict",
    "ContentFormat",
    "Counters",
    "Ended",
    "EndpointCrashed",
    "Forbidden",
    "GatewayTimeout",
    "GcPolicy",
    "GroupResponses",
    "Handler",
    "HopLimitReached",
    "Limits",
    "Link",
    "LocalProtocolError",
    "Malformed",
    "Message",
    "MessageIdsExhausted",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "Notifications",
    "OptionNumber",
    "Options",
    "PeerUnreachable",
    "PendingRequest",
    "PreconditionFailed",
    "Problem",
    "Progress",
    "Refused",
    "RemoteProtocolError",
    "Request",
    "RequestBody",
    "RequestEntityIncomplete",
    "RequestEntityTooLarge",
    "RequestFailed",
    "RequestParts",
    "RequestTimedOut",
    "ResetByPeer",
    "Response",
    "ResponseError",
    "Result",
    "Retry",
    "Router",
    "Server",
    "ServiceUnavailable",
    "Session",
    "Statistics",
    "StreamedResponse",
    "StreamingResponse",
    "TargetLike",
    "TooManyPending",
    "TooManyRequests",
    "Transport",
    "Tuning",
    "Type",
    "UdpTransport",
    "Unauthorized",
    "Undelivered",
    "UndeliveredResponse",
    "UnprocessableEntity",
    "UnsuccessfulResponse",
    "UnsupportedContentFormat",
    "Workers",
    "gc_policy",
    "open_client",
    "open_server",
    "open_udp",
    "open_udp_client",
    "open_workers",
    "parse_uri",
    "run_client",
    "serve",
]

if not typing.TYPE_CHECKING:  # else a name that is mistyped would pass
    #: Where each name is at home: the imports above once more.
    _HOMES = {
        name: f"coapsep.{module}"
        for module, names in {
            "address": "ALL_COAP_NODES Address Session",
            "client.client": "Client",
            "client.lifetime": "open_client run_client",
            "client.multicast": "GroupResponses",
            "client.observation": "Notifications",
            "client.parts": "RequestParts",
            "client.response": "ClientResponse UnsuccessfulResponse",
            "client.retry": "Retry",
            "client.stream": "StreamedResponse",
            "client.target": "TargetLike",
            "collector": "GcPolicy gc_policy",
            "errors": (
                "AsyncAlreadyRegistered BadGateway BadOption BadRequest BadResponse "
                "BodyChanged CoapError Conflict EndpointCrashed Forbidden GatewayTimeout "
                "HopLimitReached LocalProtocolError MessageIdsExhausted MethodNotAllowed "
                "NotAcceptable NotFound PeerUnreachable PreconditionFailed RemoteProtocolError "
                "RequestEntityIncomplete RequestEntityTooLarge RequestFailed RequestTimedOut "
                "ResetByPeer ResponseError ServiceUnavailable TooManyPending TooManyRequests "
                "Unauthorized UnprocessableEntity UnsupportedContentFormat"
            ),
            "hosting.workers": "Workers open_workers",
            "message.block": "Block",
            "message.linkformat": "Link",
            "message.message": "Malformed Message",
            "message.options": "Options",
            "message.response": "Response",
            "message.uri": "CoapURI parse_uri",
            "numbers": "Code ContentFormat OptionNumber Type",
            "params": "Limits Tuning",
            "problem": "Problem",
            "protocol.events": "Undelivered",
            "protocol.statistics": "Counters Statistics",
            "protocol.transfer_state": "Progress",
            "server.asyncs": "AsyncRegistry",
            "server.body": "RequestBody",
            "server.dispatch": "UndeliveredResponse",
            "server.pending": "Ended PendingRequest",
            "server.request": "Request",
            "server.router": "About Handler Result Router",
            "server.server": "Server open_server serve",
            "server.streaming": "StreamingResponse",
            "transport.base": "Batch Refused Transport",
            "transport.udp": "UdpTransport open_udp open_udp_client",
        }.items()
        for name in names.split()
    }

    def __getattr__(name: str) -> object:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value = getattr(importlib.import_module(home), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
