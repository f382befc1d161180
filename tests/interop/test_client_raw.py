"""The client judged from outside: datagrams of a server that keeps, or breaks, the rules.

Nothing here is coapsep's but the client. What it sends is read with a codec of its own.
"""

from __future__ import annotations

import random

import pytest
import trio

from coapsep import (
    BadResponse,
    PeerUnreachable,
    RequestTimedOut,
    ResetByPeer,
    Tuning,
)
from tests.interop.processes import find_program, run
from tests.interop.raw import (
    ACK,
    CON,
    GET,
    NON,
    RST,
    URI_PATH,
    Parsed,
    code,
    empty,
    message,
)
from tests.interop.raw_server import CONTENT, RawServer, raw_server, stand
from tests.interop.sockets import LOOPBACKS

# -- how a response may come (RFC 7252 sections 4.2, 5.2 and 5.3.2) ----------------------------


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_piggybacked(host: str) -> None:
    async with stand(host) as here:
        asking = here.ask("/a")
        asked = await here.server.receive()
        assert (asked.type, asked.code, asked.payload) == (CON, "0.01", b"")
        await here.server.respond(ACK, asked.mid, asked.token)
        assert await asking.payload() == b"hi"
        assert await here.server.drawn() == []


@pytest.mark.parametrize("host", LOOPBACKS)
@pytest.mark.parametrize("kind", [CON, NON])
async def test_separate(host: str, kind: int) -> None:
    async with stand(host) as here:
        asking = here.ask()
        asked = await here.server.receive()
        await here.server.send(empty(ACK, asked.mid))
        await here.server.silence(0.5)  # more than the wait for a repetition
        await here.server.respond(kind, 0x1234, asked.token)
        assert await asking.payload() == b"hi"
        assert await here.server.drawn() == ([empty(ACK, 0x1234)] if kind == CON else [])


@pytest.mark.parametrize("kind", [CON, NON])
async def test_a_response_before_the_empty_ack_stops_the_repetitions(kind: int) -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        response = message(kind, CONTENT, 0x1234, asked.token, (), b"hi")
        expected = [empty(ACK, 0x1234)] if kind == CON else []
        assert await here.server.drawn(response) == expected
        assert await asking.payload() == b"hi"
        await here.server.silence(0.5)
        assert await here.server.drawn(empty(ACK, asked.mid)) == []


async def test_every_copy_of_a_separate_response_draws_the_same_ack() -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        separate = message(CON, CONTENT, 7, asked.token, (), b"hi")
        assert await here.server.drawn(empty(ACK, asked.mid), separate) == [empty(ACK, 7)]
        assert await asking.payload() == b"hi"
        assert await here.server.drawn(*[separate] * 20) == [empty(ACK, 7)] * 20
        again = here.ask()  # another request does not change what the copies are
        asked = await here.server.receive()
        assert await here.server.drawn(separate, empty(ACK, asked.mid)) == [empty(ACK, 7)]
        assert not again.over


async def test_a_non_and_a_piggybacked_response_twice_are_one_response() -> None:
    async with stand() as here:
        for kind in (NON, ACK):
            asking = here.ask()
            asked = await here.server.receive()
            response = message(kind, CONTENT, asked.mid, asked.token, (), b"hi")
            assert await here.server.drawn(response, response) == []
            assert await asking.payload() == b"hi"


async def test_a_request_is_repeated_with_the_same_bytes_and_gives_up() -> None:
    tuning = Tuning(ack_timeout=0.1, ack_random_factor=1.0, max_retransmit=2, empty_ack_delay=0.05)
    async with stand(tuning=tuning) as here:
        asking = here.ask()
        first = await here.server.receive_bytes()
        assert [await here.server.receive_bytes() for _ in range(2)] == [first, first]
        with pytest.raises(RequestTimedOut):
            await asking.result()
        await here.server.silence(0.3)


async def test_a_non_is_sent_once() -> None:
    async with stand() as here:
        asking = here.ask(confirmable=False)
        asked = await here.server.receive()
        assert asked.type == NON
        await here.server.silence(0.6)
        await here.server.respond(NON, 1, asked.token)
        assert await asking.payload() == b"hi"


# -- what is not the response ------------------------------------------------------------------


