"""Worker processes: who answers whom, what happens when one dies, and how all of them end."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio

import coapsep.hosting.workers
from coapsep import Code, EndpointCrashed, Workers, open_client, open_udp, open_workers
from tests.interop.processes import PATIENCE, ExampleServer, example
from tests.interop.raw import ACK, NON, RawPeer, empty, request
from tests.interop.test_serve import LOCAL, SERVED, refused, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are for Linux")

TARGET = f"{SERVED}:router"
COMMAND = [TARGET, "--workers", "2", "--stateless"]


def asked(port: int, path: str = "/pid", mid: int = 1) -> bytes:
    """What a new peer is answered."""
    with RawPeer(port) as peer:
        return peer.ask(request(path, mid)).payload


def pids_at(port: int, count: int = 2) -> set[int]:
    """The processes that answer at this port, once so many have."""
    found: set[int] = set()
    end = time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < end, found
        found.add(int(asked(port)))
    return found


@contextmanager
def peers_of_each(port: int, pids: set[int]) -> Iterator[dict[int, RawPeer]]:
    """For each process, a peer that it answers."""
    with ExitStack() as stack:
        found: dict[int, RawPeer] = {}
        while set(found) != pids:
            peer = stack.enter_context(RawPeer(port))
            found[int(peer.ask(request("/pid", 1)).payload)] = peer
        yield found


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    """Whether this process has ended, and was waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# -- who answers -------------------------------------------------------------------------


def test_all_answer_at_one_port_and_a_peer_stays_with_one() -> None:
    with serving(*COMMAND) as (running, _):
        assert running.line == f"listening on coap://127.0.0.1:{running.port}, in 2 processes"
        answered = [0, 0]
        pids = sorted(pids_at(running.port))
        assert running.process.pid not in pids
        for _ in range(100):
            with RawPeer(running.port) as peer:
                first = peer.ask(request("/pid", 1)).payload
                assert {peer.ask(request("/pid", mid)).payload for mid in (2, 3)} == {first}
                answered[pids.index(int(first))] += 1
        assert min(answered) > 20
        assert running.end() == 0
        assert all(map(is_gone, pids))
        assert running.errors == ""


def test_the_port_is_nobody_elses() -> None:
    with serving(*COMMAND) as (running, _):
        options = ["--host", "127.0.0.1", "--port", str(running.port)]
        text = f"coapsep: cannot listen on 127.0.0.1:{running.port}: Address already in use\n"
        assert refused(TARGET, *options).errors == text
        assert refused(*COMMAND, *options).errors == text
        assert len(pids_at(running.port)) == 2


def test_a_gc_policy() -> None:
    with serving(*COMMAND, "--gc-policy", "frozen") as (running, _):
        assert asked(running.port, "/gc") == b"(5000, 5, 100000) True"


def test_statistics_are_summed() -> None:
    with serving(*COMMAND, "-v") as (running, _):
        for _ in range(30):
            asked(running.port)
        running.process.send_signal(signal.SIGUSR1)
        running.wait_for_errors(r"\npiggybacked +30\n")
        asked(running.port)
        assert running.end() == 0
        running.wait_for_errors(r"\npiggybacked +31\n")


# -- one that dies -----------------------------------------------------------------------


def test_one_that_is_killed_comes_back_and_the_other_notices_nothing() -> None:
    with serving(*COMMAND) as (running, _):
        pids = pids_at(running.port)
        with peers_of_each(running.port, pids) as peers:
            dead, alive = peers
            assert peers[alive].ask(request("/later?1.5", 2, b"a")).code == "0.00"
            os.kill(dead, signal.SIGKILL)
            # What is sent meanwhile waits for the next one.
            successor = int(peers[dead].ask(request("/pid", 3)).payload)
            assert successor not in pids
            assert (
                running.wait_for_errors("SIGKILL; another one starts in 0.5 s\n").count("\n") == 1
            )
            assert int(peers[alive].ask(request("/pid", 4)).payload) == alive
            answer = peers[alive].receive()
            assert int(answer.payload) == alive
            peers[alive].send(empty(ACK, answer.mid))
            assert pids_at(running.port) == {alive, successor}
        assert running.end() == 0


def test_one_that_dies_again_waits_longer() -> None:
    with serving(*COMMAND) as (running, _):
        with peers_of_each(running.port, pids_at(running.port)) as peers:
            pid, peer = peers.popitem()
            os.kill(pid, signal.SIGKILL)
            os.kill(int(peer.ask(request("/pid", 2)).payload), signal.SIGKILL)
            assert peer.ask(request("/pid", 3)).code == "2.05"
        first, second = running.errors.splitlines()
        assert first.endswith("in 0.5 s")
        assert second.endswith("in 1 s")
        # One that waits to be started again is not waited for.
        os.kill(int(asked(running.port)), signal.SIGKILL)
        assert running.end() == 0


