"""Capture files: what is written, and what is read from the field."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coapsep.address import Address
from coapsep.trace import Datagram, Trace, read_pcapng
from coapsep.trace.pcapng import CutShort, Packet, read_packets, write_packets
from tests.unit.wire import ACK, CLIENT, GET, SERVER, up

#: Examples take as long as they take: the machine may be busy.
patient = settings(deadline=None)

CLIENT6, SERVER6 = Address("2001:db8::2", 40000), Address("2001:db8::1", 5683)


def written(tmp_path: Path, *datagrams: Datagram, epoch: float = 0.0) -> Path:
    trace = Trace()
    for datagram in datagrams:
        trace.add(datagram)
    path = tmp_path / "trace.pcapng"
    trace.save_pcapng(path, epoch=epoch)
    return path


def packets(path: Path) -> list[Packet]:
    with path.open("rb") as file:
        return list(read_packets(file))


# -- written and read back -----------------------------------------------------------------


HOSTS = st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)) | st.tuples(
    st.ip_addresses(v=6).filter(lambda ip: int(ip) >> 48),  # others have two forms
    st.ip_addresses(v=6).filter(lambda ip: int(ip) >> 48),
)
DATAGRAMS = st.builds(
    lambda time, hosts, source, data: Datagram(
        time, Address(str(hosts[0]), source), Address(str(hosts[1]), 5683), data
    ),
    time=st.integers(0, 2**40).map(lambda ticks: ticks / 2**8),
    hosts=HOSTS,
    source=st.integers(0, 65535),
    data=st.binary(max_size=100),
)


@patient
@given(st.lists(DATAGRAMS, max_size=5))
def test_what_is_written_is_read_back(datagrams: list[Datagram]) -> None:
    trace = Trace()
    for datagram in datagrams:
        trace.add(datagram)
    file = io.BytesIO()
    trace.save_pcapng(file)
    again = read_pcapng(io.BytesIO(file.getvalue()))
    assert list(again) == sorted(datagrams, key=lambda datagram: datagram.time)
    assert not again.skipped


def test_the_epoch_is_added(tmp_path: Path) -> None:
    path = written(tmp_path, up(1.5, GET), epoch=1_700_000_000)
    assert read_pcapng(str(path))[0].time == 1_700_000_001.5


def test_a_file_object_will_do(tmp_path: Path) -> None:
    data = written(tmp_path, up(0, GET)).read_bytes()
    assert [datagram.data for datagram in read_pcapng(io.BytesIO(data))] == [GET]


def test_the_headers_are_right(tmp_path: Path) -> None:
    """Checked by hand: the sum over a header or a datagram with its checksum is all ones."""
    (packet,) = packets(written(tmp_path, up(0, GET)))
    ip, udp = packet.data[:20], packet.data[20:]
    assert ip[:4] == b"\x45\0" + struct.pack("!H", 20 + 8 + len(GET))
    assert ip[12:20] == bytes([10, 0, 0, 2, 10, 0, 0, 1])
    assert ones_sum(ip) == 0xFFFF
    assert udp[:6] == struct.pack("!HHH", 40000, 5683, 8 + len(GET))
    assert ones_sum(ip[12:20] + struct.pack("!HH", 17, len(udp)) + udp) == 0xFFFF


def test_the_headers_of_ipv6_are_right(tmp_path: Path) -> None:
    (packet,) = packets(written(tmp_path, Datagram(0, CLIENT6, SERVER6, GET)))
    ip, udp = packet.data[:40], packet.data[40:]
    assert ip[:8] == b"\x60\0\0\0" + struct.pack("!HBB", len(udp), 17, 64)
    assert ones_sum(ip[8:40] + struct.pack("!II", len(udp), 17) + udp) == 0xFFFF


def ones_sum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    return (total & 0xFFFF) + (total >> 16)


def test_a_checksum_of_zero_is_written_as_ones(tmp_path: Path) -> None:
    """RFC 768: zero would say that there is none."""
    (packet,) = packets(written(tmp_path, up(0, bytes(2))))
    empty_sum = struct.unpack("!H", packet.data[26:28])[0]
    (packet,) = packets(written(tmp_path, up(0, struct.pack("!H", empty_sum))))
    assert packet.data[26:28] == b"\xff\xff"


def test_between_ipv4_and_ipv6_addresses_are_mapped(tmp_path: Path) -> None:
    (datagram,) = read_pcapng(written(tmp_path, Datagram(0, CLIENT, SERVER6, GET)))
    assert datagram.source == Address("::ffff:10.0.0.2", 40000)
    assert datagram.destination == SERVER6


def test_the_fate_of_a_datagram_is_its_comment(tmp_path: Path) -> None:
    path = written(tmp_path, up(0, GET, lost="partition"), up(1, GET, 1.25, 2, lost="loss"))
    data = path.read_bytes()
    assert b"lost: partition" in data
    assert b"a copy was lost: loss, arrived after 0.250000 s, arrived after 1.000000 s" in data
    assert [datagram.arrivals for datagram in read_pcapng(path)] == [None, None]


def test_a_long_comment_is_cut(tmp_path: Path) -> None:
    """A datagram to a group arrives at each of its members."""
    path = written(tmp_path, up(0, GET, *range(1, 5000)))
    assert "37.000000 s, arrived a…".encode() in path.read_bytes()
    assert len(read_pcapng(path)) == 1


@pytest.mark.parametrize("time", [-1.0, 2.0**64, float("inf"), float("nan")])
def test_a_time_must_be_one_that_a_capture_holds(tmp_path: Path, time: float) -> None:
    with pytest.raises(ValueError, match="from 1970 to 2554"):
        written(tmp_path, up(time, GET))


def test_a_host_must_be_an_ip_address(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'sensor' is no IP address"):
        written(tmp_path, Datagram(0, CLIENT, Address("sensor", 5683), GET))


@pytest.mark.parametrize(("host", "most"), [("10.0.0.1", 65507), ("::1", 65527)])
def test_data_must_fit_into_a_datagram(tmp_path: Path, host: str, most: int) -> None:
    peer = Address(host, 5683)
    assert len(read_pcapng(written(tmp_path, Datagram(0, peer, peer, bytes(most))))[0].data) == most
    with pytest.raises(ValueError, match=f"{most + 1} bytes do not fit"):
        written(tmp_path, Datagram(0, peer, peer, bytes(most + 1)))


def test_nothing_is_written_where_something_cannot_be(tmp_path: Path) -> None:
    path = written(tmp_path, up(0, GET))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="1970"):
        written(tmp_path, up(1, ACK), up(-1, GET))
    assert path.read_bytes() == before


# -- captures of the field -----------------------------------------------------------------


def udp(data: bytes = GET, source: int = 40000, destination: int = 5683) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(data), 0) + data


def ipv4(
    payload: bytes,
    *,
    fragment: int = 0,
    protocol: int = 17,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    header = 20 + len(options)
    size = header + len(payload) if total is None else total
    fields = (0x40 | header // 4, 0, size, 1, fragment, 64, protocol, 0)
    ends = bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1])
    return struct.pack("!BBHHHBBH4s4s", *fields, *ends) + options + payload


def ipv6(payload: bytes, *, first: int = 17, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    ends = bytes.fromhex("20010db8") + bytes(11)
    return struct.pack("!IHBB", 6 << 28, size, first, 64) + ends + b"\2" + ends + b"\1" + payload


def pcap(link_type: int, *data: bytes, order: str = "<", magic: int = 0xA1B2C3D4) -> io.BytesIO:
    file = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for second, packet in enumerate(data):
        file += struct.pack(order + "IIII", second, 500_000, len(packet), len(packet)) + packet
    return io.BytesIO(file)


def read_one(file: io.BytesIO) -> Datagram:
    trace = read_pcapng(file)
    assert not trace.skipped
    (datagram,) = trace
    return datagram


MACS = bytes(12)

LINKS = [
    (1, MACS + b"\x08\x00", MACS + b"\x86\xdd"),
    (1, MACS + b"\x81\x00\0\1\x08\x00", MACS + b"\x81\x00\0\1\x86\xdd"),
    (1, MACS + b"\x88\xa8\0\1\x81\x00\0\2\x08\x00", MACS + b"\x88\xa8\0\1\x81\x00\0\2\x86\xdd"),
    (113, bytes(14) + b"\x08\x00", bytes(14) + b"\x86\xdd"),
    (276, b"\x08\x00" + bytes(18), b"\x86\xdd" + bytes(18)),
    (0, b"\2\0\0\0", b"\x1e\0\0\0"),  # macOS
    (0, b"\0\0\0\2", b"\0\0\0\x18"),  # NetBSD, the other way round
    (108, b"\0\0\0\2", b"\0\0\0\x1e"),
    (101, b"", b""),
    (12, b"", b""),
    (14, b"", b""),
    (228, b"", None),
    (229, None, b""),
]


@pytest.mark.parametrize(("link_type", "before4", "before6"), LINKS)
def test_link_layers(link_type: int, before4: bytes | None, before6: bytes | None) -> None:
    trailer = b"\xee" * 7  # a short Ethernet frame is filled up; some have a check sequence
    if before4 is not None:
        datagram = read_one(pcap(link_type, before4 + ipv4(udp()) + trailer))
        assert datagram == Datagram(0.5, CLIENT, SERVER, GET)
    if before6 is not None:
        datagram = read_one(pcap(link_type, before6 + ipv6(udp()) + trailer))
        assert datagram == Datagram(0.5, CLIENT6, SERVER6, GET)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "ticks"), [(0xA1B2C3D4, 10**6), (0xA1B23C4D, 10**9)])
def test_pcap_in_either_order_and_resolution(order: str, magic: int, ticks: int) -> None:
    datagram = read_one(pcap(101, ipv4(udp()), order=order, magic=magic))
    assert datagram.time == 500_000 / ticks


def test_headers_that_may_stand_before_udp() -> None:
    assert read_one(pcap(101, ipv4(udp(), options=bytes(8)))).data == GET
    hop_by_hop = bytes([60, 0]) + bytes(6)
    destination = bytes([43, 1]) + bytes(14)
    routing = bytes([51, 0]) + bytes(6)
    authentication = bytes([44, 2]) + bytes(14)
    whole = bytes([17, 0]) + bytes(6)  # an atomic fragment (RFC 6946)
    chain = hop_by_hop + destination + routing + authentication + whole
    assert read_one(pcap(101, ipv6(chain + udp(), first=0))).data == GET


def test_a_length_that_the_network_card_was_to_fill_in() -> None:
    assert read_one(pcap(101, ipv4(udp(), total=0))).data == GET
    assert read_one(pcap(101, ipv6(udp(), length=0))).data == GET


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ipv4(udp(), fragment=0x2000), "fragment"),
        (ipv4(udp(), fragment=3), "fragment"),
        (ipv6(bytes([17, 0, 0, 1]) + bytes(4) + udp(), first=44), "fragment"),
        (ipv6(bytes([17, 0, 1, 0]) + bytes(4) + udp(), first=44), "fragment"),
        (ipv4(udp())[:-1], "cut short"),
        (ipv4(udp())[:24], "cut short"),
        (ipv4(udp())[:12], "cut short"),
        (ipv6(udp())[:-1], "cut short"),
        (ipv6(udp())[:30], "cut short"),
        (ipv6(b"", first=0), "cut short"),
        (ipv4(struct.pack("!HHHH", 1, 5683, 3, 0)), "cut short"),
        (b"\x41" + ipv4(udp())[1:], "damaged header"),
    ],
)
def test_what_cannot_be_read_is_counted(packet: bytes, reason: str) -> None:
    trace = read_pcapng(pcap(101, packet, ipv4(udp())))
    assert len(trace) == 1
    assert trace.skipped == {reason: 1}


@pytest.mark.parametrize(
    "packet",
    [
        MACS + b"\x08\x06" + bytes(28),  # ARP
        MACS + b"\x08\x00" + ipv4(bytes(20), protocol=6),
        MACS + b"\x86\xdd" + ipv6(bytes(8), first=58),
        MACS + b"\x08\x00" + ipv4(udp(source=53, destination=1234)),
        MACS + b"\x08\x00",
        MACS + b"\x08\x00\x10",
        MACS + b"\x81\x00" * 9,
        b"",
    ],
)
def test_what_is_something_else_is_passed_over(packet: bytes) -> None:
    trace = read_pcapng(pcap(1, packet))
    assert list(trace) == []
    assert not trace.skipped


def test_an_unknown_link_type_is_counted() -> None:
    assert read_pcapng(pcap(195, b"802.15.4", b"again")).skipped == {"link type 195": 2}


def test_other_ports_can_be_asked_for() -> None:
    there, back = ipv4(udp(ACK, 61616, 40000)), ipv4(udp(ACK, 40000, 61616))
    assert len(read_pcapng(pcap(101, there, back))) == 0
    assert len(read_pcapng(pcap(101, there, back), ports={61616})) == 2


# -- pcapng --------------------------------------------------------------------------------


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order: str = "<", major: int = 1) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1))


def interface(order: str, link_type: int, *options: tuple[int, bytes]) -> bytes:
    body = struct.pack(order + "HHI", link_type, 0, 0)
    for code, value in options:
        body += struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)
    return block(order, 1, body)


def enhanced(order: str, number: int, ticks: int, data: bytes, size: int | None = None) -> bytes:
    captured = len(data) if size is None else size
    head = struct.pack(order + "5I", number, ticks >> 32, ticks & 0xFFFFFFFF, captured, captured)
    return block(order, 6, head + data)


@pytest.mark.parametrize("order", ["<", ">"])
def test_each_interface_has_its_link_type_and_clock(order: str) -> None:
    file = (
        section(order)
        + interface(order, 1)
        + interface(order, 101, (2, b"lo"), (9, b"\x09"), (0, b""), (9, b"\x03"))
        + interface(order, 113, (9, b"\x8a"), (14, struct.pack(order + "q", 100)))
        + enhanced(order, 0, 2_500_000, MACS + b"\x08\x00" + ipv4(udp()))
        + block(order, 5, b"statistics")
        + enhanced(order, 1, 1_500_000_000, ipv6(udp()))
        + enhanced(order, 2, 512, bytes(14) + b"\x08\x00" + ipv4(udp()))
    )
    assert list(read_pcapng(io.BytesIO(file))) == [
        Datagram(1.5, CLIENT6, SERVER6, GET),
        Datagram(2.5, CLIENT, SERVER, GET),
        Datagram(100.5, CLIENT, SERVER, GET),
    ]


def test_files_may_be_joined() -> None:
    one = section("<") + interface("<", 101) + enhanced("<", 0, 1, ipv4(udp()))
    other = section(">") + interface(">", 229) + enhanced(">", 0, 2, ipv6(udp()))
    assert len(read_pcapng(io.BytesIO(one + other))) == 2


def test_older_packet_blocks() -> None:
    old = struct.pack("<HHIIII", 0, 7, 0, 3_000_000, len(ipv4(udp())), 999) + ipv4(udp())
    simple = struct.pack("<I", len(ipv4(udp()))) + ipv4(udp())
    file = section() + interface("<", 101) + block("<", 2, old) + block("<", 3, simple)
    trace = read_pcapng(io.BytesIO(file))
    assert list(trace) == [Datagram(3, CLIENT, SERVER, GET)]
    assert trace.skipped == {"no time": 1}


def test_a_file_that_ends_too_early_gives_what_it_has() -> None:
    file = section() + interface("<", 101) + enhanced("<", 0, 1, ipv4(udp())) * 2
    for cut in range(1, len(enhanced("<", 0, 1, ipv4(udp())))):
        trace = read_pcapng(io.BytesIO(file[:-cut]))
        assert len(trace) == 1
        assert trace.skipped == {"end of the file": 1}
    old = pcap(101, ipv4(udp()), ipv4(udp())).getvalue()
    for cut in range(1, 16 + len(ipv4(udp()))):
        assert read_pcapng(io.BytesIO(old[:-cut])).skipped == {"end of the file": 1}


GOOD = section() + interface("<", 101)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "no capture file: it begins with nothing"),
        (b"GIF89a", "no capture file: it begins with 47494638"),
        (b"\x1f\x8b\x08\x00", "compressed: unpack it with gunzip"),
        (section(major=2), "pcapng of version 2"),
        (block("<", 0x0A0D0D0A, b"what" + bytes(12)), "77686174 for a byte order"),
        (GOOD + enhanced("<", 7, 1, b""), "its interface 7"),
        (section() + enhanced("<", 0, 1, b""), "its interface 0"),
        (section() + block("<", 3, bytes(4)), "its interface 0"),
        (GOOD + enhanced("<", 0, 1, b"", size=5), "20 bytes where 25 are needed"),
        (GOOD + block("<", 6, b""), "0 bytes where 20 are needed"),
        (GOOD + block("<", 3, b""), "0 bytes where 4 are needed"),
        (section() + block("<", 1, b""), "0 bytes where 8 are needed"),
        (GOOD + struct.pack("<II", 6, 0), "a block of 0 bytes"),
        (GOOD + struct.pack("<II", 6, 8), "a block of 8 bytes"),
        (GOOD + struct.pack("<II", 6, 33), "a block of 33 bytes"),
        (GOOD + struct.pack("<II", 6, 0xFFFFFFFC), "a block of 4294967292 bytes"),
        (section()[:4] + struct.pack("<I", 12) + section()[8:], "a block of 12 bytes"),
        (GOOD[:-4] + b"\0\0\0\0", "two lengths"),
        (pcap(1, b"").getvalue()[:-8] + b"\xff" * 8, "a packet of 4294967295 bytes"),
    ],
)
def test_what_is_no_capture_or_a_damaged_one(file: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_pcapng(io.BytesIO(file))


SAMPLES = [
    (GOOD + enhanced("<", 0, 1, ipv4(udp())) + enhanced("<", 0, 2, ipv6(udp()))),
    pcap(1, *(before + ipv4(udp()) for _, before, _ in LINKS[:3] if before)).getvalue(),
]


@patient
@given(st.sampled_from(SAMPLES), st.data())
def test_a_hostile_file_raises_nothing_but_value_error(sample: bytes, data: st.DataObject) -> None:
    hostile = bytearray(sample)
    for _ in range(data.draw(st.integers(0, 8))):
        at = data.draw(st.integers(0, len(hostile) - 1))
        hostile[at] = data.draw(st.integers(0, 255))
    try:
        trace = read_pcapng(io.BytesIO(hostile[: data.draw(st.integers(0, len(hostile)))]))
    except ValueError:
        return
    assert all(datagram.time < 1e20 for datagram in trace)


@patient
@given(st.integers(0, 300), st.binary(max_size=120))
@example(1, MACS + b"\x81\x00" * 40)
def test_hostile_packets_raise_nothing(link_type: int, packet: bytes) -> None:
    read_pcapng(pcap(link_type, packet), ports=range(65536))


@patient
@given(st.binary(max_size=80))
def test_hostile_ip_raises_nothing(rest: bytes) -> None:
    file = pcap(101, b"\x45" + rest, b"\x60" + rest, ipv6(rest, first=0), ipv4(rest))
    read_pcapng(file, ports=range(65536))


def test_cut_short_is_told_apart() -> None:
    with pytest.raises(CutShort):
        list(read_packets(io.BytesIO(section()[:10])))


def test_packets_are_written_with_a_comment_or_without() -> None:
    file = io.BytesIO()
    write_packets(file, 147, [(1.5, b"abc", ""), (2, b"", "nothing: ä")])
    assert list(read_packets(io.BytesIO(file.getvalue()))) == [
        Packet(1.5, 147, b"abc"),
        Packet(2, 147, b""),
    ]
    assert "nothing: ä".encode() in file.getvalue()


def test_a_capture_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        read_pcapng("/there/is/no/such.pcapng")