def _wrong_answers(asked: Parsed) -> dict[str, tuple[bytes, bool]]:
    """Answers that are not to this request, and whether each draws an RST."""
    mid, token = asked.mid, asked.token
    other, longer = mid ^ 0x0101, b"\0" * 8
    flipped = bytes((token[0] ^ 1,)) + token[1:]
    bad = {
        "an ACK of another request": (message(ACK, CONTENT, other, token, (), b"no"), False),
        "an ACK with another token": (message(ACK, CONTENT, mid, flipped, (), b"no"), False),
        "an ACK with a shorter token": (message(ACK, CONTENT, mid, token[:-1], (), b"no"), False),
        "an ACK without a token": (message(ACK, CONTENT, mid, b"", (), b"no"), False),
        "a CON with another token": (message(CON, CONTENT, 1, flipped, (), b"no"), True),
        "a CON with a token of zeros": (message(CON, CONTENT, 2, longer, (), b"no"), True),
        "a CON without a token": (message(CON, CONTENT, 3, b"", (), b"no"), True),
        "a NON with another token": (message(NON, CONTENT, 4, flipped, (), b"no"), False),
        "an empty ACK of another": (empty(ACK, other), False),
        "an RST of another": (empty(RST, other), False),
        "an empty ACK with a token": (b"\x68\x00" + mid.to_bytes(2, "big") + token, False),
        "an RST with a token": (b"\x78\x00" + mid.to_bytes(2, "big") + token, False),
        "an RST with a code": (message(RST, CONTENT, mid, token), False),
        "an ACK with a method": (message(ACK, GET, mid, token), False),
        "a CON with a method": (message(CON, GET, 5, token), True),
        "a NON with a method": (message(NON, GET, 6, token), False),
        "a ping": (empty(CON, 7), True),
        "an empty NON": (empty(NON, 8), False),
        "a CON cut in an option": (message(CON, CONTENT, 9, token) + b"\x54ab", True),
        "a CON with a marker alone": (message(CON, CONTENT, 10, token) + b"\xff", True),
        "an ACK with a marker alone": (message(ACK, CONTENT, mid, token) + b"\xff", False),
        "a NON cut in its token": (message(NON, CONTENT, 11, token)[:-2], False),
        "a CON cut in its token": (message(CON, CONTENT, 12, token)[:-2], True),
        "a CON with a token of 9": (b"\x49\x45\x00\x0d" + token + b"\0", True),
        "an ACK with a token of 15": (b"\x6f\x45" + mid.to_bytes(2, "big") + token * 2, False),
        "another version": (b"\x88\x45\x00\x0e" + token, False),
        "three bytes": (b"\x40\x45\x00", False),
        "nothing": (b"", False),
    }
    for number in (1, 6, 7):
        reserved = number << 5 | 5
        bad[f"a CON of class {number}"] = (message(CON, reserved, 20 + number, token), True)
        bad[f"a NON of class {number}"] = (message(NON, reserved, 30 + number, token), False)
        bad[f"an ACK of class {number}"] = (message(ACK, reserved, mid, token), False)
    return bad


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_what_is_no_answer_is_rejected_and_the_answer_still_found(host: str) -> None:
    async with stand(host, Tuning()) as here:  # no repetition comes between
        asking = here.ask()
        asked = await here.server.receive()
        for what, (data, is_reset) in _wrong_answers(asked).items():
            expected = [empty(RST, int.from_bytes(data[2:4], "big"))] if is_reset else []
            assert await here.server.drawn(data) == expected, what
            assert not asking.over, what
        await here.server.respond(ACK, asked.mid, asked.token)
        assert await asking.payload() == b"hi"


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_an_answer_from_another_port(host: str) -> None:
    """The endpoint is part of the match (section 5.3.2)."""
    async with stand(host, Tuning()) as here, raw_server(host) as stranger:
        asking = here.ask()
        asked = await here.server.receive()
        separate = message(CON, CONTENT, 9, asked.token, (), b"no")
        await stranger.send_to(
            here.client_port,
            message(ACK, CONTENT, asked.mid, asked.token, (), b"no"),
            message(NON, CONTENT, 8, asked.token, (), b"no"),
            empty(ACK, asked.mid),
            empty(RST, asked.mid),
            separate,
        )
        assert await stranger.receive_bytes() == empty(RST, 9)
        assert await here.server.drawn() == []
        assert not asking.over
        await here.server.respond(ACK, asked.mid, asked.token)
        assert await asking.payload() == b"hi"


