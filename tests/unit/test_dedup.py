"""Copies of requests: RFC 7252 sections 4.2, 4.5 and 4.8.2; what happens when the table is full."""

from __future__ import annotations

import gc

import attrs
import pytest

from coapsep.message.message import Message
from coapsep.message.response import Response
from coapsep.numbers import Code, Type
from coapsep.params import Limits, Tuning
from tests.unit.scenario import (
    CLIENT,
    CLIENT_ELSEWHERE,
    OTHER,
    Scenario,
    ack,
    con,
    non,
    piggybacked,
    rst,
    session,
)

REQUEST = con(0x1CF5, path="slow")
MID = REQUEST.mid
#: Late by this much at most, an entry is forgotten.
GRAIN = 0.25


def copies(s: Scenario, what: Message = REQUEST, times: int = 2) -> list[Message]:
    """What copies of a request draw. They must never start a handler."""
    for _ in range(times):
        s.receive(what)
    assert s.events() == []
    return s.sent()


def done(s: Scenario, request: Message, client: int = 1, payload: bytes = b"ok") -> None:
    """A request comes, is answered at once, and has no more to do."""
    s.respond(s.open(request, session(client)), Response(Code.CONTENT, payload))
    s.drain()


def remembers(s: Scenario, request: Message, client: int = 1) -> bool:
    """Whether a copy of the request is known for one. If not, it becomes a request."""
    s.receive(request, session(client))
    s.drain()
    return not s.events()


# -- a CON in every phase ---------------------------------------------------------------------


def test_before_the_ack_a_copy_draws_nothing() -> None:
    s = Scenario()
    s.open(REQUEST)
    s.at(0.099)
    assert copies(s) == []
    assert s.core.statistics().copies_ignored == 2


def test_after_the_empty_ack_a_copy_draws_it_again() -> None:
    s = Scenario()
    s.open(REQUEST)
    s.at(0.1)
    assert s.sent() == [ack(MID)]
    assert copies(s) == [ack(MID)] * 2
    assert s.core.statistics().copies_answered == 2


def test_while_it_is_deferred_a_copy_draws_the_ack() -> None:
    s = Scenario()
    s.deferred(REQUEST)
    s.at(100.0)
    assert copies(s) == [ack(MID)] * 2


def test_after_a_piggybacked_response_a_copy_draws_the_same_bytes() -> None:
    s = Scenario()
    s.respond(s.open(REQUEST), Response(Code.CONTENT, b"21.5", max_age=3, etag=b"e"))
    [first] = s.drain()
    s.at(200.0)
    s.receive(REQUEST)
    [again] = s.drain()
    assert again.data == first.data
    assert again.session == first.session


def test_while_the_response_is_unacknowledged_a_copy_draws_the_ack() -> None:
    s = Scenario()
    s.answered(REQUEST)
    assert copies(s) == [ack(MID)] * 2
    assert s.core.open_requests == 1


@pytest.mark.parametrize("end", [Type.ACK, Type.RST])
def test_a_late_copy_after_the_response_was_acknowledged_draws_the_ack(end: Type) -> None:
    s = Scenario()
    _, response = s.answered(REQUEST)
    s.receive(ack(response.mid) if end is Type.ACK else rst(response.mid))
    s.events()
    s.at(246.0)
    assert copies(s) == [ack(MID)] * 2


def test_after_the_response_timed_out_a_copy_draws_the_ack() -> None:
    s = Scenario()
    s.answered(REQUEST)
    s.at(100.0)
    s.drain()
    s.events()
    assert copies(s) == [ack(MID)] * 2


def test_after_a_request_was_given_up_a_copy_draws_the_ack() -> None:
    s = Scenario()
    s.close(s.open(REQUEST))
    assert s.sent() == [ack(MID)]
    assert copies(s) == [ack(MID)] * 2


def test_a_copy_is_known_by_its_message_id_alone() -> None:
    """Section 4.5. The header is enough, even if the rest would not be taken."""
    s = Scenario()
    s.respond(s.open(REQUEST))
    [answer] = s.sent()
    assert copies(s, con(MID, Code.POST, token=b"other", path="other"), 1) == [answer]
    s.receive(b"\x40\x01\x1c\xf5\xff")
    assert s.sent() == [answer]


# -- a NON ---------------------------------------------------------------------------------


def test_a_copy_of_a_non_is_dropped_and_counted() -> None:
    s = Scenario()
    request = non(MID)
    exchange = s.open(request)
    assert copies(s, request) == []
    s.respond(exchange)
    [response] = s.sent()
    assert response.type is Type.NON
    assert copies(s, request) == []
    assert s.core.statistics().copies_ignored == 4
    assert s.core.statistics().requests == 1