def test_when_the_parent_is_killed_all_end() -> None:
    with serving(*COMMAND) as (running, peer):
        pids = pids_at(running.port)
        assert peer.ask(request("/later?600", 1, b"a")).type == ACK
        running.process.kill()
        answer = peer.receive()  # and in good order
        assert (answer.type, answer.code, answer.token) == (NON, "5.03", b"a")
        wait_until(lambda: all(map(is_gone, pids)))


def test_signals_of_a_whole_group_are_left_to_the_parent() -> None:
    with serving(*COMMAND) as (running, peer):
        pids = pids_at(running.port)
        assert peer.ask(request("/later?0.5", 1, b"a")).type == ACK
        for pid in (*pids, running.process.pid):
            os.kill(pid, signal.SIGTERM)
        answer = peer.receive()
        assert int(answer.payload) in pids
        peer.send(empty(ACK, answer.mid))
        assert running.wait() == 0
        assert running.errors == ""


# -- open_workers ------------------------------------------------------------------------


@asynccontextmanager
async def workers_of(target: str = TARGET, count: int = 2) -> AsyncGenerator[Workers, None]:
    with trio.fail_after(PATIENCE):
        async with open_workers(target, count, host="127.0.0.1", port=0) as workers:
            yield workers


async def test_a_block_with_workers() -> None:
    async with workers_of() as workers, open_client() as client:
        (address,) = workers.addresses
        response = await client.get(f"coap://{address}/pid")
        assert response.code == Code.CONTENT
        assert (await workers.statistics()).requests == 1
    assert is_gone(int(response.text))
    with pytest.raises(trio.ClosedResourceError):
        await workers.drain()
    assert (await workers.statistics()).requests == 1  # what they said last
    transport = await open_udp("127.0.0.1", address.port)  # the port is free
    transport.close()


async def test_drain_finishes_what_is_under_way() -> None:
    async with workers_of() as workers, open_client() as client, trio.open_nursery() as nursery:
        uri = f"coap://{workers.addresses[0]}/later?0.5"
        answers: list[Code] = []

        async def ask() -> None:
            answers.append((await client.get(uri)).code)

        nursery.start_soon(ask)
        while (await workers.statistics()).pending == 0:
            pass
        await workers.drain()
        assert (await workers.statistics()).delivered == 1
    assert answers == [Code.CONTENT]


async def test_an_exception_of_the_block_leaves_as_it_is() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with workers_of():
            raise KeyError("mine")


async def test_one_that_is_stuck_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coapsep.hosting.workers, "_PATIENCE", 0.5)
    async with workers_of() as workers:
        port = workers.addresses[0].port
        with peers_of_each(port, pids_at(port)) as peers:
            pid, peer = peers.popitem()
            peer.send(request("/stuck", 2))
            with trio.move_on_after(0.2):
                await workers.drain()
    assert is_gone(pid)


async def test_a_module_is_looked_for_where_the_parent_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "app_somewhere.py").write_text("from tests.interop.served import router\n")
    monkeypatch.syspath_prepend(tmp_path)
    async with workers_of("app_somewhere:router") as workers, open_client() as client:
        assert (await client.get(f"coap://{workers.addresses[0]}/pid")).is_success


async def test_no_such_router() -> None:
    with pytest.raises(ValueError, match=r"has no 'nope'"):
        async with workers_of(f"{SERVED}:nope"):
            raise AssertionError
    with pytest.raises(ValueError, match="count is a whole number of at least 1, not 0"):
        async with workers_of(TARGET, 0):
            raise AssertionError


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("os._exit(3)", "worker 1 ended with exit code 3 before it served"),
        ("os.kill(os.getpid(), 9)", "worker 1 died of SIGKILL before it served"),
    ],
)
async def test_one_that_never_serves(tmp_path: Path, code: str, text: str) -> None:
    app = tmp_path / "app.py"
    app.write_text(f"import os\n{code}\n")
    with pytest.raises(EndpointCrashed, match=text):
        async with workers_of(f"{app}:router"):
            raise AssertionError
    finished = refused(f"{app}:router", "--workers", "2", "--stateless", *LOCAL)
    assert (finished.code, finished.errors) == (1, f"coapsep: {text}\n")


async def test_only_linux_has_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="only Linux spreads peers") as caught:
        async with workers_of():
            raise AssertionError
    assert caught.value.errno == errno.ENOTSUP


# -- the example server ------------------------------------------------------------------


def test_the_example_server_has_a_state() -> None:
    finished = example("--workers", "2")
    assert finished.code == 2
    assert "--stateless says that this does not matter" in finished.errors
    with ExampleServer(options=["--workers", "2", "--stateless"]) as server:
        assert {asked(server.port, "/counter", mid) for mid in range(20)} > {b"1", b"2"}
        assert asked(server.port, "/hello") == b"hello"
