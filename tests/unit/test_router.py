"""Paths to handlers, without a server: what is found, what is refused, what is listed."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from coapsep import Code, ContentFormat, Handler, Link, Request, Result, Router


def handler(request: Request) -> str:
    return "sync"


async def async_handler(request: Request) -> str:
    return "async"


def found(router: Router, *path: str) -> tuple[str, dict[str, str]] | None:
    """The pattern of the resource at a path, and what its named parts are."""
    result = router.find(path)
    if result is None:
        return None
    resource, params = result
    return "/" + "/".join(resource.pattern), dict(params)


def handler_at(router: Router, *path: str, method: Code = Code.GET) -> Handler:
    result = router.find(path)
    assert result is not None
    return result[0].routes[method].handler


def targets(router: Router) -> list[str]:
    return [link.target for link in router.links()]


# -- paths -------------------------------------------------------------------------------


def test_an_empty_router_has_nothing() -> None:
    router = Router()
    assert router.find(()) is None
    assert router.find(("a",)) is None
    assert list(router.resources()) == []
    assert router.links() == []


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ()),
        ("/a", ("a",)),
        ("/a/b/c", ("a", "b", "c")),
        ("/a/", ("a", "")),
        ("//", ("", "")),
        ("/a//b", ("a", "", "b")),
        ("/größe", ("größe",)),
        ("/a b", ("a b",)),
        ("/%41", ("%41",)),
    ],
)
def test_a_path_is_split_at_its_slashes(path: str, segments: tuple[str, ...]) -> None:
    router = Router()
    router.get(path)(handler)
    assert handler_at(router, *segments) is handler
    (resource,) = router.resources()
    assert resource.pattern == segments


def test_the_empty_segment_counts() -> None:
    """/a and /a/ are two paths (RFC 7252 section 6.4), and so are / and an empty segment."""
    router = Router()
    router.get("/a")(handler)
    router.get("/")(handler)
    assert found(router, "a") == ("/a", {})
    assert found(router, "a", "") is None
    assert found(router, "") is None


def test_neither_the_start_nor_the_continuation_of_a_path_is_found() -> None:
    router = Router()
    router.get("/a/b")(handler)
    assert found(router) is None
    assert found(router, "a") is None
    assert found(router, "a", "b") == ("/a/b", {})
    assert found(router, "a", "b", "c") is None


def test_case_matters() -> None:
    router = Router()
    router.get("/a")(handler)
    assert found(router, "A") is None


def test_a_long_path_costs_nothing() -> None:
    router = Router()
    router.get("/{a}/{b}")(handler)
    assert found(router, *["x"] * 10_000) is None


# -- parameters --------------------------------------------------------------------------


def test_a_parameter_is_one_segment_whatever_it_holds() -> None:
    router = Router()
    router.get("/{name}")(handler)
    for segment in ("x", "", "ä ö", "a/b", "{name}", "?"):
        assert found(router, segment) == ("/{name}", {"name": segment})
    assert found(router) is None
    assert found(router, "x", "y") is None


def test_several_parameters() -> None:
    router = Router()
    router.get("/{a}/x/{b}/{c}")(handler)
    assert found(router, "1", "x", "2", "3") == (
        "/{a}/x/{b}/{c}",
        {"a": "1", "b": "2", "c": "3"},
    )
    assert found(router, "1", "y", "2", "3") is None


def test_each_resource_has_its_own_names() -> None:
    router = Router()
    router.get("/{a}/x")(handler)
    router.get("/{b}/y")(handler)
    router.get("/{c}")(handler)
    assert found(router, "1", "x") == ("/{a}/x", {"a": "1"})
    assert found(router, "1", "y") == ("/{b}/y", {"b": "1"})
    assert found(router, "1") == ("/{c}", {"c": "1"})


@pytest.mark.parametrize("path", ["/a{b}", "/{a}b", "/{a", "/a}", "/x{y}z"])
def test_braces_inside_a_segment_are_a_mistake(path: str) -> None:
    """They look like a name, and would only ever be 4.04."""
    with pytest.raises(ValueError, match="must be the whole of a segment"):
        Router().get(path)(handler)


@pytest.mark.parametrize("path", ["/.", "/a/..", "/" + "x" * 256, "/" + "\N{EURO SIGN}" * 86])
def test_a_segment_that_no_request_can_name(path: str) -> None:
    with pytest.raises(ValueError, match="no request can name"):
        Router().get(path)


def test_a_decorator_without_its_parentheses() -> None:
    with pytest.raises(TypeError, match=r"a path is a str, as in @router\.get"):
        Router().get(handler)  # type: ignore[arg-type]  # the mistake


@pytest.mark.parametrize("wrong", [None, "handler", 5])
def test_a_handler_that_cannot_be_called(wrong: object) -> None:
    with pytest.raises(TypeError, match="the handler of /a must be callable"):
        Router().get("/a")(wrong)  # type: ignore[type-var]  # the mistake


@pytest.mark.parametrize("ct", ["text", 65536, -1, (0, "x"), [70000]])
def test_a_content_format_that_is_none(ct: Any) -> None:
    with pytest.raises(ValueError, match="ct is a content format"):
        Router().get("/a", ct=ct)


def test_an_attribute_that_is_unknown() -> None:
    with pytest.raises(TypeError, match="a resource has no colour, size"):
        Router().get("/a", size=1, colour="red")  # type: ignore[call-arg]  # the mistake


# -- precedence --------------------------------------------------------------------------


@pytest.mark.parametrize("paths", [("/a", "/{x}"), ("/{x}", "/a")])
def test_a_segment_written_out_goes_first(paths: tuple[str, str]) -> None:
    router = Router()
    for path in paths:
        router.get(path)(handler)
    assert found(router, "a") == ("/a", {})
    assert found(router, "b") == ("/{x}", {"x": "b"})


@pytest.mark.parametrize("turned", [False, True])
def test_the_first_segment_decides_before_the_second(turned: bool) -> None:
    router = Router()
    paths = ["/a/{y}", "/{x}/b"]
    for path in reversed(paths) if turned else paths:
        router.get(path)(handler)
    assert found(router, "a", "b") == ("/a/{y}", {"y": "b"})
    assert found(router, "c", "b") == ("/{x}/b", {"x": "c"})
    assert found(router, "c", "c") is None


def test_a_dead_end_is_left_for_the_parameter() -> None:
    router = Router()
    router.get("/a/b")(handler)
    router.get("/{x}/c")(handler)
    router.get("/a/{y}/d")(handler)
    router.get("/{x}/{y}/{z}")(handler)
    assert found(router, "a", "b") == ("/a/b", {})
    assert found(router, "a", "c") == ("/{x}/c", {"x": "a"})
    assert found(router, "a", "b", "d") == ("/a/{y}/d", {"y": "b"})
    assert found(router, "a", "b", "e") == ("/{x}/{y}/{z}", {"x": "a", "y": "b", "z": "e"})


def test_a_node_on_the_way_is_no_resource() -> None:
    router = Router()
    router.get("/a/b/c")(handler)
    router.get("/{x}/b")(handler)
    assert found(router, "a", "b") == ("/{x}/b", {"x": "a"})


def test_the_path_decides_before_the_method() -> None:
    """A written path without the method is 4.05, and not the named one's business."""
    router = Router()
    router.post("/a")(handler)
    router.get("/{x}")(handler)
    result = router.find(("a",))
    assert result is not None
    assert set(result[0].routes) == {Code.POST}


