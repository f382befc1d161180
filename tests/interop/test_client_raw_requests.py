"""The client's requests judged from outside: every byte of them (RFC 7252 sections 3.1, 5.3.1,
5.10 and 6.4), read with a codec that is not coapsep's."""

from __future__ import annotations

import pytest

from coapsep import Tuning
from tests.interop.raw import (
    ACK,
    CON,
    GET,
    RST,
    URI_PATH,
    URI_QUERY,
    Parsed,
    empty,
    message,
)
from tests.interop.raw_server import CONTENT, stand
from tests.interop.sockets import LOOPBACKS

URI_HOST, CONTENT_FORMAT, ACCEPT = 3, 12, 17


@pytest.mark.parametrize(
    ("rest", "options"),
    [
        ("", []),
        ("/", []),
        ("//", [(URI_PATH, b""), (URI_PATH, b"")]),
        ("/a", [(URI_PATH, b"a")]),
        ("/a/", [(URI_PATH, b"a"), (URI_PATH, b"")]),
        ("/a//b", [(URI_PATH, b"a"), (URI_PATH, b""), (URI_PATH, b"b")]),
        ("/%2F%3f", [(URI_PATH, b"/?")]),
        ("/%C3%A4", [(URI_PATH, "\u00e4".encode())]),
        ("/a/../b/./c", [(URI_PATH, b"b"), (URI_PATH, b"c")]),
        ("/A+b=c&d", [(URI_PATH, b"A+b=c&d")]),
        ("?", [(URI_QUERY, b"")]),
        ("?a=b&&%26", [(URI_QUERY, b"a=b"), (URI_QUERY, b""), (URI_QUERY, b"&")]),
        ("/a?/?b", [(URI_PATH, b"a"), (URI_QUERY, b"/?b")]),
        ("/" + "x" * 255, [(URI_PATH, b"x" * 255)]),
    ],
)
async def test_uris(rest: str, options: list[tuple[int, bytes]]) -> None:
    async with stand() as here:
        here.ask(rest)
        data = await here.server.receive_bytes()
        mid, token = int.from_bytes(data[2:4], "big"), data[4:12]
        # The second codec writes the options sorted, with the shortest deltas and lengths.
        assert data == message(CON, GET, mid, token, options)


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_an_address_needs_neither_uri_host_nor_uri_port(host: str) -> None:
    async with stand(host) as here:
        here.ask("/a")
        assert (await here.server.receive()).options == ((URI_PATH, b"a"),)


async def test_a_name_is_sent_in_lower_case_as_uri_host() -> None:
    async with stand() as here:
        here.start(lambda: here.client.get(f"coap://LOCALHOST:{here.server.port}/a"))
        while (asked := await here.server.receive()).code == "0.00":
            await here.server.send(empty(RST, asked.mid))  # localhost may have two addresses
        # The port of the URI is where the request goes: no Uri-Port (section 6.4 step 7).
        assert asked.options == ((URI_HOST, b"localhost"), (URI_PATH, b"a"))


async def test_formats_are_as_short_as_they_can_be() -> None:
    async with stand() as here:
        uri = here.server.uri("/a?b")
        here.start(lambda: here.client.ipatch(uri, payload=b"x", content_format=0, accept=65000))
        data = await here.server.receive_bytes()
        mid, token = int.from_bytes(data[2:4], "big"), data[4:12]
        options = [
            (URI_PATH, b"a"),
            (CONTENT_FORMAT, b""),
            (URI_QUERY, b"b"),
            (ACCEPT, b"\xfd\xe8"),
        ]
        assert data == message(CON, 7, mid, token, options, b"x")


@pytest.mark.parametrize(("method", "number"), [("fetch", 5), ("patch", 6), ("ipatch", 7)])
async def test_the_methods_of_rfc_8132(method: str, number: int) -> None:
    async with stand() as here:
        here.start(lambda: getattr(here.client, method)(here.server.uri(), payload=b"q"))
        asked = await here.server.receive()
        assert (asked.code, asked.payload) == (f"0.{number:02}", b"q")


async def test_tokens_and_message_ids_cannot_be_guessed() -> None:
    """Two clients, one after the other, have nothing in common; tokens have no sequence."""
    seen: list[Parsed] = []
    for _ in range(4):
        async with stand() as here:
            for _ in range(2):
                asking = here.ask()
                seen.append(await here.server.receive())
                await here.server.respond(ACK, seen[-1].mid, seen[-1].token)
                await asking.payload()
    tokens = [one.token for one in seen]
    assert all(len(token) == 8 for token in tokens)
    assert len(set(tokens)) == len({token[:4] for token in tokens}) == 8
    # Four first message IDs that are all the same, by chance, are one in 10 ** 14.
    assert len({one.mid for one in seen[::2]}) > 1


async def test_a_token_may_be_shorter() -> None:
    async with stand(tuning=Tuning(token_bytes=4)) as here:
        asking = here.ask()
        asked = await here.server.receive()
        assert len(asked.token) == 4
        long = message(ACK, CONTENT, asked.mid, asked.token + b"\0", (), b"no")
        assert await here.server.drawn(long) == []
        await here.server.respond(ACK, asked.mid, asked.token)
        assert await asking.payload() == b"hi"
