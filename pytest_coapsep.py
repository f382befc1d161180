"""The pytest plugin: a virtual network, a server and a client as fixtures, in virtual time.

A module beside the package, since pytest loads it whenever it starts: nothing of coapsep and
Trio is imported before a test asks for a fixture. It stands on pytest-trio, which runs the
fixtures along with the test. The documentation is that of the fixtures and of the marker.
"""

from __future__ import annotations

import importlib
import inspect
import random
import re
import zlib
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeGuard

import pytest

if TYPE_CHECKING:
    from coapsep import Client, Router, Server
    from coapsep.testing import Conditions, Network
    from coapsep.trace import Trace

_MARKER = """\
coap(*, seed=0, conditions=None, icmp=False, trace_limit=None, ipv6=False): how the network of \
coap_network is. The first four are those of coapsep.testing.open_network; with ipv6, \
coap_server is at [2001:db8::1]:5683 and coap_client on 2001:db8::2. What a test leaves out \
its class or module may say."""

_HOSTS = ("10.0.0.1", "10.0.0.2")
_IPV6_HOSTS = ("2001:db8::1", "2001:db8::2")  # RFC 3849: for documentation


class _Settings(NamedTuple):
    """What the markers of a test say."""

    seed: int = 0
    conditions: Conditions | None = None
    icmp: bool = False
    trace_limit: int | None = None
    ipv6: bool = False

    @property
    def hosts(self) -> tuple[str, str]:
        """That of the server and that of the client."""
        return _IPV6_HOSTS if self.ipv6 else _HOSTS

    def rng(self, name: str) -> random.Random:
        """A generator for one of them: none draws what another one does."""
        return random.Random(f"{self.seed} {name}")


_SETTINGS = pytest.StashKey[_Settings]()
_TRACE = pytest.StashKey["Trace"]()


# -- fixtures ------------------------------------------------------------------------------


@pytest.fixture
async def coap_network(request: pytest.FixtureRequest) -> AsyncGenerator[Network, None]:
    """An open coapsep.testing.Network; a test that fails shows the ladder of all datagrams.

    The test is an async function. It runs with Trio, without a marker too, and in virtual
    time, which jumps to the next deadline when all tasks wait: no real sockets, then. If the
    test or a fixture of it takes a clock, such as pytest-trio's ``mock_clock``, that is the
    one. ``@pytest.mark.coap(seed=7, icmp=True)`` says how the network is; see
    ``pytest --markers``. More hosts than two are a line each::

        async with open_client(transport=coap_network.bind("10.0.0.3", 0)) as another:
    """
    from coapsep.testing import open_network

    settings = request.node.stash.get(_SETTINGS, None)
    if settings is None:  # too late for a clock
        raise RuntimeError(
            "coap_network was asked for with getfixturevalue: make it an argument of the test,"
            " or name it in pytest.mark.usefixtures"
        )
    async with open_network(
        seed=settings.seed,
        conditions=settings.conditions,
        trace_limit=settings.trace_limit,
        icmp=settings.icmp,
    ) as network:
        request.node.stash[_TRACE] = network.trace
        yield network


@pytest.fixture
def coap_router() -> Router:
    """The Router of coap_server: empty. Add handlers in the test, or override it to have some."""
    from coapsep import Router

    return Router()


@pytest.fixture
async def coap_server(
    request: pytest.FixtureRequest, coap_network: Network, coap_router: Router
) -> AsyncGenerator[Server, None]:
    """A Server of coap_router at 10.0.0.1:5683 on coap_network.

    An exception of a handler, unless it is a response such as NotFound, fails the test. Its
    random numbers follow from the marker's seed. One of other parameters is
    ``open_server(router, transport=coap_network.bind("10.0.0.1"), ...)``.
    """
    from coapsep import open_server

    settings = request.node.stash[_SETTINGS]
    async with open_server(
        coap_router,
        transport=coap_network.bind(settings.hosts[0]),
        rng=settings.rng("server"),
        handler_errors="raise",
    ) as server:
        yield server


@pytest.fixture
async def coap_client(
    request: pytest.FixtureRequest, coap_network: Network
) -> AsyncGenerator[Client, None]:
    """A Client at a free port of 10.0.0.2 on coap_network.

    Its random numbers follow from the marker's seed. The server need not be coap_server:
    whatever is bound on the network can be asked.
    """
    from coapsep import open_client

    settings = request.node.stash[_SETTINGS]
    async with open_client(
        transport=coap_network.bind(settings.hosts[1], 0), rng=settings.rng("client")
    ) as client:
        yield client


