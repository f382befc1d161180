"""The layout of the house: an import points down, and trio and aiocoap stay where they belong."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import coapsep

ROOT = Path(coapsep.__file__).parent

#: Rooms, from the ground up. What stands in one line may not import each other.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("numbers", "cbor", "collector"),
    ("address", "params", "problem"),
    ("errors",),
    ("background", "message", "randomness"),
    ("protocol", "transport"),
    ("endpoint", "trace"),
    ("client", "server"),
    ("hosting",),
    ("cli", "testing"),
    ("__init__", "__main__"),
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(ROOT.rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path) -> Iterator[str]:
    """The modules a file imports, in full; those for type checkers as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield node.module


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} == set(FLOOR)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(path)
    for module in imports(path):
        package, _, rest = module.partition(".")
        if package != "coapsep":
            continue
        there = rest.partition(".")[0] or "__init__"
        assert there == here or FLOOR[there] < FLOOR[here], f"{here} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_outside_packages_stay_where_they_belong(path: Path) -> None:
    modules = {module.partition(".")[0] for module in imports(path)}
    if FLOOR[room_of(path)] <= FLOOR["errors"] or room_of(path) in ("protocol", "message"):
        assert not modules & {"trio", "socket", "time", "asyncio"}
    if path != ROOT / "message" / "codec.py":
        assert "aiocoap" not in modules
    assert not modules & {"asyncio", "pytest"}


def test_transports_know_nothing_of_coap() -> None:
    for path in FILES:
        if room_of(path) == "transport":
            ours = {module for module in imports(path) if module.startswith("coapsep.")}
            beside = {module for module in ours if module.startswith("coapsep.transport.")}
            assert ours - beside <= {"coapsep.address"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_says_what_it_owns_and_stays_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if text:
        assert ast.get_docstring(ast.parse(text)), "the first lines say what the file owns"
    assert len(text.splitlines()) <= 420
