"""An in-memory network for tests: real servers and clients, virtual links, virtual time.

``open_network`` makes a ``Network``; servers and clients are handed a ``VirtualTransport`` of
it, and know no difference. Under ``trio.testing.MockClock(autojump_threshold=0)`` a lifetime
of 247 s passes at once. ``open_scripted_peer`` is for tests that read like the figures of the
RFCs.
"""

from coapsep.testing.conditions import Conditions as Conditions
from coapsep.testing.filters import Drop as Drop
from coapsep.testing.nat import Nat as Nat
from coapsep.testing.network import Network as Network
from coapsep.testing.network import open_network as open_network
from coapsep.testing.script_failed import ScriptFailed as ScriptFailed
from coapsep.testing.scripted_peer import ScriptedPeer as ScriptedPeer
from coapsep.testing.scripted_peer import open_scripted_peer as open_scripted_peer
from coapsep.testing.virtual_transport import VirtualTransport as VirtualTransport

__all__ = [
    "Conditions",
    "Drop",
    "Nat",
    "Network",
    "ScriptFailed",
    "ScriptedPeer",
    "VirtualTransport",
    "open_network",
    "open_scripted_peer",
]
