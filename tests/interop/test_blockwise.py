"""Bodies in blocks with real peers: every block size, both ways at once, losses, a megabyte.

What is simpler is in test_blocks_and_states.py.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from coapsep import Client, Code, Progress, Tuning, open_client
from tests.interop.processes import (
    PATIENCE,
    AiocoapServer,
    CoapClient,
    ExampleServer,
    LibcoapServer,
    Started,
    run,
)
from tests.interop.raw import LossyLink, RawPeer, request

OWN_SERVER = Path(__file__).with_name("own_server.py")
AIOCOAP_PROGRAM = Path(__file__).with_name("aiocoap_program.py")

KILOBYTES, MEGABYTE = 10_000, 1_000_000


def body_of(size: int) -> bytes:
    """A body that does not repeat at any block size."""
    return b"".join(b"%15d\n" % at for at in range(0, size, 16))[:size]


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@pytest.fixture(scope="module")
def own_server() -> Generator[ExampleServer, None, None]:
    with ExampleServer(program=OWN_SERVER) as server:
        yield server
        server.assert_quiet()


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


def statistics(server: ExampleServer, *names: str) -> dict[str, int]:
    """What own_server.py counts. Whoever asks is no observer, and has no body."""
    with RawPeer(server.port) as peer:
        answer = peer.ask(request(f"/statistics?{'&'.join(names)}", 1))
    numbers: dict[str, int] = json.loads(answer.payload)
    return numbers


# -- libcoap's client and our server -------------------------------------------------------


class Files:
    """What coap-client sends, and what it got."""

    def __init__(self, folder: Path, body: bytes = b"") -> None:
        self.sent = folder / "sent"
        self.sent.write_bytes(body)
        self._got = folder / "got"
        self.up = ["-f", str(self.sent)]
        self.down = ["-o", str(self._got)]

    @property
    def got(self) -> bytes:
        return self._got.read_bytes()


@pytest.mark.parametrize("method", ["put", "post"])
@pytest.mark.parametrize("block", [16, 64, 1024])
def test_libcoap_sends_blocks_of_each_size(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, method: str, block: int
) -> None:
    files = Files(tmp_path, body_of(KILOBYTES))
    uri = server.uri("/upload")
    dialogue = coap_client.ask(uri, "-b", f"{block}", *files.up, method=method)
    assert f"SHA-256 {digest_of(body_of(KILOBYTES))}" in dialogue.received[-1].payload
    *blocks, last = dialogue.received
    assert {(seen.type, seen.code) for seen in blocks} == {("ACK", "2.31")}
    assert (last.type, last.code) == ("ACK", "2.04")
    assert len(dialogue.received) == -(-KILOBYTES // block)


@pytest.mark.parametrize(
    ("block", "size"),
    [(16, KILOBYTES), (64, KILOBYTES), (1024, KILOBYTES), (64, 110_000), (1024, 110_000)],
)
def test_libcoap_gets_blocks_of_each_size(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, block: int, size: int
) -> None:
    """The longer one is made as it goes."""
    files = Files(tmp_path)
    coap_client.plain(server.uri(f"/large?{size}"), "-b", f"{block}", *files.down)
    assert digest_of(files.got) == digest_of(body_of(size))


@pytest.mark.parametrize("block", [512, 1024])
def test_libcoap_moves_a_megabyte(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, block: int
) -> None:
    files = Files(tmp_path, body_of(MEGABYTE))
    up = coap_client.start_plain(server.uri("/upload"), "-b", f"{block}", *files.up, method="put")
    down = coap_client.start_plain(server.uri("/large?1000000"), "-b", f"{block}", *files.down)
    told = up.finish().output.strip()
    assert told == f"{MEGABYTE} bytes, SHA-256 {digest_of(body_of(MEGABYTE))}"
    down.finish()
    assert digest_of(files.got) == digest_of(body_of(MEGABYTE))


@pytest.mark.parametrize("block", [16, 1024])
def test_libcoap_in_non_messages(
    server: ExampleServer, coap_client: CoapClient, tmp_path: Path, block: int
) -> None:
    """None is acknowledged, and each block is answered by a NON."""
    files = Files(tmp_path, body_of(5000))
    options = ["-N", "-b", f"{block}"]
    up = coap_client.ask(server.uri("/upload"), *options, *files.up, method="put")
    assert digest_of(body_of(5000)) in up.received[-1].payload
    down = coap_client.ask(server.uri("/large?5000"), *options, *files.down)
    assert files.got == body_of(5000)
    for dialogue in (up, down):
        assert {seen.type for seen in dialogue.messages} == {"NON"}


@pytest.mark.parametrize("method", ["post", "fetch"])
@pytest.mark.parametrize(("block", "size"), [(16, 2000), (64, KILOBYTES), (1024, MEGABYTE)])
def test_libcoap_sends_and_gets_a_long_body_at_once(
    own_server: ExampleServer,
    coap_client: CoapClient,
    tmp_path: Path,
    method: str,
    block: int,
    size: int,
) -> None:
    """RFC 7959 section 3.3: the response to the last block is the first of many."""
    files = Files(tmp_path, body_of(size))
    options = ["-b", f"{block}", *files.up, *files.down]
    coap_client.plain(own_server.uri("/reverse"), *options, method=method)
    assert digest_of(files.got) == digest_of(body_of(size)[::-1])


def test_libcoap_asks_for_one_block(server: ExampleServer, coap_client: CoapClient) -> None:
    """With -b NUM,SIZE it begins in the middle (RFC 7959 section 2.4)."""
    finished = coap_client.plain(server.uri("/large"), "-b", "9,1024")
    assert finished.output.encode().rstrip() == body_of(KILOBYTES)[9 * 1024 :].rstrip()


def test_what_is_lost_is_sent_again(
    own_server: ExampleServer, coap_client: CoapClient, tmp_path: Path
) -> None:
    """Each request of a body of 3 blocks both ways, and each response, is lost once.

    Each loss costs seconds, so all of these clients wait side by side.
    """
    body = body_of(3000)
    under_way: list[tuple[Files, Started]] = []
    links = [LossyLink(own_server.port, (number,)) for number in range(1, 6)]
    with ExitStack() as stack:

        def start(uri: str, *options: str, method: str = "post") -> None:
            folder = tmp_path / str(len(under_way))
            folder.mkdir()
            files = Files(folder, body)
            options += (*files.up, *files.down)
            under_way.append((files, coap_client.start_plain(uri, *options, method=method)))

        for loss in ("1", "2", "3", "4", "5"):
            for method in ("post", "fetch"):
                start(own_server.uri("/reverse"), "-l", loss, method=method)
        for link in links:
            start(stack.enter_context(link).uri("/reverse"))
        for _, started in under_way:
            started.finish()
    assert [files.got == body[::-1] for files, _ in under_way] == [True] * 15
    # What was lost came again, and it was the same: nothing was executed twice.
    for number, link in enumerate(links):
        assert len(link.from_server) == 6
        assert link.from_server[number] == link.from_server[number + 1]
        assert len(set(link.from_server)) == 5


def test_a_client_that_goes_leaves_a_bounded_body(coap_client: CoapClient, tmp_path: Path) -> None:
    """Its blocks wait for the rest, and are counted; the next client does not notice."""
    files = Files(tmp_path, body_of(KILOBYTES))
    with ExampleServer(program=OWN_SERVER) as server:
        uri = server.uri("/reverse")
        # From the third datagram on it is not heard any more, and soon gives up.
        coap_client.ask(uri, "-l", "3-99", *files.up, method="post", give_up=1)
        left = statistics(server, "body_bytes", "open_requests")
        assert 0 < left["body_bytes"] < 2 * KILOBYTES
        assert left["open_requests"] == 1  # the one that asks
        coap_client.plain(uri, *files.up, *files.down, method="post")
        assert files.got == body_of(KILOBYTES)[::-1]


# -- aiocoap's client and our server -------------------------------------------------------


def test_aiocoap_sends_and_gets_a_long_body_at_once(own_server: ExampleServer) -> None:
    program = [sys.executable, str(AIOCOAP_PROGRAM), own_server.uri(""), "both_ways"]
    finished = run(program)
    assert (finished.code, finished.errors) == (0, "")
    answers: list[list[str]] = json.loads(finished.output)
    expected = [("2.04", KILOBYTES), ("2.05", KILOBYTES), ("2.05", 300_000)]
    for (code, text, kind), (expected_code, size) in zip(answers, expected, strict=True):
        assert (code, kind) == (expected_code, "ACK")
        assert digest_of(text.encode()) == digest_of(body_of(size)[::-1])


# -- our client and libcoap's server -------------------------------------------------------


@pytest.fixture
def fresh() -> Generator[LibcoapServer, None, None]:
    """A server of this test's own: what is stored there stays."""
    with LibcoapServer("-d", "5") as server:
        yield server


