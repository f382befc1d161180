"""The suites of the benchmark, as far as they can be tested without measuring."""

from __future__ import annotations

import importlib
import inspect
import socket
import sys
import threading
from pathlib import Path

import pytest
import suites
from ask import post
from goals import GOALS
from programs import c_program, python_program, run_program
from results import Results
from servers import Unavailable
from suites.imports import largest
from suites.pending import Case, figures

BENCH = Path(__file__).parents[2] / "bench"

REPORT = {
    "reg_rate": 1000.0,
    "reg_rate_by_tenth": [2000, 1, 1, 1, 1, 1, 1, 1, 1, 500],
    "late_vs_ack_ms": {"p50": 1, "p99": 2, "max": 3},
    "reg_cpu_us_each": 30,
    "cpu_us_per_req": 70,
    "lost": 1,
    "unfinished": 2,
    "duplicates": 4,
    "retransmits": 5,
}


@pytest.mark.parametrize("name", suites.names())
def test_a_suite_says_what_it_is_and_runs_when_asked(name: str) -> None:
    suite = importlib.import_module(f"suites.{name}")
    assert name == suite.NAME
    assert suites.about(name).endswith(".")
    assert inspect.isgeneratorfunction(suite.run)


def test_every_goal_asks_a_suite_that_there_is() -> None:
    class Asked(Results):
        def spread(self, suite: str, subject: str, metric: str, **setting: float | str) -> None:
            asked.add(suite)

    asked: set[str] = set()
    for goal in GOALS:
        goal.measure(Asked({}))
    assert asked <= set(suites.names())


def test_pending_tells_how_fast_how_late_and_what_went_wrong() -> None:
    found = figures(REPORT, lateness=True, paced=False)
    assert found["registered/s"] == 1000
    assert found["last/first tenth"] == 0.25
    assert [found[f"late {which} ms"] for which in ("p50", "p99", "max")] == [1, 2, 3]
    assert (found["lost"], found["sent twice"], found["resent"]) == (3, 4, 5)


def test_a_load_that_is_held_back_does_not_tell_how_fast_a_server_is() -> None:
    found = figures(REPORT, lateness=False, paced=True)
    assert not {"registered/s", "last/first tenth", "late p99 ms"} & found.keys()


def test_the_rate_is_part_of_the_setting() -> None:
    assert Case(1, 2, ()).setting == {"N": 1, "rate": "max"}
    assert Case(1, 2, (), rate=3).setting == {"N": 1, "rate": 3}


def test_the_largest_modules_are_read_from_the_interpreters_listing() -> None:
    listing = """\
import time: self [us] | cumulative | imported package
import time:       120 |        120 |     coapsep.message.uri
import time:       999 |       2000 |   trio
import time:       300 |       9000 | coapsep
another line
"""
    assert largest(listing) == [(300, "coapsep"), (120, "coapsep.message.uri")]


def test_a_program_prints_json_or_is_left_out_with_its_last_words() -> None:
    python = sys.executable
    assert run_program([python, "-c", "print('x'); print('{\"a\": 1}')"], None, 10) == {"a": 1}
    with pytest.raises(Unavailable, match="ValueError: no"):
        run_program([python, "-c", "raise ValueError('no')"], None, 10)


def test_the_server_and_client_programs_are_all_there() -> None:
    for name in ("coapsep_client.py", "aiocoap_client.py", "coapsep_micro.py"):
        assert Path(python_program(name, 1)[1]).is_file()


def test_a_c_program_is_compiled_once(tmp_path: Path) -> None:
    (tmp_path / "coapblocks").touch()
    assert c_program("coapblocks.c", tmp_path) == tmp_path / "coapblocks"


def test_asking_a_server_waits_for_the_separate_response_and_acknowledges_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        acks: list[bytes] = []

        def answer() -> None:
            request, peer = server.recvfrom(2048)
            assert request[:2] == b"\x44\x02"
            assert request[8:] == b"\xb4free"
            server.sendto(b"\x60\x00" + request[2:4], peer)
            server.sendto(b"\x44\x45\x12\x34" + request[4:8] + b"\xff1.5", peer)
            acks.append(server.recv(2048))

        thread = threading.Thread(target=answer)
        thread.start()
        assert post(server.getsockname()[1], "/free", 5) == b"1.5"
        thread.join()
    assert acks == [b"\x60\x00\x12\x34"]
