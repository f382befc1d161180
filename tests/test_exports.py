"""The public surface: what is exported is named, documented and typed."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import coapsep
import coapsep.testing
import coapsep.trace

MODULES = (coapsep, coapsep.testing, coapsep.trace)
PUBLIC = [(module, name) for module in MODULES for name in module.__all__]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__))
def test_all_is_what_is_there(module: ModuleType) -> None:
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        getattr(module, name)  # that of coapsep loads it
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)


def test_what_is_loaded_is_what_type_checkers_see() -> None:
    tree = ast.parse(Path(coapsep.__file__).read_text(encoding="utf-8"))
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == coapsep._HOMES  # type: ignore[attr-defined]  # it is hidden from mypy
    assert sorted(seen) == coapsep.__all__
    with pytest.raises(AttributeError, match="module 'coapsep' has no attribute 'nope'"):
        coapsep.nope  # type: ignore[attr-defined]  # noqa: B018 - that is the point


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("import coapsep", ["trio", "attrs", "aiocoap", "coapsep.numbers"]),
        ("from coapsep import Router, open_server", ["coapsep.client", "coapsep.hosting"]),
        ("from coapsep import open_client", ["coapsep.server", "coapsep.trace", "json"]),
        ("import coapsep.cli.main", ["coapsep.client", "coapsep.server", "coapsep.hosting"]),
    ],
)
def test_what_is_not_asked_for_is_not_loaded(program: str, absent: list[str]) -> None:
    program += f"; import sys; print([name for name in {absent} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout.strip() == b"[]"


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=lambda value: str(value))
def test_everything_public_has_a_docstring(module: ModuleType, name: str) -> None:
    value = getattr(module, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return  # a type alias: its comment stands where it is defined
    assert inspect.getdoc(value)
    if inspect.isclass(value) and value.__module__.startswith("coapsep"):
        for member, function in vars(value).items():
            inner = function.fget if isinstance(function, property) else function
            if member.startswith("_") or not inspect.isfunction(inner):
                continue
            assert inspect.getdoc(getattr(value, member)), f"{name}.{member}"


def test_the_marker_for_type_checkers_is_there() -> None:
    assert (Path(coapsep.__file__).parent / "py.typed").is_file()


def test_the_version_is_one() -> None:
    assert all(part.isdecimal() for part in coapsep.__version__.split("."))
