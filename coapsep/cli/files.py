"""The files of a command: where the payload comes from, and where that of the response goes.

Both are opened before anything is asked: a name that was mistyped is no reason to POST.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import attrs

from coapsep.cli.arguments import Arguments
from coapsep.cli.exits import Exit, Failed

#: Bytes that are read from a file, at most. It is in memory until it is sent.
_LARGEST = 64 * 1024 * 1024
_PIECE = 65_536


class OutputFile:
    """A file for payloads. Until the first one is written, what it holds is left alone.

    One that did not exist is removed again if nothing was written.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._written = False
        try:
            self._created = not os.path.lexists(path)
            binary = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | binary, 0o666)
        except OSError as exc:
            raise self._failed(exc) from exc

    def write(self, payload: bytes) -> None:
        """Make this the whole of the file. Raises Failed."""
        self._written = True
        try:
            if stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.ftruncate(self._descriptor, 0)
                os.lseek(self._descriptor, 0, os.SEEK_SET)
            while payload:
                payload = payload[os.write(self._descriptor, payload) :]
        except OSError as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: OSError) -> Failed:
        return Failed(Exit.FILE, f"cannot write {self._path}: {exc.strerror or exc}")

    def __enter__(self) -> OutputFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)
        if self._created and not self._written:
            with suppress(OSError):
                os.unlink(self._path)


@attrs.frozen
class Files:
    """What was read, and what may be written."""

    payload: bytes | str | None
    """Text if it was typed, bytes if it is from a file; None if there is none."""

    output: OutputFile | None


@contextmanager
def open_files(arguments: Arguments) -> Iterator[Files]:
    """The files of this command, for the length of a block. Raises Failed."""
    payload = arguments.data if arguments.file is None else _read(arguments.file)
    if arguments.output in (None, "-"):
        yield Files(payload, None)
        return
    with OutputFile(arguments.output) as output:
        yield Files(payload, output)


def _read(path: str) -> bytes:
    try:
        if path == "-":
            payload = b"" if sys.stdin is None else _read_all(sys.stdin.fileno())
        else:
            with open(path, "rb") as file:
                payload = _read_all(file.fileno())
    except OSError as exc:
        raise Failed(Exit.FILE, f"cannot read {path}: {exc.strerror or exc}") from exc
    if len(payload) > _LARGEST:
        raise Failed(Exit.USAGE, f"{path} has more than {_LARGEST} bytes")
    return payload


def _read_all(descriptor: int) -> bytes:
    """All of it, or a piece more than the most."""
    pieces = []
    size = 0
    # One read() of a file for all of it would miss a Ctrl-C that comes between two of its own.
    while size <= _LARGEST and (piece := os.read(descriptor, _PIECE)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