# -- lifetime: section 4.8.2 --------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "lifetime"), [(REQUEST, 247.0), (non(MID), 145.0)])
def test_a_message_id_is_remembered_for_its_lifetime(request_: Message, lifetime: float) -> None:
    s = Scenario()
    s.close(s.open(request_))
    s.drain()
    s.at(lifetime - 0.001)
    assert len(copies(s, request_, 1)) == (request_.type is Type.CON)
    s.at(lifetime + GRAIN)
    again = s.open(request_)
    assert again.request == request_


def test_a_copy_does_not_prolong_the_lifetime() -> None:
    s = Scenario()
    s.close(s.open(REQUEST))
    for time in (50.0, 100.0, 200.0, 246.0):
        s.at(time)
        assert copies(s, times=1)
    s.at(247.0 + GRAIN)
    assert s.core.statistics().dedup_entries == 0


def test_those_that_came_together_are_forgotten_together_but_none_too_early() -> None:
    s = Scenario()
    for n in range(20):
        s.at(n / 50)
        s.close(s.open(con(n)))
    for n in range(20):
        s.at(n / 50 + 246.999)
        assert s.core.statistics().dedup_entries >= 20 - n
    s.at(19 / 50 + 247.0 + GRAIN)
    assert s.core.statistics().dedup_entries == 0


def test_a_reused_message_id_is_a_new_request_although_the_old_one_is_pending() -> None:
    s = Scenario()
    old = s.deferred(con(MID, token=b"old"))
    s.exchange_lifetime_later()
    new = s.open(con(MID, token=b"new"))
    assert new is not old
    s.respond(old)
    [response] = s.sent()
    assert (response.type, response.token) == (Type.CON, b"old")
    s.respond(new)
    assert s.sent() == [piggybacked(new.request)]
    assert copies(s, new.request, 1) == [piggybacked(new.request)]
    s.receive(ack(response.mid))
    assert copies(s, new.request, 1) == [piggybacked(new.request)]
    assert s.nothing_left()


# -- scope: section 4.4, 4.5 ---------------------------------------------------------------


def test_a_message_id_means_something_between_two_endpoints_only() -> None:
    s = Scenario()
    exchanges = [s.open(REQUEST, who) for who in (CLIENT, OTHER, CLIENT_ELSEWHERE)]
    assert len(set(exchanges)) == 3
    for exchange in exchanges:
        s.respond(exchange, Response(Code.CONTENT, str(exchange.session).encode()))
    assert [(sent.session, sent.message.payload.decode()) for sent in s.drain()] == [
        (who, str(who)) for who in (CLIENT, OTHER, CLIENT_ELSEWHERE)
    ]


def test_a_lost_session_takes_its_message_ids_with_it() -> None:
    s = Scenario()
    s.close(s.open(REQUEST))
    s.lose()
    assert s.core.statistics().dedup_entries == 0
    assert s.open(REQUEST)


# -- the bounds, and who leaves: docs/architecture.md, "Eviction" ------------------------------


def test_when_the_table_is_full_the_oldest_that_is_done_leaves() -> None:
    s = Scenario(limits=Limits(dedup_entries=3))
    for mid in (1, 2, 3):
        done(s, con(mid))
    done(s, con(4))
    assert s.core.statistics().dedup_evicted == 1
    assert [remembers(s, con(mid)) for mid in (2, 3, 4)] == [True] * 3
    assert not remembers(s, con(1))


def test_the_peer_that_holds_most_gives_way() -> None:
    s = Scenario(limits=Limits(dedup_entries=5))
    done(s, con(1), client=1)
    for mid in (1, 2, 3, 4):
        done(s, con(mid), client=2)
    done(s, con(1), client=3)
    done(s, con(2), client=3)
    assert remembers(s, con(1), client=1)
    assert [remembers(s, con(mid), client=2) for mid in (3, 4)] == [True, True]
    assert not remembers(s, con(1), client=2)


def test_one_in_progress_never_leaves() -> None:
    s = Scenario(limits=Limits(dedup_entries=3))
    running = s.open(con(1, token=b"1"), session(1))
    deferred = s.deferred(con(2, token=b"2"), session(1))
    for mid in range(3, 20):
        done(s, con(mid, token=b"3"))
    assert remembers(s, running.request)
    assert remembers(s, deferred.request)


def test_one_whose_response_is_unacknowledged_never_leaves() -> None:
    s = Scenario(limits=Limits(dedup_entries=2))
    _, response = s.answered(con(1, token=b"1"), session(1))
    for mid in range(2, 10):
        done(s, con(mid))
    assert remembers(s, con(1, token=b"1"))
    s.receive(ack(response.mid), session(1))
    done(s, con(10))
    done(s, con(11))
    assert not remembers(s, con(1, token=b"1"))


