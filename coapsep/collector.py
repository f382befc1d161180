"""When Python looks for garbage in cycles: policies that a program may ask for, and none by itself.

CPython frees what nobody refers to at once. Only what refers to itself in a circle waits for the
cyclic collector, which goes through all objects that could be part of one. A server with many
requests pending holds many of these for long, and no garbage among them.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

GcPolicy: TypeAlias = Literal["default", "frozen"]
#: Allocations, less what was freed, between two looks at the young objects; such looks between
#: two at those that survived one; and such looks between two at all objects. (Python 3.14 does
#: the last bit by bit, and the second number says how small the bits are.)
_RARELY = (5_000, 5, 100_000)


@contextmanager
def gc_policy(name: GcPolicy) -> Iterator[None]:
    """Let the cyclic garbage collector of this process work in another way, for a block.

    ::

        with gc_policy("frozen"):
            trio.run(main)

    ``"default"`` leaves it as it is. ``"frozen"`` is for servers with many requests pending: it
    collects once, takes what is loaded by now out of the collector's sight (``gc.freeze``),
    and looks for cycles among young objects only: at 25,000 of them at most, which takes
    milliseconds, and through everything hardly ever. So load everything first. The cost is
    memory: objects in a cycle that nobody can reach stay for longer, and those that survived two
    looks perhaps to the end. coapsep makes no cycles for a request, but a handler may, and so may
    an exception that is stored.

    When the block ends, the thresholds are as before, and everything is in sight again, also
    what somebody else had frozen.

    Raises ValueError if there is no such policy.
    """
    if name not in get_args(GcPolicy):
        raise ValueError(f"a policy is one of {', '.join(get_args(GcPolicy))}, not {name!r}")
    if name == "default":
        yield
        return
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
