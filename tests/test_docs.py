"""The documents: their links lead somewhere, and their Python runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md"))
    if path.is_file()
)
WITH_PYTHON = [path for path in DOCUMENTS if "```python" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_python_blocks_run(path: Path) -> None:
    """One after the other, as a module that is imported: what is meant to run for ever is below
    ``__main__``."""
    names: dict[str, object] = {"__name__": "document"}
    blocks = re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.S | re.M)
    for number, block in enumerate(blocks):
        exec(compile(block, f"<{path.name}, block {number}>", "exec"), names)


def test_the_readme_has_the_two_commands_each_on_one_line() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for marker in ("run", "test"):
        found = re.search(rf"<!-- {marker} -->\n```\n(.*?)```", readme, re.S)
        assert found is not None
        assert len(found.group(1).splitlines()) == 1


def test_the_architecture_names_every_file() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for path in (ROOT / "coapsep").rglob("*.py"):
        if path.name not in ("__init__.py", "network.py"):
            assert f"{path.name}" in text, f"docs/architecture.md does not name {path.name}"
