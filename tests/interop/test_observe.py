"""Observing with real peers: how it ends, states of several blocks, losses, FETCH.

What is simpler is in test_blocks_and_states.py and test_client_observe_libcoap.py.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
import trio

from coapsep import BadResponse, Client, Code, UnsuccessfulResponse, open_client
from tests.interop.processes import (
    PATIENCE,
    AiocoapServer,
    CoapClient,
    Dialogue,
    ExampleServer,
    LibcoapServer,
    Running,
    find_program,
    free_port,
    run,
)
from tests.interop.raw import DELETE, PUT, LossyLink, Parsed, RawPeer, parse, request

OWN_SERVER = Path(__file__).with_name("own_server.py")
AIOCOAP_PROGRAM = Path(__file__).with_name("aiocoap_program.py")


class Watched:
    """own_server.py, its state and who observes it."""

    def __init__(self, server: ExampleServer) -> None:
        self.port = server.port
        self.uri = server.uri("/state")
        self._mid = 0

    def _ask(self, path: str, method: int, payload: bytes) -> Parsed:
        self._mid += 1
        with RawPeer(self.port) as peer:
            answer = peer.ask(request(path, self._mid, method=method, payload=payload))
        assert answer.code.startswith("2."), answer
        return answer

    def put(self, state: str) -> None:
        """A new state, in one message."""
        self._ask("/state", PUT, state.encode())

    def delete(self) -> None:
        """No state any more."""
        self._ask("/state", DELETE, b"")

    def count(self, name: str) -> int:
        """One of the numbers of Server.statistics()."""
        number: int = json.loads(self._ask(f"/statistics?{name}", 1, b"").payload)[name]
        return number

    def wait_until(self, name: str, wanted: int) -> None:
        """Wait until it is so."""
        end = time.monotonic() + PATIENCE
        while (number := self.count(name)) != wanted:
            assert time.monotonic() < end, f"{name}: {number}, not {wanted}"
            time.sleep(0.02)


@pytest.fixture
def watched() -> Generator[Watched, None, None]:
    with ExampleServer(program=OWN_SERVER) as server:
        watched = Watched(server)
        watched.put("first")
        yield watched
        server.assert_quiet()


@pytest.fixture
async def client() -> AsyncGenerator[Client, None]:
    async with open_client() as client:
        with trio.fail_after(PATIENCE):
            yield client


def long_state(letter: str) -> str:
    """Three blocks, none of which is like another."""
    return "".join(f"{letter}{number:>7}" for number in range(375))


def states_of(dialogue: Dialogue) -> list[str]:
    """What it was told under the token that it asked with, as long as it observed."""
    token = dialogue.request.token
    return [m.payload for m in dialogue.received if "Observe" in m.options and m.token == token]


# -- libcoap's client and our server -------------------------------------------------------


def test_libcoap_comes_and_goes(watched: Watched, coap_client: CoapClient) -> None:
    under_way = coap_client.start(watched.uri, "-s", "1", give_up=5)
    watched.wait_until("observers", 1)
    for state in ("second", "third"):
        watched.put(state)
        time.sleep(0.1)
    dialogue = under_way.finish()
    watched.wait_until("observers", 0)
    assert states_of(dialogue) == ["first", "second", "third"]
    # Registration, two notifications, and the answer to the good-bye if it is still heard.
    assert [seen.type for seen in dialogue.received][:3] == ["ACK", "CON", "CON"]
    assert watched.count("notifications") == 2
    watched.put("nobody hears this")
    assert watched.count("notifications") == 2
    assert watched.count("open_requests") == 1  # the one that asks


def test_libcoap_is_told_that_it_is_gone(watched: Watched, coap_client: CoapClient) -> None:
    under_way = coap_client.start(watched.uri, "-s", "1", give_up=3)
    watched.wait_until("observers", 1)
    watched.delete()
    watched.wait_until("observers", 0)
    *_, end = [seen for seen in under_way.finish().received if seen.code != "0.00"]
    assert (end.type, end.code) == ("CON", "4.04")
    assert "Observe" not in end.options


def test_libcoap_gets_states_of_several_blocks(
    watched: Watched, coap_client: CoapClient, tmp_path: Path
) -> None:
    """The first block is in the notification, the client asks for the rest (RFC 7959 2.6)."""
    got, file = tmp_path / "got", tmp_path / "state"
    states = [long_state(letter) for letter in "abc"]
    observer = None
    for state in states:
        file.write_text(state)
        coap_client.plain(watched.uri, "-f", str(file), method="put")
        if observer is None:
            observer = coap_client.start_plain(watched.uri, "-s", "1", "-o", str(got))
            watched.wait_until("observers", 1)
        time.sleep(0.2)
    assert observer is not None
    observer.finish()
    assert got.read_text() == "".join(states)
    watched.wait_until("observers", 0)


def test_libcoap_observes_by_fetch(
    watched: Watched, coap_client: CoapClient, tmp_path: Path
) -> None:
    """RFC 8132 section 2.4; the body that it asks with is a long one, and so are the answers."""
    lines = [f"line {number}" for number in range(400)]
    asked, got = tmp_path / "asked", tmp_path / "got"
    asked.write_text("\n".join(lines))
    options = ["-s", "1", "-f", str(asked), "-o", str(got)]
    observer = coap_client.start_plain(watched.uri, *options, method="fetch")
    watched.wait_until("observers", 1)
    watched.put("something else\nline 7\nline 9")
    time.sleep(0.2)
    coap_client.plain(watched.uri, "-f", str(asked), method="put")
    observer.finish()
    assert got.read_text() == "line 7\nline 9" + "\n".join(lines)
    watched.wait_until("observers", 0)


def test_many_of_libcoap_observe(watched: Watched, coap_client: CoapClient) -> None:
    under_way = [coap_client.start(watched.uri, "-s", "2", give_up=6) for _ in range(20)]
    watched.wait_until("observers", 20)
    watched.put("second")
    for one in under_way:
        assert states_of(one.finish()) == ["first", "second"]
    watched.wait_until("observers", 0)


def test_a_libcoap_that_has_forgotten_resets(watched: Watched, coap_client: CoapClient) -> None:
    """It was killed, and starts again with the same port: it knows nothing of its old token."""
    port = str(free_port())
    program = find_program("coap-client-notls")
    with Running([program, "-s", "9", "-p", port, "-T", "old", watched.uri]) as observer:
        watched.wait_until("observers", 1)
        observer.end(signal.SIGKILL)
    again = coap_client.start(watched.uri, "-s", "1", "-p", port, "-T", "new", give_up=3)
    watched.wait_until("observers", 2)
    watched.put("second")
    watched.wait_until("observers", 1)
    assert watched.count("notifications_reset") == 1
    assert states_of(again.finish()) == ["first", "second"]
    watched.wait_until("observers", 0)


def test_losses_and_non_messages(watched: Watched, coap_client: CoapClient) -> None:
    """Three observers, each of which takes seconds, side by side.

    What is sent again is the newest state (RFC 7641 section 4.5.2). Whoever registers with a NON
    gets one, and nothing for the next three seconds; then the newest (section 4.5.1).
    """
    with LossyLink(watched.port, (2,)) as link:
        lost = coap_client.start(link.uri("/state"), "-s", "4", give_up=6)
        # This one loses its ACK of the first notification, its second datagram.
        unacknowledged = coap_client.start(watched.uri, "-s", "4", "-l", "2", give_up=6)
        non = coap_client.start(watched.uri, "-N", "-s", "4", give_up=6)
        watched.wait_until("observers", 3)
        watched.put("lost")
        link.wait_for(2)
        time.sleep(0.2)
        watched.put("newest")
        assert states_of(lost.finish()) == ["first", "newest"]
        # Only now has its good-bye passed the link.
        watched.wait_until("observers", 0)
        first, sent, again, *_ = map(parse, link.from_server)
        assert [seen.payload for seen in (first, sent, again)] == [b"first", b"lost", b"newest"]
        assert sent.mid != again.mid
    assert states_of(unacknowledged.finish())[-1] == "newest"
    dialogue = non.finish()
    assert states_of(dialogue) == ["first", "newest"]
    assert [seen.type for seen in dialogue.received][:2] == ["NON", "CON"]


# -- aiocoap's client and our server -------------------------------------------------------


def aiocoap(watched: Watched, scenario: str) -> list[list[str]]:
    base = watched.uri.removesuffix("/state")
    finished = run([sys.executable, str(AIOCOAP_PROGRAM), base, scenario])
    assert (finished.code, finished.errors) == (0, "")
    told: list[list[str]] = json.loads(finished.output)
    return told


def test_aiocoap_gets_states_of_several_blocks(watched: Watched) -> None:
    told = aiocoap(watched, "long_states")
    assert told == [["2.05", letter * 3000, ""] for letter in "123"]


def test_aiocoap_resets_what_it_has_left(watched: Watched) -> None:
    assert aiocoap(watched, "leaving") == [["2.05", "1", ""]]
    assert watched.count("observers") == 0
    assert watched.count("notifications_reset") == 1


# -- our client and libcoap's server -------------------------------------------------------


async def test_libcoap_tells_states_of_several_blocks(
    client: Client, libcoap_server: LibcoapServer
) -> None:
    uri = libcoap_server.uri("/example_data")
    first, *others = [long_state(letter) for letter in "abcd"]
    await client.put(uri, payload=first)
    async with client.observe(uri) as states:
        assert (await anext(states)).text == first
        for state in others:
            await client.put(uri, payload=state)
            assert (await anext(states)).text == state
        assert states.observed
    assert client.statistics().body_bytes == 0


async def test_libcoap_says_that_it_is_gone(client: Client) -> None:
    with LibcoapServer("-d", "5") as server:
        uri = server.uri("/mine")
        await client.put(uri, payload="here")
        async with client.observe(uri) as states:
            assert (await anext(states)).text == "here"
            await client.delete(uri)
            with pytest.raises(UnsuccessfulResponse) as caught:
                await anext(states)
        assert caught.value.response.code is Code.NOT_FOUND
        assert client.statistics().own_requests == 0


# -- our client and aiocoap's server -------------------------------------------------------


@pytest.fixture(scope="module")
def aiocoap_server() -> Generator[AiocoapServer, None, None]:
    with AiocoapServer() as server:
        yield server


async def test_aiocoap_is_left(client: Client, aiocoap_server: AiocoapServer) -> None:
    uri = aiocoap_server.uri("/state")
    await client.put(uri, payload="first")
    async with client.observe(uri) as states:
        assert (await anext(states)).text == "first"
        for number in range(3):
            await client.put(uri, payload=f"{number}")
            assert (await anext(states)).text == f"{number}"
    await trio.sleep(0.2)
    received = client.statistics().datagrams_received
    await client.put(uri, payload="nobody hears this")
    assert client.statistics().datagrams_received == received + 1


async def test_aiocoap_sends_a_state_that_is_too_long(
    client: Client, aiocoap_server: AiocoapServer
) -> None:
    """Its observable resources know no blocks: the datagram is longer than we read."""
    uri = aiocoap_server.uri("/state")
    await client.put(uri, payload="short")
    async with client.observe(uri) as states:
        assert (await anext(states)).text == "short"
        await client.put(uri, payload=long_state("a"))
        with pytest.raises(BadResponse, match="longer than Limits"):
            await anext(states)
    assert client.statistics().rejected == 1  # with an RST, and aiocoap forgets us
    received = client.statistics().datagrams_received
    await client.put(uri, payload="nobody hears this")
    await trio.sleep(0.2)
    assert client.statistics().datagrams_received == received + 1


async def test_two_observations_of_one_aiocoap(
    client: Client, aiocoap_server: AiocoapServer
) -> None:
    """Each has a token of its own, and ends by itself."""
    uri = aiocoap_server.uri("/ticks")
    async with client.observe(uri) as one:
        async with client.observe(uri) as other:
            assert int((await anext(one)).text) <= int((await anext(other)).text)
            for states in (one, other):
                await anext(states)
        for _ in range(2):
            await anext(one)
        assert one.observed
        assert not other.observed


async def test_a_slow_reader_gets_the_newest(client: Client, aiocoap_server: AiocoapServer) -> None:
    """RFC 7641 section 1.3: the present state counts, not each one before it."""
    async with client.observe(aiocoap_server.uri("/ticks"), buffer=1) as states:
        begun = int((await anext(states)).text)
        await trio.sleep(0.9)
        assert int((await anext(states)).text) >= begun + 3
        assert states.dropped >= 2
