"""An in-memory network for tests: real servers, virtual links, virtual time.

Under ``trio.testing.MockClock(autojump_threshold=0)`` a lifetime of 247 s passes at once.
"""

from coapsep.testing.network import Conditions as Conditions
from coapsep.testing.network import Network as Network
from coapsep.testing.network import Sent as Sent
from coapsep.testing.network import VirtualTransport as VirtualTransport
from coapsep.testing.network import open_network as open_network

__all__ = ["Conditions", "Network", "Sent", "VirtualTransport", "open_network"]
