# SPDX-License-Identifier: MIT
"""The benchmark's resource on CoAPthon3.  usage: coapthon_server.py PORT"""

from __future__ import annotations

import logging
import sys
from typing import Any

from coapthon.resources.resource import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    Resource,
)
from coapthon.server.coap import (  # type: ignore[import-untyped, import-not-found, unused-ignore]
    CoAP,
)
from peer_note import note_at_end


class Hello(Resource):  # type: ignore[misc, unused-ignore]
    """Answers 10 bytes without waiting, which CoAPthon3 piggybacks."""

    def __init__(self, name: str = "Hello", coap_server: Any = None) -> None:
        super().__init__(name, coap_server, visible=True, observable=False, allow_children=False)
        self.payload = "hello, 123"

    def render_GET(self, request: Any) -> Any:  # noqa: N802 - the name CoAPthon3 looks for
        """Answer GET."""
        return self


logging.disable(logging.CRITICAL)  # it logs every message, which is not what is measured
note_at_end("CoAPthon3")
server = CoAP(("127.0.0.1", int(sys.argv[1])))
server.add_resource("hello/", Hello())
server.listen(10)
