"""The ladder as text. The tests read like the figures of RFC 7252 appendix A."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coapsep.address import Address
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.trace import Datagram, LadderWriter, Trace
from coapsep.trace.wrapping import cells
from tests.unit.wire import (
    ACK,
    CLIENT,
    CLIENT_ACK,
    CONTENT,
    GET,
    NAMES,
    PIGGYBACKED,
    SERVER,
    down,
    up,
)

#: Examples take as long as they take: the machine may be busy.
patient = settings(deadline=None)


def trace_of(*datagrams: Datagram) -> Trace:
    trace = Trace()
    for datagram in datagrams:
        trace.add(datagram)
    return trace


def figure(text: str) -> str:
    """The text of a figure, without what the test indents it by."""
    lines = textwrap.dedent(text).strip("\n").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


def assert_drawn(trace: Trace, text: str, **options: int) -> None:
    # Dedented alike, so that a figure may stand where it reads best.
    drawn = trace.ladder(names=NAMES, **options)
    assert figure(drawn) == figure(text)
    assert all(line == line.rstrip() for line in drawn.splitlines())


# -- scenarios of RFC 7252 appendix A ------------------------------------------------------


def test_a_piggybacked_response() -> None:
    assert_drawn(
        trace_of(up(0, GET, 0.01), down(0.01, PIGGYBACKED, 0.02)),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        0.010   |<-------+   ACK [MID=0x7d34], 2.05 Content, T=71, "22.3 C"
                |        |
        """,
    )


def test_the_request_is_lost() -> None:
    assert_drawn(
        trace_of(
            up(0, GET, lost="loss"),
            up(2.5, GET, 2.51),
            down(2.51, PIGGYBACKED, 2.52),
        ),
        """
             client   server
                |        |
        0.000   +-----X  |   CON [MID=0x7d34], GET, /temperature, T=71  lost: loss
        2.500   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        2.510   |<-------+   ACK [MID=0x7d34], 2.05 Content, T=71, "22.3 C"
                |        |
        """,
    )


def test_the_acknowledgement_is_lost() -> None:
    assert_drawn(
        trace_of(
            up(0, GET, 0.01),
            down(0.01, PIGGYBACKED),
            up(2.5, GET, 2.51),
            down(2.51, PIGGYBACKED, 2.52),
        ),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        0.010   |  X-----+   ACK [MID=0x7d34], 2.05 Content, T=71, "22.3 C"  lost
        2.500   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        2.510   |<-------+   ACK [MID=0x7d34], 2.05 Content, T=71, "22.3 C"
                |        |
        """,
    )


def test_a_separate_response() -> None:
    assert_drawn(
        trace_of(
            up(0, GET, 0.01),
            down(0.11, ACK, 0.12),
            down(247, CONTENT, 247.01),
            up(247.01, CLIENT_ACK, 247.02),
        ),
        """
               client   server
                  |        |
          0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
          0.110   |<-------+   ACK [MID=0x7d34]
        247.000   |<-------+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
        247.010   +------->|   ACK [MID=0xad7b]
                  |        |
        """,
    )


# -- what a network does -------------------------------------------------------------------


def test_what_is_overtaken_is_drawn_where_it_arrives_too() -> None:
    """The ACK is so late that the response comes before it (RFC 7252 section 5.2.2)."""
    assert_drawn(
        trace_of(
            up(0, GET, 0.01),
            down(0.1, ACK, 1.5),
            down(1, CONTENT, 1.01),
            up(1.01, CLIENT_ACK, 1.02),
        ),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        0.100   |   (1)--+   ACK [MID=0x7d34]
        1.000   |<-------+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
        1.010   +------->|   ACK [MID=0xad7b]
        1.500   |<--(1)  |   (1) arrives: ACK [MID=0x7d34]
                |        |
        """,
    )


def test_messages_that_cross() -> None:
    """Each is sent before the other has arrived: neither can be its cause."""
    assert_drawn(
        trace_of(up(0, GET, 2), down(1, CONTENT, 3)),
        """
             client   server
                |        |
        0.000   +--(1)   |   CON [MID=0x7d34], GET, /temperature, T=71
        1.000   |<-------+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
        2.000   |  (1)-->|   (1) arrives: CON [MID=0x7d34]
                |        |
        """,
    )