# -- methods -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("get", Code.GET),
        ("post", Code.POST),
        ("put", Code.PUT),
        ("delete", Code.DELETE),
        ("fetch", Code.FETCH),
        ("patch", Code.PATCH),
        ("ipatch", Code.IPATCH),
    ],
)
def test_every_method_has_its_decorator(name: str, method: Code) -> None:
    router = Router()
    decorated = getattr(router, name)("/a", title="t", ct=50)(handler)
    assert decorated is handler
    (resource,) = router.resources()
    assert {code: route.handler for code, route in resource.routes.items()} == {method: handler}
    assert resource.routes[method].content_formats == (50,)
    assert resource.about["title"] == "t"


def test_one_handler_for_several_methods() -> None:
    router = Router()
    router.route("/a", (Code.GET, Code.PUT))(handler)
    router.delete("/a")(async_handler)
    (resource,) = router.resources()
    assert {code: route.handler for code, route in resource.routes.items()} == {
        Code.GET: handler,
        Code.PUT: handler,
        Code.DELETE: async_handler,
    }


def test_a_method_without_a_name() -> None:
    router = Router()
    router.route("/a", (Code(9),))(handler)
    assert handler_at(router, "a", method=Code(9)) is handler


def test_one_handler_at_several_paths() -> None:
    router = Router()
    router.get("/a")(router.get("/b")(handler))
    assert handler_at(router, "a") is handler_at(router, "b") is handler


