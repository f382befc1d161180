"""Requests to a group: one request, many responses (RFC 7252 sections 8.1 and 8.2)."""

from __future__ import annotations

import random
from collections.abc import Iterable

import attrs
import pytest

from coapsep.address import Address, Session
from coapsep.errors import LocalProtocolError, MessageIdsExhausted
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.events import GroupRequestFailed, GroupResponse
from coapsep.protocol.records import GroupExchange, Stage
from tests.unit.scenario import (
    PEER,
    Longest,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    rst,
    separate,
    session,
)

MID = 0x44CB
GROUP = Session(PEER.local, Address("224.0.1.187", 5683))
GROUP_V6 = Session(Address("fe80::1", 50007, 2), Address("ff02::fd", 5683, 2))


class Scripted(random.Random):
    """Draws these tokens, and 7 as the first message ID."""

    def __init__(self, tokens: Iterable[int]) -> None:
        super().__init__(0)
        self._tokens = iter(tokens)

    def getrandbits(self, k: int, /) -> int:
        return 7 if k == 16 else next(self._tokens)


def member(number: int) -> Session:
    """One of those that answer, from an address of its own."""
    return Session(PEER.local, session(number).peer)


def client(limits: Limits | None = None, rng: random.Random | None = None) -> Scenario:
    """A core that asks and does not serve."""
    return Scenario(limits=limits, rng=rng, serves=False)


def asked(s: Scenario, group: Session = GROUP) -> tuple[GroupExchange, Message]:
    """A request to a group, and what of it is on the wire."""
    exchange = s.ask_group(group)
    [request] = s.sent()
    assert request == exchange.request
    return exchange, request


def end(s: Scenario, exchange: GroupExchange) -> None:
    """Nobody listens any more."""
    s.core.end_group_request(exchange)
    s.check()


def responses(s: Scenario, exchange: GroupExchange) -> list[tuple[Session, int]]:
    """Who answered since the last look, and with which message ID."""
    events = s.events()
    assert all(isinstance(e, GroupResponse) and e.exchange is exchange for e in events)
    return [(e.session, e.message.mid) for e in events if isinstance(e, GroupResponse)]


# -- the request: section 8.1 --------------------------------------------------------------------


@pytest.mark.parametrize("group", [GROUP, GROUP_V6], ids=["IPv4", "IPv6"])
def test_section_8_1_the_request_is_a_non_and_is_sent_once(group: Session) -> None:
    s = client()
    options = Options.build(uri_path=[".well-known", "core"])
    exchange = s.ask_group(group, options=options, payload=b"p")
    [sent] = s.drain()
    assert sent.session == group
    mid, token = sent.message.mid, sent.message.token
    assert sent.message == Message(Code.GET, Type.NON, mid, token, options, b"p")
    assert len(token) == s.tuning.token_bytes
    counted = s.core.statistics()
    assert (counted.requests_sent, counted.own_requests, counted.open_requests) == (1, 1, 0)
    s.at(86_400.0)
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().own_requests == 1  # until the listener has enough
    end(s, exchange)
    assert s.nothing_left()


def test_several_requests_to_a_group_leave_at_once_with_ids_of_their_own() -> None:
    """NSTART is for one peer, and a group is none; what a group is asked, the caller limits."""
    s = client(rng=Longest(first=65535))
    exchanges = [s.ask_group(GROUP) for _ in range(3)]
    assert [request.mid for request in s.sent()] == [65535, 0, 1]
    assert len({exchange.request.token for exchange in exchanges}) == 3


def test_no_two_open_requests_to_groups_have_one_token() -> None:
    """Whatever the groups are: the token alone finds a request again."""
    s = client(rng=Scripted([1, 1, 1, 2, 1]))
    first, second = s.ask_group(GROUP), s.ask_group(GROUP_V6)
    assert [e.request.token[-1] for e in (first, second)] == [1, 2]
    end(s, first)
    third = s.ask_group(GROUP)
    assert third.request.token == first.request.token
    end(s, first)  # a second time: that is no business of the third
    assert s.core.statistics().own_requests == 2