@pytest.mark.parametrize("code", [Code.GET, Code.PUT, Code.DELETE, Code.FETCH, Code.IPATCH])
def test_section_5_1_one_that_is_idempotent_may_leave(code: Code) -> None:
    s = Scenario(limits=Limits(dedup_entries=1))
    done(s, con(1, code), client=1)
    done(s, con(2), client=2)
    assert s.core.statistics().dedup_evicted == 1


@pytest.mark.parametrize("code", [Code.POST, Code.PATCH, Code(0x1F)])
def test_section_5_8_one_that_is_not_idempotent_stays(code: Code) -> None:
    s = Scenario(limits=Limits(dedup_entries=2))
    done(s, con(1, code), client=1)
    done(s, con(2), client=2)
    done(s, con(3), client=3)
    assert remembers(s, con(1, code), client=1)
    assert not remembers(s, con(2), client=2)


def test_a_non_that_is_done_may_leave_whatever_its_method() -> None:
    s = Scenario(limits=Limits(dedup_entries=1))
    done(s, non(1, Code.POST), client=1)
    done(s, con(2), client=2)
    assert s.core.statistics().dedup_evicted == 1


def test_the_acknowledged_repeat_of_a_post_stays_like_the_post_itself() -> None:
    """Once the request that holds the token is over, a copy of the repeat would run it."""
    s = Scenario(limits=Limits(dedup_entries=3))
    exchange = s.deferred(con(1, Code.POST), session(1))
    s.receive(con(2, Code.POST), session(1))
    assert s.sent() == [ack(2)]
    s.respond(exchange)
    [response] = s.sent()
    s.receive(ack(response.mid), session(1))
    done(s, con(1), client=2)
    done(s, con(2), client=2)
    assert remembers(s, con(2, Code.POST))


def test_when_nothing_may_leave_a_con_draws_5_03_and_no_handler_runs() -> None:
    s = Scenario(limits=Limits(dedup_entries=2, retry_after=7))
    s.open(con(1, token=b"1"), session(1))
    done(s, con(2, Code.POST), client=2)
    s.receive(con(3), session(3))
    s.receive(con(3), session(3))
    first, second = s.drain()
    assert first.data == second.data
    refusal = first.message
    assert (refusal.code, refusal.type, refusal.mid) == (Code.SERVICE_UNAVAILABLE, Type.ACK, 3)
    assert refusal.options.max_age == 7
    assert s.events() == []
    s.receive(non(4), session(3))
    assert s.sent() == []
    assert s.events() == []
    counted = s.core.statistics()
    assert (counted.refused, counted.dedup_evicted, counted.peers) == (3, 0, 2)


def test_room_comes_back_when_lifetimes_are_over() -> None:
    s = Scenario(limits=Limits(dedup_entries=1))
    done(s, con(1, Code.POST))
    s.at(247.0 + GRAIN)
    done(s, con(2, Code.POST))
    assert s.core.statistics().refused == 0


def test_a_session_has_a_quota() -> None:
    s = Scenario(limits=Limits(dedup_entries_per_session=2))
    done(s, con(1))
    done(s, con(1), client=2)
    done(s, con(2))
    done(s, con(3))
    assert s.core.statistics().dedup_evicted == 1
    assert [remembers(s, con(mid)) for mid in (2, 3)] == [True, True]
    assert remembers(s, con(1), client=2)


def test_a_session_whose_quota_is_in_progress_is_refused_and_others_are_not() -> None:
    s = Scenario(limits=Limits(dedup_entries_per_session=2))
    s.open(con(1, token=b"1"))
    s.open(con(2, token=b"2"))
    s.receive(con(3, token=b"3"))
    assert [m.code for m in s.sent()] == [Code.SERVICE_UNAVAILABLE]
    assert s.open(con(3), OTHER)


@pytest.mark.parametrize("limits", [Limits(dedup_entries=1), Limits(dedup_entries_per_session=1)])
def test_a_peer_that_makes_room_for_its_own_request_is_still_known(limits: Limits) -> None:
    """The entry that leaves may be all that was remembered of the peer."""
    s = Scenario(limits=limits, checked=False)
    s.respond(s.open(con(1)))
    exchange = s.open(con(2))
    s.drain()
    assert s.core.find(CLIENT, exchange.request.token) is exchange
    assert copies(s, con(2)) == []
    assert s.core.statistics().peers == 1
    s.close(exchange)
    assert s.nothing_left()


# -- bytes ------------------------------------------------------------------------------------


def test_the_bytes_of_the_replies_are_counted_and_given_back() -> None:
    s = Scenario()
    done(s, con(1), payload=b"x" * 1000)
    size = s.core.statistics().dedup_bytes
    assert 1000 < size < 1020
    s.answered(con(2), session(1))
    assert s.core.statistics().dedup_bytes == size + 4
    assert s.nothing_left()


