"""aiocoap's client against the example server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import pytest

from tests.interop.processes import ExampleServer, run

PROGRAM = Path(__file__).with_name("aiocoap_program.py")


def ask(server: ExampleServer, scenario: str, host: str = "127.0.0.1") -> list[list[str]]:
    """Run one scenario of the program; [code, payload, message type] of each answer."""
    finished = run([sys.executable, str(PROGRAM), server.uri("", host), scenario])
    assert (finished.code, finished.errors) == (0, "")
    return cast("list[list[str]]", json.loads(finished.output))


@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_reading(server: ExampleServer, family: str, request: pytest.FixtureRequest) -> None:
    host = "127.0.0.1" if family == "IPv4" else request.getfixturevalue("ipv6")
    assert ask(server, "reading", host) == [
        ["2.05", "hello", "ACK"],
        ["2.05", "done", "CON"],
        ["2.05", "done", "CON"],
        ["4.04", "Not Found", "ACK"],
    ]


def test_changing(fresh_server: ExampleServer) -> None:
    assert ask(fresh_server, "changing") == [
        ["4.04", "PUT something here first", "ACK"],
        ["2.01", "", "ACK"],
        ["2.05", "first", "ACK"],
        ["2.04", "", "ACK"],
        ["2.05", "second", "ACK"],
        ["2.02", "", "ACK"],
        ["4.04", "PUT something here first", "ACK"],
        ["2.04", "1", "ACK"],
        ["2.04", "2", "ACK"],
    ]


def test_non(server: ExampleServer) -> None:
    assert ask(server, "non") == [
        ["2.05", "hello", "NON"],
        ["2.05", "done", "NON"],
        ["2.05", "done", "NON"],
    ]


def test_many_at_once(server: ExampleServer) -> None:
    quick, done_before, *rest = ask(server, "many")
    assert quick == ["2.05", "hello", "ACK"]
    assert done_before[0] == "0"  # the quick one did not wait behind the others
    assert rest == [["2.05", "done", "CON"]] * 20


def test_the_command(server: ExampleServer, aiocoap_client: str) -> None:
    finished = run([aiocoap_client, server.uri("/async?1")])
    assert (finished.code, finished.output, finished.errors) == (0, "done", "")
    refused = run([aiocoap_client, server.uri("/async?0")])
    assert refused.code == 1
    assert "4.00" in refused.output + refused.errors
    assert "the seconds must be above 0" in refused.output + refused.errors