def test_in_one_instant_the_arrival_comes_before_what_it_may_have_caused() -> None:
    assert_drawn(
        trace_of(up(0, GET, 0.5), down(0.25, ACK, 0.5), down(0.5, CONTENT, 0.5)),
        """
             client   server
                |        |
        0.000   +--(1)   |   CON [MID=0x7d34], GET, /temperature, T=71
        0.250   |<-------+   ACK [MID=0x7d34]
        0.500   |  (1)-->|   (1) arrives: CON [MID=0x7d34]
        0.500   |<-------+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
                |        |
        """,
    )


def test_an_arrival_does_not_make_late_what_is_sent_in_its_instant() -> None:
    assert_drawn(
        trace_of(up(0, GET, 0.5), down(0.25, ACK, 0.3), up(0.5, GET, 0.75)),
        """
             client   server
                |        |
        0.000   +--(1)   |   CON [MID=0x7d34], GET, /temperature, T=71
        0.250   |<-------+   ACK [MID=0x7d34]
        0.500   |  (1)-->|   (1) arrives: CON [MID=0x7d34]
        0.500   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
                |        |
        """,
    )


def test_a_copy_is_a_row_of_its_own_only_if_something_happened_before_it() -> None:
    assert_drawn(
        trace_of(
            up(0, GET, 0.01, 0.02),
            down(0.03, ACK, 0.04, 5),
            down(1, CONTENT, 1.01, lost="loss"),
            up(1.01, CLIENT_ACK, 1.02, 3, 2),
            down(1.5, CONTENT),
        ),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71  arrives 2 times
        0.030   |<--(1)--+   ACK [MID=0x7d34]
        1.000   |<-------+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
                |        |     a copy was lost: loss
        1.010   +--(2)-->|   ACK [MID=0xad7b]
        1.500   |  X-----+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"  lost
        2.000   |  (2)-->|   (2) arrives again: ACK [MID=0xad7b]
        3.000   |  (2)-->|   (2) arrives again: ACK [MID=0xad7b]
        5.000   |<--(1)  |   (1) arrives again: ACK [MID=0x7d34]
                |        |
        """,
        width=86,
    )


def test_unknown_arrivals_are_drawn_as_arrivals() -> None:
    assert_drawn(
        trace_of(
            Datagram(0, CLIENT, SERVER, GET), Datagram(1, SERVER, CLIENT, ACK, lost="refused")
        ),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        1.000   |  X-----+   ACK [MID=0x7d34]  lost: refused
                |        |
        """,
    )


def test_nonsense_is_shown_as_that() -> None:
    assert_drawn(
        trace_of(up(0, b"\x1b[2J", 0.1), Datagram(1, CLIENT, CLIENT, GET, (1,))),
        """
             client   server
                |        |
        0.000   +------->|   malformed: version 0, 4 bytes
        1.000   o        |   CON [MID=0x7d34], GET, /temperature, T=71
                |        |
        """,
    )


def test_numbers_of_two_digits_have_their_room() -> None:
    late = [up(n / 100, GET, 5 + n) for n in range(10)]
    drawn = trace_of(*late, down(1, ACK, 1.1)).ladder(names=NAMES)
    assert drawn.splitlines()[11:14] == [
        "    0.090   +--(10)   |   CON [MID=0x7d34], GET, /temperature, T=71",
        "    1.000   |<--------+   ACK [MID=0x7d34]",
        "    5.000   |   (1)-->|   (1) arrives: CON [MID=0x7d34]",
    ]


# -- columns -------------------------------------------------------------------------------


def test_an_arrow_passes_columns_between() -> None:
    proxy = Address("10.0.0.3", 5683)
    trace = trace_of(
        Datagram(0, CLIENT, proxy, GET, (0.1,)),
        Datagram(1, proxy, SERVER, GET, (1.1,)),
        Datagram(2, SERVER, CLIENT, CONTENT, (3.0,)),
        Datagram(2.5, CLIENT, SERVER, ACK, ()),
    )
    drawn = trace.ladder(names={**NAMES, proxy: "proxy"})
    assert figure(drawn) == figure(
        """
             client    proxy   server
                |        |        |
        0.000   +------->|        |   CON [MID=0x7d34], GET, /temperature, T=71
        1.000   |        +------->|   CON [MID=0x7d34], GET, /temperature, T=71
        2.000   |        |   (1)--+   CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"
        2.500   +--------|-----X  |   ACK [MID=0x7d34]  lost
        3.000   |<--(1)  |        |   (1) arrives: CON [MID=0xad7b]
                |        |        |
        """
    )