def test_a_request_that_cannot_be_written_is_refused_and_nothing_has_changed() -> None:
    s = client()
    with pytest.raises(ValueError):
        s.ask_group(GROUP, options=Options([(2048, b"x" * 70_000)]))
    s.check()
    assert s.sent() == []
    held = s.core.statistics()
    assert (held.own_requests, held.peers, held.timers, held.requests_sent) == (0, 0, 0, 0)


def test_where_the_table_of_peers_is_full_the_caller_is_told() -> None:
    s = client(Limits(peers=1))
    exchange, request = s.asked()
    with pytest.raises(LocalProtocolError, match=r"raise Limits\.peers"):
        s.ask_group(GROUP)
    s.check()
    assert s.sent() == []
    assert s.core.statistics().own_requests == 1
    s.receive(piggybacked(request))
    assert s.response(exchange)


def test_a_full_table_of_peers_gives_up_one_of_which_only_done_requests_are_left() -> None:
    s = Scenario(limits=Limits(peers=1))
    s.respond(s.open(con(1)))
    s.drain()
    asked(s)
    assert s.core.statistics().dedup_evicted == 1


def test_where_the_message_ids_of_a_group_are_used_up_the_caller_is_told() -> None:
    s = client(rng=Longest())
    exchange, _ = asked(s)
    group = s.core._peers.find(GROUP)
    assert group is not None
    ids = s.core._peers.message_ids(group)
    for _ in range(65535):
        ids.allocate(s.now)
    with pytest.raises(MessageIdsExhausted):
        s.ask_group(GROUP)
    s.check()
    assert s.core.statistics().own_requests == 1
    end(s, exchange)
    s.exchange_lifetime_later()
    assert asked(s)[1].mid == 0


# -- the responses: section 8.2 ------------------------------------------------------------------


def test_section_8_2_the_token_matches_from_any_address() -> None:
    s = client()
    exchange, request = asked(s)
    elsewhere = attrs.evolve(member(3), local=Address("198.51.100.9", 50007))
    senders = [member(1), member(2), elsewhere, GROUP_V6]
    for sender in senders:
        s.receive(separate(request, MID, Type.NON), sender)
    assert responses(s, exchange) == [(sender, MID) for sender in senders]
    assert s.sent() == []
    assert s.core.statistics().responses == 4
    end(s, exchange)
    assert s.nothing_left()


def test_all_that_is_in_a_response_is_handed_up() -> None:
    s = client()
    exchange, request = asked(s)
    options = Options.build(content_format=40)
    response = non(MID, Code.CONTENT, token=request.token, payload=b"</a>", options=options)
    s.receive(response, member(1))
    assert s.events() == [GroupResponse(exchange, response, member(1))]


@pytest.mark.parametrize("token", ["another", "shorter", "none"])
def test_another_token_matches_nothing(token: str) -> None:
    s = client()
    _, request = asked(s)
    wrong = {"another": request.token[::-1], "shorter": request.token[1:], "none": b""}[token]
    s.receive(non(MID, Code.CONTENT, token=wrong), member(1))
    assert s.sent() == []
    s.receive(con(MID, Code.CONTENT, token=wrong), member(1))
    assert s.sent() == [rst(MID)]
    assert s.events() == []


def test_an_acknowledgement_is_never_for_a_group() -> None:
    """The request is a NON (section 4.3); neither an RST of one member ends it for all."""
    s = client()
    exchange, request = asked(s)
    s.receive(separate(request, MID, Type.NON), member(1))
    assert responses(s, exchange)
    for sender in (member(1), member(2), GROUP):
        s.receive(piggybacked(request), sender)
        s.receive(ack(request.mid), sender)
        s.receive(rst(request.mid), sender)
    assert s.sent() == []
    assert s.events() == []
    s.receive(separate(request, MID, Type.NON), member(2))
    assert responses(s, exchange) == [(member(2), MID)]


def test_a_con_response_is_acknowledged_and_so_are_its_copies() -> None:
    s = client()
    exchange, request = asked(s)
    for seconds in (0.0, 2.5, 100.0, s.tuning.exchange_lifetime - 1):
        s.at(seconds)
        s.receive(separate(request, MID), member(1))
    sent = s.drain()
    assert [one.data for one in sent] == [encode(ack(MID))] * 4
    assert {one.session for one in sent} == {member(1)}
    assert responses(s, exchange) == [(member(1), MID)]
    end(s, exchange)
    assert s.nothing_left()