async def test_a_flood_of_rubbish_does_not_hide_the_answer() -> None:
    rng = random.Random(7)
    async with stand(tuning=Tuning()) as here:
        asking = here.ask()
        asked = await here.server.receive()
        for _ in range(40):  # what the socket's buffer surely takes, at a time
            rubbish = [rng.randbytes(rng.randrange(64)) for _ in range(50)]
            # Only CONs draw anything, and that an RST of four bytes.
            for drawn in await here.server.drawn(*rubbish):
                assert (drawn[:2], len(drawn)) == (b"\x70\x00", 4)
        statistics = here.client.statistics()
        assert (statistics.own_requests, statistics.dedup_entries) == (1, 0)
        assert (statistics.peers, statistics.timers) == (1, 1)
        await here.server.respond(ACK, asked.mid, asked.token)
        assert await asking.payload() == b"hi"


# -- responses that must be rejected, and others that need not ---------------------------------


@pytest.mark.parametrize("kind", [ACK, CON, NON])
@pytest.mark.parametrize("number", [9, 65001])  # OSCORE, and one without a name
async def test_a_critical_option_that_is_not_understood(kind: int, number: int) -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        mid = asked.mid if kind == ACK else 9
        response = message(kind, CONTENT, mid, asked.token, [(number, b"")], b"part")
        # The message is rejected (section 5.4.1), and nothing more is sent for the request.
        expected = [empty(RST, 9)] if kind == CON else []
        assert await here.server.drawn(response, response) == expected * 2
        with pytest.raises(BadResponse):
            await asking.result()
        await here.server.silence(0.3)


@pytest.mark.parametrize(
    "options",
    [
        [(6, b"\x01")],  # Observe that nobody asked for (RFC 7641 section 3.1)
        [(28, b"\x10\x00")],  # Size2 (RFC 7959 section 4)
        [(65002, b"x" * 300)],
        [(14, b"\0" * 9)],  # a Max-Age that is too long is one that is not known (section 5.4.3)
        [(12, b"\x28"), (12, b"\x29")],  # so is a second Content-Format (section 5.4.5)
    ],
)
async def test_elective_options_do_no_harm(options: list[tuple[int, bytes]]) -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        await here.server.respond(ACK, asked.mid, asked.token, b"hi", options)
        assert await asking.payload() == b"hi"
        # A later notification is for nobody, and ends the observation (RFC 7641 section 3.6).
        late = message(CON, CONTENT, 3, asked.token, options, b"more")
        assert await here.server.drawn(late) == [empty(RST, 3)]


@pytest.mark.parametrize("kind", [ACK, CON, NON])
async def test_a_response_that_is_too_long(kind: int) -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        mid = asked.mid if kind == ACK else 9
        response = message(kind, CONTENT, mid, asked.token, (), b"x" * 4000)
        assert await here.server.drawn(response) == ([empty(RST, 9)] if kind == CON else [])
        with pytest.raises(BadResponse, match="2048 bytes"):
            await asking.result()


@pytest.mark.parametrize("confirmable", [True, False])
async def test_an_rst(confirmable: bool) -> None:
    async with stand() as here:
        asking = here.ask(confirmable=confirmable)
        asked = await here.server.receive()
        await here.server.send(empty(RST, asked.mid))
        with pytest.raises(ResetByPeer):
            await asking.result()
        late = message(CON, CONTENT, 5, asked.token, (), b"late")
        assert await here.server.drawn(late) == [empty(RST, 5)]
        await here.server.silence(0.3)


@pytest.mark.parametrize("dotted", ["2.01", "2.31", "3.00", "4.04", "4.29", "4.31", "5.03"])
async def test_every_code_of_a_response_is_a_response(dotted: str) -> None:
    async with stand() as here:
        asking = here.ask()
        asked = await here.server.receive()
        await here.server.respond(ACK, asked.mid, asked.token, b"why", code=code(dotted))
        assert await asking.payload() == b"why"


# -- cancelling, and whose turn it is (section 4.7) --------------------------------------------


async def test_a_cancelled_request_is_over_on_the_wire() -> None:
    async with stand() as here:
        asking = here.ask("/first")
        first = await here.server.receive()
        waiting = here.ask("/second")  # NSTART is 1
        assert await here.server.drawn() == []
        asking.cancel()
        second = await here.server.receive()
        assert second.options == ((URI_PATH, b"second"),)
        assert (second.token, second.mid) != (first.token, first.mid)
        await here.server.send(empty(ACK, second.mid))
        late = message(CON, CONTENT, 5, first.token, (), b"late")
        assert await here.server.drawn(late, empty(ACK, first.mid)) == [empty(RST, 5)]
        await here.server.silence(0.5)
        await here.server.respond(CON, 6, second.token)
        assert await waiting.payload() == b"hi"


