"""Long bodies and observations with real peers, both ways, over real sockets on loopback."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from pathlib import Path

import pytest
import trio

from coapsep import Client, Code, open_client
from tests.interop.processes import (
    PATIENCE,
    AiocoapServer,
    CoapClient,
    ExampleServer,
    LibcoapServer,
    Running,
    find_program,
    free_port,
    run,
)

PROGRAM = Path(__file__).with_name("aiocoap_program.py")
SIZES = [10_000, 1_000_000]


def body_of(size: int) -> bytes:
    return bytes(range(250)) * (size // 250)


def told_of(body: bytes) -> str:
    """What /upload of the example server says of it."""
    return f"{len(body)} bytes, SHA-256 {hashlib.sha256(body).hexdigest()}"


# -- libcoap's client and our server -------------------------------------------------------


@pytest.mark.parametrize("options", [[], ["-b", "16"], ["-b", "64"], ["-b", "512"], ["-N"]])
def test_libcoap_gets_ten_kilobytes(
    server: ExampleServer, coap_client: CoapClient, options: list[str]
) -> None:
    finished = coap_client.plain(server.uri("/large"), *options)
    lines = finished.output.split()
    assert [int(line) for line in lines] == list(range(0, 10_000, 16))


@pytest.mark.parametrize("method", ["put", "post"])
@pytest.mark.parametrize("size", SIZES)
def test_libcoap_sends_a_body(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, method: str, size: int
) -> None:
    file = tmp_path / "body"
    file.write_bytes(body_of(size))
    finished = coap_client.plain(server.uri("/upload"), "-f", str(file), method=method)
    assert finished.output.strip() == told_of(body_of(size))


@pytest.mark.parametrize("block", ["16", "128", "1024"])
def test_libcoap_sends_small_blocks(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, block: str
) -> None:
    file = tmp_path / "body"
    file.write_bytes(body_of(5000))
    finished = coap_client.plain(server.uri("/upload"), "-b", block, "-f", str(file), method="put")
    assert finished.output.strip() == told_of(body_of(5000))


def test_libcoap_gets_what_is_made_as_it_goes(
    server: ExampleServer, coap_client: CoapClient
) -> None:
    finished = coap_client.plain(server.uri("/large?200000"))
    assert [int(line) for line in finished.output.split()] == list(range(0, 200_000, 16))


def test_libcoap_puts_a_long_representation_and_gets_it_back(
    fresh_server: ExampleServer, coap_client: CoapClient, tmp_path: Path
) -> None:
    file = tmp_path / "body"
    text = b"".join(b"%9d\n" % number for number in range(1000))
    file.write_bytes(text)
    uri = fresh_server.uri("/example_data")
    coap_client.plain(uri, "-f", str(file), method="put")
    assert coap_client.plain(uri).output.encode().rstrip() == text.rstrip()


def test_libcoap_observes(server: ExampleServer, coap_client: CoapClient) -> None:
    dialogue = coap_client.ask(server.uri("/obs"), "-s", "3", give_up=6)
    states = [int(seen.payload) for seen in dialogue.received if seen.code == "2.05"]
    assert len(states) >= 3
    assert states == sorted(states)
    # It has said good-bye, and nothing more comes to its port.
    farewell = [seen for seen in dialogue.of("sent") if "Observe:1" in seen.options]
    assert len(farewell) == 1


# -- aiocoap's client and our server -------------------------------------------------------


def ask_by_aiocoap(server: ExampleServer, scenario: str) -> list[list[str]]:
    finished = run([sys.executable, str(PROGRAM), server.uri(""), scenario])
    assert (finished.code, finished.errors) == (0, "")
    answers: list[list[str]] = json.loads(finished.output)
    return answers


def test_aiocoap_sends_and_gets_bodies(server: ExampleServer) -> None:
    told = ask_by_aiocoap(server, "bodies")
    assert [answer[:2] for answer in told] == [
        ["2.04", told_of(body_of(10_000))],
        ["2.05", "10000"],
        ["2.04", told_of(body_of(1_000_000))],
        ["2.05", "1000000"],
    ]


def test_aiocoap_observes(server: ExampleServer) -> None:
    told = ask_by_aiocoap(server, "observed")
    states = [int(state) for _, state, _ in told]
    assert len(states) == 3
    assert states == list(range(states[0], states[0] + 3))


# -- our client and libcoap's servers ------------------------------------------------------


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


@pytest.fixture
def fresh() -> Generator[LibcoapServer, None, None]:
    with LibcoapServer() as server:
        yield server


@pytest.mark.parametrize("block_size", [64, 1024])
async def test_libcoap_keeps_a_long_body(
    client: Client, fresh: LibcoapServer, block_size: int
) -> None:
    body, uri = body_of(10_000), fresh.uri("/example_data")
    stored = await client.put(uri, payload=body, block_size=block_size)
    assert stored.is_success
    assert (await client.get(uri, block_size=block_size)).payload == body


class ResourceDirectory(Running):
    """libcoap's resource directory, once it answers."""

    def __init__(self) -> None:
        self.port = free_port("127.0.0.1")
        program = find_program("coap-rd-notls")
        super().__init__([program, "-A", "127.0.0.1", "-p", str(self.port), "-v", "3"])
        time.sleep(0.5)


async def test_registering_with_a_resource_directory(client: Client) -> None:
    # Few enough for one message: it knows no blocks.
    links = ",".join(f'</sensors/{number}>;rt="temperature"' for number in range(20))
    with ResourceDirectory() as directory:
        uri = f"coap://127.0.0.1:{directory.port}/rd?ep=node1&lt=600"
        made = await client.post(uri, payload=links, content_format=40)
        assert made.code is Code.CREATED
        assert made.options.location_path[0] == "rd"


# -- our client and aiocoap's server -------------------------------------------------------


@pytest.fixture(scope="module")
def aiocoap_server() -> Generator[AiocoapServer, None, None]:
    with AiocoapServer() as server:
        yield server


@pytest.mark.parametrize("size", SIZES)
async def test_bodies_to_and_from_aiocoap(
    client: Client, aiocoap_server: AiocoapServer, size: int
) -> None:
    body = body_of(size)
    told = await client.put(aiocoap_server.uri("/upload"), payload=body)
    assert told.text == f"{size} {hashlib.sha256(body).hexdigest()}"
    got = await client.get(aiocoap_server.uri(f"/upload?{size}"))
    assert got.payload == body


async def test_streams_to_and_from_aiocoap(client: Client, aiocoap_server: AiocoapServer) -> None:
    body = body_of(100_000)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 700):
            yield body[at : at + 700]

    uri = aiocoap_server.uri("/upload")
    async with client.stream(Code.PUT, uri, payload=pieces()) as response:
        told = await response.read()
    assert told.decode() == f"{len(body)} {hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256()
    async with client.stream(Code.GET, f"{uri}?100000") as response:
        async for part in response:
            digest.update(part)
    assert digest.digest() == hashlib.sha256(body).digest()


async def test_aiocoap_is_observed(client: Client, aiocoap_server: AiocoapServer) -> None:
    async with client.observe(aiocoap_server.uri("/ticks")) as states:
        numbers = [int((await anext(states)).text) for _ in range(4)]
    assert numbers == sorted(set(numbers))
