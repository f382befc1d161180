# SPDX-License-Identifier: MIT
"""The suites by name. Their descriptions are read, not imported: one that is broken, or that needs
what is not installed, must not stop the others."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sample import Sample

if TYPE_CHECKING:
    from suite import Bench

FIRST = ("hello", "separate")  # in this order; the others follow by name


def names() -> list[str]:
    """All suites, in the order in which they are run."""
    found = {path.stem for path in Path(__file__).parent.glob("[a-z]*.py")}
    return [*FIRST, *sorted(found - set(FIRST))]


def about(name: str) -> str:
    """What a suite measures, in one line."""
    text = (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def runner(name: str) -> Callable[[Bench], Iterator[Sample]]:
    """The function that measures."""
    run: Callable[[Bench], Iterator[Sample]] = importlib.import_module(f"suites.{name}").run
    return run
