"""What ``coapsep serve`` and worker processes serve in the tests; it says which process answers."""

from __future__ import annotations

import gc
import os
import time

from coapsep import Request, Router

router = Router()


@router.get("/pid")
def pid(request: Request) -> str:
    """The process that answers."""
    return str(os.getpid())


@router.get("/later")
def later(request: Request) -> str | None:
    """The same, after so many seconds, by a pending request."""
    if request.pending is None:
        request.asyncs.register_async(request, delay=float(request.query[0]))
        return None
    return str(os.getpid())


@router.get("/stuck")
def stuck(request: Request) -> str:
    """Blocks the process, as no handler should."""
    time.sleep(600)
    return "at last"


@router.get("/gc")
def collector(request: Request) -> str:
    """How the cyclic garbage collector is set."""
    return f"{gc.get_threshold()} {gc.get_freeze_count() > 1000}"


def make_router() -> Router:
    """A function that makes one."""
    return router


def fail() -> Router:
    """A function that does not."""
    raise RuntimeError("not today")


class Site:
    """A router in an object."""

    router = router


NO_ROUTER = 5
