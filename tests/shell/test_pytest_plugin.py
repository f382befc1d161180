"""The pytest plugin: its fixtures, its marker, virtual time, and where it does not fit."""

from __future__ import annotations

import sys

import pytest

from tests.shell.suite import GREETING, Suite

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    return Suite(pytester, ini="")


# -- the fixtures ------------------------------------------------------------------------


@pytest.mark.parametrize("ini", ["", "trio_mode = true", "trio_mode = false"])
@pytest.mark.parametrize("marker", ["", "@pytest.mark.trio"])
def test_a_lifetime_passes_at_once(pytester: pytest.Pytester, ini: str, marker: str) -> None:
    result = Suite(pytester, ini).run(
        GREETING
        + marker
        + """
async def test_hello(coap_server, coap_client):
    response = await coap_client.get("coap://10.0.0.1/hello")
    assert response.text == "hello"
    await trio.sleep(247)
    assert virtual() and 247 < trio.current_time() < 248
"""
    )
    result.assert_outcomes(passed=1)


def test_who_is_where(suite: Suite) -> None:
    result = suite.run(
        GREETING
        + """
async def test_ipv4(coap_network, coap_server, coap_client):
    assert coap_server.addresses == (Address("10.0.0.1", 5683),)
    await coap_client.get(coap_server.addresses[0], "/hello")
    assert coap_network.trace[0].source.host == "10.0.0.2"

@pytest.mark.coap(ipv6=True)
async def test_ipv6(coap_network, coap_server, coap_client):
    assert coap_server.addresses == (Address("2001:db8::1", 5683),)
    await coap_client.get("coap://[2001:db8::1]/hello")
    assert coap_network.trace[0].source.host == "2001:db8::2"

async def test_one_more(coap_network, coap_server):
    async with open_client(transport=coap_network.bind("10.0.0.3", 0)) as another:
        assert (await another.get("coap://10.0.0.1/hello")).text == "hello"

async def test_handlers_from_the_test_itself(coap_router, coap_server, coap_client):
    coap_router.get("/late")(lambda request: "late")
    assert (await coap_client.get("coap://10.0.0.1/late")).text == "late"
"""
    )
    result.assert_outcomes(passed=4)


def test_random_numbers_follow_from_the_seed(suite: Suite) -> None:
    result = suite.run(
        GREETING
        + """
runs = []

@pytest.mark.parametrize("", [
    pytest.param(marks=pytest.mark.coap(seed=1)),
    pytest.param(marks=pytest.mark.coap(seed=1)),
    pytest.param(marks=pytest.mark.coap(seed=2)),
])
async def test_messages(coap_network, coap_server, coap_client):
    for _ in range(3):
        await coap_client.get("coap://10.0.0.1/hello")
    runs.append([datagram.data for datagram in coap_network.trace])

def test_compare():
    first, again, other = runs
    assert first == again != other
"""
    )
    result.assert_outcomes(passed=4)


