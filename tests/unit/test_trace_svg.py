"""The ladder as a picture: well-formed, standalone, and with everything in its place."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coapsep.address import Address
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.trace import Datagram, Trace
from coapsep.trace.timeline import Silence, timeline_of
from tests.unit.wire import ACK, CLIENT, CLIENT_ACK, CONTENT, GET, NAMES, SERVER, down, up

#: Examples take as long as they take: the machine may be busy.
patient = settings(deadline=None)

SVG = "{http://www.w3.org/2000/svg}"


class Picture:
    """What is in an SVG."""

    def __init__(self, *datagrams: Datagram, limit: int | None = 200) -> None:
        trace = Trace()
        for datagram in datagrams:
            trace.add(datagram)
        self.text = trace.svg(names=NAMES, limit=limit)
        self.root = ElementTree.fromstring(self.text)
        self.datagrams = self.root.findall(f"{SVG}g")

    def texts(self) -> list[str]:
        return ["".join(element.itertext()) for element in self.root.iter(f"{SVG}text")]

    def arrows(self, index: int) -> list[tuple[float, float, float, float]]:
        """The arrows of one datagram: from where to where."""
        hover = [line for line in self.datagrams[index] if line.get("class") == "hover"]
        return [
            (number(line, "x1"), number(line, "y1"), number(line, "x2"), number(line, "y2"))
            for line in hover
        ]

    def title(self, index: int) -> str:
        element = self.datagrams[index].find(f"{SVG}title")
        assert element is not None
        return element.text or ""


def number(element: ElementTree.Element, name: str) -> float:
    value = element.get(name)
    assert value is not None
    return float(value)


SEPARATE = (
    up(0, GET, 0.01),
    down(0.11, ACK, 0.12),
    down(247, CONTENT, 247.01),
    up(247.01, CLIENT_ACK, 247.02),
)


def test_it_says_what_it_is() -> None:
    root = Picture(*SEPARATE).root
    assert root.tag == f"{SVG}svg"
    assert root[0].text == "Ladder diagram of 4 datagrams"
    assert root[1].text == "Between client, server, from 0.000 s to 247.010 s."
    assert Picture(up(0, GET)).root[0].text == "Ladder diagram of 1 datagram"


def test_titles_times_and_labels_are_there() -> None:
    assert Picture(*SEPARATE).texts() == [
        "client",
        "server",
        "246.9 s",
        "0.000",
        "CON [MID=0x7d34], GET, /temperature, T=71",
        "0.110",
        "ACK [MID=0x7d34]",
        "247.000",
        'CON [MID=0xad7b], 2.05 Content, T=71, "22.3 C"',
        "247.010",
        "ACK [MID=0xad7b]",
    ]


def test_it_needs_nothing_from_outside_and_runs_nothing() -> None:
    text = Picture(*SEPARATE).text
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    for word in ("<script", "<image", "<foreignObject", "href", "@import", "url(", " on"):
        assert word not in text


def test_it_is_readable_in_light_and_in_dark() -> None:
    style = Picture(*SEPARATE).root.findtext(f"{SVG}style")
    assert style is not None
    light, dark = style.split("@media (prefers-color-scheme: dark)")
    for kind in (".ground", " text", ".muted", ".box", ".life", ".con", ".non", ".ack", ".rst"):
        assert f".coapsep-ladder {kind.strip()}" in light
        assert f".coapsep-ladder {kind.strip()}" in dark


def test_everything_is_inside_the_frame() -> None:
    root = Picture(*SEPARATE).root
    width, height = number(root, "width"), number(root, "height")
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    for line in root.iter(f"{SVG}line"):
        assert 0 <= number(line, "x1") <= width
        assert 0 <= number(line, "y2") <= height


# -- arrows --------------------------------------------------------------------------------


def test_an_arrow_slopes_from_departure_to_arrival() -> None:
    picture = Picture(*SEPARATE)
    ((x1, y1, x2, y2),) = picture.arrows(0)
    assert x1 < x2
    assert y1 < y2
    ((back1, _, back2, _),) = picture.arrows(1)
    assert (back1, back2) == (x2, x1)


def test_arrows_cross_where_datagrams_do() -> None:
    picture = Picture(up(0, GET, 2), down(1, CONTENT, 3))
    ((_, left1, _, right1),) = picture.arrows(0)
    ((_, right2, _, left2),) = picture.arrows(1)
    assert left1 < right2 < right1 < left2


def test_each_copy_has_its_arrow() -> None:
    picture = Picture(up(0, GET, 0.5, 0.1), down(0.2, ACK, 0.3))
    first, second = picture.arrows(0)
    assert first[:2] == second[:2]
    assert first[3] < picture.arrows(1)[0][1] < second[3]
    assert "arrives 2 times" in picture.texts()


def test_what_is_lost_ends_in_a_cross() -> None:
    picture = Picture(up(0, GET, lost="loss"), up(1, GET, 1.1))
    ((x1, y1, x2, y2),) = picture.arrows(0)
    assert y1 == y2
    assert x1 < x2 < picture.arrows(1)[0][2]
    kinds = [element.get("class") for element in picture.datagrams[0]]
    assert "shaft lost" in kinds
    assert picture.datagrams[0].find(f"{SVG}polygon") is None
    assert "lost: loss" in picture.texts()


def test_an_arrival_that_nobody_knows_is_level() -> None:
    ((_, y1, _, y2),) = Picture(Datagram(0, CLIENT, SERVER, GET)).arrows(0)
    assert y1 == y2


def test_what_goes_nowhere_is_a_dot() -> None:
    picture = Picture(Datagram(0, CLIENT, CLIENT, GET, (0.0,)))
    assert picture.arrows(0) == []
    assert picture.datagrams[0].find(f"{SVG}circle") is not None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (GET, "con"),
        (encode(Message(Code.GET, Type.NON, 1)), "non"),
        (ACK, "ack"),
        (b"\x70\0\0\1", "rst"),
        (b"nonsense", "bad"),
    ],
)
def test_the_type_has_a_colour(data: bytes, kind: str) -> None:
    assert Picture(up(0, data)).datagrams[0].get("class") == kind


def test_pointing_at_it_shows_the_whole_message_and_its_times() -> None:
    options = Options.build(uri_path=["a" * 100], uri_query=["b" * 100])
    data = encode(Message(Code.PUT, Type.CON, 1, b"", options, b"x" * 500))
    picture = Picture(up(1, GET), up(2, data, 2.25, 3, lost="loss"))
    assert picture.title(1) == (
        "client -> server\n"
        f'CON [MID=0x0001], PUT, /{"a" * 100}?{"b" * 100}, "{"x" * 500}"\n'
        "left at 1.000000 s, arrived at 1.250000 s, arrived at 2.000000 s, "
        "a copy was lost: loss"
    )
    assert max(map(len, picture.texts())) < 100


def test_the_time_of_a_late_arrival_is_shown_where_there_is_room() -> None:
    assert "5.000" in Picture(up(0, GET, 5)).texts()
    assert "0.900" not in Picture(up(0, GET, 0.9)).texts()
    assert "5.000" not in Picture(up(0, GET, 5), down(5.001, ACK, 5.1)).texts()


# -- hostile and large ---------------------------------------------------------------------


@patient
@given(st.binary(max_size=60), st.text(max_size=20), st.text(max_size=20))
def test_nothing_breaks_out_of_the_text(data: bytes, name: str, lost: str) -> None:
    trace = Trace()
    trace.add(Datagram(0, CLIENT, SERVER, data, (), lost))
    text = trace.svg(names={CLIENT: name})
    root = ElementTree.fromstring(text)
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "line", "text", "g"),
    }
    assert all(line.isprintable() for line in text.splitlines())


def test_markup_is_text() -> None:
    options = Options.build(proxy_uri="</text><script>alert(1)</script>&amp;")
    data = encode(Message(Code.GET, Type.CON, 1, b"", options))
    picture = Picture(up(0, data))
    assert 'Proxy-Uri="</text><script>alert(1)</script>&amp;"' in picture.texts()[3]


def test_only_the_last_ones_are_drawn() -> None:
    picture = Picture(*(up(n, GET, n + 0.1) for n in range(5)), limit=2)
    assert len(picture.datagrams) == 2
    assert "3 earlier datagrams are left out" in picture.texts()


def test_nothing_is_a_picture_too() -> None:
    picture = Picture()
    assert picture.texts() == ["no datagrams"]
    assert picture.root.findtext(f"{SVG}desc") == "Nothing was sent."


def test_more_addresses_than_columns() -> None:
    clients = [Address("10.0.0.9", n) for n in range(9)]
    picture = Picture(*(Datagram(n, client, SERVER, ACK) for n, client in enumerate(clients)))
    assert picture.texts()[5] == "others"
    assert "10.0.0.9:8 -> server: ACK [MID=0x7d34]" in picture.texts()


# -- where each moment stands ----------------------------------------------------------------


def test_moments_stand_in_their_order() -> None:
    datagrams = [up(0, GET, 0.3), down(0.1, ACK, 0.2, 0.2), up(0.3, GET, 0.3)]
    line = timeline_of(datagrams, [24, 24, 24])
    assert line.departures[0] < line.departures[1] < line.arrivals[1][0] < line.arrivals[0][0]
    assert line.arrivals[1][0] == line.arrivals[1][1]
    assert line.arrivals[0][0] <= line.departures[2] == line.arrivals[2][0]
    assert line.silences == []


def test_departures_have_room_for_their_labels() -> None:
    line = timeline_of([up(0, GET), up(0, GET), up(0.001, GET)], [54, 24, 39])
    assert line.departures == [0, 54, 78]
    assert line.bottom == 117


def test_long_silences_take_little_room() -> None:
    line = timeline_of([up(0, GET), up(0.5, GET), up(1000, GET)], [24, 24, 24])
    assert 0 < line.departures[2] - line.departures[1] < 90
    (silence,) = line.silences
    assert silence == Silence(line.departures[1], line.departures[2], 999.5)


def test_it_is_not_silent_while_something_is_under_way() -> None:
    assert timeline_of([up(0, GET, 50), up(100, GET)], [24, 24]).silences[0].seconds == 50
    assert timeline_of([up(0, GET, 200), up(100, GET)], [24, 24]).silences == []