def test_when_there_are_too_many_bytes_the_oldest_replies_leave() -> None:
    s = Scenario(limits=Limits(dedup_bytes=3000))
    for mid in range(10):
        done(s, con(mid), payload=b"x" * 990)
    counted = s.core.statistics()
    assert counted.dedup_bytes <= 3000 + 1000
    assert counted.dedup_evicted >= 6
    assert remembers(s, con(9))
    assert not remembers(s, con(0))


def test_too_many_bytes_that_may_not_leave_refuse_a_request() -> None:
    s = Scenario(limits=Limits(dedup_bytes=100))
    done(s, con(1, Code.POST), payload=b"x" * 100)
    s.receive(con(2), OTHER)
    assert [m.code for m in s.sent()] == [Code.SERVICE_UNAVAILABLE]
    assert s.events() == []


def test_requests_that_were_let_in_together_do_not_pass_the_bound_on_bytes() -> None:
    """Each was let in before any reply was there; a reply is what takes room."""
    s = Scenario(limits=Limits(dedup_bytes=3000))
    exchanges = [s.open(con(mid, token=bytes((mid,)))) for mid in range(20)]
    for exchange in exchanges:
        s.respond(exchange, Response(Code.CONTENT, b"x" * 990))
    assert s.core.statistics().dedup_bytes <= 3000 + 1000


def test_entries_without_a_reply_do_not_leave_for_lack_of_bytes() -> None:
    """It would win nothing, and the request would be refused all the same."""
    s = Scenario(limits=Limits(dedup_bytes=100))
    for mid in range(1, 6):
        done(s, non(mid), client=1)
    done(s, con(1, Code.POST), client=2, payload=b"x" * 100)
    s.receive(con(9), OTHER)
    assert [m.code for m in s.sent()] == [Code.SERVICE_UNAVAILABLE]
    assert s.core.statistics().dedup_evicted == 0


@pytest.mark.parametrize("forgotten", ["evicted", "lost"])
def test_what_left_early_takes_no_memory_until_its_lifetime_is_over(forgotten: str) -> None:
    """Otherwise Limits.dedup_entries and dedup_bytes bound a number, and not the memory."""
    s = Scenario(limits=Limits(dedup_entries=20), checked=False)
    for mid in range(5000):
        s.at(mid / 1000)
        done(s, con(mid))
        if forgotten == "lost":
            s.lose(session(1))
    dedup = s.core._dedup
    held = sum(len(expiry.mids) for queue in dedup._queues for expiry in queue)
    assert s.core.statistics().dedup_entries <= 20
    assert held < 500
    assert sum(len(peer.ghosts or ()) for peer in s.core._peers) <= held


def test_an_entry_that_is_done_is_no_object_that_the_collector_looks_at() -> None:
    """There may be millions."""
    s = Scenario(checked=False)
    done(s, con(0))
    gc.collect()
    before = len(gc.get_objects())
    for mid in range(1, 1001):
        done(s, con(mid))
    s.at(1.0)  # no ACK is owed any more
    gc.collect()
    assert s.core.statistics().dedup_entries == 1001
    assert len(gc.get_objects()) - before < 200


def test_a_message_id_that_left_early_and_came_again_has_its_whole_lifetime() -> None:
    s = Scenario(limits=Limits(dedup_entries=2))
    done(s, con(1))
    for mid in (2, 3):
        done(s, con(mid))
    s.at(100.0)
    done(s, con(1))
    s.at(247.0 + GRAIN)  # the time of the first one
    assert remembers(s, con(1))
    s.at(347.0 + GRAIN)
    assert not remembers(s, con(1))


# -- a flood ----------------------------------------------------------------------------------


def test_a_flood_from_one_peer_does_not_push_out_the_others() -> None:
    s = Scenario(Tuning(), Limits(dedup_entries=100))
    for client in range(2, 12):
        done(s, con(1), client=client)
    for mid in range(1000):
        done(s, attrs.evolve(con(1), mid=mid), client=1)
    assert all(remembers(s, con(1), client=client) for client in range(2, 12))
    assert s.core.statistics().dedup_evicted == 910


def test_who_holds_most_is_known_in_bounded_memory() -> None:
    """Once the table was full it is kept up to date, also while nothing has to leave."""
    s = Scenario(limits=Limits(dedup_entries=100), checked=False)
    now = 0.0
    for mid in range(150):  # more of them than there is room for
        now += 2.0
        s.at(now)
        done(s, con(mid))
    assert s.core.statistics().dedup_evicted
    for mid in range(150, 2000):  # some 75 of 100
        now += 3.3
        s.at(now)
        done(s, con(mid))
        assert 50 < s.core.statistics().dedup_entries <= 100
    assert s.core.statistics().dedup_evicted < 100
    ranking = s.core._dedup._ranking
    assert ranking is None or len(ranking) < 200
