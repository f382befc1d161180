"""Wireshark's tshark reads what is written here, and what it writes is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from coapsep.address import Address
from coapsep.message.codec import encode
from coapsep.message.message import Message
from coapsep.message.options import Options
from coapsep.numbers import Code, Type
from coapsep.trace import Datagram, Trace, read_pcapng
from tests.interop.processes import find_program, run

EPOCH = 1_700_000_000
CLIENT, SERVER = Address("10.0.0.2", 40000), Address("10.0.0.1", 5683)
CLIENT6, SERVER6 = Address("2001:db8::2", 40000), Address("2001:db8::1", 5683)

GET = encode(Message(Code.GET, Type.CON, 0x7D34, b"q", Options.build(uri_path=["temperature"])))
CONTENT = encode(
    Message(Code.CONTENT, Type.ACK, 0x7D34, b"q", Options.build(content_format=0), b"22.3 C")
)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    trace = Trace()
    trace.add(Datagram(0, CLIENT, SERVER, GET, (), "loss"))
    trace.add(Datagram(2.5, CLIENT, SERVER, GET, (2.625,)))
    trace.add(Datagram(2.75, SERVER, CLIENT, CONTENT))
    trace.add(Datagram(3.5, CLIENT6, SERVER6, GET, (4.0, 5.0)))
    path = tmp_path / "trace.pcapng"
    trace.save_pcapng(path, epoch=EPOCH)
    return path


def seen_by_tshark(capture: Path, *fields: str) -> list[tuple[str, ...]]:
    """These fields of each packet."""
    command = [find_program("tshark"), "-r", str(capture), "-T", "fields", "-E", "separator=|"]
    command += ["-o", "ip.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE"]
    for field in fields:
        command += ["-e", field]
    finished = run(command, seconds=60)
    assert finished.code == 0, finished.errors
    return [tuple(line.split("|")) for line in finished.output.splitlines()]


def test_tshark_reads_when_and_between_whom(capture: Path) -> None:
    v4, v6 = ("ip.src", "ip.dst"), ("ipv6.src", "ipv6.dst")
    assert seen_by_tshark(capture, "frame.time_epoch", *v4, *v6, "udp.srcport", "udp.dstport") == [
        ("1700000000.000000000", "10.0.0.2", "10.0.0.1", "", "", "40000", "5683"),
        ("1700000002.500000000", "10.0.0.2", "10.0.0.1", "", "", "40000", "5683"),
        ("1700000002.750000000", "10.0.0.1", "10.0.0.2", "", "", "5683", "40000"),
        ("1700000003.500000000", "", "", "2001:db8::2", "2001:db8::1", "40000", "5683"),
    ]


def test_tshark_finds_the_checksums_good(capture: Path) -> None:
    good = "1"
    assert seen_by_tshark(capture, "ip.checksum.status", "udp.checksum.status") == [
        (good, good),
        (good, good),
        (good, good),
        ("", good),  # IPv6 has none
    ]


def test_tshark_reads_the_messages_and_their_fate(capture: Path) -> None:
    fields = ("coap.mid", "coap.token", "coap.opt.uri_path", "coap.payload_length")
    request, response = ("32052", "71", "temperature", ""), ("32052", "71", "", "6")
    assert seen_by_tshark(capture, *fields, "frame.comment") == [
        (*request, "lost: loss"),
        (*request, "arrived after 0.125000 s"),
        (*response, ""),
        (*request, "arrived after 0.500000 s, arrived after 1.500000 s"),
    ]


@pytest.mark.parametrize("form", ["pcapng", "pcap", "nsecpcap"])
def test_what_tshark_writes_is_read(capture: Path, tmp_path: Path, form: str) -> None:
    copy = tmp_path / "copy"
    finished = run(
        [find_program("tshark"), "-r", str(capture), "-F", form, "-w", str(copy)], seconds=60
    )
    assert finished.code == 0, finished.errors
    assert copy.read_bytes() != capture.read_bytes()
    trace = read_pcapng(copy)
    assert not trace.skipped
    assert list(trace) == list(read_pcapng(capture))
    assert [datagram.time - EPOCH for datagram in trace] == [0, 2.5, 2.75, 3.5]
