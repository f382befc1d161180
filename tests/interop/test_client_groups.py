"""Our client and the members of a multicast group, on the loopback interface only."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager

import pytest
import trio

from coapsep import Client, Code, Message, Options, Type, open_client, open_udp_client
from coapsep.message.codec import decode, encode
from tests.interop.processes import PATIENCE, LibcoapServer

LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
GROUP = "224.0.1.187"  # all CoAP nodes (RFC 7252 section 12.8)


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    transport = await open_udp_client(multicast_interface=LOOPBACK)
    async with open_client(transport=transport) as client:
        with trio.fail_after(PATIENCE):
            yield client


@contextmanager
def member(port: int = 0) -> Generator[socket.socket, None, None]:
    """A socket that is in the group."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", port))
        index = socket.if_nametoindex(LOOPBACK)
        join = struct.pack("=4s4si", socket.inet_aton(GROUP), bytes(4), index)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, join)
        sock.settimeout(PATIENCE)
        yield sock


def answer(asked: socket.socket, host: str, payload: bytes) -> None:
    """Receive the request, and answer it from an address of loopback."""
    data, source = asked.recvfrom(100)
    request = decode(data)
    assert isinstance(request, Message)
    assert (request.type, request.code) == (Type.NON, Code.GET)
    options = Options.build(content_format=40)
    response = Message(Code.CONTENT, Type.NON, 1, request.token, options, payload)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.sendto(encode(response), source)


async def test_members_answer_each_for_itself(client: Client) -> None:
    with member() as first, member(first.getsockname()[1]) as second:
        uri = f"coap://{GROUP}:{first.getsockname()[1]}/.well-known/core"
        async with client.multicast(uri, seconds=1) as responses:
            answer(first, "127.0.0.1", b"</one>")
            answer(second, "127.0.0.2", b"</two>")
            found = {one.peer.host: one.links()[0].target async for one in responses}
    assert found == {"127.0.0.1": "/one", "127.0.0.2": "/two"}


async def test_libcoap_is_a_member(client: Client) -> None:
    """It takes its leisure: up to five seconds (RFC 7252 section 8.2)."""
    with LibcoapServer("-g", GROUP, "-G", LOOPBACK, host="0.0.0.0") as server:
        uri = f"coap://{GROUP}:{server.port}"
        async with client.multicast(uri, "/.well-known/core", seconds=PATIENCE) as responses:
            async for response in responses:
                assert response.code is Code.CONTENT
                assert {"/time", "/async"} <= {link.target for link in response.links()}
                break
            else:
                raise AssertionError("no response")