def test_a_method_that_is_there_is_not_replaced() -> None:
    router = Router()
    router.get("/a/{x}")(handler)
    with pytest.raises(ValueError, match=r"^/a/\{x\} has a handler for GET already$"):
        router.get("/a/{x}")(async_handler)
    assert handler_at(router, "a", "1") is handler


@pytest.mark.parametrize("code", [Code.EMPTY, Code.CONTENT, Code.NOT_FOUND, Code(32), Code(255)])
def test_a_code_that_is_no_method(code: Code) -> None:
    router = Router()
    with pytest.raises(ValueError, match="is no method"):
        router.route("/a", (code,))(handler)


def test_a_refused_handler_leaves_nothing_behind() -> None:
    """Else the path answers 4.05 where it should 4.04, and /.well-known/core lists it."""
    router = Router()
    with pytest.raises(ValueError, match="is no method"):
        router.route("/a", (Code.GET, Code.CONTENT), title="t")(handler)
    assert found(router, "a") is None
    assert router.links() == []


def test_a_handler_for_no_method_is_refused() -> None:
    router = Router()
    with pytest.raises(ValueError, match="method"):
        router.route("/a", ())(handler)


# -- wrong patterns ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "a", "a/b", "{a}", " /a", "coap://h/a"])
def test_a_path_starts_with_a_slash(path: str) -> None:
    with pytest.raises(ValueError, match="starts with a slash"):
        Router().get(path)(handler)


@pytest.mark.parametrize("path", ["/{}", "/{a b}", "/{a-b}", "/{1}", "/x/{a.b}", "/{{a}}", "/{*}"])
def test_a_parameter_is_an_identifier(path: str) -> None:
    router = Router()
    with pytest.raises(ValueError, match="must hold a name"):
        router.get(path)(handler)
    assert list(router.resources()) == []


@pytest.mark.parametrize("path", ["/{a}/{a}", "/{a}/x/{b}/{a}"])
def test_a_name_stands_once(path: str) -> None:
    router = Router()
    with pytest.raises(ValueError, match="a name stands twice"):
        router.get(path)(handler)
    assert list(router.resources()) == []


def test_two_names_for_the_same_paths() -> None:
    router = Router()
    router.get("/a/{x}")(handler)
    with pytest.raises(ValueError, match=r"^/a/\{y\} and /a/\{x\} name the same paths$"):
        router.post("/a/{y}")(handler)
    assert found(router, "a", "1") == ("/a/{x}", {"x": "1"})


# -- mounting ----------------------------------------------------------------------------


def plant() -> Router:
    router = Router()
    router.get("/pump", rt="pump")(handler)
    router.put("/pump")(async_handler)
    router.get("/{tank}/level", ct=50)(handler)
    return router


@pytest.mark.parametrize("prefix", ["/plant", "/plant/"])
def test_mounted_below_a_path(prefix: str) -> None:
    router = Router()
    router.mount(prefix, plant())
    assert handler_at(router, "plant", "pump") is handler
    assert handler_at(router, "plant", "pump", method=Code.PUT) is async_handler
    assert found(router, "plant", "3", "level") == ("/plant/{tank}/level", {"tank": "3"})
    assert found(router, "pump") is None
    assert found(router, "plant") is None
    assert [str(link) for link in router.links()] == ['</plant/pump>;rt="pump"']
    result = router.find(("plant", "pump"))
    assert result is not None
    assert result[0].routes[Code.PUT].is_async
    result = router.find(("plant", "3", "level"))
    assert result is not None
    assert result[0].routes[Code.GET].content_formats == (50,)


def test_mounted_at_the_root() -> None:
    inner = plant()
    inner.get("/")(handler)
    router = Router()
    router.mount("/", inner)
    assert found(router, "pump") == ("/pump", {})
    assert found(router) == ("/", {})


def test_the_root_of_a_mounted_router_is_the_prefix() -> None:
    """A path is its segments: () below ("plant",) is ("plant",), and not ("plant", "")."""
    inner = Router()
    inner.get("/")(handler)
    router = Router()
    router.mount("/plant", inner)
    assert found(router, "plant") == ("/plant", {})
    assert found(router, "plant", "") is None
    assert targets(router) == ["/plant"]


