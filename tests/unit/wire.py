"""Datagrams for the tests of traces: short to write, and the same in all of them."""

from __future__ import annotations

from coapsep.address import Address
from coapsep.message.codec import empty, encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.trace import Datagram

CLIENT = Address("10.0.0.2", 40000)
SERVER = Address("10.0.0.1", 5683)
NAMES = {CLIENT: "client", SERVER: "server"}

GET = encode(Message(Code.GET, Type.CON, 0x7D34, b"q", Options.build(uri_path=["temperature"])))
CONTENT = encode(Message(Code.CONTENT, Type.CON, 0xAD7B, b"q", payload=b"22.3 C"))
PIGGYBACKED = encode(Message(Code.CONTENT, Type.ACK, 0x7D34, b"q", payload=b"22.3 C"))
ACK = empty(Type.ACK, 0x7D34)
CLIENT_ACK = empty(Type.ACK, 0xAD7B)


def up(time: float, data: bytes, *arrivals: float, lost: str = "") -> Datagram:
    """From the client to the server."""
    return Datagram(time, CLIENT, SERVER, data, arrivals, lost)


def down(time: float, data: bytes, *arrivals: float, lost: str = "") -> Datagram:
    """From the server to the client."""
    return Datagram(time, SERVER, CLIENT, data, arrivals, lost)
