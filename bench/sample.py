# SPDX-License-Identifier: MIT
"""One measured figure: the only thing that the parts of the benchmark hand to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sample:
    """What one repeat has measured of one subject.

    ``subject`` is what was measured ("coapsep", "libcoap"), ``metric`` what of it ("req/s"), and
    ``setting`` under which conditions ({"W": 64}). Samples that differ in their value only are
    repeats of each other, of which the report makes a median.
    """

    subject: str
    metric: str
    value: float
    setting: Mapping[str, float | str] = field(default_factory=dict)
