"""The public surface: what is exported is named, documented and typed."""

from __future__ import annotations

import inspect
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
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)


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
