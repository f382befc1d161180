"""How far a long transfer is, as a line on a terminal that is drawn over and over."""

from __future__ import annotations

import trio

from coapsep.cli.console import Console
from coapsep.protocol.transfer_state import Progress

#: Least time from one drawing to the next, seconds.
_OFTEN_ENOUGH = 0.1
_BAR = 30


class ProgressBar:
    """Call it with each Progress; ``clear`` takes it away."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = trio.current_time()
        self._drawn_at = self._began
        self._is_drawn = False

    def __call__(self, progress: Progress) -> None:
        now = trio.current_time()
        if now - self._drawn_at < _OFTEN_ENOUGH:
            return
        self._drawn_at = now
        line = line_of(progress, now - self._began)[: self._console.width_of_notes - 1]
        self._console.draw(f"\r\x1b[K{line}")
        self._is_drawn = True

    def clear(self) -> None:
        """The transfer is over."""
        if self._is_drawn:
            self._is_drawn = False
            self._console.draw("\r\x1b[K")


def line_of(progress: Progress, seconds: float) -> str:
    """One line: which way, how much of how much, how fast."""
    if progress.received:
        arrow, done, total = "<-", progress.received, progress.to_receive
    else:
        arrow, done, total = "->", progress.sent, progress.to_send
    line = f"{arrow} {_size(done)}"
    if total:
        part = min(1.0, done / total)
        full = int(part * _BAR)
        bar = "#" * full + "." * (_BAR - full)
        line = f"{arrow} [{bar}] {100 * part:3.0f} %  {_size(done)} of {_size(total)}"
    return f"{line}  {_size(done / seconds)}/s" if seconds > 0 else line


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