def test_copies_of_a_non_response_are_dropped() -> None:
    s = client()
    exchange, request = asked(s)
    for seconds in (0.0, 1.0, s.tuning.non_lifetime - 1):
        s.at(seconds)
        s.receive(separate(request, MID, Type.NON), member(1))
    assert responses(s, exchange) == [(member(1), MID)]
    assert s.sent() == []
    assert s.core.statistics().copies_ignored == 2


def test_what_makes_a_copy_is_the_message_id_and_the_endpoint() -> None:
    """Section 4.5; a member may send several, which a proxy in front of more than one does."""
    s = client()
    exchange, request = asked(s)
    for sender, mid in ((member(1), 1), (member(1), 2), (member(2), 1), (member(1), 1)):
        s.receive(separate(request, mid, Type.NON), sender)
    assert responses(s, exchange) == [(member(1), 1), (member(1), 2), (member(2), 1)]


def test_two_requests_to_groups_have_their_own_responses() -> None:
    s = client()
    (first, one), (second, two) = asked(s), asked(s, GROUP_V6)
    s.receive(separate(two, 1, Type.NON), member(1))
    assert responses(s, second) == [(member(1), 1)]
    s.receive(separate(one, 2, Type.NON), member(1))
    assert responses(s, first) == [(member(1), 2)]


def test_a_member_that_is_asked_itself_answers_both() -> None:
    s = client()
    group, to_all = asked(s)
    exchange, to_one = s.asked(Type.CON, member(1))
    s.receive(separate(to_all, 1, Type.NON), member(1))
    assert responses(s, group) == [(member(1), 1)]
    assert exchange.stage is Stage.SENT
    s.receive(piggybacked(to_one), member(1))
    assert s.response(exchange)


def test_a_malformed_response_is_rejected_or_ignored_and_the_others_are_heard() -> None:
    s = client()
    exchange, request = asked(s)
    s.receive(encode(separate(request, 1)) + b"\xff", member(1))  # a payload of ... and 0xFF
    responses(s, exchange)
    s.drain()
    s.receive(encode(con(2, Code.CONTENT, token=request.token)) + b"\xff", member(1))
    assert s.sent() == [rst(2)]
    s.receive(encode(non(3, Code.CONTENT, token=request.token)) + b"\xff", member(1))
    assert s.sent() == []
    assert s.events() == []
    s.receive(separate(request, 4, Type.NON), member(2))
    assert responses(s, exchange) == [(member(2), 4)]


@pytest.mark.parametrize("pairs", [[(65001, b"x")], [(7, b"123")]], ids=["unknown", "faulty"])
def test_section_5_4_1_a_critical_option_not_understood_rejects_a_response(
    pairs: list[tuple[int, bytes]],
) -> None:
    """That one only. The request goes on, as do the other members."""
    s = client()
    exchange, request = asked(s)
    for kind, drawn in ((Type.CON, [rst(MID)]), (Type.NON, [])):
        for _ in range(2):
            bad = Message(Code.CONTENT, kind, MID, request.token, Options(pairs))
            s.receive(bad, member(1))
            assert s.sent() == drawn
    assert s.events() == []
    assert s.core.statistics().peers == 1  # the group itself, for its message IDs
    s.receive(separate(request, MID, Type.NON), member(1))
    assert responses(s, exchange) == [(member(1), MID)]


def test_an_elective_option_not_understood_is_ignored() -> None:
    s = client()
    exchange, request = asked(s)
    options = Options([(65000, b"x")])
    s.receive(non(MID, Code.CONTENT, token=request.token, options=options), member(1))
    assert responses(s, exchange)


