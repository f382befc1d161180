"""An example CoAP server, small enough to read in one go.

    python examples/server.py
    coap-client -m get coap://localhost/hello           -> hello
    coap-client -m get "coap://localhost/async?3"       -> done, three seconds later

It shows the two ways to answer late. /slow just awaits: the empty ACK leaves by itself.
/async registers the request and returns; the handler is called again when its time comes.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from datetime import datetime, timezone

import trio

from coapsep import (
    BadRequest,
    Code,
    ContentFormat,
    NotFound,
    Request,
    Response,
    Router,
    open_server,
    open_udp,
)

ABOUT = """\
This is the example server of coapsep, CoAP with structured concurrency.

/hello               a greeting
/time                the time (UTC)
/async?N             an answer after N seconds, by a pending request
/slow?N              the same, by awaiting
/counter             how often its handler ran
/example_data        GET, PUT and DELETE me
/.well-known/core    all of this for machines
"""
DAY = 24 * 60 * 60

router = Router()


@router.get("/", ct=ContentFormat.TEXT, title="General Info")
def about(request: Request) -> str:
    return ABOUT


@router.get("/hello", ct=ContentFormat.TEXT, title="Greeting")
def hello(request: Request) -> str:
    return "hello"


@router.get("/time", ct=ContentFormat.TEXT, title="Clock", rt="clock")
def time(request: Request) -> Response:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Response(Code.CONTENT, now, max_age=1)


# -- two ways to answer late -------------------------------------------------------------


def seconds_asked_for(request: Request, default: float = 5) -> float:
    """The N of ``?N``."""
    if not request.query:
        return default
    try:
        if not set(request.query[0]) <= set("0123456789.e+-"):
            raise ValueError  # float() would also take nan, 1_0, and digits of any script
        seconds = float(request.query[0])
    except ValueError:
        raise BadRequest("the query must be a number of seconds, such as ?5") from None
    if not 0 < seconds <= DAY:
        raise BadRequest(f"the seconds must be above 0 and at most {DAY}")
    return seconds


@router.get("/async", ct=ContentFormat.TEXT, title="Answer later, by a pending request")
def later(request: Request) -> str | None:
    if request.pending is None:  # the first pass: the client gets an empty ACK
        request.asyncs.register_async(request, delay=seconds_asked_for(request))
        return None
    return "done"  # the second pass: a message of its own


@router.get("/slow", ct=ContentFormat.TEXT, title="Answer later, by awaiting")
async def slow(request: Request) -> str:
    await trio.sleep(seconds_asked_for(request))
    return "done"


# -- resources with a state --------------------------------------------------------------


class Counter:
    """Each execution of its handler adds one; a copy of a request does not."""

    def __init__(self) -> None:
        self.value = 0

    def count(self, request: Request) -> str:
        self.value += 1
        return str(self.value)


class ExampleData:
    """A resource that clients create, change and delete."""

    def __init__(self) -> None:
        self.body: bytes | None = None
        self.content_format: int | None = None

    def get(self, request: Request) -> Response:
        if self.body is None:
            raise NotFound("PUT something here first")
        return Response(Code.CONTENT, self.body, content_format=self.content_format)

    def put(self, request: Request) -> Code:
        created = self.body is None
        self.body, self.content_format = request.payload, request.content_format
        return Code.CREATED if created else Code.CHANGED

    def delete(self, request: Request) -> Code:
        self.body = None
        return Code.DELETED


counter = Counter()
router.route("/counter", [Code.GET, Code.POST], ct=ContentFormat.TEXT, title="Executions")(
    counter.count
)
data = ExampleData()
router.get("/example_data", title="Example Data")(data.get)
router.put("/example_data")(data.put)
router.delete("/example_data")(data.delete)


# -- the command line --------------------------------------------------------------------


async def main(hosts: list[str] | None, port: int) -> str | None:
    """Serve until a signal. Returns what went wrong, for sys.exit to print."""
    try:
        transport = await open_udp(hosts, port)
    except OSError as exc:
        return str(exc.strerror)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with open_server(router, transport=transport) as server:
            if hosts is None and not any(address.is_ipv6 for address in server.addresses):
                print("no IPv6 on this host: IPv4 only")
            for address in server.addresses:
                print(f"listening on coap://{address}")
            print("READY", flush=True)
            await anext(signals)  # leaving the block ends the server at once
    return None


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="An example CoAP server.",
        epilog="Try: coap-client -m get coap://localhost/hello",
    )
    parser.add_argument(
        "--host",
        action="append",
        metavar="ADDRESS",
        help="listen here; may be given several times (default: everywhere, IPv4 and IPv6)",
    )
    parser.add_argument("--port", type=port_number, default=5683, help="UDP port (default: 5683)")
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="what to log to standard error (default: warning)",
    )
    return parser.parse_args()


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 (any free one) to 65535")
    return int(text)


if __name__ == "__main__":
    options = command_line()
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s %(message)s"
    )
    sys.exit(trio.run(main, options.host, options.port))
