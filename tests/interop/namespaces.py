"""Two hosts with real wires between them: network namespaces of Linux, for whoever is root.

The test is at the near one. It sees no interface of the machine, and changes none.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000


class TwoHosts:
    """``near`` is where the test is; ``far`` is entered for a moment, to open a socket."""

    def __init__(self, near: int, far: int) -> None:
        self._near = near
        self._far = far

    @contextmanager
    def far(self) -> Iterator[None]:
        """What is opened inside is the far host's."""
        _enter(self._far)
        try:
            yield
        finally:
            _enter(self._near)

    def wire(self, name: str, near: list[str], far: list[str]) -> None:
        """Two interfaces of this name, one at each host, with these addresses.

        Addresses are as ``ip address add`` takes them, such as "fe80::1/64".
        """
        there = f"/proc/{os.getpid()}/fd/{self._far}"
        ip(f"link add {name} type veth peer name {name} netns {there}")
        _configure(name, near)
        with self.far():
            _configure(name, far)
            _wait_up(name)
        _wait_up(name)


def ip(command: str) -> str:
    """Run a command of iproute2."""
    done = subprocess.run(["ip", *command.split()], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, f"ip {command}: {done.stderr}"
    return done.stdout


def _configure(name: str, addresses: list[str]) -> None:
    ip(f"link set {name} addrgenmode none")  # no address but those that are given
    for address in addresses:
        ip(f"address add {address} dev {name}" + (" nodad" if ":" in address else ""))
    ip(f"link set {name} up")


def _wait_up(name: str) -> None:
    deadline = time.monotonic() + 10
    while "state UP" not in ip(f"-o link show {name}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _unshare() -> int:
    """A new namespace for this thread, and its descriptor. Raises OSError without the right."""
    _call("unshare", _CLONE_NEWNET)
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _enter(namespace: int) -> None:
    _call("setns", namespace, _CLONE_NEWNET)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


@pytest.fixture
def two_hosts() -> Generator[TwoHosts, None, None]:
    """Two hosts that have nothing but their loopback, which is up."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        pytest.skip("network namespaces are Linux's, and set up by iproute2")
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("this machine has no IPv6")
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    opened = [home]
    try:
        for _ in range(2):
            try:
                opened.append(_unshare())
            except OSError as exc:
                pytest.skip(f"no network namespaces for us: {exc}")
            ip("link set lo up")
        _, far, near = opened
        yield TwoHosts(near, far)
    finally:
        if len(opened) > 1:  # who may not leave home may not enter it, either
            _enter(home)
        for namespace in opened:
            os.close(namespace)
