"""Our client and libcoap's example server, over real sockets on loopback."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncGenerator, Generator
from functools import partial

import pytest
import trio

from coapsep import (
    Client,
    ClientResponse,
    Code,
    Options,
    PeerUnreachable,
    RequestTimedOut,
    ResetByPeer,
    Tuning,
    open_client,
)
from tests.interop.processes import PATIENCE, LibcoapServer

#: For tests that wait for a timeout; all else waits as RFC 7252 says.
HASTY = Tuning(ack_timeout=0.2, empty_ack_delay=0.1, max_retransmit=2)


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


@pytest.fixture
def fresh() -> Generator[LibcoapServer, None, None]:
    """A server of this test's own."""
    with LibcoapServer() as server:
        yield server


# -- responses ---------------------------------------------------------------------------


async def test_a_piggybacked_response(client: Client, libcoap_server: LibcoapServer) -> None:
    response = await client.get(libcoap_server.uri())
    assert response.code is Code.CONTENT
    assert response.text.startswith("This is a test server made with libcoap")
    assert (response.peer.host, response.peer.port) == ("127.0.0.1", libcoap_server.port)
    statistics = client.statistics()
    assert (statistics.datagrams_sent, statistics.datagrams_received) == (1, 1)


async def test_a_separate_response(client: Client, libcoap_server: LibcoapServer) -> None:
    response = await client.get(libcoap_server.uri("/async?1"))
    assert response.text == "done"
    statistics = client.statistics()
    assert (statistics.datagrams_sent, statistics.datagrams_received) == (2, 2)
    assert statistics.retransmissions == 0


@pytest.mark.parametrize("path", ["", "/async?1"])
async def test_non(client: Client, libcoap_server: LibcoapServer, path: str) -> None:
    response = await client.get(libcoap_server.uri(path), confirmable=False)
    assert response.code is Code.CONTENT
    statistics = client.statistics()
    assert (statistics.datagrams_sent, statistics.datagrams_received) == (1, 1)


async def test_twenty_separate_responses_at_once(
    client: Client, libcoap_server: LibcoapServer
) -> None:
    responses: list[ClientResponse] = []

    async def ask() -> None:
        responses.append(await client.get(libcoap_server.uri("/async?1")))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ask)
    assert [response.text for response in responses] == ["done"] * 20


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        (Code.GET, "/nothing", Code.NOT_FOUND),
        (Code.DELETE, "/async", Code.METHOD_NOT_ALLOWED),
        (Code.FETCH, "/async", Code.METHOD_NOT_ALLOWED),
        (Code.GET, "/async?0", Code.BAD_REQUEST),
    ],
    ids=str,
)
async def test_refusals(
    client: Client, libcoap_server: LibcoapServer, method: Code, path: str, code: Code
) -> None:
    assert (await client.request(method, libcoap_server.uri(path))).code is code


async def test_a_representation_comes_and_goes(client: Client) -> None:
    with LibcoapServer("-d", "5") as server:
        uri = server.uri("/mine")
        assert (await client.get(uri)).code is Code.NOT_FOUND
        assert (await client.put(uri, payload="first")).code is Code.CREATED
        response = await client.get(uri)
        assert (response.code, response.text) == (Code.CONTENT, "first")
        assert (await client.put(uri, payload="second")).code is Code.CHANGED
        assert (await client.get(uri)).text == "second"
        assert (await client.delete(uri)).code is Code.DELETED
        assert (await client.get(uri)).code is Code.NOT_FOUND


async def test_the_largest_body_that_fits_in_one_message(
    client: Client, fresh: LibcoapServer
) -> None:
    body = bytes(range(256)) * 4
    uri = fresh.uri("/example_data")
    assert (await client.put(uri, payload=body)).is_success
    assert (await client.get(uri)).payload == body


async def test_an_elective_option_is_ignored(client: Client, libcoap_server: LibcoapServer) -> None:
    options = Options.build(extra=[(65_000, b"x")])
    response = await client.get(libcoap_server.uri("/time"), options=options)
    assert (response.code, response.max_age) == (Code.CONTENT, 1)


# -- discovery, ping ---------------------------------------------------------------------


async def test_discovery(client: Client, libcoap_server: LibcoapServer) -> None:
    links = {link.target: link for link in await client.discover(libcoap_server.uri())}
    assert {"/", "/time", "/async", "/example_data"} <= links.keys()
    assert dict(links["/time"].attributes)["rt"] == "ticks"
    (clock,) = await client.discover(libcoap_server.uri(), rt="ticks")
    assert clock == links["/time"]
    assert await client.discover(libcoap_server.uri(), href="/as*") == (links["/async"],)


