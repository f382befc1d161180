"""How a command ends: the exit codes, one for each class of failure, and what to say then."""

from __future__ import annotations

import enum

from coapsep.errors import BadResponse, PeerUnreachable, RequestTimedOut, ResetByPeer
from coapsep.numbers import Code
from coapsep.trace.notation import printable


class Exit(enum.IntEnum):
    """The exit code of a command."""

    SUCCESS = 0
    UNEXPECTED = 1
    USAGE = 2
    FILE = 3
    CLIENT_ERROR = 4
    SERVER_ERROR = 5
    TIMED_OUT = 6
    UNREACHABLE = 7
    RESET = 8
    BAD_RESPONSE = 9
    #: As a shell has it for a program that SIGINT, or SIGPIPE, has ended.
    INTERRUPTED = 130
    CLOSED_PIPE = 141

    @property
    def word(self) -> str:
        """For programs: what ``"error"`` is in the JSON."""
        return self.name.lower().replace("_", "-")


#: For people, in --help.
MEANINGS: dict[Exit, str] = {
    Exit.SUCCESS: "a response with a 2.xx code, a pong, or links came",
    Exit.UNEXPECTED: "anything that is not one of these",
    Exit.USAGE: "the command line asks for what cannot be sent",
    Exit.FILE: "a file, or standard output, cannot be read or written",
    Exit.CLIENT_ERROR: "the response has a 4.xx code",
    Exit.SERVER_ERROR: "the response has a 5.xx code",
    Exit.TIMED_OUT: "no response came in time",
    Exit.UNREACHABLE: "no address, no way to it, or nobody at the port",
    Exit.RESET: "the peer answered with RST",
    Exit.BAD_RESPONSE: "the response had to be rejected, or is none that can be used",
    Exit.INTERRUPTED: "Ctrl-C",
    Exit.CLOSED_PIPE: "whoever read standard output has gone",
}


class Failed(Exception):
    """Something failed: the exit code, and one printable line that says what to do."""

    def __init__(self, exit_code: Exit, text: str) -> None:
        super().__init__(printable(text))
        self.exit_code = exit_code


class OutputLost(Failed):
    """Standard output takes no more."""


def exit_code_of(code: Code) -> Exit:
    """The exit code for a response."""
    if code.is_success:
        return Exit.SUCCESS
    # Class 3 is reserved (RFC 7252 section 12.1).
    return {4: Exit.CLIENT_ERROR, 5: Exit.SERVER_ERROR}.get(code >> 5, Exit.BAD_RESPONSE)


def failure_of(exc: Exception) -> Failed:
    """What to make of an exception that a call of the client has raised."""
    text = str(exc)
    if isinstance(exc, ValueError):
        return Failed(Exit.USAGE, text)
    if isinstance(exc, RequestTimedOut):
        return Failed(Exit.TIMED_OUT, f"{text}: is the address right, and the server running?")
    if isinstance(exc, PeerUnreachable):
        # With a cause, it is the system that has no address or no way, and says so.
        hint = "" if exc.__cause__ is not None else ": is the server running?"
        return Failed(Exit.UNREACHABLE, text + hint)
    if isinstance(exc, ResetByPeer):
        return Failed(Exit.RESET, f"{text}: it takes no such message; -v shows it")
    if isinstance(exc, BadResponse):
        return Failed(Exit.BAD_RESPONSE, f"{text}: this version cannot use it; -v shows it")
    return Failed(Exit.UNEXPECTED, text)
