"""Paths to handlers."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, TypedDict, TypeVar, cast

import attrs

from coapsep.message.linkformat import Link
from coapsep.message.response import Response
from coapsep.message.uri import write_segment
from coapsep.numbers import Code
from coapsep.server.request import Request
from coapsep.server.streaming import StreamingResponse

if sys.version_info >= (3, 11):
    from typing import Unpack
elif TYPE_CHECKING:  # nothing evaluates it at run time
    from typing_extensions import Unpack

#: What a handler may return: a Response; a payload, whose code follows from the method; a
#: code, with or without a payload; None after ``register_async``; a body that is produced as it
#: is fetched, as a StreamingResponse or just an async iterable of bytes.
Result: TypeAlias = (
    Response
    | StreamingResponse
    | bytes
    | str
    | Code
    | tuple[Code, bytes | str]
    | AsyncIterable[bytes]
    | None
)
#: A function, sync or async; or an async generator, which yields the parts of one body, or
#: on a route that is observable one representation after the other.
Handler: TypeAlias = (
    Callable[[Request], Result]
    | Callable[[Request], Awaitable[Result]]
    | Callable[[Request], AsyncIterable[Result]]
)
_H = TypeVar("_H", bound=Handler)
#: What is said of a handler, and is no attribute of a link.
_ABOUT_HANDLERS = frozenset({"listed", "observable", "stream", "conditional"})
_NO_NAMES: Mapping[str, str] = MappingProxyType({})


@attrs.frozen(eq=False)
class Route:
    """One method of one resource."""

    handler: Handler
    is_async: bool
    #: The content formats it answers in; () leaves that to the handler.
    content_formats: tuple[int, ...] = ()
    #: What its tasks are called.
    name: str = "handler"
    #: GET and FETCH may observe it (RFC 7641).
    observable: bool = False
    #: Its handler reads the body as it arrives.
    stream: bool = False
    #: Its handler looks at If-Match and If-None-Match.
    conditional: bool = False


class About(TypedDict, total=False):
    """What /.well-known/core says of a resource (RFC 6690 section 3)."""

    rt: str | Sequence[str]
    """Resource types."""
    if_: str | Sequence[str]
    """Interface descriptions."""
    ct: int | Sequence[int]
    """Content formats. Also a promise: a request that accepts none of them is answered
    4.06, and the handler does not run."""
    sz: int
    """Size of the representation, bytes."""
    title: str
    """A text for people."""
    listed: bool
    """False keeps the resource out of the list."""
    observable: bool
    """Clients may observe it (RFC 7641): ``Server.notify`` asks the handler again. One that is
    an async generator is asked for its next representation instead."""
    stream: bool
    """The handler reads ``request.body`` as it arrives, instead of ``request.payload``."""
    conditional: bool
    """The handler calls ``request.check_preconditions``. Where none does, If-Match and
    If-None-Match are 4.02: to ignore them could do harm."""


class Resource:
    """What stands at one path: its methods, and what is known about it."""

    __slots__ = ("about", "names", "pattern", "routes")

    def __init__(self, pattern: tuple[str, ...]) -> None:
        self.pattern: tuple[str, ...] = pattern
        #: Where a named segment stands, and its name.
        self.names: tuple[tuple[int, str], ...] = tuple(
            (i, name) for i, s in enumerate(pattern) if (name := _parameter(s))
        )
        self.routes: dict[Code, Route] = {}
        self.about: About = About()

    def describe(self, about: About) -> None:
        """Add what is known; the methods of one path tell it together."""
        formats = (*_formats(self.about.get("ct")), *_formats(about.get("ct")))
        listed = self.about.get("listed", True) and about.get("listed", True)
        self.about.update(about)
        self.about["listed"] = listed
        if formats:
            self.about["ct"] = tuple(dict.fromkeys(formats))

    def link(self) -> Link:
        """Its line in /.well-known/core."""
        named = {k: v for k, v in self.about.items() if k not in _ABOUT_HANDLERS}
        if any(route.observable for route in self.routes.values()):
            named["obs"] = True
        target = _join(tuple(map(write_segment, self.pattern)))
        return Link.of(target, **cast("dict[str, str | int]", named))


class _Node:
    """One segment of the tree of paths."""

    __slots__ = ("children", "parameter", "resource")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.resource: Resource | None = None


class Router:
    """A tree of resources.

    ::

        router = Router()

        @router.get("/sensors/{name}")
        async def read(request): ...

        router.mount("/plant", other_router)

    A path is split at its slashes; ``{name}`` stands for one segment, whatever it holds (a
    slash, or nothing), which the handler finds in ``request.params``. A segment written out
    goes before a named one. Adding a method twice is a ValueError, and so is one path under
    two names.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._resources: list[Resource] = []
        #: Paths without a named part need no search: a written segment goes first anyway.
        self._exact: dict[tuple[str, ...], Resource] = {}

    # -- adding ----------------------------------------------------------------------

    def route(
        self, path: str, methods: Iterable[Code], **about: Unpack[About]
    ) -> Callable[[_H], _H]:
        """Add a handler, sync or async, for some methods of a path; see ``About``."""
        pattern = split(path)
        formats = _formats(about.get("ct"))
        unknown = about.keys() - About.__annotations__.keys()
        if unknown:
            raise TypeError(f"a resource has no {', '.join(sorted(unknown))}; see About")

        def add(handler: _H) -> _H:
            if not callable(handler):
                raise TypeError(f"the handler of {path} must be callable, unlike {handler!r}")
            route = Route(
                handler,
                _is_async(handler),
                formats,
                f"{path} {getattr(handler, '__qualname__', handler)}",
                about.get("observable", False),
                about.get("stream", False),
                about.get("conditional", False),
            )
            codes = tuple(map(Code, methods))
            if route.observable and not set(codes) <= {Code.GET, Code.FETCH}:
                raise ValueError(f"only GET and FETCH can be observed, not all methods of {path}")
            if route.observable and route.stream:
                raise ValueError(f"{path}: a body that is read as it arrives is not there again")
            self._add(pattern, dict.fromkeys(codes, route), about)
            return handler

        return add

    def get(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for GET."""
        return self.route(path, (Code.GET,), **about)

    def post(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for POST."""
        return self.route(path, (Code.POST,), **about)

    def put(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for PUT."""
        return self.route(path, (Code.PUT,), **about)

    def delete(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for DELETE."""
        return self.route(path, (Code.DELETE,), **about)

    def fetch(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for FETCH (RFC 8132)."""
        return self.route(path, (Code.FETCH,), **about)

    def patch(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for PATCH (RFC 8132)."""
        return self.route(path, (Code.PATCH,), **about)

    def ipatch(self, path: str, **about: Unpack[About]) -> Callable[[_H], _H]:
        """Add a handler for iPATCH (RFC 8132)."""
        return self.route(path, (Code.IPATCH,), **about)

    def mount(self, prefix: str, router: Router) -> None:
        """Add all resources of another router, as they are now, below a path."""
        if router is self:
            raise ValueError("a router cannot be mounted on itself")
        above = split(prefix.rstrip("/") or "/")
        for other in router.resources():
            self._add((*above, *other.pattern), other.routes, other.about)

    def _add(self, pattern: tuple[str, ...], routes: Mapping[Code, Route], about: About) -> None:
        """Add all of it, or nothing."""
        if not routes:
            raise ValueError(f"{_join(pattern)} needs a method")
        for method in routes:
            if not method.is_request:
                raise ValueError(f"{method} is no method")
        names = [name for name in map(_parameter, pattern) if name is not None]
        if len(set(names)) != len(names):
            raise ValueError(f"a name stands twice in {_join(pattern)!r}")
        found = _find(self._root, pattern, 0, exactly=True)
        if found is not None:
            if found.pattern != pattern:
                raise ValueError(f"{_join(pattern)} and {_join(found.pattern)} name the same paths")
            for method in routes:
                if method in found.routes:
                    raise ValueError(f"{_join(pattern)} has a handler for {method} already")
        resource = found or self._grow(pattern)
        resource.routes.update(routes)
        resource.describe(about)

    def _grow(self, pattern: tuple[str, ...]) -> Resource:
        node = self._root
        for segment in pattern:
            if _parameter(segment) is None:
                node = node.children.setdefault(segment, _Node())
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
        resource = node.resource = Resource(pattern)
        self._resources.append(resource)
        if not resource.names:
            self._exact[pattern] = resource
        return resource

    # -- finding ---------------------------------------------------------------------

    def resources(self) -> Iterator[Resource]:
        """All resources, in the order in which they were added."""
        return iter(self._resources)

    def find(self, path: tuple[str, ...]) -> tuple[Resource, Mapping[str, str]] | None:
        """The resource at a path, and the named parts of it."""
        resource = self._exact.get(path)
        if resource is not None:
            return resource, _NO_NAMES
        resource = _find(self._root, path, 0)
        if resource is None:
            return None
        return resource, {name: path[i] for i, name in resource.names}

    def links(self) -> list[Link]:
        """The links of /.well-known/core. A path with a named part is no link."""
        return [
            resource.link()
            for resource in self._resources
            if resource.about.get("listed", True) and not resource.names
        ]


def _find(
    node: _Node, path: tuple[str, ...], depth: int, *, exactly: bool = False
) -> Resource | None:
    """The resource at a path; ``exactly`` is for a pattern, whose names stand for names only."""
    if depth == len(path):
        return node.resource
    named = exactly and _parameter(path[depth]) is not None
    child = None if named else node.children.get(path[depth])
    found = None if child is None else _find(child, path, depth + 1, exactly=exactly)
    if found is None and node.parameter is not None and (named or not exactly):
        found = _find(node.parameter, path, depth + 1, exactly=exactly)
    return found


def _formats(ct: int | Sequence[int] | None) -> tuple[int, ...]:
    formats = () if ct is None else (ct,) if isinstance(ct, int) else tuple(ct)
    for number in formats:
        if not isinstance(number, int) or not 0 <= number <= 65535:
            raise ValueError(f"ct is a content format from 0 to 65535, not {number!r}")
    return formats


def resource_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path of a resource: one empty segment is the same URI as none (RFC 7252 section 6.5)."""
    return () if path == ("",) else path


def split(path: str) -> tuple[str, ...]:
    """The segments of a path. Raises ValueError or TypeError for what is none."""
    if not isinstance(path, str):
        raise TypeError(f'a path is a str, as in @router.get("/hello"), unlike {path!r}')
    if not path.startswith("/"):
        raise ValueError(f"a path starts with a slash, unlike {path!r}")
    pattern = () if path == "/" else tuple(path[1:].split("/"))
    for segment in pattern:
        if segment in (".", "..") or len(segment.encode()) > 255:
            raise ValueError(f"no request can name the segment {segment!r} of {path!r}")
    return pattern


def _join(pattern: tuple[str, ...]) -> str:
    return "/" + "/".join(pattern)


def _parameter(segment: str) -> str | None:
    """The name in ``{name}``; None for a segment written out."""
    if not (segment.startswith("{") and segment.endswith("}")):
        if "{" in segment or "}" in segment:
            raise ValueError(f"{{name}} must be the whole of a segment, unlike {segment!r}")
        return None
    name = segment[1:-1]
    if not name.isidentifier():
        raise ValueError(f"{segment!r} must hold a name, such as {{name}}")
    return name


def _is_async(handler: Handler) -> bool:
    """Whether calling it gives a coroutine; partials and callable objects included."""
    function: object = handler
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # it is the method that is asked about
    )