def test_mounted_below_a_parameter() -> None:
    router = Router()
    router.mount("/{site}", plant())
    assert found(router, "north", "3", "level") == (
        "/{site}/{tank}/level",
        {"site": "north", "tank": "3"},
    )
    assert targets(router) == []


def test_a_name_of_the_prefix_stands_once_too() -> None:
    with pytest.raises(ValueError, match="a name stands twice"):
        Router().mount("/{tank}", plant())


def test_mounted_twice() -> None:
    inner = plant()
    router = Router()
    router.mount("/a", inner)
    router.mount("/b", inner)
    assert targets(router) == ["/a/pump", "/b/pump"]
    with pytest.raises(ValueError, match="/a/pump has a handler for GET already"):
        router.mount("/a", inner)


def test_mounted_on_mounted() -> None:
    middle, outer = Router(), Router()
    middle.mount("/m", plant())
    outer.mount("/o", middle)
    assert found(outer, "o", "m", "pump") == ("/o/m/pump", {})


def test_mounted_onto_what_is_there() -> None:
    router = Router()
    router.post("/plant/pump", title="Pump")(handler)
    router.mount("/plant", plant())
    result = router.find(("plant", "pump"))
    assert result is not None
    assert set(result[0].routes) == {Code.GET, Code.PUT, Code.POST}
    assert result[0].about["title"] == "Pump"
    assert result[0].about["rt"] == "pump"


def test_what_comes_later_is_not_mounted() -> None:
    inner, router = plant(), Router()
    router.mount("/plant", inner)
    inner.get("/valve")(handler)
    inner.delete("/pump")(handler)
    assert found(router, "plant", "valve") is None
    result = router.find(("plant", "pump"))
    assert result is not None
    assert Code.DELETE not in result[0].routes
    router.post("/plant/pump", title="outer")(handler)
    assert "title" not in next(iter(inner.resources())).about


def test_not_on_itself() -> None:
    router = plant()
    with pytest.raises(ValueError, match="on itself"):
        router.mount("/again", router)
    assert targets(router) == ["/pump"]


def test_a_prefix_starts_with_a_slash() -> None:
    with pytest.raises(ValueError, match="starts with a slash"):
        Router().mount("plant", plant())


def test_an_unlisted_resource_stays_so_when_mounted() -> None:
    inner, router = Router(), Router()
    inner.get("/a", listed=False)(handler)
    router.mount("/x", inner)
    assert found(router, "x", "a") == ("/x/a", {})
    assert router.links() == []


# -- what is known about a resource ------------------------------------------------------


def link_of(router: Router) -> Link:
    (link,) = router.links()
    return link


def test_everything_about_a_resource_is_in_its_link() -> None:
    router = Router()
    router.get("/t", rt=("temperature", "indoor"), if_="sensor", ct=(0, 50), sz=12, title='a "t"')(
        handler
    )
    assert str(link_of(router)) == (
        '</t>;rt="temperature indoor";if="sensor";ct="0 50";sz=12;title="a \\"t\\""'
    )


def test_nothing_known_is_a_bare_link() -> None:
    router = Router()
    router.get("/t")(handler)
    router.get("/")(handler)
    assert [str(link) for link in router.links()] == ["</t>", "</>"]


def test_the_methods_of_a_path_tell_it_together() -> None:
    router = Router()
    router.get("/t", rt="temperature", ct=50)(handler)
    router.put("/t", title="Set point")(handler)
    router.post("/t", sz=3)(handler)
    link = link_of(router)
    assert (link.get("rt"), link.get("ct"), link.get("title"), link.get("sz")) == (
        "temperature",
        "50",
        "Set point",
        "3",
    )


def test_what_is_said_last_holds() -> None:
    router = Router()
    router.get("/t", title="first")(handler)
    router.put("/t", title="second")(handler)
    assert link_of(router).get("title") == "second"


def test_content_formats_add_up_in_the_link_and_stay_apart_in_the_routes() -> None:
    router = Router()
    router.get("/t", ct=ContentFormat.JSON)(handler)
    router.put("/t", ct=(60, 50))(handler)
    router.post("/t")(handler)
    assert link_of(router).get("ct") == "50 60"
    (resource,) = router.resources()
    assert {code: route.content_formats for code, route in resource.routes.items()} == {
        Code.GET: (50,),
        Code.PUT: (60, 50),
        Code.POST: (),
    }


def test_format_zero_is_a_format() -> None:
    router = Router()
    router.get("/t", ct=0)(handler)
    assert str(link_of(router)) == "</t>;ct=0"
    (resource,) = router.resources()
    assert resource.routes[Code.GET].content_formats == (0,)