def test_addresses_are_names_where_there_are_none() -> None:
    drawn = trace_of(up(0, ACK, 1)).ladder()
    assert drawn.splitlines()[:2] == [
        "     10.0.0.2:40000   10.0.0.1:5683",
        "            |               |",
    ]


def test_titles_that_need_too_much_room_take_a_line_each() -> None:
    first, second = (Address(f"2001:db8::{n}", 5683) for n in (1, 2))
    drawn = trace_of(
        Datagram(0, first, second, ACK, (0.1,)), Datagram(1, second, CLIENT, ACK, (1.1,))
    ).ladder(width=80)
    assert figure(drawn) == figure(
        """
                [2001:db8::1]:5683
                |        [2001:db8::2]:5683
                |        |        10.0.0.2:40000
                |        |        |
        0.000   +------->|        |   ACK [MID=0x7d34]
        1.000   |        +------->|   ACK [MID=0x7d34]
                |        |        |
        """
    )


def test_what_has_no_column_shares_one_and_says_who_it_is() -> None:
    clients = [Address("10.0.0.9", 1000 + n) for n in range(7)]
    trace = trace_of(
        *(Datagram(n, client, SERVER, ACK, (n + 0.1,)) for n, client in enumerate(clients))
    )
    names = {SERVER: "S", **{client: f"c{n}" for n, client in enumerate(clients)}}
    drawn = trace.ladder(names=names)
    assert figure(drawn) == figure(
        """
               c0        S       c1       c2       c3     others
                |        |        |        |        |        |
        0.000   +------->|        |        |        |        |   ACK [MID=0x7d34]
        1.000   |        |<-------+        |        |        |   ACK [MID=0x7d34]
        2.000   |        |<-------|--------+        |        |   ACK [MID=0x7d34]
        3.000   |        |<-------|--------|--------+        |   ACK [MID=0x7d34]
        4.000   |        |<-------|--------|--------|--------+   c4 -> S: ACK [MID=0x7d34]
        5.000   |        |<-------|--------|--------|--------+   c5 -> S: ACK [MID=0x7d34]
        6.000   |        |<-------|--------|--------|--------+   c6 -> S: ACK [MID=0x7d34]
                |        |        |        |        |        |
        """
    )


def test_a_name_cannot_break_a_line_and_may_be_wide() -> None:
    drawn = trace_of(up(0, ACK, 1)).ladder(names={CLIENT: "a\nb", SERVER: "温度計"})
    assert drawn.splitlines()[:3] == [
        r"          a\nb    温度計",
        "            |        |",
        "    0.000   +------->|   ACK [MID=0x7d34]",
    ]


# -- labels, limits, times -----------------------------------------------------------------


def long_request(payload: bytes) -> bytes:
    options = Options.build(uri_path=["a" * 20], uri_query=["b" * 20], accept=50, content_format=0)
    return encode(Message(Code.POST, Type.CON, 1, b"token", options, payload))


def test_a_long_label_is_broken_between_fields_and_its_payload_cut() -> None:
    assert_drawn(
        trace_of(up(0, long_request(b"x" * 1000), 0.1)),
        """
             client   server
                |        |
        0.000   +------->|   CON [MID=0x0001], POST,
                |        |     /aaaaaaaaaaaaaaaaaaaa?bbbbbbbbbbbbbbbbbbbb,
                |        |     T=746f6b656e, Content-Format=0, Accept=50, "xxx…
                |        |
        """,
        width=75,
    )
    assert '"xxxxx"… (1000 bytes)' in trace_of(up(0, long_request(b"x" * 1000), 0.1)).ladder(
        payload_limit=5
    )


