"""A test suite of somebody who has installed coapsep, for the tests of the pytest plugin."""

from __future__ import annotations

import pytest

#: What stands above each test file.
HEAD = """
import pytest
import trio
from trio.testing import MockClock

from coapsep import Address, PeerUnreachable, open_client
from coapsep.testing import Conditions

def virtual():
    return isinstance(trio.lowlevel.current_clock(), MockClock)

"""
GREETING = """
@pytest.fixture
def coap_router(coap_router):
    @coap_router.get("/hello")
    def hello(request):
        return "hello"

    return coap_router

"""


class Suite:
    """One test file, and what pytest says of it."""

    def __init__(self, pytester: pytest.Pytester, ini: str) -> None:
        self.pytester = pytester
        pytester.makeini(
            "[pytest]\naddopts = --strict-markers --strict-config\nfilterwarnings = error\n" + ini
        )

    def write(self, text: str) -> None:
        self.pytester.makepyfile(HEAD + text)

    def run(self, text: str, *arguments: str) -> pytest.RunResult:
        self.write(text)
        return self.pytester.runpytest_inprocess(*arguments)

    def ladders(self, text: str, *arguments: str) -> list[tuple[str, str]]:
        """The ladders that reports have, and the phase of each."""
        self.write(text)
        record = self.pytester.inline_run(*arguments)
        reports = record.getreports("pytest_runtest_logreport")
        return [
            (str(report.when), content)
            for report in reports
            for title, content in report.sections
            if title == "CoAP ladder"
        ]
