"""A port that several sockets share, and one that is one server's alone."""

from __future__ import annotations

import errno
import itertools
import socket
import sys

import pytest

import coapsep.transport.bind
from coapsep import Address, open_udp
from coapsep.transport.bind import bind_sets, bind_socket
from tests.interop.sockets import LOOPBACKS, address_of, bound

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux spreads peers")


@linux
@pytest.mark.parametrize("host", LOOPBACKS)
async def test_each_peer_reaches_one_of_those_who_share(host: str) -> None:
    first = await open_udp(host, 0, reuse_port=True)
    port = first.addresses[0].port
    second = await open_udp(host, port, reuse_port=True)
    ports = set()
    for _ in range(30):
        with bound(host) as sock:
            for data in (b"a", b"b"):
                sock.sendto(data, (host, port))
            ports.add(address_of(sock).port)
    batches = [transport.poll() for transport in (first, second)]
    assert sorted(data for data, _ in itertools.chain(*batches)) == [b"a"] * 30 + [b"b"] * 30
    here, there = ({session.peer.port for _, session in batch} for batch in batches)
    assert here
    assert there
    assert not here & there
    assert here | there == ports
    for transport in (first, second):
        transport.close()


@linux
@pytest.mark.parametrize("host", [None, "127.0.0.1"])
@pytest.mark.parametrize(("before", "after"), [(False, False), (True, False), (False, True)])
async def test_a_port_is_one_servers_alone_unless_all_share_it(
    host: str | None, before: bool, after: bool
) -> None:
    first = await open_udp(host, 0, reuse_port=before)
    for other in (host, "127.0.0.1"):
        with pytest.raises(OSError, match="cannot listen on") as caught:
            await open_udp(other, first.addresses[0].port, reuse_port=after)
        assert caught.value.errno == errno.EADDRINUSE
    first.close()


@linux
async def test_sets_of_sockets_for_workers() -> None:
    sets = await bind_sets(["127.0.0.1", "127.0.0.2"], 0, 3)
    port = sets[0][0].getsockname()[1]
    addresses = [Address("127.0.0.1", port), Address("127.0.0.2", port)]
    assert [[address_of(sock) for sock in own] for own in sets] == [addresses] * 3
    for share in (False, True):  # the second is as if workers were started twice
        with pytest.raises(OSError, match="Address already in use"):
            await (bind_sets("127.0.0.1", port, 2) if share else open_udp("127.0.0.1", port))
    for sock in itertools.chain(*sets):
        sock.close()


@linux
async def test_sets_are_had_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []

    def two(address: Address, *, reuse_port: bool) -> socket.socket:
        if len(made) == 2:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(bind_socket(address, reuse_port=reuse_port))
        return made[-1]

    monkeypatch.setattr(coapsep.transport.bind, "bind_socket", two)
    with pytest.raises(OSError, match="Too many open files"):
        await bind_sets("127.0.0.1", 0, 3)
    assert [sock.fileno() for sock in made] == [-1, -1]


@linux
async def test_a_group_is_not_shared() -> None:
    with pytest.raises(ValueError, match="would answer what a group is asked"):
        await open_udp("127.0.0.1", 0, groups="224.0.1.187", reuse_port=True)


async def test_elsewhere_a_port_is_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="only Linux spreads peers") as caught:
        await open_udp("127.0.0.1", 0, reuse_port=True)
    assert caught.value.errno == errno.ENOTSUP