async def test_ping(client: Client, libcoap_server: LibcoapServer) -> None:
    assert 0 < await client.ping(libcoap_server.uri()) < PATIENCE


async def test_ipv6(client: Client, ipv6: str) -> None:
    with LibcoapServer(host="::1") as server:
        response = await client.get(server.uri("/async?1"))
        assert (response.text, response.peer.host) == ("done", "::1")
        assert await client.ping(server.uri()) > 0


async def test_a_name(client: Client, libcoap_server: LibcoapServer) -> None:
    """It may have an IPv6 address as well, where nobody listens."""
    uri = f"coap://localhost:{libcoap_server.port}/async?1"
    response = await client.get(uri)
    assert (response.text, response.peer.host) == ("done", "127.0.0.1")


# -- loss --------------------------------------------------------------------------------


async def test_what_the_server_loses_is_asked_for_again() -> None:
    """It drops datagrams by their number; the first one is the pong when it starts."""
    async with open_client(tuning=HASTY) as client:
        with LibcoapServer("-l", "2,3") as server, trio.fail_after(PATIENCE):
            response = await client.get(server.uri("/time"))
            assert response.code is Code.CONTENT
            assert client.statistics().retransmissions == 2


async def test_a_lost_separate_response_comes_again() -> None:
    """The empty ACK is number 2, the response number 3, and its repetition number 4."""
    async with open_client() as client:
        with LibcoapServer("-l", "3") as server, trio.fail_after(PATIENCE):
            response = await client.get(server.uri("/async?1"))
            assert response.text == "done"
            assert client.statistics().retransmissions == 0
            assert client.statistics().datagrams_received == 2


async def test_a_lossy_server() -> None:
    async with open_client(tuning=Tuning(ack_timeout=0.2, max_retransmit=6)) as client:
        with LibcoapServer("-l", "30%") as server, trio.fail_after(2 * PATIENCE):
            for _ in range(20):
                assert (await client.get(server.uri("/time"))).code is Code.CONTENT


# -- the server goes ---------------------------------------------------------------------


async def test_a_server_that_is_stopped_and_goes_on() -> None:
    with LibcoapServer() as server:
        async with open_client(tuning=HASTY) as client:
            with trio.fail_after(PATIENCE):
                assert (await client.get(server.uri("/time"))).code is Code.CONTENT
                server.process.send_signal(signal.SIGSTOP)
                with pytest.raises(RequestTimedOut, match="no acknowledgement came"):
                    await client.get(server.uri("/time"))
                with pytest.raises(RequestTimedOut):
                    await client.ping(server.uri())
                server.process.send_signal(signal.SIGCONT)
                # What it answers now is for nobody.
                assert (await client.get(server.uri("/time"))).code is Code.CONTENT
                assert client.statistics().own_requests == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system tells of no ICMP error")
async def test_a_server_that_is_killed() -> None:
    with LibcoapServer() as server:
        async with open_client() as client:
            with trio.fail_after(PATIENCE):
                assert (await client.get(server.uri("/time"))).code is Code.CONTENT
            server.close()
            for ask in (client.get, client.ping, partial(client.get, confirmable=False)):
                with trio.fail_after(1), pytest.raises(PeerUnreachable, match="nobody is at"):
                    await ask(server.uri())


async def test_a_cancelled_request_is_over(client: Client, fresh: LibcoapServer) -> None:
    """The late CON response meets an RST, which libcoap takes for an end."""
    with trio.move_on_after(0.2) as scope:
        await client.get(fresh.uri("/async?1"))
    assert scope.cancelled_caught
    began = trio.current_time()
    assert (await client.get(fresh.uri("/time"))).code is Code.CONTENT
    assert trio.current_time() - began < 1  # it had not to wait for the other one
    await trio.sleep(1.5)
    assert client.statistics().rejected == 1


# -- two of ours -------------------------------------------------------------------------


async def test_a_client_does_not_serve() -> None:
    async with open_client(host="127.0.0.1") as asked, open_client() as asker:
        with trio.fail_after(PATIENCE):
            with pytest.raises(ResetByPeer):
                await asker.get(asked.addresses[0])
            assert await asker.ping(asked.addresses[0]) > 0
