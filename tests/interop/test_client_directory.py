"""Our client and libcoap's resource directory (RFC 9176), over real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

import pytest
import trio

from coapsep import Client, Code, ContentFormat, open_client
from tests.interop.processes import PATIENCE, LibcoapServer

LINKS = '</sensors/temp>;rt="temperature";if="sensor",</sensors/light>;rt="light-lux";ct=0'


@pytest.fixture
def directory() -> Generator[LibcoapServer, None, None]:
    with LibcoapServer(name="coap-rd-notls") as server:
        yield server


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


async def register(client: Client, directory: LibcoapServer, name: str) -> str:
    """The location of the registration, as a path (RFC 9176 section 5).

    The links fit into one message: the directory takes the first block of more for all of them.
    """
    made = await client.post(
        directory.uri("/rd"),
        query=[f"ep={name}", "lt=600"],
        payload=LINKS,
        content_format=ContentFormat.LINK_FORMAT,
    )
    assert made.code is Code.CREATED
    return "/" + "/".join(made.options.location_path)


async def test_the_directory_is_found_by_its_type(client: Client, directory: LibcoapServer) -> None:
    (link,) = await client.discover(directory.uri(), rt="core.rd")
    assert link.target == "/rd"


async def test_what_was_registered_is_read_back(client: Client, directory: LibcoapServer) -> None:
    location = await register(client, directory, "node1")
    assert location.startswith("/rd/")
    listed = await client.get(directory.uri(location))
    assert (listed.code, listed.text) == (Code.CONTENT, LINKS)
    assert listed.content_format == ContentFormat.LINK_FORMAT


async def test_it_lists_each_registration(client: Client, directory: LibcoapServer) -> None:
    locations = [await register(client, directory, f"node{number}") for number in range(30)]
    assert len(set(locations)) == 30
    # More than fit into one message it cuts off, without a Block2 option.
    links = await client.discover(directory.uri())
    assert {link.target for link in links} == {"/rd", *locations}