# -- the marker, and the clock ---------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(trylast=True)  # pytest-trio has marked its tests by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let tests on the network run in virtual time.

    pytest-trio looks for a clock among the test's own arguments only. What calls
    ``trio.run``, though, can be set by its marker.
    """
    if not _has_pytest_trio(config):
        return
    for item in items:
        if _is_on_network(item):
            given = [mark.kwargs.get("run") for mark in item.iter_markers("trio")]
            run = next(filter(None, given), None)
            if run is None:  # the setting names a module: trio or qtrio
                run = importlib.import_module(config.getini("trio_run")).run
            item.add_marker(pytest.mark.trio(run=partial(_run, item, run)), append=False)


def _run(item: pytest.Function, run: Callable[..., object], main: object, **options: Any) -> object:
    """``trio.run``, or what the test has in its place, with a clock."""
    from trio.abc import Clock
    from trio.testing import MockClock

    if options.get("clock") is None:  # the test takes none itself, but a fixture of it may
        found = {id(value): value for value in item.funcargs.values() if isinstance(value, Clock)}
        clocks = [*found.values()] or [MockClock(autojump_threshold=0)]
        if len(clocks) > 1:
            pytest.fail(f"{item.name} has fixtures with several clocks: {clocks}", pytrace=False)
        options["clock"] = clocks[0]
    return run(main, **options)


@pytest.hookimpl(tryfirst=True)  # before there are fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not _is_on_network(item):
        return
    if not _has_pytest_trio(item.config):
        pytest.fail(
            "coap_network needs pytest-trio, which is not installed or not loaded:"
            " pip install 'coapsep[testing]'",
            pytrace=False,
        )
    if not inspect.iscoroutinefunction(item.obj):
        pytest.fail(
            f"{item.name} uses coap_network, so it must be an async function. With hypothesis,"
            " whose examples would share it, call coapsep.testing.open_network in the test.",
            pytrace=False,
        )
    merged: dict[str, object] = {}
    for marker in item.iter_markers("coap"):  # the closest one first
        _check_marker(marker)
        merged = {**marker.kwargs, **merged}
    item.stash[_SETTINGS] = _Settings(**merged)  # type: ignore[arg-type]  # checked above


def _check_marker(marker: pytest.Mark) -> None:
    from coapsep.testing import Conditions

    kinds: Mapping[str, tuple[str, tuple[type, ...]]] = {
        "seed": ("an int", (int,)),
        "conditions": ("Conditions or None", (Conditions, type(None))),
        "icmp": ("True or False", (bool,)),
        "trace_limit": ("an int or None", (int, type(None))),
        "ipv6": ("True or False", (bool,)),
    }
    if marker.args:
        _refuse(f"its arguments have names, which {marker.args[0]!r} lacks")
    for name, value in marker.kwargs.items():
        if name not in kinds:
            _refuse(f"it has no argument {name!r}, only {', '.join(kinds)}")
        wanted, types = kinds[name]
        if not isinstance(value, types):
            _refuse(f"{name} is {wanted}, not {value!r}")


def _refuse(why: str) -> NoReturn:
    pytest.fail(f"pytest.mark.coap: {why}", pytrace=False)


def _is_on_network(item: pytest.Item) -> TypeGuard[pytest.Function]:
    return isinstance(item, pytest.Function) and "coap_network" in item.fixturenames


def _has_pytest_trio(config: pytest.Config) -> bool:
    try:
        config.getini("trio_mode")  # its own, whatever the name it was loaded by
    except ValueError:
        return False
    return True


# -- what a failure shows --------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("coapsep").addoption(
        "--coap-traces",
        metavar="DIR",
        help="keep what was on the network of each failed test, as pcapng and SVG files",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)  # outermost: a failure that was expected is none
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    trace = item.stash.get(_TRACE, None)
    if trace is not None and (report.failed or report.when == "teardown"):
        del item.stash[_TRACE]  # shown once, and not kept for the rest of the session
        if report.failed:
            report.sections.append(("CoAP ladder", _told(item, trace)))
    return report


def _told(item: pytest.Item, trace: Trace) -> str:
    """The ladder, and where the files are. The test's own failure comes first: none of ours."""
    try:
        text = trace.ladder()
    except Exception as exc:
        text = f"It cannot be drawn: {exc!r}\n"
    folder: str | None = item.config.getoption("--coap-traces")
    if folder is not None:
        try:  # the test may be in another directory
            path = _save(trace, item.config.invocation_params.dir / folder, item.nodeid)
            text += f"\nKept as {path}.svg and .pcapng\n"
        except Exception as exc:
            text += f"\nIt cannot be kept: {exc!r}\n"
    return text


def _save(trace: Trace, folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    # A file name has 255 bytes, and not all characters; the checksum tells the others apart.
    readable = re.sub(r"[^\w.=-]+", "_", name, flags=re.ASCII)[-200:]
    path = folder / f"{readable}-{zlib.crc32(name.encode()):08x}"
    Path(f"{path}.svg").write_text(trace.svg(), encoding="utf-8")
    trace.save_pcapng(f"{path}.pcapng")
    return path
