"""Our client observes what libcoap's example server has, over real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
import trio

from coapsep import Client, Code, UnsuccessfulResponse, open_client
from tests.interop.processes import PATIENCE, LibcoapServer


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


async def test_the_time_is_told_each_second(client: Client, libcoap_server: LibcoapServer) -> None:
    async with client.observe(libcoap_server.uri("/time")) as states:
        assert states.observed
        times = [(await anext(states)).text for _ in range(3)]
    assert len(set(times)) == 3
    # The server has heard that it is over, and sends no more.
    await trio.sleep(0.2)
    assert client.statistics().own_requests == 0
    received = client.statistics().datagrams_received
    await trio.sleep(2.2)
    assert client.statistics().datagrams_received == received


async def test_what_another_request_changes_is_told(
    client: Client, libcoap_server: LibcoapServer
) -> None:
    uri = libcoap_server.uri("/example_data")
    await client.put(uri, payload="before")
    async with client.observe(uri) as states:
        assert (await anext(states)).text == "before"
        for number in range(3):
            await client.put(uri, payload=f"{number}")
            assert (await anext(states)).text == f"{number}"


async def test_a_resource_that_is_not_observable(
    client: Client, libcoap_server: LibcoapServer
) -> None:
    async with client.observe(libcoap_server.uri()) as states:
        assert not states.observed
        assert len([response async for response in states]) == 1


async def test_a_resource_that_is_not_there(client: Client, libcoap_server: LibcoapServer) -> None:
    with pytest.raises(UnsuccessfulResponse) as caught:
        async with client.observe(libcoap_server.uri("/nothing")):
            raise AssertionError("it began")
    assert caught.value.response.code is Code.NOT_FOUND