def test_a_response_that_is_too_large_is_rejected() -> None:
    s = client(Limits(datagram_size=100))
    exchange, request = asked(s)
    s.receive(con(1, Code.CONTENT, token=request.token, payload=b"x" * 200), member(1))
    assert s.sent() == [rst(1)]
    s.receive(non(2, Code.CONTENT, token=request.token, payload=b"x" * 200), member(1))
    assert s.sent() == []
    assert s.events() == []
    assert s.core.statistics().datagrams_too_large == 2
    assert exchange.request.token == request.token


def test_that_the_request_could_not_be_sent_is_told() -> None:
    s = client()
    exchange, request = asked(s)
    for other in (b"", b"\x58", encode(request)[:8], encode(attrs.evolve(request, token=b"1"))):
        s.unsent(other, GROUP, "no route")
    s.unsent(encode(request), member(1), "no route")
    assert s.events() == []
    s.unsent(encode(request), GROUP, "no route")
    assert s.events() == [GroupRequestFailed(exchange, "no route")]
    end(s, exchange)
    s.unsent(encode(request), GROUP, "no route")
    assert s.events() == []


def test_one_that_could_not_be_sent_is_over() -> None:
    s = client()
    exchange, request = asked(s)
    s.unsent(encode(request), GROUP, "no route")
    assert s.events() == [GroupRequestFailed(exchange, "no route")]
    assert s.core.statistics().own_requests == 0
    # Its listener has been told that none will come, and takes none.
    s.receive(separate(request, MID, Type.NON), member(1))
    assert s.events() == []
    end(s, exchange)


def test_whatever_the_network_says_of_the_request_does_not_end_it() -> None:
    s = client()
    exchange, request = asked(s)
    s.refused(encode(request), GROUP)
    s.refused(encode(request), member(1))
    s.lose(GROUP)
    assert s.events() == []
    s.receive(separate(request, MID, Type.NON), member(1))
    assert responses(s, exchange) == [(member(1), MID)]


# -- afterwards ------------------------------------------------------------------------------------


def test_when_nobody_listens_a_response_is_unexpected() -> None:
    s = client()
    exchange, request = asked(s)
    s.receive(separate(request, 1), member(1))
    assert responses(s, exchange)
    s.drain()
    end(s, exchange)
    assert s.core.statistics().own_requests == 0
    s.receive(separate(request, 2), member(2))
    assert s.sent() == [rst(2)]
    s.receive(separate(request, 3, Type.NON), member(2))
    assert s.sent() == []
    s.receive(separate(request, 1), member(1))  # but a copy was acknowledged, and is
    assert s.sent() == [ack(1)]
    assert s.events() == []
    assert s.nothing_left()


# -- bounds ----------------------------------------------------------------------------------------


def test_the_members_are_bounded_by_the_table_of_peers() -> None:
    """The oldest is forgotten for the newest: whoever forges addresses gains no memory."""
    s = client(Limits(peers=5))
    exchange, request = asked(s)
    for n in range(50):
        s.receive(separate(request, MID, Type.NON), member(n))
    assert len(responses(s, exchange)) == 50
    assert s.core.statistics().peers == 5
    assert s.core.statistics().dedup_evicted == 46


@pytest.mark.parametrize(
    "limits", [Limits(peers=2), Limits(dedup_entries=1)], ids=["peers", "entries"]
)
def test_where_there_is_no_room_to_remember_it_a_response_is_rejected(limits: Limits) -> None:
    """Its copies would be taken for responses of others (section 4.2: acknowledge or reject)."""
    s = Scenario(limits=limits)
    s.open(con(1, Code.POST))  # in progress: it stays
    exchange, request = asked(s)
    before = s.core.statistics()
    s.receive(separate(request, MID, Type.NON), member(1))
    assert s.sent() == []
    s.receive(separate(request, MID), member(1))
    assert s.sent() == [rst(MID)]
    assert s.events() == []
    after = s.core.statistics()
    assert after.responses == 0
    assert (after.ignored, after.rejected) == (before.ignored + 1, before.rejected + 1)
    assert (after.peers, after.dedup_entries) == (before.peers, before.dedup_entries)
    end(s, exchange)


def test_the_tokens_are_as_long_as_tuning_says() -> None:
    s = Scenario(Tuning(token_bytes=4), serves=False)
    assert len(s.ask_group(GROUP).request.token) == 4
