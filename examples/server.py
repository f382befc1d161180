"""An example CoAP server, small enough to read in one go.

    python examples/server.py
    coap-client -m get coap://localhost/hello           -> hello
    coap-client -m get "coap://localhost/async?3"       -> done, three seconds later
    coap-client -s 5 coap://localhost/obs               -> a number every second
    coap-client -m put -f FILE coap://localhost/upload  -> its size and SHA-256

It shows the two ways to answer late. /slow just awaits: the empty ACK leaves by itself.
/async registers the request and returns; the handler is called again when its time comes.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
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
    Server,
    StreamingResponse,
    Workers,
    open_server,
    open_workers,
)

ABOUT = """\
This is the example server of coapsep, CoAP with structured concurrency.

/hello               a greeting
/time                the time (UTC)
/async?N             an answer after N seconds, by a pending request
/slow?N              the same, by awaiting
/counter             how often its handler ran
/example_data        GET, PUT and DELETE me
/obs                 the seconds since the start; observe me
/large?N             N bytes (10000)
/upload              PUT or POST of any size: answers with size and SHA-256
/.well-known/core    all of this for machines
"""
DAY = 24 * 60 * 60
STARTED = datetime.now(timezone.utc)
#: Bytes that /large makes at once; what is longer is made while it is fetched.
AT_ONCE = 100_000
GIGABYTE = 1_000_000_000

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


# -- observed, long, and long in coming --------------------------------------------------


@router.get("/obs", ct=ContentFormat.TEXT, title="Seconds since the start", observable=True)
async def count_seconds(request: Request) -> AsyncGenerator[Response, None]:
    """Each observer gets what is yielded; whoever just asks gets the first of it."""
    while True:
        up = (datetime.now(timezone.utc) - STARTED).total_seconds()
        yield Response(Code.CONTENT, str(int(up)), max_age=5)
        await trio.sleep(1 - up % 1)


def line(number: int) -> bytes:
    return b"%15d\n" % (number * 16)  # where it stands


async def lines(size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, size, 1024):
        block = b"".join(line((start + i) // 16) for i in range(0, 1024, 16))
        yield block[: size - start]


@router.get("/large", ct=ContentFormat.TEXT, title="A long text")
def large(request: Request) -> Response | StreamingResponse:
    text = request.query[0] if request.query else "10000"
    if not (text.isdecimal() and len(text) <= 10 and int(text) <= GIGABYTE):
        raise BadRequest(f"the query must be a number of bytes up to {GIGABYTE}, such as ?5000")
    size = int(text)
    if size <= AT_ONCE:
        whole = b"".join(map(line, range(size // 16 + 1)))[:size]
        return Response(Code.CONTENT, whole, content_format=ContentFormat.TEXT)
    return StreamingResponse(lines(size), size=size, content_format=ContentFormat.TEXT)


@router.route("/upload", [Code.PUT, Code.POST], title="Tells size and SHA-256", stream=True)
async def upload(request: Request) -> str:
    """It is never in memory as a whole."""
    digest, size = hashlib.sha256(), 0
    async for chunk in request.body:
        digest.update(chunk)
        size += len(chunk)
    return f"{size} bytes, SHA-256 {digest.hexdigest()}"


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


async def main(hosts: list[str] | None, port: int, workers: int, log_level: str) -> str | None:
    """Serve until a signal. Returns what went wrong, for sys.exit to print."""
    opened: AbstractAsyncContextManager[Server | Workers]
    if workers > 1:
        target = f"{__file__}:router"
        opened = open_workers(target, workers, host=hosts, port=port, log_level=log_level)
    else:
        opened = open_server(router, host=hosts, port=port)
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        try:
            async with opened as server:
                if hosts is None and not any(address.is_ipv6 for address in server.addresses):
                    print("no IPv6 on this host: IPv4 only")
                for address in server.addresses:
                    print(f"listening on coap://{address}")
                print("READY", flush=True)
                await anext(signals)  # leaving the block ends the server at once
        except OSError as exc:
            return str(exc.strerror)
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
        "--workers", type=int, default=1, metavar="N", help="serve in N processes (default: 1)"
    )
    parser.add_argument(
        "--stateless",
        action="store_true",
        help="with several workers, each has its own /counter, /example_data, and /obs: so be it",
    )
    parser.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="warning",
        help="what to log to standard error (default: warning)",
    )
    options = parser.parse_args()
    if options.workers > 1 and not options.stateless:
        parser.error(
            "/counter and /example_data have a state, which workers do not share: "
            "--stateless says that this does not matter"
        )
    return options


def port_number(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 (any free one) to 65535")
    return int(text)


if __name__ == "__main__":
    options = command_line()
    logging.basicConfig(
        level=options.log_level.upper(), format="%(levelname)s %(name)s %(message)s"
    )
    sys.exit(trio.run(main, options.host, options.port, options.workers, options.log_level))
