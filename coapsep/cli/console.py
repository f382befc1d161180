"""Standard output and standard error: the bytes that go there, and what can be shown there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from coapsep.cli.exits import Exit, Failed, OutputLost

#: Columns where there is no terminal that says how many it has.
_WIDTH = 100


class Console:
    """The two streams of a command. ``quiet`` keeps notes from standard error.

    A stream is None where the program was started without it.
    """

    def __init__(
        self, stdout: TextIO | None, stderr: TextIO | None, *, quiet: bool = False
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self.quiet = quiet
        #: Whether a person looks at standard output.
        self.is_terminal: bool = stdout is not None and stdout.isatty()
        #: Whether colours are welcome there (no-color.org).
        self.has_colours: bool = (
            self.is_terminal
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
            # The older console of Windows would show the escape sequences.
            and (os.name != "nt" or "WT_SESSION" in os.environ)
        )

        #: Whether a person looks at standard error, and may see how far something is.
        self.shows_progress: bool = (
            not quiet
            and stderr is not None
            and stderr.isatty()
            and os.environ.get("TERM") != "dumb"
        )

    @property
    def width_of_notes(self) -> int:
        """Columns of the terminal that standard error goes to."""
        if self._stderr is None or not self._stderr.isatty():
            return _WIDTH
        return os.get_terminal_size(self._stderr.fileno()).columns or _WIDTH

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See to it that what the block puts on standard output gets there.

        Raises OutputLost if it does not; then nothing more is put there.
        """
        try:
            try:
                yield
            finally:
                if self._stdout is not None:
                    self._stdout.flush()
        except OSError as exc:
            self._give_up()
            code = Exit.CLOSED_PIPE if isinstance(exc, BrokenPipeError) else Exit.FILE
            raise OutputLost(code, f"standard output: {exc.strerror or exc}") from exc

    def _give_up(self) -> None:
        if self._stdout is not None:
            # At its end, Python would try once more to write what is left.
            with open(os.devnull, "wb") as nowhere, suppress(OSError):
                os.dup2(nowhere.fileno(), self._stdout.fileno())
        self._stdout = None

    def write(self, data: bytes) -> None:
        """Put bytes on standard output, as they are, at once. Raises as ``writing`` does."""
        if self._stdout is not None:
            with self.writing():
                self._stdout.buffer.write(data)

    def print(self, text: str) -> None:
        """Put text on standard output, and a newline behind it. Raises as ``write`` does."""
        self.write(_encode(text + "\n", self._stdout))

    def note(self, text: str) -> None:
        """Put a line on standard error, unless the command is to be quiet."""
        if not self.quiet:
            self.draw(text + "\n")

    def conclude(self, failure: Failed) -> Exit:
        """Tell people why a command ends, as far as it can be told; returns its exit code."""
        if failure.exit_code is not Exit.CLOSED_PIPE:
            self.note(f"coapsep: {failure}")
        return failure.exit_code

    def draw(self, text: str) -> None:
        """Put whole lines on standard error. Never raises: there is nobody left to tell."""
        if self._stderr is None:
            return
        try:
            self._stderr.flush()
            self._stderr.buffer.write(_encode(text, self._stderr))
            self._stderr.flush()
        except OSError:
            pass


def _encode(text: str, stream: TextIO | None) -> bytes:
    # A terminal that lacks a character is no reason to fail.
    encoding = None if stream is None else stream.encoding
    return text.encode(encoding or "utf-8", "backslashreplace")
