"""Servers that listen to multicast groups, on real sockets (RFC 7252 section 8).

On the loopback, and between two network namespaces where the machine lets us have them.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from coapsep import (
    ALL_COAP_NODES,
    Address,
    Request,
    Router,
    Session,
    Tuning,
    UdpTransport,
    open_client,
    open_server,
    open_udp,
    open_udp_client,
)
from coapsep.transport.multicast import IP_MREQN
from tests.interop.namespaces import TwoHosts, ip, two_hosts
from tests.interop.sockets import Listener, address_of, bound, listening, needs_ipv6

__all__ = ["two_hosts"]  # a fixture

LOOPBACK = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
NODES, OTHERS = "224.0.1.187", "224.0.1.188"


@contextmanager
def asking(host: str, interface: str, port: int = 0) -> Iterator[socket.socket]:
    """A socket that sends to groups by this interface, and stays on its link."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    index = socket.if_nametoindex(interface)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.bind((host, port, 0, index if host.startswith("fe80") else 0))
        else:
            option = IP_MREQN.pack(bytes(4), bytes(4), index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, option)
            sock.bind((host, port))
        sock.settimeout(10)
        yield sock


def port_of(transport: UdpTransport) -> int:
    return transport.addresses[0].port


async def next_session(listener: Listener, data: bytes) -> Session:
    """The session in which this arrives, and nothing before it."""
    await listener.until(lambda: bool(listener.arrived))
    ((arrived, session),) = listener.arrived
    listener.arrived.clear()
    assert arrived == data
    return session


def assert_answer(transport: UdpTransport, session: Session, sock: socket.socket) -> None:
    """An answer in this session leaves from its local address."""
    assert transport.send(b"here", session.unicast)
    data, source = sock.recvfrom(100)
    assert data == b"here"
    local = session.local
    assert source[:2] == (local.host, local.port)


# -- on the loopback ---------------------------------------------------------------------


@pytest.mark.parametrize("interface", [LOOPBACK, socket.if_nametoindex(LOOPBACK), None])
async def test_a_wildcard_hears_a_group_and_answers_from_an_address(
    interface: str | int | None,
) -> None:
    transport = await open_udp("0.0.0.0", 0, groups=NODES, interfaces=interface)
    group = Address(NODES, port_of(transport))
    async with listening(transport) as listener:
        with asking("127.0.0.3", LOOPBACK) as sock:
            sock.sendto(b"who?", (NODES, group.port))
            session = await next_session(listener, b"who?")
            local = Address("127.0.0.1", group.port)
            if session.local.host != "127.0.0.3":  # both are addresses of the loopback
                assert session.local == local
            assert session == Session(session.local, address_of(sock), group=group)
            assert_answer(transport, session, sock)
            # The same peer asks the server alone: in the session of the answer.
            sock.sendto(b"you?", (session.local.host, group.port))
            assert await next_session(listener, b"you?") == session.unicast
        assert transport.dropped == 0


async def test_servers_with_addresses_of_their_own_share_a_group() -> None:
    first = await open_udp("127.0.0.2", 0, groups=(NODES, OTHERS))
    port = port_of(first)
    second = await open_udp("127.0.0.3", port, groups=(NODES,))
    async with listening(first) as one, listening(second) as two:
        with asking("127.0.0.9", LOOPBACK) as sock:
            sock.sendto(b"who?", (NODES, port))
            for transport, listener in ((first, one), (second, two)):
                session = await next_session(listener, b"who?")
                assert session.local == transport.addresses[0]
                assert session.group == Address(NODES, port)
                assert_answer(transport, session, sock)
            for data, host in ((b"other", OTHERS), (b"1", "127.0.0.2"), (b"2", "127.0.0.3")):
                sock.sendto(data, (host, port))
            await two.until(lambda: bool(two.arrived))
            await one.until(lambda: len(one.arrived) == 2)
            assert {data for data, _ in one.arrived} == {b"other", b"1"}
            assert {data for data, _ in two.arrived} == {b"2"}
        for host in ("127.0.0.2", "127.0.0.3"):  # each is still one server's alone
            with pytest.raises(OSError, match="cannot listen") as caught:
                await open_udp(host, port, groups=NODES)
            assert caught.value.errno == errno.EADDRINUSE


