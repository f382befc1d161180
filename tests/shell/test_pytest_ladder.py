"""What the pytest plugin shows and keeps of tests that fail."""

from __future__ import annotations

import pytest

from coapsep import Code, Type
from coapsep.message.codec import decode
from coapsep.message.message import Message
from coapsep.trace import read_pcapng
from tests.shell.suite import GREETING, Suite

pytest_plugins = ["pytester"]

FAILS = """
async def test_fails(coap_server, coap_client):
    response = await coap_client.get("coap://10.0.0.1/hello")
    assert response.text == "goodbye"
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Suite:
    return Suite(pytester, ini="")


def test_a_failure_shows_the_ladder(suite: Suite) -> None:
    result = suite.run(GREETING + FAILS)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError*",
            "*- CoAP ladder -*",
            "*10.0.0.2:*10.0.0.1:5683*",
            "*0.000 *+--*->|*CON*GET*/hello*",
            "*|<-*--+*ACK*2.05 Content*",
            "*short test summary*",
        ]
    )


def test_only_a_failure_does(suite: Suite) -> None:
    shown = suite.ladders(
        GREETING
        + """
async def test_passes(coap_server, coap_client):
    await coap_client.get("coap://10.0.0.1/hello")

@pytest.mark.xfail(strict=True)
async def test_is_known_to_fail(coap_server, coap_client):
    await coap_client.get("coap://10.0.0.1/hello")
    assert False

async def test_is_skipped(coap_server, coap_client):
    await coap_client.get("coap://10.0.0.1/hello")
    pytest.skip()

@pytest.mark.trio
async def test_knows_no_network():
    assert False
"""
    )
    assert shown == []


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        pytest.param(
            "call",
            """
@pytest.fixture
async def fails(coap_server, coap_client):
    yield
    await coap_client.get("coap://10.0.0.1/hello")
    raise RuntimeError("late")
""",
            id="asynchronous",
        ),
        pytest.param(
            "teardown",
            """
@pytest.fixture
def fails():
    yield
    raise RuntimeError("late")
""",
            id="synchronous",
        ),
    ],
)
def test_so_does_a_failure_when_fixtures_end(suite: Suite, phase: str, text: str) -> None:
    [(when, ladder)] = suite.ladders(
        GREETING
        + text
        + """
async def test_it(coap_server, coap_client, fails):
    await coap_client.get("coap://10.0.0.1/hello")
"""
    )
    assert when == phase
    assert "/hello" in ladder


def test_the_ladder_is_shown_once(suite: Suite) -> None:
    [(when, _)] = suite.ladders(
        """
@pytest.fixture
def fails():
    yield
    raise RuntimeError("late")

async def test_it(coap_network, fails):
    assert False
"""
    )
    assert when == "call"


def test_a_ladder_that_cannot_be_drawn_does_not_hide_the_failure(suite: Suite) -> None:
    result = suite.run(
        """
async def test_it(coap_network):
    coap_network.trace.add("no datagram")
    raise RuntimeError("of the test")
""",
        "--coap-traces=kept",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["*RuntimeError: of the test", "It cannot be drawn: *", "It cannot be kept: *"]
    )


def test_traces_of_failed_tests_are_kept(suite: Suite) -> None:
    result = suite.run(
        GREETING
        + FAILS
        + """
async def test_passes(coap_server, coap_client):
    await coap_client.get("coap://10.0.0.1/hello")
""",
        "--coap-traces=out/traces",
    )
    result.assert_outcomes(passed=1, failed=1)
    folder = suite.pytester.path / "out" / "traces"
    capture, picture = sorted(folder.iterdir())
    assert ".py_test_fails-" in capture.name
    assert (capture.suffix, picture.suffix) == (".pcapng", ".svg")
    result.stdout.fnmatch_lines([f"Kept as {picture} and .pcapng"])
    assert "/hello" in picture.read_text(encoding="utf-8")
    messages = [decode(datagram.data) for datagram in read_pcapng(capture)]
    assert [(m.type, m.code) for m in messages if isinstance(m, Message)] == [
        (Type.CON, Code.GET),
        (Type.ACK, Code.CONTENT),
    ]


def test_any_name_of_a_test_can_be_kept(suite: Suite) -> None:
    result = suite.run(
        """
@pytest.mark.parametrize("name", ["x" * 300, "../é: *", "../é? *"], ids=str)
async def test_it(coap_network, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert False
""",
        "--coap-traces=.kept",
    )
    result.assert_outcomes(failed=3)
    result.stdout.no_fnmatch_line("*cannot be kept*")
    assert len(list((suite.pytester.path / ".kept").iterdir())) == 6
