"""Datagrams, one by one, against the example server (RFC 7252 sections 3 to 5)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.interop.processes import ExampleServer, has_ipv6
from tests.interop.raw import (
    ACK,
    CON,
    DELETE,
    GET,
    NON,
    POST,
    PUT,
    RST,
    Parsed,
    RawPeer,
    code,
    empty,
    message,
    parse,
    request,
    write_options,
)

Connect = Callable[[], RawPeer]
MID = 0x1234
HELLO = request("/hello", MID, b"tk")


def assert_alive(peer: RawPeer) -> None:
    """It answers a request like any other."""
    assert peer.ask(request("/hello", 0xEEEE, b"alive")).payload == b"hello"


# -- pings and format errors -------------------------------------------------------------


def test_a_ping_draws_an_rst(peer: RawPeer) -> None:
    assert peer.ask(empty(CON, MID)) == Parsed(RST, "0.00", MID)
    assert peer.drawn(empty(CON, MID), empty(CON, MID + 1)) == [
        empty(RST, MID),
        empty(RST, MID + 1),
    ]


#: What follows the type and the token length in a message with a format error: the token
#: length, and the rest from the code on, without the message ID.
MALFORMED = {
    "extended token cut short": (13, GET, b"\x00" + b"x" * 12),  # RFC 8974
    "token length 15": (15, GET, b"1234567890abcdef"),
    "token cut short": (8, GET, b"1234"),
    "no token at all": (1, GET, b""),
    "marker without payload": (0, GET, b"\xff"),
    "marker without payload after an option": (2, GET, b"tk\xb5hello\xff"),
    "option past the end": (0, GET, b"\xb5hell"),
    "extended delta cut": (0, GET, b"\xd0"),
    "extended length cut": (0, GET, b"\xbe\x01"),
    "option delta 15": (0, GET, b"\xf1x"),
    "option length 15": (0, GET, b"\xbfx"),
    "option number past 65535": (0, GET, b"\xe0\xff\xff"),
    "reserved class 1": (0, code("1.01"), b""),
    "reserved class 6": (0, code("6.01"), b""),
    "reserved class 7": (0, code("7.31"), b""),
    "empty with a token": (1, 0, b"t"),
    "empty with a payload": (0, 0, b"\xffx"),
    "empty with an option": (0, 0, b"\xb5hello"),
}


def malformed(kind: int, what: str) -> bytes:
    """One of them, as a message of this type."""
    length, number, rest = MALFORMED[what]
    return bytes((0x40 | kind << 4 | length, number)) + MID.to_bytes(2, "big") + rest


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_con_draws_an_rst_and_nothing_else(peer: RawPeer, what: str) -> None:
    assert peer.drawn(malformed(CON, what)) == [empty(RST, MID)]
    # It leaves nothing behind: its copy draws the same, and its message ID is free.
    assert peer.drawn(malformed(CON, what)) == [empty(RST, MID)]
    assert peer.ask(HELLO).payload == b"hello"


@pytest.mark.parametrize("kind", [NON, ACK, RST])
@pytest.mark.parametrize("what", MALFORMED)
def test_any_other_malformed_message_is_ignored(peer: RawPeer, what: str, kind: int) -> None:
    assert peer.drawn(malformed(kind, what)) == []


@pytest.mark.parametrize("version", [0, 2, 3])
@pytest.mark.parametrize("kind", [CON, NON])
def test_another_version_is_ignored(peer: RawPeer, version: int, kind: int) -> None:
    hello = request("/hello", MID, b"tk", kind=kind)
    other = bytes((hello[0] & 0x3F | version << 6,)) + hello[1:]
    assert peer.drawn(other, bytes((version << 6 | kind << 4, 0, 1, 2))) == []


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_what_is_shorter_than_a_header_is_ignored(peer: RawPeer, size: int) -> None:
    assert peer.drawn(HELLO[:size]) == []


@pytest.mark.parametrize(
    ("data", "drawn"),
    [
        (message(CON, code("2.05"), MID, b"tk", payload=b"x"), [empty(RST, MID)]),
        (message(NON, code("2.05"), MID, b"tk", payload=b"x"), []),
        (message(ACK, code("2.05"), MID, b"tk", payload=b"x"), []),
        (message(ACK, GET, MID, b"tk"), []),
        (message(RST, GET, MID, b"tk"), []),
        (empty(NON, MID), []),
        (empty(ACK, MID), []),
        (empty(RST, MID), []),
    ],
)
def test_what_no_server_asked_for(peer: RawPeer, data: bytes, drawn: list[bytes]) -> None:
    assert peer.drawn(data) == drawn


# -- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ([(9, b"")], "OSCORE"),
        ([(65001, b"x")], "Option 65001"),
        ([(1, b"etag")], "If-Match"),
        ([(5, b"")], "If-None-Match"),
        ([(3, b"")], "Uri-Host"),  # too short
        ([(7, b"123")], "Uri-Port"),  # too long
        ([(7, b"\x16\x33"), (7, b"\x16\x33")], "Uri-Port"),  # twice
        ([(15, b"\xff\xfe")], "Uri-Query"),  # not UTF-8
        ([(17, b"\0\0\0")], "Accept"),
    ],
)
def test_a_critical_option_that_is_not_understood(
    peer: RawPeer, options: list[tuple[int, bytes]], name: str
) -> None:
    refused = peer.ask(request("/hello", MID, b"tk", options=options))
    assert refused == Parsed(ACK, "4.02", MID, b"tk", payload=f"not understood: {name}".encode())
    assert peer.drawn(request("/hello", MID + 1, b"tk", kind=NON, options=options)) == []


@pytest.mark.parametrize(
    "options",
    [
        [(65000, b"x" * 300)],
        [(6, b"")],  # Observe, where there is nothing to observe
        [(12, b"123")],  # a Content-Format that is too long is ignored
        [(8, b"\xff")],
        [(252, b"")],
        [(3, b"localhost"), (7, b"\x16\x33")],
    ],
)
def test_options_that_do_no_harm(peer: RawPeer, options: list[tuple[int, bytes]]) -> None:
    answer = peer.ask(request("/hello", MID, b"tk", options=options))
    assert answer == Parsed(ACK, "2.05", MID, b"tk", ((12, b""),), b"hello")


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ([(17, b"\x32")], "4.06"),
        ([(35, b"coap://192.0.2.1/hello")], "5.05"),
        ([(39, b"coap")], "5.05"),
    ],
)
def test_what_it_cannot_give(peer: RawPeer, options: list[tuple[int, bytes]], refused: str) -> None:
    answer = peer.ask(request("/hello", MID, b"tk", options=options))
    assert (answer.type, answer.code, answer.mid, answer.token) == (ACK, refused, MID, b"tk")


@pytest.mark.parametrize("method", [8, 31])
def test_an_unknown_method(peer: RawPeer, method: int) -> None:
    for number, path in enumerate(("/hello", "/nothing")):
        answer = peer.ask(request(path, MID + number, b"tk", method=method))
        assert (answer.type, answer.code) == (ACK, "4.05")


def test_a_datagram_that_is_too_large(peer: RawPeer) -> None:
    fits = request("/example_data", MID, b"tk", method=PUT, payload=b"x" * 2000)
    assert peer.ask(fits).code in ("2.01", "2.04")
    beginning = peer.ask(request("/example_data", MID + 1, b"tk"))
    assert beginning.payload == b"x" * 1024
    assert beginning.option(23) == b"\x0e"  # 2:0/1/1024
    size1: bytes | None = None
    for size in (2048, 9000, 60_000):
        too_large = request("/example_data", MID + 2, b"tk", method=PUT, payload=b"x" * size)
        refused = peer.ask(too_large)
        assert (refused.type, refused.code, refused.mid) == (ACK, "4.13", MID + 2)
        size1 = refused.option(60)
    assert size1 is not None
    # Size1 says what would have been accepted.
    hint = b"y" * int.from_bytes(size1, "big")
    smaller = request("/example_data", MID + 3, b"8 bytes!", method=PUT, payload=hint)
    assert 1024 <= len(hint) <= 2048
    assert peer.ask(smaller).code == "2.04"
    assert peer.ask(request("/example_data", MID + 4, b"tk", method=DELETE)).code == "2.02"


@pytest.mark.parametrize("token", [b"", b"\0", b"12", b"12345678", b"\xff" * 8, bytes(8)])
def test_every_length_of_token(peer: RawPeer, token: bytes) -> None:
    answer = peer.ask(request("/hello", MID, token))
    assert (answer.type, answer.mid, answer.token) == (ACK, MID, token)
    assert peer.ask(request("/async?0.1", MID + 1, token)) == Parsed(ACK, "0.00", MID + 1)
    late = peer.receive()
    assert (late.type, late.token, late.payload) == (CON, token, b"done")
    peer.send(empty(ACK, late.mid))


# -- copies ------------------------------------------------------------------------------


def test_a_copy_gets_the_same_answer_again(fresh_server: ExampleServer) -> None:
    with RawPeer(fresh_server.port) as peer:
        count = request("/counter", MID, b"tk", method=POST)
        peer.send(count)
        answer = peer.receive_bytes()
        assert parse(answer) == Parsed(ACK, "2.04", MID, b"tk", ((12, b""),), b"1")
        assert peer.drawn(count, count, count) == [answer] * 3
        # A copy is known by its message ID, whatever the rest; a token says nothing.
        assert peer.drawn(request("/hello", MID, b"other")) == [answer]
        assert peer.ask(request("/counter", MID + 1, b"tk", method=POST)).payload == b"2"
        # From another port it is another client's.
        with RawPeer(fresh_server.port) as other:
            assert other.ask(count).payload == b"3"


def test_a_copy_of_a_non_is_ignored(fresh_server: ExampleServer) -> None:
    with RawPeer(fresh_server.port) as peer:
        count = request("/counter", MID, b"tk", kind=NON, method=POST)
        (answer,) = peer.drawn(count, count, count)
        assert (parse(answer).type, parse(answer).payload) == (NON, b"1")
        assert peer.drawn(count) == []
        assert peer.ask(request("/counter", MID + 1, b"tk")).payload == b"2"


@pytest.mark.parametrize("path", ["/async?1", "/slow?1"])
def test_copies_in_every_phase_of_a_late_answer(peer: RawPeer, path: str) -> None:
    asked = request(path, MID, b"tk")
    accepted = empty(ACK, MID)
    peer.send(asked)
    if path == "/slow?1":
        # Its answer may still ride in the ACK: there is nothing yet that a copy could get.
        peer.send(asked)
        peer.send(asked)
    assert peer.receive_bytes() == accepted
    assert peer.drawn() == []
    assert peer.drawn(asked, asked) == [accepted, accepted]  # while it is pending
    answer = peer.receive()
    assert answer == Parsed(CON, "2.05", answer.mid, b"tk", ((12, b""),), b"done")
    assert peer.drawn(asked) == [accepted]  # while the answer is unacknowledged
    assert peer.drawn(empty(ACK, answer.mid), asked, empty(ACK, answer.mid)) == [accepted]
    peer.expect_silence(1.2)  # a second execution would answer by now
    assert peer.drawn(asked) == [accepted]  # when all is over


def test_an_answer_is_repeated_until_it_is_acknowledged(connect: Connect) -> None:
    acknowledging, resetting, silent, asking_again = (connect() for _ in range(4))
    peers = (acknowledging, resetting, silent, asking_again)
    for peer in peers:
        assert peer.ask(request("/async?0.2", MID, b"tk")) == Parsed(ACK, "0.00", MID)
    answers = [peer.receive_bytes() for peer in peers]
    acknowledging.send(empty(ACK, parse(answers[0]).mid))
    resetting.send(empty(RST, parse(answers[1]).mid))
    # The token in another request: the client has the answer, or has given it up.
    assert asking_again.ask(request("/hello", MID + 1, b"tk")).payload == b"hello"
    # A wrong message ID acknowledges nothing.
    silent.send(empty(ACK, parse(answers[2]).mid ^ 1))
    assert silent.receive_bytes() == answers[2]
    silent.send(empty(ACK, parse(answers[2]).mid))
    # The longest first timeout is 3 s, and more than 2 of them have passed.
    acknowledging.expect_silence(1.1)
    assert [peer.drawn() for peer in peers] == [[], [], [], []]


def test_the_same_request_again_joins_the_pending_one(peer: RawPeer) -> None:
    assert peer.ask(request("/async?1", MID, b"tk")) == Parsed(ACK, "0.00", MID)
    assert peer.ask(request("/async?1", MID + 1, b"tk")) == Parsed(ACK, "0.00", MID + 1)
    assert peer.drawn(request("/async?1", MID + 2, b"tk", kind=NON)) == []
    answer = peer.receive()
    assert (answer.type, answer.token, answer.payload) == (CON, b"tk", b"done")
    peer.send(empty(ACK, answer.mid))
    peer.expect_silence(0.5)  # a second execution began moments after the first


def test_another_request_with_the_same_token_takes_its_place(peer: RawPeer) -> None:
    assert peer.ask(request("/async?0.6", MID, b"tk")) == Parsed(ACK, "0.00", MID)
    assert peer.ask(request("/hello", MID + 1, b"tk")).payload == b"hello"
    peer.expect_silence(0.8)


def test_many_pending_requests_of_one_client(peer: RawPeer) -> None:
    tokens = [bytes((number,)) for number in range(100)]
    for token in tokens:
        peer.send(request("/async?0.5", MID + token[0], token))
    acknowledged: list[int] = []
    answered: dict[bytes, int] = {}
    while len(answered) < len(tokens):
        arrived = peer.receive()
        if arrived.type == ACK:
            acknowledged.append(arrived.mid)
            continue
        assert (arrived.type, arrived.payload) == (CON, b"done")
        assert arrived.token not in answered
        answered[arrived.token] = arrived.mid
        peer.send(empty(ACK, arrived.mid))
    assert acknowledged == [MID + token[0] for token in tokens]
    assert answered.keys() == set(tokens)
    assert len(set(answered.values())) == len(tokens)
    assert peer.drawn() == []


# -- rubbish -----------------------------------------------------------------------------


def rubbish(rng: random.Random) -> bytes:
    """A datagram of no sense, of little sense, or with one byte of it wrong."""
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(rng.randrange(80))
    if kind == 1:
        return bytes((0x40 | rng.randrange(64), rng.randrange(256))) + rng.randbytes(
            rng.randrange(40)
        )
    path = rng.choice(("/hello", "/time", "/counter", "/example_data", "/async?0.1", "/"))
    whole = bytearray(
        request(
            path,
            rng.randrange(65536),
            rng.randbytes(rng.randrange(9)),
            kind=rng.choice((CON, NON)),
            method=rng.randrange(1, 8),
            payload=rng.randbytes(rng.randrange(20)),
        )
    )
    whole[rng.randrange(len(whole))] = rng.randrange(256)
    return bytes(whole)


@pytest.mark.parametrize("seed", [1, 2])
def test_rubbish(fresh_server: ExampleServer, seed: int) -> None:
    rng = random.Random(seed)
    with RawPeer(fresh_server.port) as sender, RawPeer(fresh_server.port) as other:
        for _ in range(1000 // 20):
            # Not more at once than the buffers of sockets hold, on both sides.
            for data in sender.drawn(*(rubbish(rng) for _ in range(20))):
                answer = parse(data)  # well-formed, whatever drew it
                assert answer.type != RST or answer.code == "0.00"
                if answer.type == CON:
                    sender.send(empty(ACK, answer.mid))
            assert_alive(other)
        assert_alive(sender)
    fresh_server.assert_quiet()


# -- addresses and closed sockets --------------------------------------------------------


def test_a_wildcard_answers_from_the_address_that_was_asked() -> None:
    with ExampleServer(hosts=()) as server:
        hosts = ["127.0.0.1", "127.0.0.2", "127.255.255.1"]
        if has_ipv6():
            hosts.append("::1")
        for host in hosts:
            # A connected socket hears only the address it is connected to.
            with RawPeer(server.port, host) as peer:
                assert peer.ask(HELLO) == Parsed(ACK, "2.05", MID, b"tk", ((12, b""),), b"hello")
                assert peer.ask(empty(CON, MID)) == Parsed(RST, "0.00", MID)
                assert peer.ask(request("/async?0.1", MID + 1)) == Parsed(ACK, "0.00", MID + 1)
                answer = peer.receive()
                assert (answer.type, answer.payload) == (CON, b"done")
                peer.send(empty(ACK, answer.mid))
                non = peer.ask(request("/hello", MID + 2, kind=NON))
                assert (non.type, non.payload) == (NON, b"hello")
        server.assert_quiet()


def test_one_client_port_and_several_addresses_are_several_sessions() -> None:
    with ExampleServer(hosts=()) as server:
        count = request("/counter", MID, b"tk", method=POST)
        with RawPeer(server.port, "127.0.0.1") as first:
            assert first.ask(count).payload == b"1"
            own_port = first.port
        # From the same port to another address: not a copy (RFC 7252 section 4.4).
        with RawPeer(server.port, "127.0.0.2", own_port=own_port, own_host="127.0.0.1") as second:
            assert second.ask(count).payload == b"2"
            assert second.ask(count).payload == b"2"


def test_clients_that_have_gone_disturb_nobody(fresh_server: ExampleServer) -> None:
    with RawPeer(fresh_server.port) as waiting:
        for number in range(10):
            with RawPeer(fresh_server.port) as leaving:
                leaving.send(request("/async?1", MID + number, b"tk"))
                assert leaving.receive() == Parsed(ACK, "0.00", MID + number)
        for number in range(10):
            token = bytes((number,))
            asked = request("/async?1", MID + number, token)
            assert waiting.ask(asked) == Parsed(ACK, "0.00", MID + number)
        # Now ten answers go to closed ports, and ten here, in turns.
        tokens = set()
        for _ in range(10):
            answer = waiting.receive()
            assert (answer.type, answer.payload) == (CON, b"done")
            tokens.add(answer.token)
            waiting.send(empty(ACK, answer.mid))
        assert len(tokens) == 10
        assert_alive(waiting)
        assert waiting.drawn() == []


def test_options_are_written_as_the_codec_reads_them() -> None:
    pairs = ((1, b""), (11, b"x" * 13), (11, b"x" * 12), (300, b"y" * 269), (65535, b"z" * 268))
    data = message(CON, GET, MID, b"tk", pairs, b"payload")
    assert parse(data) == Parsed(CON, "0.01", MID, b"tk", pairs, b"payload")
    assert write_options(reversed(pairs[:2])) == write_options(pairs[:2])
