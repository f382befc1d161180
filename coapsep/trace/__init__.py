"""What was on the wire: traces of datagrams, for people and for other tools.

A Trace draws itself as a ladder diagram, as text or SVG, and goes to Wireshark and back.
"""

from coapsep.trace.datagram import Datagram as Datagram
from coapsep.trace.ladder import LadderWriter as LadderWriter
from coapsep.trace.notation import describe as describe
from coapsep.trace.notation import describe_datagram as describe_datagram
from coapsep.trace.recording import RecordingTransport as RecordingTransport
from coapsep.trace.replay import replay as replay
from coapsep.trace.trace import Trace as Trace
from coapsep.trace.trace import read_pcapng as read_pcapng

__all__ = [
    "Datagram",
    "LadderWriter",
    "RecordingTransport",
    "Trace",
    "describe",
    "describe_datagram",
    "read_pcapng",
    "replay",
]
