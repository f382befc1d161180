"""The line that says how far a long transfer is."""

from __future__ import annotations

import pytest

from coapsep.cli.progress import line_of
from coapsep.protocol.transfer_state import Progress


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (Progress(0, 0, 512, None), "<- 512 B  256 B/s"),
        (
            Progress(0, 0, 5000, 10_000),
            "<- [###############...............]  50 %  5.0 kB of 10.0 kB  2.5 kB/s",
        ),
        (
            Progress(1_500_000, 6_000_000, 0, None),
            "-> [#######.......................]  25 %  1.5 MB of 6.0 MB  750.0 kB/s",
        ),
        (Progress(2_000_000_000, None, 0, None), "-> 2.0 GB  1.0 GB/s"),
        # A server that says too little does not break the bar.
        (Progress(0, 0, 30, 10), f"<- [{'#' * 30}] 100 %  30 B of 10 B  15 B/s"),
    ],
)
def test_which_way_how_much_how_fast(progress: Progress, line: str) -> None:
    assert line_of(progress, 2.0) == line


def test_no_time_no_speed() -> None:
    assert line_of(Progress(1, None, 0, None), 0.0) == "-> 1 B"
