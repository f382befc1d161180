"""From ``MODULE:ROUTER`` to the Router: how a command and a worker process name what they serve."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from coapsep.server.router import Router


class TargetError(ValueError):
    """There is no such router. If it is code of the module that failed, that is the cause."""


def load_router(target: str) -> Router:
    """The router with this name.

    ``target`` is ``MODULE:ROUTER``, where the module is one that can be imported (``site.app``;
    the working directory is looked at, too) or a file (``examples/server.py``), and the router
    an attribute of it (``router``, ``site.router``): a Router, or a function without parameters
    that makes one. Raises TargetError with one line that says what is wrong.
    """
    place, _, name = target.rpartition(":")
    if not (place and name):
        raise TargetError(
            f"{target!r} names no router: it is MODULE:ROUTER or FILE:ROUTER, such as app:router"
        )
    value: object = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    for attribute in name.split("."):
        try:
            value = getattr(value, attribute)
        except AttributeError:
            raise TargetError(f"{place} has no {name!r}") from None
    if not isinstance(value, Router) and callable(value):
        try:
            value = value()
        except (Exception, SystemExit) as exc:
            raise TargetError(f"{name}() of {place} failed: {exc!r}") from exc
        name += "()"
    if not isinstance(value, Router):
        raise TargetError(f"{name} of {place} is no Router, but {value!r}")
    return value


def _load_module(name: str) -> ModuleType:
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(part.isidentifier() for part in name.split(".")):
        raise TargetError(f"{name!r} is no name of a module, nor of a file, which ends with .py")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ModuleNotFoundError) and f"{name}.".startswith(f"{exc.name}."):
            raise TargetError(f"no module {exc.name!r} is installed, or in {here}") from None
        raise TargetError(f"{name} failed as it was imported: {exc!r}") from exc


def _load_file(path: Path) -> ModuleType:
    """What ``python FILE`` would load, as a module that is imported."""
    path = path.resolve()
    if not path.is_file():
        raise TargetError(f"there is no file {path}")
    loaded = sys.modules.get(path.stem)
    if loaded is not None:
        if getattr(loaded, "__file__", None) == str(path):
            return loaded
        raise TargetError(f"{path.name} has the name of a module that is in use: call it otherwise")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, "it ends with .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))  # for the modules beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        del sys.modules[path.stem]
        raise TargetError(f"{path.name} failed as it was imported: {exc!r}") from exc
    return module
