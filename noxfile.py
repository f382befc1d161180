"""``nox`` runs all that a change must pass; ``nox -l`` lists it, ``nox -s NAME`` runs one."""

from __future__ import annotations

import subprocess

import nox

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_missing_interpreters = False

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
CHECKED = ("coapsep", "pytest_coapsep.py", "tests", "examples", "bench", "noxfile.py")


def works(version: str) -> bool:
    """Whether this Python runs: a version manager may leave a command that only complains."""
    try:
        found = subprocess.run((f"python{version}", "--version"), capture_output=True, check=False)
    except OSError:
        return False
    return found.returncode == 0


@nox.session(python=[version for version in PYTHONS if works(version)] or None)
def tests(session: nox.Session) -> None:
    """All tests, on every Python that is present. Arguments go to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and format."""
    session.install("ruff>=0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Types of everything, and that the public API is typed completely."""
    session.install("-e", ".[dev]")
    session.run("mypy", *CHECKED)
    session.run("pyright", "--verifytypes", "coapsep", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """Links in the documents lead somewhere, and their Python runs."""
    session.install(".[test]")
    session.run("pytest", "tests/test_docs.py")


@nox.session(default=False)
def coverage(session: nox.Session) -> None:
    """Branch coverage of all tests without real sockets, as a table and as HTML."""
    session.install("-e", ".[dev]")
    session.run("coverage", "run", "-m", "pytest", "tests/unit", "tests/shell", "tests/figures")
    session.run("coverage", "report", "--show-missing", "--skip-covered")
    session.run("coverage", "html")


@nox.session(default=False)
def long(session: nox.Session) -> None:
    """A terrible network with 100,000 exchanges; a gigabyte of bodies through one server."""
    session.install(".[test]")
    session.run(
        "pytest",
        "tests/shell/test_terrible_client.py",
        "tests/interop/test_memory.py",
        *session.posargs,
        env={"COAPSEP_EXCHANGES": "100000", "COAPSEP_MEGABYTES": "1000"},
    )


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """The benchmark with its pictures; needs gcc. Arguments go to bench/run.py."""
    session.install(".[bench]")
    session.run("python", "bench/run.py", *session.posargs)
