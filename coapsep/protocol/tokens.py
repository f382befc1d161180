"""Tokens that nobody can guess (RFC 7252 section 5.3.1)."""

from __future__ import annotations

import random
from collections.abc import Container


def draw_token(rng: random.Random, size: int, taken: Container[bytes]) -> bytes:
    """A token of ``size`` random bytes that is not one of those that are taken."""
    while True:
        token = rng.getrandbits(8 * size).to_bytes(size, "big")
        if token not in taken:
            return token
