"""One call of the client within the time that a command has for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from coapsep.cli.arguments import Arguments
from coapsep.cli.exits import Exit, Failed, failure_of
from coapsep.client.response import UnsuccessfulResponse
from coapsep.errors import CoapError


@contextmanager
def attempt(arguments: Arguments) -> Iterator[None]:
    """Limit the block to --timeout, and make Failed of what the client raises in it.

    A ValueError of the client says that there is no such request.
    """
    try:
        with trio.fail_after(arguments.timeout):
            yield
    except trio.TooSlowError:
        raise Failed(
            Exit.TIMED_OUT,
            f"{arguments.uri}: no response in {arguments.timeout:g} s: "
            "is the server running? --timeout waits longer",
        ) from None
    except UnsuccessfulResponse:
        raise  # it is shown like any other
    except (CoapError, ValueError) as exc:
        raise failure_of(exc) from exc