@pytest.mark.parametrize("confirmable", [True, False], ids=["CON", "NON"])
@pytest.mark.parametrize(("block_size", "size"), [(16, 2000), (64, KILOBYTES), (1024, KILOBYTES)])
async def test_libcoap_keeps_blocks_of_each_size(
    client: Client, fresh: LibcoapServer, block_size: int, size: int, confirmable: bool
) -> None:
    uri, body = fresh.uri("/example_data"), body_of(size)
    for asked in (body, body[::-1]):
        stored = await client.put(
            uri, payload=asked, block_size=block_size, confirmable=confirmable
        )
        assert stored.is_success
        got = await client.get(uri, block_size=block_size, confirmable=confirmable)
        assert digest_of(got.payload) == digest_of(asked)
    blocks = -(-size // block_size)
    assert client.statistics().requests_sent == 4 * blocks
    assert client.statistics().own_requests == 0


async def test_libcoap_keeps_a_megabyte(client: Client, fresh: LibcoapServer) -> None:
    """As a whole and as a stream; the progress is told."""
    body, told = body_of(MEGABYTE), list[Progress]()
    uri = fresh.uri("/new")
    stored = await client.put(uri, payload=body, progress=told.append)
    assert stored.code is Code.CREATED
    assert (told[-1].sent, told[-1].to_send) == (MEGABYTE, MEGABYTE)
    digest = hashlib.sha256()
    async with client.stream(Code.GET, uri) as response:
        async for part in response:
            digest.update(part)
    assert digest.hexdigest() == digest_of(body)


async def test_what_libcoap_loses_comes_again() -> None:
    """It drops every so many of its datagrams, while a body goes up and comes down."""
    body = body_of(KILOBYTES)
    async with open_client(tuning=Tuning(ack_timeout=0.1, empty_ack_delay=0.05)) as client:
        with LibcoapServer("-l", "3,7,8,15,20") as server, trio.fail_after(PATIENCE):
            uri = server.uri("/example_data")
            assert (await client.put(uri, payload=body)).is_success
            assert (await client.get(uri)).payload == body
            assert client.statistics().retransmissions == 5


# -- our client and aiocoap's server -------------------------------------------------------


@pytest.fixture(scope="module")
def aiocoap_server() -> Generator[AiocoapServer, None, None]:
    with AiocoapServer() as server:
        yield server


@pytest.mark.parametrize(
    ("method", "block_size", "size"),
    [(Code.POST, 64, KILOBYTES), (Code.FETCH, 64, KILOBYTES), (Code.FETCH, 1024, MEGABYTE)],
    ids=str,
)
async def test_aiocoap_gives_a_long_body_back(
    client: Client, aiocoap_server: AiocoapServer, method: Code, block_size: int, size: int
) -> None:
    """Blocks both ways (RFC 7959 section 3.3)."""
    body = body_of(size)
    response = await client.request(
        method, aiocoap_server.uri("/echo"), payload=body, block_size=block_size
    )
    assert digest_of(response.payload) == digest_of(f"{method}?:".encode() + body)


async def test_bodies_at_once_are_kept_apart(client: Client, aiocoap_server: AiocoapServer) -> None:
    """Same resource, same method, same client (RFC 9175 section 3.3)."""
    bodies = [f"{number}".encode() * 5000 for number in range(5)]
    told: dict[int, str] = {}

    async def put(number: int) -> None:
        response = await client.put(aiocoap_server.uri("/upload"), payload=bodies[number])
        told[number] = response.text

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(put, number)
    assert told == {number: f"5000 {digest_of(body)}" for number, body in enumerate(bodies)}


async def test_a_stream_to_aiocoap_may_be_long(
    client: Client, aiocoap_server: AiocoapServer
) -> None:
    """Its length is not known at the start; its response streams too."""
    body = body_of(300_000)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_007):
            yield body[at : at + 10_007]

    digest = hashlib.sha256()
    uri = aiocoap_server.uri("/echo")
    async with client.stream(Code.POST, uri, payload=pieces()) as response:
        async for part in response:
            digest.update(part)
    assert digest.hexdigest() == digest_of(b"POST?:" + body)
