"""The messages as they come and go: a ladder that grows on standard error."""

from __future__ import annotations

from coapsep.cli.console import Console
from coapsep.trace.ladder import LadderWriter
from coapsep.trace.recording import RecordingTransport
from coapsep.trace.trace import Trace
from coapsep.transport.base import Transport


def drawn(transport: Transport, console: Console) -> Transport:
    """This transport, with each of its datagrams drawn when it leaves or arrives."""
    ladder = LadderWriter(
        names={address: f"client:{address.port}" for address in transport.addresses},
        width=console.width_of_notes,
    )
    return RecordingTransport(
        transport, Trace(0), on_datagram=lambda datagram: console.draw(ladder.draw(datagram))
    )
