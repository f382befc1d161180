"""CoAP in front of a slow HTTP backend, with a deadline (needs httpx).

    python examples/http_gateway.py --backend http://localhost:8000
    coap-client -m get coap://localhost/backend/index.html

The handler just awaits the backend. If that takes longer than a moment, the client gets its
empty ACK by itself, and the answer as a message of its own. Three things can go wrong, and
each has its answer: the backend is late (5.04), the backend fails (5.02), or the client does
not wait any more, which it shows by using its token for another request. Then the HTTP call
is cancelled: nobody would read its result.
"""

from __future__ import annotations

import argparse
import signal
from urllib.parse import quote

import httpx
import trio

from coapsep import (
    BadGateway,
    Code,
    ContentFormat,
    GatewayTimeout,
    NotFound,
    Request,
    Response,
    Router,
    open_server,
)

#: Bytes of a body that fit in one datagram on any network (RFC 7252 section 4.6).
LARGEST = 1024
FORMATS = {
    "text/plain": ContentFormat.TEXT,
    "application/json": ContentFormat.JSON,
    "application/cbor": ContentFormat.CBOR,
    "application/xml": ContentFormat.XML,
}


def make_router(http: httpx.AsyncClient, deadline: float) -> Router:
    """/backend/{name} is what the HTTP server has at /{name}."""
    router = Router()

    @router.get("/backend/{name}")
    async def backend(request: Request) -> Response:
        with trio.move_on_after(deadline) as late:
            fetched = await while_wanted(request, http, request.params["name"])
        if late.cancelled_caught:
            raise GatewayTimeout(f"no answer from the backend in {deadline:g} s")
        if fetched is None:
            return Response(Code.GATEWAY_TIMEOUT)  # to nobody: it will not be sent
        if fetched.status_code == 404:
            raise NotFound
        if not fetched.is_success:  # a redirection is not ours to follow
            raise BadGateway(f"the backend says {fetched.status_code}")
        if len(fetched.content) > LARGEST:
            raise BadGateway("the backend sent more than fits in a message")
        kind = fetched.headers.get("content-type", "").partition(";")[0]
        return Response(Code.CONTENT, fetched.content, content_format=FORMATS.get(kind))

    return router


async def while_wanted(
    request: Request, http: httpx.AsyncClient, name: str
) -> httpx.Response | None:
    """GET from the backend, for as long as the client wants it; None if it does not."""
    fetched = None
    async with trio.open_nursery() as nursery:

        async def give_up() -> None:
            await request.wait_abandoned()
            nursery.cancel_scope.cancel()

        nursery.start_soon(give_up)
        try:
            # One segment of the path, whatever the client put into it.
            fetched = await http.get(f"/{quote(name, safe='')}")
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            raise BadGateway(f"the backend failed: {type(exc).__name__}") from exc
        nursery.cancel_scope.cancel()
    return fetched


async def main(host: str | None, port: int, backend: str, deadline: float) -> None:
    # The deadline is ours to keep, so httpx needs none of its own.
    async with httpx.AsyncClient(base_url=backend, timeout=None) as http:
        router = make_router(http, deadline)
        async with open_server(router, host=host, port=port) as server:
            for address in server.addresses:
                print(f"listening on coap://{address}")
            print("READY", flush=True)
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                await anext(signals)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="CoAP in front of an HTTP backend.")
    parser.add_argument("--host", help="listen here (default: everywhere)")
    parser.add_argument("--port", type=int, default=5683, help="UDP port (default: 5683)")
    parser.add_argument("--backend", required=True, help="URL of the HTTP server")
    parser.add_argument(
        "--deadline", type=float, default=20, help="seconds the backend has (default: 20)"
    )
    options = parser.parse_args()
    trio.run(main, options.host, options.port, options.backend, options.deadline)
