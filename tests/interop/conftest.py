"""Fixtures: the example server, and the peers that may be missing.

Nothing here uses Trio or its clocks: these are real programs, sockets and seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack

import pytest

from tests.interop.processes import (
    CoapClient,
    ExampleServer,
    LibcoapServer,
    find_program,
    has_ipv6,
)
from tests.interop.raw import RawPeer

HOSTS = ("127.0.0.1", "::1") if has_ipv6() else ("127.0.0.1",)


@pytest.fixture(scope="session")
def shared_server() -> Generator[ExampleServer, None, None]:
    """One server for all tests that leave nothing behind in it."""
    with ExampleServer(HOSTS) as server:
        yield server


@pytest.fixture
def server(shared_server: ExampleServer) -> Iterator[ExampleServer]:
    """The shared server; what it logs fails the test that made it do so."""
    shared_server.assert_quiet()
    yield shared_server
    shared_server.assert_quiet()


@pytest.fixture
def fresh_server() -> Generator[ExampleServer, None, None]:
    """A server of this test's own, for resources that have a state."""
    with ExampleServer(HOSTS) as server:
        yield server
        server.assert_quiet()


@pytest.fixture
def ipv6() -> str:
    """The IPv6 loopback address as it stands in a URI."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return "[::1]"


@pytest.fixture(scope="session")
def coap_client() -> CoapClient:
    """libcoap's client."""
    return CoapClient(find_program("coap-client-notls"))


@pytest.fixture(scope="session")
def libcoap_server() -> Generator[LibcoapServer, None, None]:
    """libcoap's example server."""
    with LibcoapServer() as server:
        yield server


@pytest.fixture(scope="session")
def aiocoap_client() -> str:
    """The path of aiocoap's command."""
    return find_program("aiocoap-client")


@pytest.fixture
def connect(server: ExampleServer) -> Generator[Callable[[], RawPeer], None, None]:
    """Makes sockets that are connected to the shared server."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(RawPeer(server.port))


@pytest.fixture
def peer(connect: Callable[[], RawPeer]) -> RawPeer:
    """One such socket."""
    return connect()
