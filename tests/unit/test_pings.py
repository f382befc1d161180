"""Pings of ours: an Empty CON that RST answers (RFC 7252 section 4.3)."""

from __future__ import annotations

import attrs
import pytest

from coapsep.message.codec import empty, encode
from coapsep.message.message import Message
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import Failure
from coapsep.protocol.records import ClientExchange, Stage
from tests.unit.scenario import (
    OTHER_PEER,
    PEER,
    Longest,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    rst,
)


def pinged(tuning: Tuning | None = None) -> tuple[Scenario, ClientExchange, int]:
    """A core that has sent a ping, with this message ID."""
    s = Scenario(tuning, rng=Longest(first=0x44CB), serves=False)
    exchange = s.ping()
    [sent] = s.drain()
    assert sent.session == PEER
    assert sent.data == empty(Type.CON, 0x44CB)
    return s, exchange, 0x44CB


def test_section_4_3_an_rst_is_the_pong() -> None:
    s, exchange, mid = pinged()
    s.at(1.0)
    s.receive(rst(mid))
    assert s.response(exchange) == rst(mid)
    counted = s.core.statistics()
    assert (counted.pings_sent, counted.requests_sent) == (1, 0)
    assert (counted.responses, counted.requests_failed) == (0, 0)
    s.at(1000.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.nothing_left()


def test_an_empty_ack_is_a_sign_of_life_all_the_same() -> None:
    s, exchange, mid = pinged()
    s.receive(ack(mid))
    assert s.response(exchange) == rst(mid)
    assert s.nothing_left()


def test_a_ping_is_repeated_and_given_up_like_any_con() -> None:
    s, exchange, _ = pinged()
    s.at(92.0)
    copies = s.drain()
    assert [one.at for one in copies] == [3.0, 9.0, 21.0, 45.0]
    assert {one.data for one in copies} == {exchange.data}
    s.at(93.0)
    assert s.failure(exchange) is Failure.TIMED_OUT
    assert s.nothing_left()


@pytest.mark.parametrize("after", range(1, 5))
def test_a_pong_may_come_after_any_transmission(after: int) -> None:
    s, exchange, mid = pinged()
    s.at((0, 3, 9, 21, 45)[after])
    s.receive(rst(mid))
    assert s.response(exchange)


@pytest.mark.parametrize("off_by", [1, -1, 0x8000])
def test_another_message_id_is_no_pong(off_by: int) -> None:
    s, exchange, mid = pinged()
    s.receive(rst(mid + off_by & 0xFFFF))
    s.receive(ack(mid + off_by & 0xFFFF))
    assert s.events() == []
    assert exchange.stage is Stage.SENT


def test_another_endpoint_sends_no_pong() -> None:
    s, exchange, mid = pinged()
    s.acknowledged(OTHER_PEER)
    for wrong in (OTHER_PEER, attrs.evolve(PEER, local=OTHER_PEER.peer)):
        s.receive(rst(mid), wrong)
    assert s.events() == []
    assert exchange.stage is Stage.SENT


@pytest.mark.parametrize("kind", [Type.ACK, Type.CON, Type.NON])
def test_a_response_is_no_pong_whatever_its_token(kind: Type) -> None:
    """The token by which a ping is known here is never sent."""
    s, exchange, mid = pinged()
    for token in (b"", exchange.token):
        s.receive(Message(Code.CONTENT, kind, mid, token))
    assert s.sent() == ([rst(mid)] * 2 if kind is Type.CON else [])
    assert s.events() == []
    assert exchange.stage is Stage.SENT
    s.receive(rst(mid))
    assert s.response(exchange)


@pytest.mark.parametrize("kind", [Type.ACK, Type.RST])
def test_an_ack_or_rst_that_is_not_empty_is_no_pong(kind: Type) -> None:
    s, exchange, mid = pinged()
    s.receive(encode(Message(Code.EMPTY, kind, mid)) + b"\xff!")
    s.receive(Message(Code.EMPTY, kind, mid, exchange.token))
    s.receive(Message(Code.GET, kind, mid))
    assert s.sent() == []
    assert s.events() == []
    assert exchange.stage is Stage.SENT


def test_response_timeout_is_not_for_pings() -> None:
    s, exchange, mid = pinged(Tuning(response_timeout=1.0))
    s.at(50.0)
    assert s.events() == []
    s.receive(rst(mid))
    assert s.response(exchange)


def test_a_ping_that_was_cancelled_is_not_repeated_and_its_pong_is_ignored() -> None:
    s, exchange, mid = pinged()
    s.at(4.0)
    s.drain()
    s.cancel(exchange)
    s.receive(rst(mid))
    s.at(1000.0)
    assert s.sent() == []
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.requests_cancelled, counted.ignored) == (1, 1)
    assert s.nothing_left()