async def test_nstart_of_two() -> None:
    tuning = Tuning(nstart=2)
    async with stand(tuning=tuning) as here:
        askings = [here.ask("/a") for _ in range(4)]
        asked = [await here.server.receive() for _ in range(2)]
        assert await here.server.drawn() == []
        await here.server.send(empty(ACK, asked[0].mid))  # not outstanding any more
        asked.append(await here.server.receive())
        assert await here.server.drawn() == []
        await here.server.respond(ACK, asked[1].mid, asked[1].token)
        asked.append(await here.server.receive())
        for number in (0, 2, 3):
            await here.server.respond(NON, number, asked[number].token)
        assert [await asking.payload() for asking in askings] == [b"hi"] * 4
        assert len({one.token for one in asked}) == len({one.mid for one in asked}) == 4


async def test_a_ping_is_an_empty_con_and_rst_the_pong() -> None:
    async with stand() as here:
        asking = here.start(lambda: here.client.ping(here.server.uri()))
        data = await here.server.receive_bytes()
        assert (data[:2], len(data)) == (b"\x40\x00", 4)
        await here.server.send(empty(RST, int.from_bytes(data[2:], "big") ^ 1))
        assert not asking.over
        await here.server.send(b"\x70\x00" + data[2:])
        await asking.result()


@pytest.mark.parametrize("host", LOOPBACKS)
async def test_nobody_is_at_the_port(host: str) -> None:
    async with stand(host) as here:
        async with raw_server(host) as gone:
            uri = gone.uri("/a")
        asking = here.start(lambda: here.client.get(uri))
        with trio.fail_after(2), pytest.raises(PeerUnreachable):
            await asking.result()


# -- the command, against the same ------------------------------------------------------------


async def _answer_with(server: RawServer, answers: list[bytes]) -> None:
    """Whatever the request was: its message ID and token replace MM and TTTTTTTT."""
    asked = await server.receive()
    mid = asked.mid.to_bytes(2, "big")
    for data in answers:
        await server.send(data.replace(b"MM", mid).replace(b"TTTTTTTT", asked.token))


@pytest.mark.parametrize(
    ("answers", "exit_code", "output"),
    [
        ([b"\x68\x45MMTTTTTTTT\xffhi"], 0, "hi"),
        ([b"\x60\x00MM", b"\x58\x45\x00\x01TTTTTTTT\xffhi"], 0, "hi"),
        ([b"\x68\x45\x00\x00TTTTTTTT\xffno", b"\x68\x45MMTTTTTTTT\xffhi"], 0, "hi"),
        ([b"\x68\x84MMTTTTTTTT"], 4, ""),
        ([b"\x68\xa0MMTTTTTTTT"], 5, ""),
        ([b"\x70\x00MM"], 8, ""),
        ([b"\x68\x45MMTTTTTTTT\xd1\x0a\x08\xffpart"], 9, ""),  # Block2: the first of many
    ],
)
async def test_the_exit_code_of_the_command(
    answers: list[bytes], exit_code: int, output: str
) -> None:
    program = find_program("coapsep")
    async with raw_server("127.0.0.1") as server, trio.open_nursery() as nursery:
        nursery.start_soon(_answer_with, server, answers)
        finished = await trio.to_thread.run_sync(run, [program, "get", server.uri("/a")])
    assert (finished.code, finished.output.strip()) == (exit_code, output), finished.errors
    assert len(finished.errors.splitlines()) == (0 if exit_code == 0 else 1)


async def test_the_exit_code_when_nobody_answers_or_nobody_is_there() -> None:
    program = find_program("coapsep")
    async with raw_server("127.0.0.1") as server:
        ask = [program, "get", "--timeout", "0.5", server.uri("/a")]
        silent = await trio.to_thread.run_sync(run, ask)
    gone = await trio.to_thread.run_sync(run, ask)
    assert (silent.code, gone.code) == (6, 7)
    for finished in (silent, gone):
        assert (finished.output, len(finished.errors.splitlines())) == ("", 1)