async def test_several_addresses_on_one_interface_hear_a_group_once() -> None:
    transport = await open_udp(["127.0.0.2", "127.0.0.3"], 0, groups=NODES)
    port = port_of(transport)
    assert transport.addresses == (Address("127.0.0.2", port), Address("127.0.0.3", port))
    async with listening(transport) as listener:
        for host in ("127.0.0.9", "127.0.0.3"):
            with asking(host, LOOPBACK) as sock:
                sock.sendto(b"who?", (NODES, port))
                session = await next_session(listener, b"who?")
                assert session.local in transport.addresses
                assert_answer(transport, session, sock)


async def test_a_server_alone_at_all_addresses_has_the_port_alone() -> None:
    transport = await open_udp("0.0.0.0", 0, groups=NODES, interfaces=LOOPBACK)
    for host in ("0.0.0.0", "127.0.0.2"):
        with pytest.raises(OSError, match="cannot listen"):
            await open_udp(host, port_of(transport), groups=NODES)
    transport.close()


@contextmanager
def somebody_in(group: str) -> Iterator[None]:
    """A socket on another port that makes the machine hear a group."""
    with bound("0.0.0.0") as sock:
        option = IP_MREQN.pack(socket.inet_aton(group), bytes(4), socket.if_nametoindex(LOOPBACK))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, option)
        yield


@pytest.mark.parametrize("hears_all", [False, True])
async def test_groups_that_others_have_joined(
    monkeypatch: pytest.MonkeyPatch, hears_all: bool
) -> None:
    """Where the system hands them over all the same, they are dropped and counted."""
    if hears_all:
        monkeypatch.setattr("coapsep.transport.membership._HEARS_ALL", {})
    transport = await open_udp("0.0.0.0", 0, groups=NODES, interfaces=LOOPBACK)
    async with listening(transport) as listener:
        with somebody_in(OTHERS), asking("127.0.0.1", LOOPBACK) as sock:
            sock.sendto(b"not us", (OTHERS, port_of(transport)))
            sock.sendto(b"us", (NODES, port_of(transport)))
            await next_session(listener, b"us")
        assert transport.dropped == hears_all


async def test_without_groups_none_is_heard() -> None:
    transport = await open_udp("0.0.0.0", 0)
    async with listening(transport) as listener:
        with somebody_in(NODES), asking("127.0.0.1", LOOPBACK) as sock:
            sock.sendto(b"not us", (NODES, port_of(transport)))
            sock.sendto(b"us", ("127.0.0.1", port_of(transport)))
            await next_session(listener, b"us")
        assert transport.dropped == 1


async def test_a_system_that_cannot_keep_others_out_is_lived_with(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """IPV6_MULTICAST_ALL came with Linux 4.20."""
    caplog.set_level(logging.DEBUG, "coapsep.transport")
    options = {socket.AF_INET: (socket.IPPROTO_IP, 9999)}
    monkeypatch.setattr("coapsep.transport.membership._HEARS_ALL", options)
    (await open_udp("0.0.0.0", 0, groups=NODES, interfaces=LOOPBACK)).close()
    assert "hears groups of others as well" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.2"])
async def test_twice_is_once(host: str) -> None:
    index = socket.if_nametoindex(LOOPBACK)
    groups, interfaces = (NODES, NODES), (LOOPBACK, index, LOOPBACK)
    transport = await open_udp(host, 0, groups=groups, interfaces=interfaces)
    async with listening(transport) as listener:
        with asking("127.0.0.1", LOOPBACK) as sock:
            sock.sendto(b"1", (NODES, port_of(transport)))
            assert (await next_session(listener, b"1")).group is not None
            sock.sendto(b"2", (NODES, port_of(transport)))
            await next_session(listener, b"2")


async def test_what_is_left_out_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "coapsep.transport")
    (await open_udp("127.0.0.1", 0, groups=ALL_COAP_NODES)).close()
    assert [record.message for record in caplog.records] == [
        f"cannot join {group}: there is no IPv6 socket here: left out"
        for group in ("ff02::fd", "ff05::fd")
    ]


