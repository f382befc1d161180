"""coap URIs: RFC 7252 section 6 and appendix B, RFC 3986 section 5.2.4, RFC 6874."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from coapsep.address import Address
from coapsep.message.options import EMPTY, Options
from coapsep.message.uri import CoapURI, parse_uri
from coapsep.numbers import OptionNumber

ELSEWHERE = Address("192.0.2.1", 5683)


def uri(*path: str, query: tuple[str, ...] = ()) -> CoapURI:
    return CoapURI("coap", "h", 5683, path, query)


# -- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "coap://example.com:5683/~sensors/temp.xml",
        "coap://EXAMPLE.com/%7Esensors/temp.xml",
        "coap://EXAMPLE.com:/%7esensors/temp.xml",
        "COAP://ex%41mple.com:05683/x/../~sensors/./temp.xml",
    ],
)
def test_equivalent_uris_are_equal(text: str) -> None:
    """The three examples of section 6.3, and one that needs every normalization."""
    expected = CoapURI("coap", "example.com", 5683, ("~sensors", "temp.xml"))
    assert parse_uri(text) == expected
    assert hash(parse_uri(text)) == hash(expected)
    assert str(parse_uri(text)) == "coap://example.com/~sensors/temp.xml"


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port"),
    [
        ("coap://h", "coap", "h", 5683),
        ("coaps://h", "coaps", "h", 5684),
        ("CoAPs://h:5683", "coaps", "h", 5683),
        ("coap://h:1", "coap", "h", 1),
        ("coap://h:65535", "coap", "h", 65535),
        ("coap://h:000000000061616", "coap", "h", 61616),
        ("coap://192.0.2.1", "coap", "192.0.2.1", 5683),
        ("coap://01.2.3.4", "coap", "01.2.3.4", 5683),
        ("coap://[::1]", "coap", "::1", 5683),
        ("coap://[2001:DB8:0:0::1]:99", "coap", "2001:db8::1", 99),
        ("coap://[::ffff:192.0.2.1]", "coap", "::ffff:192.0.2.1", 5683),
        ("coap://[::ffff:c000:201]", "coap", "::ffff:192.0.2.1", 5683),
        ("coap://[fe80::1%25eth0]:99", "coap", "fe80::1%eth0", 99),
        ("coap://[FE80::1%25Eth0]", "coap", "fe80::1%Eth0", 5683),
        ("coap://[fe80::1%25a%2Fb]", "coap", "fe80::1%a/b", 5683),
        ("coap://b%C3%BCcher.example", "coap", "bücher.example", 5683),
        ("coap://BüCHER.example", "coap", "bücher.example", 5683),
        ("coap://%C3%9C.example", "coap", "Ü.example", 5683),
        ("coap://a_b,c;d=e!f$g'h(i)*~", "coap", "a_b,c;d=e!f$g'h(i)*~", 5683),
    ],
)
def test_authority(text: str, scheme: str, host: str, port: int) -> None:
    assert parse_uri(text) == CoapURI(scheme, host, port)
    assert parse_uri(str(parse_uri(text))) == parse_uri(text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("/", ()),
        ("/a", ("a",)),
        ("/a/", ("a", "")),
        ("//", ("", "")),
        ("//a", ("", "a")),
        ("/a//b", ("a", "", "b")),
        ("/a%2Fb", ("a/b",)),
        ("/%3F%23%25%26", ("?#%&",)),
        ("/a=1;b,c:d@e+f&g", ("a=1;b,c:d@e+f&g",)),
        ("/%E3%81%93", ("こ",)),
        ("/こ", ("こ",)),
        ("/%00%20", ("\0 ",)),
        # dot segments (RFC 3986 section 5.2.4), before anything is decoded
        ("/.", ()),
        ("/..", ()),
        ("/./", ()),
        ("/../../a", ("a",)),
        ("/a/b/c/./../../g", ("a", "g")),
        ("/a/.", ("a", "")),
        ("/a/b/..", ("a", "")),
        ("/a/b/../", ("a", "")),
        ("/a/..", ()),
        ("/a//../b", ("a", "b")),
        ("/...", ("...",)),
        ("/.a/b.", (".a", "b.")),
        ("/a/%2E%2E", ("a", "..")),
        ("/%2e/.%2E", (".", "..")),
    ],
)
def test_path(text: str, path: tuple[str, ...]) -> None:
    parsed = parse_uri("coap://h" + text)
    assert parsed.path == path
    assert parse_uri(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", ()),
        ("?", ("",)),
        ("?a", ("a",)),
        ("?a=1&b=2", ("a=1", "b=2")),
        ("?&", ("", "")),
        ("?a&&b&", ("a", "", "b", "")),
        ("?a%26b", ("a&b",)),
        ("?/../?:@", ("/../?:@",)),
        ("?a+b%20c", ("a+b c",)),
    ],
)
def test_query(text: str, query: tuple[str, ...]) -> None:
    for path in ("", "/", "/p"):
        parsed = parse_uri(f"coap://h{path}{text}")
        assert parsed.query == query
        assert parse_uri(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "relative reference"),
        ("/a/b", "relative reference"),
        ("//h/a", "relative reference"),
        ("192.0.2.1:5683/a", "relative reference"),
        (" coap://h", "relative reference"),
        ("localhost:5683/a", "unknown scheme 'localhost'.*coap://"),
        ("http://h/", "unknown scheme 'http'"),
        ("coap+tcp://h/", "unknown scheme"),
        ("coap:h", "two slashes"),
        ("coap:/h", "two slashes"),
        ("coap://h/#top", "no fragment.*'#top'"),
        ("coap://h/?q#", "no fragment"),
        ("coap://", "host is empty"),
        ("coap:///a", "host is empty"),
        ("coap://:5683", "host is empty"),
        ("coap://me@h/", "no userinfo"),
        ("coap://h:x/", "port .*'x'"),
        ("coap://h:0/", "port .* not 0"),
        ("coap://h:65536/", "port .* not 65536"),
        ("coap://h:-1/", "port"),
        ("coap://h:+1/", "port"),
        ("coap://h:1_0/", "port"),
        ("coap://h: 1/", "port"),
        ("coap://h:٣/", "port"),
        ("coap://h:" + "9" * 5000, "port"),
        ("coap://::1/", "brackets"),
        ("coap://fe80::1:5683/", "brackets"),
        ("coap://[::1/", "should be"),
        ("coap://[::1]x/", "should be"),
        ("coap://[]/", "only an IPv6"),
        ("coap://[h]/", "only an IPv6"),
        ("coap://[192.0.2.1]/", "only an IPv6"),
        ("coap://[:]/", "not an IPv6 address"),
        ("coap://[::g]/", "not an IPv6 address"),
        ("coap://[v1.a:b]/", "not an IPv6 address"),
        ("coap://[fe80::1%eth0]/", "begins with %25"),
        ("coap://[fe80::1%25]/", "zone .* interface"),
        ("coap://[fe80::1%25%00]/", "zone .* interface"),
        ("coap://[fe80::1%25eth 0]/", "zone has ' '"),
        ("coap://a[b/", "host has '\\['"),
        ("coap://a b/", "host has ' '.* %20"),
        ("coap://a%20b/", "' ' cannot be part of a host"),
        ("coap://a%00b/", "cannot be part of a host"),
        ("coap://%3A%3A1/", "':' cannot be part of a host"),
        ("coap://a%2Fb/", "'/' cannot be part of a host"),
        ("coap://a%25b/", "'%' cannot be part of a host"),
        ("coap://a%b/", "host has '%b'.* %25"),
        ("coap://%FF/", "host is not UTF-8"),
        ("coap://h/a b", "path has ' '.* %20"),
        ("coap://h/a\n", "path has '\\\\n'.* %0A"),
        ("coap://h/\x7f", "path has"),
        ("coap://h/\x85", "path has"),
        ("coap://h/\u2028", "path has"),
        ("coap://h/a|b", "path has '\\|'.* %7C"),
        ("coap://h/a[b", "path has"),
        ("coap://h/\ud800", "path is not UTF-8"),
        ("coap://h/%", "path has '%', .* %25"),
        ("coap://h/%4", "path has '%4'"),
        ("coap://h/%zz", "path has '%zz'"),
        ("coap://h/%%41", "path has '%%4'"),
        ("coap://h/%FF", "path is not UTF-8"),
        ("coap://h/%C3/%A9", "path is not UTF-8"),
        ("coap://h/%ED%A0%80", "path is not UTF-8"),
        ("coap://h/?a b", "query has ' '"),
        ("coap://h/?%f", "query has '%f'"),
        ("coap://h/?%FF", "query is not UTF-8"),
        ("coap://h/a/" + "b" * 256, "path segment 2 is 256 bytes.* 255"),
        ("coap://h/" + "%C3%A9" * 128, "path segment 1 is 256 bytes"),
        ("coap://h/?a&" + "b" * 256, "query argument 2 is 256 bytes"),
        ("coap://" + "h" * 256, "host is 256 bytes"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_uri(text)


def test_does_not_repeat_a_password() -> None:
    with pytest.raises(ValueError) as caught:
        parse_uri("coap://me:hunter2@h/")
    assert "hunter2" not in str(caught.value)


def test_longest_values() -> None:
    text = f"coap://{'h' * 255}/{'a' * 255}/{'%C3%A9' * 127}?{'q' * 255}"
    parsed = parse_uri(text)
    assert parsed.path == ("a" * 255, "é" * 127)
    assert str(parsed) == text
    assert parsed.options().uri_host == "h" * 255


@given(st.text() | st.text("coap:/?#[]@%.0123456789abF é\n").map("coap://".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = parse_uri(text)
    except ValueError:
        return
    assert parse_uri(str(parsed)) == parsed


# -- writing ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (CoapURI("coap", "h", 5683), "coap://h/"),
        (CoapURI("coap", "h", 5684), "coap://h:5684/"),
        (CoapURI("coaps", "h", 5684), "coaps://h/"),
        (CoapURI("coaps", "h", 5683), "coaps://h:5683/"),
        (CoapURI("COAP", "H", 5683), "coap://h/"),
        (CoapURI("coap", "0::1", 99), "coap://[::1]:99/"),
        (CoapURI("coap", "fe80::1%eth0", 5683), "coap://[fe80::1%25eth0]/"),
        (CoapURI("coap", "fe80::1%a/b]", 5683), "coap://[fe80::1%25a%2Fb%5D]/"),
        (CoapURI("coap", "bücher", 5683), "coap://b%C3%BCcher/"),
        (uri("a", "b"), "coap://h/a/b"),
        (uri("", ""), "coap://h//"),
        (uri("a", ""), "coap://h/a/"),
        (uri("a/b", "?#[]%"), "coap://h/a%2Fb/%3F%23%5B%5D%25"),
        (uri("-._~!$&'()*+,;=:@"), "coap://h/-._~!$&'()*+,;=:@"),
        (uri(".", ".."), "coap://h/%2E/%2E%2E"),
        (uri("...", "a.."), "coap://h/.../a.."),
        (uri("こ \0"), "coap://h/%E3%81%93%20%00"),
        (uri(query=("",)), "coap://h/?"),
        (uri(query=("", "")), "coap://h/?&"),
        (uri(query=("a=b", "c")), "coap://h/?a=b&c"),
        (uri(query=("-._~!$&'()*+,;=:@/?", "#[]")), "coap://h/?-._~!$%26'()*+,;=:@/?&%23%5B%5D"),
    ],
)
def test_str(value: CoapURI, text: str) -> None:
    assert str(value) == text
    assert parse_uri(text) == value


def test_one_empty_segment_has_no_uri_of_its_own() -> None:
    """Section 6.5 steps 6 and 7 write it and the root alike; only options tell them apart."""
    root, empty = uri(), uri("")
    assert root != empty
    assert root.options().values(OptionNumber.URI_PATH) == ()
    assert empty.options().values(OptionNumber.URI_PATH) == (b"",)
    assert CoapURI.from_options(empty.options(), ELSEWHERE) == empty
    assert str(root) == str(empty) == "coap://h/"
    assert parse_uri("coap://h/") == root


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http", "h", 1), "unknown scheme"),
        (("coap", "", 1), "host is empty"),
        (("coap", "a b", 1), "cannot be part"),
        (("coap", "[::1]", 1), "not an IPv6"),
        (("coap", "1.2.3.4%eth0", 1), "cannot be part"),
        (("coap", "h", 0), "port"),
        (("coap", "h", 65536), "port"),
        (("coap", "h", 1, ("x" * 256,)), "path segment 1"),
        (("coap", "h", 1, (), ("x" * 256,)), "query argument 1"),
        (("coap", "h", 1, ("\ud800",)), "surrogates"),
    ],
)
def test_no_uri_can_be_wrong(arguments: tuple[str, str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoapURI(*arguments)


def test_one_string_is_no_path() -> None:
    with pytest.raises(TypeError, match="path segment"):
        CoapURI("coap", "h", 5683, "/a")
    with pytest.raises(TypeError, match="query argument"):
        CoapURI("coap", "h", 5683, (), "a=1")


# -- options -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("coap://192.0.2.1/", EMPTY),
        ("coap://[2001:db8::1]", EMPTY),
        ("coap://[fe80::1%25eth0]", EMPTY),
        ("coap://192.0.2.1:99", Options.build(uri_port=99)),
        ("coap://Example.net", Options.build(uri_host="example.net")),
        ("coap://192.0.2", Options.build(uri_host="192.0.2")),
        ("coap://b%C3%BCcher", Options.build(uri_host="bücher")),
        (
            "coap://h:99/a%2Fb//?x=1&y",
            Options.build(
                uri_host="h", uri_port=99, uri_path=["a/b", "", ""], uri_query=["x=1", "y"]
            ),
        ),
    ],
)
def test_options(text: str, options: Options) -> None:
    assert parse_uri(text).options(ELSEWHERE) == options


def test_port_option() -> None:
    """Without a destination the port is the one the request goes to."""
    parsed = parse_uri("coap://h:99")
    assert parsed.options().uri_port is None
    assert parsed.options(Address("192.0.2.1", 99)).uri_port is None
    assert parsed.options(ELSEWHERE).uri_port == 99
    assert parse_uri("coap://h").options(Address("192.0.2.1", 99)).uri_port == 5683


@pytest.mark.parametrize("segment", [".", ".."])
def test_dot_segments_are_not_sent(segment: str) -> None:
    """Section 5.10.1: the value of Uri-Path MUST NOT be one of these."""
    with pytest.raises(ValueError, match="path segment"):
        uri("a", segment).options()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("h", False), ("1.2.3", False), ("1.2.3.4", True), ("::1", True), ("fe80::1%eth0", True)],
)
def test_host_is_ip(host: str, expected: bool) -> None:
    assert CoapURI("coap", host, 5683).host_is_ip is expected


@pytest.mark.parametrize(
    ("options", "destination", "text"),
    [
        # appendix B
        (EMPTY, Address("2001:db8::2:1", 5683), "coap://[2001:db8::2:1]/"),
        (
            Options.build(uri_host="example.net"),
            Address("2001:db8::2:1", 5683),
            "coap://example.net/",
        ),
        (
            Options.build(uri_host="example.net", uri_path=[".well-known", "core"]),
            Address("2001:db8::2:1", 5683),
            "coap://example.net/.well-known/core",
        ),
        (
            Options.build(uri_host="xn--18j4d.example", uri_path=["こんにちは"]),
            Address("2001:db8::2:1", 5683),
            "coap://xn--18j4d.example/%E3%81%93%E3%82%93%E3%81%AB%E3%81%A1%E3%81%AF",
        ),
        (
            # The appendix writes %2F in the query, where section 6.5 step 8 leaves "/" alone.
            Options.build(uri_path=["", "/", "", ""], uri_query=["//", "?&"]),
            Address("198.51.100.1", 61616),
            "coap://198.51.100.1:61616//%2F//?//&?%26",
        ),
        # more
        (Options.build(uri_port=99), ELSEWHERE, "coap://192.0.2.1:99/"),
        (Options.build(uri_port=5683), Address("192.0.2.1", 99), "coap://192.0.2.1/"),
        (Options.build(uri_host="[::1]"), ELSEWHERE, "coap://[::1]/"),
        (Options.build(uri_host="EXAMPLE.net"), ELSEWHERE, "coap://example.net/"),
        (Options.build(uri_host="bücher"), ELSEWHERE, "coap://b%C3%BCcher/"),
        (EMPTY, Address("fe80::1", 5683, scope_id=2), "coap://[fe80::1%252]/"),
        (Options.build(uri_query=["a", ""]), ELSEWHERE, "coap://192.0.2.1/?a&"),
        (Options.build(content_format=40, max_age=1), ELSEWHERE, "coap://192.0.2.1/"),
    ],
)
def test_from_options(options: Options, destination: Address, text: str) -> None:
    composed = CoapURI.from_options(options, destination)
    assert str(composed) == text
    assert parse_uri(text) == composed


def test_appendix_b_reads_back() -> None:
    parsed = parse_uri("coap://198.51.100.1:61616//%2F//?%2F%2F&?%26")
    assert parsed.path == ("", "/", "", "")
    assert parsed.query == ("//", "?&")


def test_from_options_scheme() -> None:
    composed = CoapURI.from_options(EMPTY, Address("192.0.2.1", 5684), scheme="coaps")
    assert str(composed) == "coaps://192.0.2.1/"


@pytest.mark.parametrize(
    "pair",
    [
        (OptionNumber.URI_HOST, b"a b"),
        (OptionNumber.URI_HOST, b"a/b"),
        (OptionNumber.URI_HOST, b"a%41"),
        (OptionNumber.URI_HOST, b"me@h"),
        (OptionNumber.URI_HOST, b"h:5683"),
        (OptionNumber.URI_HOST, b"[h]"),
        (OptionNumber.URI_HOST, b"[192.0.2.1]"),
        (OptionNumber.URI_HOST, b"\xff"),
        (OptionNumber.URI_PORT, b""),
    ],
)
def test_options_that_make_no_uri(pair: tuple[int, bytes]) -> None:
    with pytest.raises(ValueError):
        CoapURI.from_options(Options([pair]), ELSEWHERE)


# -- round trips -------------------------------------------------------------------------

unicode = st.text(st.characters(exclude_categories=["Cs"])) | st.text("./%?#&=é")
segments = st.lists(unicode.filter(lambda s: len(s.encode()) <= 255), max_size=5).map(tuple)
names = st.text(string.ascii_letters + string.digits + "-._~!$&'()*+,;=éÜ", min_size=1)
hosts = (
    names.filter(lambda s: len(s.encode()) <= 255)
    | st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda ip: f"{ip}%eth0")
)
uris = st.builds(
    CoapURI, st.sampled_from(["coap", "coaps"]), hosts, st.integers(1, 65535), segments, segments
)


@given(uris)
@example(uri("", "", "..", "a/b", "%2e", query=("", "&", "?#")))
def test_text_round_trip(value: CoapURI) -> None:
    assume(value.path != ("",))
    text = str(value)
    assert text.isascii() and text.isprintable() and " " not in text
    assert parse_uri(text) == value
    assert str(parse_uri(text)) == text


@given(uris, st.integers(1, 65535))
def test_options_round_trip(value: CoapURI, port: int) -> None:
    assume("." not in value.path and ".." not in value.path)
    address = value.host.partition("%")[0] if value.host_is_ip else "192.0.2.1"
    destination = Address(address, port)
    composed = CoapURI.from_options(value.options(destination), destination, value.scheme)
    assert composed.path == value.path
    assert composed.query == value.query
    assert composed.port == value.port
    assert composed.host == value.host.partition("%")[0]