@pytest.mark.parametrize("first", [True, False])
def test_unlisted_by_one_method_is_unlisted(first: bool) -> None:
    router = Router()
    router.get("/t", listed=first)(handler)
    router.put("/t", listed=not first)(handler)
    router.post("/t")(handler)
    assert router.links() == []
    assert found(router, "t") == ("/t", {})


def test_links_are_in_the_order_of_adding_and_without_patterns() -> None:
    router = Router()
    for path in ("/z", "/{x}", "/a/{y}", "/a", "/z/1"):
        router.get(path)(handler)
    router.put("/z")(handler)
    assert targets(router) == ["/z", "/a", "/z/1"]


def test_listed_is_no_attribute() -> None:
    router = Router()
    router.get("/t", listed=True)(handler)
    assert str(link_of(router)) == "</t>"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/a b", "/a%20b"),
        ("/größe", "/gr%C3%B6%C3%9Fe"),
        ("/a?b", "/a%3Fb"),
        ("/a#b", "/a%23b"),
        ("/50%", "/50%25"),
        ("/<a>", "/%3Ca%3E"),
        ("/~a/b.c_d-e", "/~a/b.c_d-e"),
        ("/a=1,b;c:@!$&'()*+", "/a=1,b;c:@!$&'()*+"),
    ],
)
def test_a_link_is_a_uri_reference(path: str, target: str) -> None:
    """RFC 6690 section 2: the target is a URI-Reference, so percent-encoded (RFC 3986)."""
    router = Router()
    router.get(path)(handler)
    assert targets(router) == [target]


# -- sync or async -----------------------------------------------------------------------


def is_async(function: Handler) -> bool:
    router = Router()
    router.get("/a")(function)
    (resource,) = router.resources()
    return resource.routes[Code.GET].is_async


class Plain:
    def __call__(self, request: Request) -> str:
        return "sync"

    def method(self, request: Request) -> str:
        return "sync"

    async def async_method(self, request: Request) -> str:
        return "async"

    @staticmethod
    async def static(request: Request) -> str:
        return "async"

    @classmethod
    async def of_class(cls, request: Request) -> str:
        return "async"


class Waiting:
    async def __call__(self, request: Request) -> str:
        return "async"


def two(first: int, request: Request) -> str:
    return "sync"


async def async_two(first: int, request: Request) -> str:
    return "async"


@functools.wraps(async_handler)
def wrapper(request: Request) -> Awaitable[str]:
    return async_handler(request)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (handler, False),
        (lambda request: "sync", False),
        (Plain(), False),
        (Plain().method, False),
        (functools.partial(two, 1), False),
        (functools.partial(functools.partial(two), 1), False),
        (functools.partial(Plain()), False),
        (async_handler, True),
        (Waiting(), True),
        (Plain().async_method, True),
        (Plain.static, True),
        (Plain.of_class, True),
        (functools.partial(async_two, 1), True),
        (functools.partial(functools.partial(async_two), 1), True),
        (functools.partial(Waiting()), True),
        (functools.partial(Plain().async_method), True),
        # These give a coroutine, but only calling them tells; the server does.
        (lambda request: async_handler(request), False),
        (wrapper, False),
    ],
)
def test_what_is_async(function: Callable[[Request], Result], expected: bool) -> None:
    assert is_async(function) is expected


class Decorated:
    """As decorators are often written: it keeps what it wraps as ``func``."""

    def __init__(self, func: object) -> None:
        self.func = func

    async def __call__(self, request: Request) -> str:
        return "async"


def test_an_object_that_has_a_func_is_asked_itself() -> None:
    """Only of a partial is ``func`` what is called."""
    assert is_async(Decorated(handler))
    assert is_async(functools.partial(Decorated(handler)))


class Bottomless:
    """Like a Mock, it has every attribute, all the way down."""

    def __init__(self) -> None:
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.asked += 1
        assert self.asked < 100, "the search for its func does not end"
        return self

    def __call__(self, request: Request) -> str:
        return "sync"


def test_a_mock_can_be_a_handler() -> None:
    assert not is_async(Bottomless())


class Answer:
    """Awaitable, and no coroutine."""

    def __await__(self) -> Generator[Any, Any, str]:
        yield
        return "later"


def test_a_function_that_gives_an_awaitable_is_not_async_itself() -> None:
    assert not is_async(lambda request: Answer())