async def test_a_machine_without_ipv6_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoIPv6(socket.socket):
        def __init__(self, family: int, kind: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, kind)

    monkeypatch.setattr("coapsep.transport.bind.socket.socket", NoIPv6)
    transport = await open_udp(None, 0, groups=ALL_COAP_NODES, interfaces=LOOPBACK)
    async with listening(transport) as listener:
        with asking("127.0.0.1", LOOPBACK) as sock:
            sock.sendto(b"who?", (NODES, port_of(transport)))
            await next_session(listener, b"who?")


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ("10.0.0.1", "'10.0.0.1' is not the address of a group"),
        ((NODES, "::1"), "'::1' is not the address of a group"),
        ("255.255.255.255", "is not the address of a group"),
        ("all-nodes.example", "is not the address of a group, such as '224.0.1.187'"),
        ("", "'' is not the address of a group"),
        ("ff02::fd%eth0", "'ff02::fd%eth0' names an interface"),
    ],
)
async def test_a_group_that_is_none(groups: str | tuple[str, ...], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        await open_udp("127.0.0.1", 0, groups=groups)


async def test_groups_and_interfaces_of_a_wrong_kind() -> None:
    wrong: Any = [224]
    with pytest.raises(TypeError, match="a group is a multicast address, not 224"):
        await open_udp("127.0.0.1", 0, groups=wrong)
    with pytest.raises(ValueError, match="at least one"):
        await open_udp("127.0.0.1", 0, groups=NODES, interfaces=())
    with pytest.raises(ValueError, match="there are no groups"):
        await open_udp("127.0.0.1", 0, interfaces=LOOPBACK)


@pytest.mark.parametrize("interface", ["no-such-interface", "", "a\0b", 0, -1, 99999, 1 << 40])
async def test_an_interface_that_is_none(interface: str | int) -> None:
    with pytest.raises(OSError, match=f"no network interface .*this machine has .*{LOOPBACK}"):
        await open_udp("127.0.0.1", 0, groups=NODES, interfaces=[LOOPBACK, interface])


async def test_no_group_at_all_can_be_joined() -> None:
    with pytest.raises(OSError, match="cannot join ff02::fd: there is no IPv6 socket") as caught:
        await open_udp("127.0.0.1", 0, groups=("ff02::fd", "ff05::fd"))
    assert caught.value.errno == errno.EAFNOSUPPORT


async def test_a_system_that_does_not_say_what_was_sent_to_a_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To answer as if one had been asked alone would be worse than not to listen."""
    monkeypatch.setattr("coapsep.transport.udp_socket._IP_PKTINFO", None)
    for host in ("0.0.0.0", "127.0.0.1"):
        with pytest.raises(OSError, match=r"cannot join 224\.0\.1\.187 .*does not say"):
            await open_udp(host, 0, groups=NODES, interfaces=LOOPBACK)


async def test_failing_leaves_no_socket_open() -> None:
    with bound("127.0.0.1") as sock:
        port = address_of(sock).port
    for _ in range(2):
        with pytest.raises(OSError, match="cannot join"):
            await open_udp("127.0.0.1", port, groups="ff02::fd")
        with pytest.raises(ValueError, match="datagram_size"):
            await open_udp("127.0.0.1", port, groups=NODES, datagram_size=0)
    with bound("127.0.0.1", port), bound(NODES, port):
        pass


async def test_closing_leaves() -> None:
    transport = await open_udp("127.0.0.1", 0, groups=NODES)
    port = port_of(transport)
    transport.close()
    with bound("127.0.0.1", port), bound(NODES, port):
        pass


async def test_what_was_learned_is_forgotten_when_a_send_fails() -> None:
    """The address that answers leave from may have gone."""
    transport = await open_udp("0.0.0.0", 0, groups=NODES, interfaces=LOOPBACK)
    async with listening(transport) as listener:
        with asking("127.0.0.1", LOOPBACK) as sock:
            sock.sendto(b"who?", (NODES, port_of(transport)))
            session = await next_session(listener, b"who?")
            assert transport._sockets[0]._sessions
            with pytest.raises(OSError):  # the system's own words
                transport.send(b"x", Session(Address("192.0.2.77", 1), session.peer))
            assert not transport._sockets[0]._sessions


# -- a whole server ----------------------------------------------------------------------


@pytest.fixture
def router() -> Router:
    router = Router()

    @router.get("/hello")
    def hello(request: Request) -> str:
        return "hello"

    return router


@pytest.mark.parametrize("host", [None, "127.0.0.2"])
async def test_a_server_is_found_by_its_group(router: Router, host: str | None) -> None:
    async with (
        open_server(
            router,
            host=host,
            port=0,
            groups=ALL_COAP_NODES,
            interfaces=LOOPBACK,
            tuning=Tuning(default_leisure=0.1),
        ) as server,
        open_client(transport=await open_udp_client(multicast_interface=LOOPBACK)) as client,
    ):
        port = server.addresses[0].port
        with trio.fail_after(10):
            async with client.multicast(f"coap://{NODES}:{port}/hello", seconds=5) as responses:
                async for response in responses:
                    assert response.payload == b"hello"
                    assert response.peer.port == port
                    assert response.peer.host != NODES
                    break
                else:
                    raise AssertionError("no response")
            there = f"coap://{host or '127.0.0.1'}:{port}/hello"
            assert (await client.get(there)).payload == b"hello"


async def test_a_transport_has_its_groups_already(router: Router) -> None:
    transport = await open_udp("127.0.0.1", 0)
    with pytest.raises(ValueError, match="those of the transport"):
        async with open_server(router, transport=transport, groups=NODES):
            pass
    transport.close()


# -- between two hosts -------------------------------------------------------------------

NEAR4, FAR4 = "10.9.0.1", "10.9.0.2"
NEAR6, FAR6 = "fd09::1", "fd09::2"
NEAR_LINK, FAR_LINK = "fe80::1", "fe80::2"


@pytest.fixture
def wire(two_hosts: TwoHosts) -> Generator[TwoHosts, None, None]:
    two_hosts.wire(
        "w0",
        [f"{NEAR4}/24", f"{NEAR6}/64", f"{NEAR_LINK}/64"],
        [f"{FAR4}/24", f"{FAR6}/64", f"{FAR_LINK}/64"],
    )
    yield two_hosts


@pytest.fixture
async def everywhere(wire: TwoHosts) -> AsyncGenerator[Listener, None]:
    """A server at all addresses of the near host."""
    async with listening(await open_udp(port=0, groups=ALL_COAP_NODES)) as listener:
        yield listener


@contextmanager
def from_afar(wire: TwoHosts, host: str, interface: str = "w0") -> Iterator[socket.socket]:
    with wire.far():
        asker = asking(host, interface)
        sock = asker.__enter__()
    try:
        yield sock
    finally:
        sock.close()


@pytest.mark.parametrize(
    ("group", "host", "local"),
    [
        ("224.0.1.187", FAR4, NEAR4),
        ("ff02::fd", FAR_LINK, NEAR_LINK),
        ("ff02::fd", FAR6, NEAR6),
        ("ff05::fd", FAR6, NEAR6),
        ("ff05::fd", FAR_LINK, NEAR_LINK),
    ],
)
async def test_all_coap_nodes(
    wire: TwoHosts, everywhere: Listener, group: str, host: str, local: str
) -> None:
    transport = everywhere.transport
    port, index = port_of(transport), socket.if_nametoindex("w0")
    with from_afar(wire, host) as sock:
        sock.sendto(b"who?", (group, port))
        session = await next_session(everywhere, b"who?")
        assert session == Session(
            Address(local, port, index if local == NEAR_LINK else 0),
            Address(host, sock.getsockname()[1], index if host == FAR_LINK else 0),
            group=Address(group, port, index if group == "ff02::fd" else 0),
        )
        assert_answer(transport, session, sock)
        sock.sendto(b"you?", (local, port))
        assert await next_session(everywhere, b"you?") == session.unicast
    assert transport.dropped == 0


@pytest.mark.parametrize(
    ("host", "group", "asker"),
    [
        (NEAR4, "224.0.1.187", FAR4),
        (NEAR6, "ff05::fd", FAR6),
        (NEAR6, "ff02::fd", FAR_LINK),
        (f"{NEAR_LINK}%w0", "ff02::fd", FAR_LINK),
        (f"{NEAR_LINK}%w0", "ff05::fd", FAR_LINK),
    ],
)
@pytest.mark.parametrize("named", [True, False])
async def test_a_server_at_one_address(
    wire: TwoHosts, host: str, group: str, asker: str, named: bool
) -> None:
    interfaces = "w0" if named else None
    transport = await open_udp(host, 0, groups=group, interfaces=interfaces)
    async with listening(transport) as listener:
        with from_afar(wire, asker) as sock:
            sock.sendto(b"who?", (group, port_of(transport)))
            session = await next_session(listener, b"who?")
            assert session.local == transport.addresses[0]
            assert_answer(transport, session, sock)
    with bound(group.replace("ff02", "ff05"), port_of(transport)):
        pass


@pytest.mark.parametrize("host", [None, [NEAR4, NEAR6, "10.8.0.1", "fd08::1"]])
@pytest.mark.parametrize("interfaces", [None, ["w0", "w1"], "w1"])
async def test_two_interfaces(wire: TwoHosts, host: list[str] | None, interfaces: Any) -> None:
    """Each hears the group where it was joined, and nothing is answered from the other."""
    wire.wire("w1", ["10.8.0.1/24", "fd08::1/64"], ["10.8.0.2/24", "fd08::2/64"])
    groups = ("224.0.1.187", "ff05::fd")
    transport = await open_udp(host, 0, groups=groups, interfaces=interfaces)
    port = port_of(transport)
    async with listening(transport) as listener:
        for name, far, near, group in (
            ("w0", FAR4, NEAR4, "224.0.1.187"),
            ("w0", FAR6, NEAR6, "ff05::fd"),
            ("w1", "10.8.0.2", "10.8.0.1", "224.0.1.187"),
            ("w1", "fd08::2", "fd08::1", "ff05::fd"),
        ):
            with from_afar(wire, far, name) as sock:
                sock.sendto(b"who?", (group, port))
                if name == "w0" and interfaces == "w1":
                    sock.sendto(b"you?", (near, port))
                    assert (await next_session(listener, b"you?")).group is None
                    continue
                session = await next_session(listener, b"who?")
                assert session.local == Address(near, port)
                assert session.group == Address(group, port)
                assert_answer(transport, session, sock)


async def test_an_interface_that_goes_away(wire: TwoHosts, everywhere: Listener) -> None:
    transport = everywhere.transport
    with from_afar(wire, FAR_LINK) as sock:
        sock.sendto(b"who?", ("ff02::fd", port_of(transport)))
        session = await next_session(everywhere, b"who?")
    ip("link delete w0")
    with pytest.raises(OSError, match=r"No such device|Invalid argument|unreachable|assign"):
        transport.send(b"here", session.unicast)
    with asking("127.0.0.1", "lo") as sock:
        sock.sendto(b"who?", (NODES, port_of(transport)))
        assert_answer(transport, await next_session(everywhere, b"who?"), sock)
    with pytest.raises(OSError, match="no network interface 'w0'; this machine has lo"):
        await open_udp(port=0, groups=NODES, interfaces="w0")


def memberships(group: str) -> set[str]:
    """The interfaces that are in a group, of IPv4 as the kernel has them."""
    interfaces: set[str] = set()
    name = ""
    packed = socket.inet_aton(group)[::-1].hex().upper()
    for line in Path("/proc/net/igmp").read_text().splitlines()[1:]:
        if not line.startswith("\t"):
            name = line.split()[1]
        elif line.split()[0] == packed:
            interfaces.add(name)
    return interfaces


async def test_which_interfaces_and_how_long(wire: TwoHosts) -> None:
    ip("link add w9 type veth peer name v9")  # down, both of them
    assert memberships(NODES) == set()
    transport = await open_udp("0.0.0.0", 0, groups=NODES)
    assert memberships(NODES) == {"lo", "w0"}
    transport.close()
    assert memberships(NODES) == set()
    transport = await open_udp(NEAR4, 0, groups=NODES)
    assert memberships(NODES) == {"w0"}
    transport.close()
    transport = await open_udp("127.0.0.1", 0, groups=NODES)
    assert memberships(NODES) == {"lo"}
    transport.close()
    transport = await open_udp("127.0.0.1", 0, groups=NODES, interfaces=["w0"])
    assert memberships(NODES) == {"w0"}
    transport.close()
    assert memberships(NODES) == set()


async def test_an_interface_that_cannot_join_is_left_out(
    wire: TwoHosts, caplog: pytest.LogCaptureFixture
) -> None:
    """IPv6 needs an MTU of 1280 (RFC 8200 section 5)."""
    caplog.set_level(logging.INFO, "coapsep.transport")
    ip("link set w0 mtu 1000")
    (await open_udp(port=0, groups="ff02::fd")).close()
    # Kernels differ in what they call it.
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert re.fullmatch(
        r"cannot join ff02::fd on w0: (No such device|Invalid argument): left out", record.message
    )
    caplog.clear()
    (await open_udp(port=0, groups=ALL_COAP_NODES, interfaces="w0")).close()
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    with pytest.raises(OSError, match="cannot join ff02::fd on w0: ") as caught:
        await open_udp("::1", 0, groups="ff02::fd", interfaces="w0")
    assert caught.value.errno in (errno.ENODEV, errno.EINVAL)


async def test_no_interface_is_up(two_hosts: TwoHosts) -> None:
    ip("link set lo down")
    with pytest.raises(OSError, match="no interface that is up") as caught:
        await open_udp("0.0.0.0", 0, groups=NODES)
    assert caught.value.errno == errno.ENODEV


async def test_an_asker_that_there_is_no_way_back_to(wire: TwoHosts, everywhere: Listener) -> None:
    """Its answer is the wildcard's; the system may know a way by the time it leaves."""
    with wire.far():
        ip("address add fd77::2/64 dev w0 nodad")
    with from_afar(wire, "fd77::2") as sock:
        sock.sendto(b"who?", ("ff02::fd", port_of(everywhere.transport)))
        session = await next_session(everywhere, b"who?")
        assert session.local == Address("::", port_of(everywhere.transport))
        with pytest.raises(OSError, match="unreachable"):
            everywhere.transport.send(b"here", session.unicast)
        ip("route add fd77::/64 dev w0")
        assert everywhere.transport.send(b"here", session.unicast)
        assert sock.recv(10) == b"here"


@needs_ipv6
async def test_the_interface_of_an_address_cannot_be_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("coapsep.transport.interfaces._IPV6_ADDRESSES", tmp_path / "none")
    with pytest.raises(OSError, match="name it in interfaces"):
        await open_udp("::1", 0, groups="ff02::fd")
    (await open_udp("::1", 0, groups="ff02::fd", interfaces=LOOPBACK)).close()
