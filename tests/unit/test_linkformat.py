"""CoRE Link Format: RFC 6690."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coapsep.message.linkformat import Link, dump, matches, parse
from coapsep.numbers import ContentFormat

# -- the examples of section 5 -------------------------------------------------------------

INDEX = Link.of("/sensors", ct=40)
TEMPERATURE = Link.of("/sensors/temp", rt="temperature-c", if_="sensor")
LIGHT = Link.of("/sensors/light", rt="light-lux", if_="sensor")
TWO_TYPES = Link.of("/sensors/light", rt=("light-lux", "core.sen-light"), if_="sensor")


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("</sensors>;ct=40", [INDEX]),
        (
            '</sensors/temp>;rt="temperature-c";if="sensor",'
            '</sensors/light>;rt="light-lux";if="sensor"',
            [TEMPERATURE, LIGHT],
        ),
        (
            '</sensors>;ct=40;title="Sensor Index",'
            '</sensors/temp>;rt="temperature-c";if="sensor",'
            '</sensors/light>;rt="light-lux";if="sensor",'
            '<http://www.example.com/sensors/t123>;anchor="/sensors/temp";rel="describedby",'
            '</t>;anchor="/sensors/temp";rel="alternate"',
            [
                Link.of("/sensors", ct=40, title="Sensor Index"),
                TEMPERATURE,
                LIGHT,
                Link.of(
                    "http://www.example.com/sensors/t123",
                    anchor="/sensors/temp",
                    rel="describedby",
                ),
                Link.of("/t", anchor="/sensors/temp", rel="alternate"),
            ],
        ),
        (
            '</firmware/v2.1>;rt="firmware";sz=262144',
            [Link.of("/firmware/v2.1", rt="firmware", sz=262144)],
        ),
        ('</sensors/light>;rt="light-lux core.sen-light";if="sensor"', [TWO_TYPES]),
    ],
)
def test_examples(text: str, links: list[Link]) -> None:
    assert parse(text) == tuple(links)
    assert dump(links) == text


def test_example_with_line_breaks() -> None:
    folded = (
        '</sensors>;ct=40;title="Sensor Index",\n'
        '<http://www.example.com/sensors/t123>;anchor="/sensors/temp"\n'
        ';rel="describedby"'
    )
    assert parse(folded) == parse(folded.replace("\n", ""))


# -- links -----------------------------------------------------------------------------------


def test_of() -> None:
    link = Link.of(
        "/sensors/temp", rt="temperature", ct=(0, 40), sz=12, obs=True, title="T", if_=["a", "b"]
    )
    assert link == Link(
        "/sensors/temp",
        (
            ("rt", "temperature"),
            ("ct", "0 40"),
            ("sz", "12"),
            ("obs", None),
            ("title", "T"),
            ("if", "a b"),
        ),
    )
    assert str(link) == ('</sensors/temp>;rt="temperature";ct="0 40";sz=12;obs;title="T";if="a b"')


def test_of_leaves_out_what_is_not_there() -> None:
    assert Link.of("/a", obs=False, title=None, ct=(), rt=[]) == Link("/a")
    assert Link.of("/a", title="", sz=0) == Link("/a", (("title", ""), ("sz", "0")))


def test_of_enums() -> None:
    assert Link.of("/a", ct=ContentFormat.CBOR).get("ct") == "60"
    assert Link.of("/a", ct=[ContentFormat.TEXT, 60]).get("ct") == "0 60"


def test_of_attribute_called_target() -> None:
    assert Link.of("/a", target="b", cls="c").attributes == (("target", "b"), ("cls", "c"))


def test_get() -> None:
    link = Link("/a", (("rt", "x"), ("rt", "y"), ("obs", None), ("title", "")))
    assert link.get("rt") == "x"
    assert link.get("obs") == link.get("title") == ""
    assert link.get("if") is None
    assert "rt" in link and "obs" in link and "if" not in link


def test_links_are_hashable() -> None:
    assert len({LIGHT, LIGHT, TEMPERATURE}) == 2


@pytest.mark.parametrize("target", ["a b", "<", ">", "\n", "\0", "a\u2028b"])
def test_targets_that_cannot_be(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        Link(target)


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a*b", "é", 'a"', "a\n"])
def test_names_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match="called"):
        Link("/a", ((name, None),))


# -- writing ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attribute", "text"),
    [
        (("ct", "40"), "ct=40"),
        (("ct", "0 40"), 'ct="0 40"'),
        (("sz", "0"), "sz=0"),
        (("sz", ""), 'sz=""'),
        (("ver", "3"), 'ver="3"'),
        (("rt", "light"), 'rt="light"'),
        (("hreflang", "de"), "hreflang=de"),
        (("title*", "UTF-8'de'Gr%C3%B6%C3%9Fe"), "title*=UTF-8'de'Gr%C3%B6%C3%9Fe"),
        (("title", ""), 'title=""'),
        (("title", 'a "b" \\ c'), 'title="a \\"b\\" \\\\ c"'),
        (("title", "Größe, <x>; y"), 'title="Größe, <x>; y"'),
        (("title", "a\nb\0"), 'title="a\\\nb\\\0"'),
        (("obs", None), "obs"),
    ],
)
def test_attribute(attribute: tuple[str, str | None], text: str) -> None:
    link = Link("/a", (attribute,))
    assert str(link) == dump([link]) == f"</a>;{text}"
    assert parse(f"</a>;{text}") == (link,)


def test_dump_nothing() -> None:
    assert dump([]) == ""
    assert dump(iter([INDEX, LIGHT])) == f"{INDEX},{LIGHT}"


# -- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("", ()),
        (" \r\n\t", ()),
        ("<>", (Link(""),)),
        ("</a,b;c=d>", (Link("/a,b;c=d"),)),
        ("</größe>", (Link("/größe"),)),
        (" </a> ; obs ; ct = 40 ,\r\n </b> ", (Link.of("/a", obs=True, ct=40), Link("/b"))),
        ("</a>;rt=x;rt=y", (Link("/a", (("rt", "x"), ("rt", "y"))),)),
        ("</a>;if=core.s/1:2?<3>=4", (Link.of("/a", if_="core.s/1:2?<3>=4"),)),
        ('</a>;title=",;<>=",</b>', (Link.of("/a", title=",;<>="), Link("/b"))),
        ('</a>;title="\\a\\"\\\\"', (Link.of("/a", title='a"\\'),)),
        ('</a>;ct="40"', (Link.of("/a", ct=40),)),
    ],
)
def test_parse(text: str, links: tuple[Link, ...]) -> None:
    assert parse(text) == links


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("/a", 0, "a link target"),
        ("  /a", 2, "a link target"),
        ("</a", 0, "a link target"),
        ("</a b>", 0, "a link target"),
        ("</a>,", 5, "a link target.*not the end"),
        (",</a>", 0, "a link target"),
        ("</a>,,</b>", 5, "a link target"),
        ("</a></b>", 4, "',' before"),
        ("</a>obs", 4, "',' before"),
        ("</a>;", 5, "the name.*not the end"),
        ("</a>;;obs", 5, "the name"),
        ("</a>; =1", 6, "the name"),
        ("</a>;é", 5, "the name"),
        ("</a>;ct=", 8, "a value.*not the end"),
        ("</a>;ct=,</b>", 8, "a value"),
        ("</a>;title=é", 11, "a value, with quotes"),
        ("</a>;ct=0 40", 10, "',' before.*'40'"),
        ('</a>;title="x', 11, "ends with '\"'"),
        ('</a>;title="x\\"', 11, "ends with '\"'"),
        ('</a>;title="x"y', 14, "',' before"),
        ("</a>;*=1", 5, "the name"),
    ],
)
def test_refuses(text: str, position: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"{message}.*") as caught:
        parse(text)
    assert f"at position {position}," in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        '</a>;title="' + "\\" * 1_000_001,
        '</a>;title="' + "x" * 1_000_000,
        '</a>;title="' + "\\x" * 500_000,
        "<" * 1_000_000,
        "<" + "a" * 1_000_000,
        "</a>" + ";a" * 300_000 + ";",
        "</a>" + " " * 1_000_000 + "x",
        ",".join(["</a>;ct=40"] * 50_000) + ",",
        "</a>;ct=" + "1" * 1_000_000 + "é",
    ],
)
def test_takes_linear_time(text: str) -> None:
    started = time.perf_counter()
    with pytest.raises(ValueError):
        parse(text)
    assert time.perf_counter() - started < 5  # seconds; anything quadratic takes minutes


@given(st.text() | st.text('</>;,="\\ ab*\n1'))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        links = parse(text)
    except ValueError:
        return
    assert parse(dump(links)) == links


targets = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters="<>")
)
attributes = st.tuples(
    st.from_regex(r"[A-Za-z0-9!#$&+\-.^_`|~]+\*?", fullmatch=True)
    | st.sampled_from(["rt", "if", "ct", "sz", "obs", "title", "title*"]),
    st.none() | st.text() | st.text('",;<>\\ \n1'),
)
links = st.builds(Link, targets, st.lists(attributes, max_size=5).map(tuple))


@given(st.lists(links, max_size=5))
@example([Link(""), Link(",;", (("ct", "a,b"), ("title*", "é"), ("sz", '"')))])
def test_round_trip(several: list[Link]) -> None:
    assert parse(dump(several)) == tuple(several)


# -- filters ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ([], [INDEX, TEMPERATURE, TWO_TYPES]),
        ([""], [INDEX, TEMPERATURE, TWO_TYPES]),
        (["rt=light-lux"], [TWO_TYPES]),
        (["rt=core.sen-light"], [TWO_TYPES]),
        (["rt=light-lux core.sen-light"], [TWO_TYPES]),
        (["rt=light"], []),
        (["rt=light*"], [TWO_TYPES]),
        (["rt=core*"], [TWO_TYPES]),
        (["rt=sen*"], []),
        (["rt=*"], [TEMPERATURE, TWO_TYPES]),
        (["rt="], []),
        (["rt"], [TEMPERATURE, TWO_TYPES]),
        (["if=sensor"], [TEMPERATURE, TWO_TYPES]),
        (["if=sensor", "rt=temperature-c"], [TEMPERATURE]),
        (["if=sensor", "rt=temperature-c", "ct=40"], []),
        (["ct=40"], [INDEX]),
        (["ct=4"], []),
        (["href=/sensors"], [INDEX]),
        (["href=/sensors/*"], [TEMPERATURE, TWO_TYPES]),
        (["href=/sensors*"], [INDEX, TEMPERATURE, TWO_TYPES]),
        (["href=*"], [INDEX, TEMPERATURE, TWO_TYPES]),
        (["href"], [INDEX, TEMPERATURE, TWO_TYPES]),
        (["foo=1"], []),
        (["foo=*"], []),
        (["=x"], []),
    ],
)
def test_matches(query: list[str], found: list[Link]) -> None:
    assert [link for link in (INDEX, TEMPERATURE, TWO_TYPES) if matches(link, query)] == found


@pytest.mark.parametrize(
    ("link", "argument", "expected"),
    [
        (Link.of("/a", obs=True), "obs", True),
        (Link.of("/a", obs=True), "obs=", True),
        (Link.of("/a", obs=True), "obs=*", True),
        (Link.of("/a", obs=True), "obs=1", False),
        (Link.of("/a", rt=""), "rt=*", True),
        (Link.of("/a", rt="a  b"), "rt=b", True),
        (Link.of("/a", ct=(0, 40)), "ct=40", True),
        (Link.of("/a", rel=("x", "y")), "rel=y", True),
        (Link.of("/a", title="x y"), "title=y", False),
        (Link.of("/a", title="x y"), "title=x y", True),
        (Link.of("/a", title="a=b"), "title=a=b", True),
        (Link("/a", (("rt", "x"), ("rt", "y"))), "rt=y", True),
        (Link("/a*b"), "href=/a*b", True),
        (Link("/axb"), "href=/a*b", False),
        (Link("/a"), "href=/a**", False),
        (Link.of("/a", href="/b"), "href=/b", False),
    ],
)
def test_matches_one(link: Link, argument: str, expected: bool) -> None:
    assert matches(link, [argument]) is expected


def test_one_string_is_no_filter() -> None:
    with pytest.raises(TypeError, match="sequence of arguments"):
        matches(LIGHT, "rt=light-lux")