def test_a_second_pong_is_ignored() -> None:
    s, exchange, mid = pinged()
    s.receive(rst(mid))
    assert s.response(exchange)
    s.receive(rst(mid))
    s.receive(ack(mid))
    assert s.events() == []
    assert s.core.statistics().ignored == 2


def test_an_icmp_error_ends_a_ping() -> None:
    """It has no token to quote; its message ID must do."""
    s, exchange, _ = pinged()
    s.refused(exchange.data[:3])
    s.refused(empty(Type.RST, 0x44CB))
    s.refused(empty(Type.CON, 0x44CC))
    assert s.events() == []
    s.refused(exchange.data)
    assert s.failure(exchange) is Failure.UNREACHABLE


def test_a_ping_whose_first_transmission_fails_has_failed() -> None:
    s, exchange, _ = pinged()
    s.unsent(exchange.data)
    assert s.failure(exchange) is Failure.UNREACHABLE
    assert s.nothing_left()


def test_an_rst_does_not_take_a_ping_for_a_request_nor_a_request_for_a_ping() -> None:
    s = Scenario(Tuning(nstart=3), rng=Longest(first=10), serves=False)
    ping = s.ping()
    exchange = s.ask()
    another = s.ping()
    s.receive(rst(11))
    assert s.failure(exchange) is Failure.RESET
    s.receive(rst(12))
    assert s.response(another)
    s.receive(rst(10))
    assert s.response(ping)


def test_pings_of_both_sides_do_not_meet() -> None:
    """The peer's draws an RST of its message ID, which may be that of ours."""
    s, exchange, mid = pinged()
    s.receive(Message(Code.EMPTY, Type.CON, mid))
    assert s.sent() == [rst(mid)]
    assert exchange.stage is Stage.SENT
    s.receive(rst(mid))
    assert s.response(exchange)


# -- who does not serve: section 4.2 ---------------------------------------------------------------


def test_a_core_that_does_not_serve_rejects_requests() -> None:
    s = Scenario(serves=False)
    s.receive(con(1))
    assert s.sent() == [rst(1)]
    s.receive(non(2))
    assert s.sent() == []
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.rejected, counted.ignored) == (1, 1)
    assert (counted.requests, counted.peers) == (0, 0)


def test_a_core_that_does_not_serve_rejects_requests_of_those_it_asks() -> None:
    s = Scenario(serves=False)
    exchange, request = s.asked()
    s.receive(con(1, token=request.token))
    assert s.sent() == [rst(1)]
    assert exchange.stage is Stage.SENT
    s.receive(piggybacked(request))
    assert s.response(exchange)


def test_a_core_that_does_not_serve_answers_pings() -> None:
    s = Scenario(serves=False)
    s.receive(Message(Code.EMPTY, Type.CON, 1))
    assert s.sent() == [rst(1)]
    assert s.core.statistics().pings == 1


def test_a_core_that_does_not_serve_does_not_tell_one_request_from_another() -> None:
    """Neither a 4.02 nor a 4.13, which only a server has to give."""
    s = Scenario(limits=Limits(datagram_size=100), serves=False)
    s.receive(con(1, options=con(0, path="a").options))
    s.receive(encode(con(2)) + b"\xd1\xff\x00x")  # a critical option without a name
    s.receive(con(3, payload=b"x" * 200))
    assert s.sent() == [rst(1), rst(2), rst(3)]
    s.receive(non(4, payload=b"x" * 200))
    assert s.sent() == []