@patient
@given(st.integers(1, 120), st.text(max_size=200), st.text(max_size=20))
def test_no_line_is_wider_than_asked_for(width: int, payload: str, lost: str) -> None:
    drawn = trace_of(up(0, long_request(payload.encode() or b"x"), lost=lost)).ladder(
        names=NAMES, width=width, payload_limit=1000
    )
    for line in drawn.splitlines():
        # In cells of a terminal: a mark goes onto the character before it.
        assert cells(line) <= max(width, 25 + 24)
        assert line.isprintable()


def test_wide_characters_count_twice() -> None:
    label = trace_of(up(0, long_request("度".encode() * 30), 0.1)).ladder(width=80)
    widest = max(len(line) + line.count("度") for line in label.splitlines())
    assert 70 < widest <= 80


def test_marks_take_no_room() -> None:
    drawn = [
        trace_of(up(0, long_request(letter.encode() * 60), 0.1)).ladder(payload_limit=200)
        for letter in ("e\u0301", "e")  # two characters in one cell, and one
    ]
    assert drawn[0].replace("\u0301", "") == drawn[1]
    assert drawn[0].count("\u0301") > 20


def test_only_the_last_ones_are_drawn() -> None:
    trace = trace_of(*(up(n, GET, n + 0.1) for n in range(5)))
    assert_drawn(
        trace,
        """
        (3 earlier datagrams are left out)
                 client   server
                    |        |
            3.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
            4.000   +------->|   CON [MID=0x7d34], GET, /temperature, T=71
                    |        |
        """,
        limit=2,
    )
    assert len(trace_of(*(up(n, GET) for n in range(201))).ladder().splitlines()) == 204


def test_without_a_limit_all_are_drawn() -> None:
    trace = trace_of(*(up(n, GET) for n in range(300)))
    assert trace.ladder(limit=None).count("GET") == 300


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_must_leave_something(limit: int) -> None:
    with pytest.raises(ValueError, match=f"one or more, not {limit}"):
        trace_of(up(0, GET)).ladder(limit=limit)


def test_a_trace_of_nothing() -> None:
    assert Trace().ladder() == "(no datagrams)\n"


def test_times_are_from_the_first_datagram_or_from_where_it_is_said() -> None:
    trace = trace_of(up(1_700_000_000.5, ACK, 1_700_000_000.6), up(1_700_000_001, ACK))
    assert [line[:12] for line in trace.ladder(names=NAMES).splitlines()[2:4]] == [
        "    0.000   ",
        "    0.500   ",
    ]
    lines = trace.ladder(names=NAMES, start=0).splitlines()
    assert lines[1:3] == [
        "                 |        |",
        "1700000000.500   +------->|   ACK [MID=0x7d34]",
    ]


def test_datagrams_are_drawn_in_order_of_time() -> None:
    early, late = up(0, GET, 0.1), up(1, ACK, 1.1)
    assert trace_of(late, early).ladder() == trace_of(early, late).ladder()


# -- drawn as it happens -------------------------------------------------------------------


def test_a_ladder_that_grows() -> None:
    writer = LadderWriter(names={CLIENT: "me"}, width=70)
    assert writer.draw(up(5, GET)) == (
        "           me   10.0.0.1:5683\n"
        "            |         |\n"
        "    0.000   +------X  |   CON [MID=0x7d34], GET, /temperature, T=71\n"
        "            |         |     lost\n"
    )
    line = "    0.250   |<--------+   ACK [MID=0x7d34]\n"
    assert writer.draw(Datagram(5.25, SERVER, CLIENT, ACK)) == line


def test_a_new_address_begins_a_new_head() -> None:
    writer = LadderWriter(names=NAMES, start=0)
    writer.draw(up(0, GET, 0.1))
    other = Address("10.0.0.3", 5683)
    assert writer.draw(Datagram(1, CLIENT, other, GET)) == (
        "         client      server   10.0.0.3:5683\n"
        "            |           |           |\n"
        "    1.000   +-----------|---------->|   CON [MID=0x7d34], GET, /temperature, T=71\n"
    )


def test_a_time_that_needs_more_room_than_there_is_pushes_its_line() -> None:
    writer = LadderWriter(names=NAMES)
    writer.draw(up(0, ACK, 1))
    line = "123456789.000   +------->|   ACK [MID=0x7d34]\n"
    assert writer.draw(up(123_456_789, ACK, 123_456_790)) == line