def test_an_exception_of_a_handler_fails_the_test(suite: Suite) -> None:
    result = suite.run(
        """
async def test_asks(coap_router, coap_server, coap_client):
    @coap_router.get("/")
    async def broken(request):
        raise ZeroDivisionError("of the handler")

    with trio.move_on_after(1000):
        await coap_client.get("coap://10.0.0.1/")
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*ZeroDivisionError: of the handler", "*EndpointCrashed*"])


# -- the marker --------------------------------------------------------------------------


def test_the_marker_says_how_the_network_is(suite: Suite) -> None:
    result = suite.run(
        """
@pytest.mark.coap(conditions=Conditions(delay=2))
class TestSlow:
    async def test_delay(self, coap_server, coap_client):
        await coap_client.ping(Address("10.0.0.1", 5683))
        assert 4 <= trio.current_time() < 4.1

    @pytest.mark.coap(icmp=True, trace_limit=1)
    async def test_more_of_it(self, coap_network, coap_client):
        coap_network.add_host("10.0.0.1")
        with pytest.raises(PeerUnreachable):
            await coap_client.get("coap://10.0.0.1/")
        assert 4 <= trio.current_time() < 4.1
        assert len(coap_network.trace) == 1

    @pytest.mark.coap(conditions=None)
    async def test_the_closest_one_holds(self, coap_server, coap_client):
        await coap_client.ping(Address("10.0.0.1", 5683))
        assert trio.current_time() < 0.1
"""
    )
    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("7", "its arguments have names, which 7 lacks"),
        ("sed=7", "it has no argument 'sed', only seed, conditions, icmp, trace_limit, ipv6"),
        ("seed='7'", "seed is an int, not '7'"),
        ("conditions=0.3", "conditions is Conditions or None, not 0.3"),
        ("icmp=None", "icmp is True or False, not None"),
        ("ipv6=1", "ipv6 is True or False, not 1"),
        ("trace_limit=1.5", "trace_limit is an int or None, not 1.5"),
    ],
)
def test_a_wrong_marker_is_an_error(suite: Suite, arguments: str, complaint: str) -> None:
    result = suite.run(
        f"@pytest.mark.coap({arguments})\nasync def test_it(coap_network):\n    pass\n"
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"pytest.mark.coap: {complaint}"])


def test_pytest_explains_marker_and_fixtures(suite: Suite) -> None:
    result = suite.run("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.coap(*, seed=0, *): how the network *"])
    result = suite.run("", "--fixtures")
    about = [line for line in result.outlines if line.startswith("coap_")]
    assert len(about) == 4
    for line in about:
        documentation = result.outlines[result.outlines.index(line) + 1]
        assert documentation.startswith("    ") and "no docstring" not in documentation


# -- the clock ---------------------------------------------------------------------------


def test_a_clock_of_the_test_or_its_fixtures_is_the_one(suite: Suite) -> None:
    result = suite.run(
        """
async def test_of_the_test(coap_network, autojump_clock):
    assert trio.lowlevel.current_clock() is autojump_clock

async def test_that_stands_still(coap_network, mock_clock):
    assert trio.lowlevel.current_clock() is mock_clock
    mock_clock.jump(7)
    assert trio.current_time() == 7

@pytest.fixture
def later(mock_clock):
    mock_clock.jump(100)
    return mock_clock

@pytest.mark.usefixtures("later")
async def test_of_a_fixture(coap_network):
    assert trio.current_time() == 100

@pytest.fixture
def another(later, autojump_clock):
    return None

@pytest.mark.usefixtures("another")
async def test_of_two_fixtures(coap_network):
    pass
"""
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["test_of_two_fixtures has fixtures with several clocks: *"])


def test_other_tests_keep_their_time(suite: Suite) -> None:
    result = suite.run(
        """
@pytest.mark.trio
async def test_it():
    assert not virtual()
"""
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("ini", ["", "trio_mode = true"])
def test_what_runs_the_test_stays(pytester: pytest.Pytester, ini: str) -> None:
    result = Suite(pytester, ini).run(
        """
ran = []

def run(main, **options):
    ran.append(options["clock"])
    return trio.run(main, **options)

@pytest.mark.trio(run=run)
async def test_it(coap_network):
    assert ran == [trio.lowlevel.current_clock()] and virtual()
"""
    )
    result.assert_outcomes(passed=1)


# -- where it does not fit ---------------------------------------------------------------


@pytest.mark.parametrize("fixture", ["coap_network", "coap_server", "coap_client"])
def test_without_pytest_trio_it_says_what_is_missing(suite: Suite, fixture: str) -> None:
    result = suite.run(f"async def test_it({fixture}):\n    pass\n", "-p", "no:trio")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["coap_network needs pytest-trio, *'coapsep[[]testing]'"])


@pytest.mark.parametrize("ini", ["", "trio_mode = true"])
def test_a_test_that_is_not_async_is_told(pytester: pytest.Pytester, ini: str) -> None:
    result = Suite(pytester, ini).run(
        """
from hypothesis import given, strategies

def test_sync(coap_network):
    pass

@given(strategies.integers())
async def test_hypothesis(coap_network, number):
    pass
"""
    )
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["test_sync uses coap_network, so it must be an async function*"])


def test_a_network_that_is_asked_for_too_late_is_told(suite: Suite) -> None:
    result = suite.run(
        """
@pytest.fixture
def late(request):
    return request.getfixturevalue("coap_client")

@pytest.mark.trio
async def test_it(late):
    pass
"""
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: coap_network was asked for with *"])


def test_it_can_be_turned_off(suite: Suite) -> None:
    result = suite.run(
        "async def test_it(coap_network):\n    pass\n\ndef test_other():\n    pass\n",
        *("-p", "no:coapsep"),
    )
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["*fixture 'coap_network' not found"])


def test_pytest_starts_without_importing_coapsep(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor Trio, if no other plugin does."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile("def test_it():\n    pass\n")
    program = """
import sys
import pytest

assert pytest.main(["-p", "pytest_coapsep", "--strict-markers"]) == 0
assert not {"coapsep", "aiocoap", "trio"} & set(sys.modules)
"""
    result = pytester.run(sys.executable, "-c", program)
    result.assert_outcomes(passed=1)
    assert result.ret == 0, result.stderr.str()
