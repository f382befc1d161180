"""/.well-known/core (RFC 6690): what a server has, for a client that asks."""

from __future__ import annotations

from coapsep.errors import NotFound
from coapsep.message.linkformat import dump, matches
from coapsep.message.response import Response
from coapsep.numbers import Code, ContentFormat
from coapsep.server.request import Request
from coapsep.server.router import Route, Router

PATH = (".well-known", "core")


def discovery(router: Router) -> Route:
    """The route that lists a router's resources, filtered as the query says (section 4.1)."""

    def well_known_core(request: Request) -> Response:
        links = [link for link in router.links() if matches(link, request.query)]
        if request.by_multicast and not links:
            raise NotFound("nothing here matches")  # no answer: others have more to say
        return Response(
            Code.CONTENT, dump(links).encode(), content_format=ContentFormat.LINK_FORMAT
        )

    return Route(well_known_core, is_async=False, content_formats=(ContentFormat.LINK_FORMAT,))
