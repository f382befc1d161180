"""How a scripted peer says that something is not as expected."""

from __future__ import annotations

from collections.abc import Iterable


class ScriptFailed(AssertionError):
    """What arrived, or did not, is not what a ScriptedPeer expected.

    The text says what was expected, what came and in which fields it differs, and has the
    ladder so far.
    """


def mismatch(expected: str, got: str, rows: Iterable[tuple[str, str]] = ()) -> ScriptFailed:
    """A ScriptFailed for what was expected and what came; ``rows`` say more, name by name."""
    rows = [("expected", expected), ("got", got), *rows]
    width = max(len(name) for name, _ in rows) + 1
    lines = [f"{name + ':':{width}} {text}" for name, text in rows]
    # A headline, since what prints an exception puts its name before the first line.
    return ScriptFailed("\n".join(["not as the script says", *lines]))
