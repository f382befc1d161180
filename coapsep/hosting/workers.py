"""Worker processes, as their parent sees them: started, told what to do, and replaced.

The parent binds the sockets of all of them and keeps them. So the set that the kernel spreads
the peers over never changes: when a worker has died, its peers are nobody else's, and what they
send waits in its socket for the next one.
"""

from __future__ import annotations

import itertools
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from coapsep.address import Address
from coapsep.background import open_background
from coapsep.collector import GcPolicy
from coapsep.errors import EndpointCrashed
from coapsep.hosting.messages import (
    DRAIN,
    STOP,
    TELL,
    Orders,
    Report,
    hear,
    make_channel,
    say,
)
from coapsep.hosting.target import TargetError
from coapsep.protocol.statistics import Statistics
from coapsep.transport.bind import bind_sets
from coapsep.transport.sockaddr import from_sockaddr

_logger = logging.getLogger("coapsep.workers")

#: Seconds until the next one is started, first and at most; each time it is twice as long.
_DELAYS = (0.5, 30.0)
#: Seconds after which a worker has proved that it can run.
_SETTLED = 60.0
#: Seconds that one may take to end when it was told to, until it is killed.
_PATIENCE = 5.0


class _Worker:
    """One of them: its sockets, and the process that has them at this time."""

    def __init__(self, number: int, sockets: Sequence[socket.socket]) -> None:
        self.number = number
        self.sockets = sockets
        #: To the process that runs; None while none does.
        self.channel: trio.socket.SocketType | None = None
        #: One has served; until then, an end is no accident but a mistake.
        self.has_served = False
        #: Why the last one could not serve.
        self.failure: str | None = None
        #: What it said last.
        self.statistics = Statistics()
        #: Set when it has said something more, or has gone.
        self.news = trio.Event()

    async def order(self, message: bytes) -> None:
        """Tell it to do something, if it runs."""
        if self.channel is not None:
            await say(self.channel, message)

    async def count(self) -> None:
        """Have it say what it has counted, if it runs."""
        if self.channel is not None:
            news = self.news
            await self.order(TELL)
            await news.wait()

    def wake(self) -> None:
        """There is news."""
        self.news.set()
        self.news = trio.Event()


class Workers:
    """Worker processes that run. ``open_workers`` makes them, and ends them."""

    def __init__(self, orders: Orders, sets: Sequence[Sequence[socket.socket]]) -> None:
        self._orders = orders
        self._workers = [_Worker(number, sockets) for number, sockets in enumerate(sets, 1)]
        self._draining = trio.Event()
        self._over = trio.Event()
        self._addresses = tuple(from_sockaddr(sock.getsockname()) for sock in sets[0])

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where all of them listen, ports filled in."""
        return self._addresses

    async def statistics(self) -> Statistics:
        """What all of them together have counted so far, and hold now.

        When they have ended, it is what they have said last. What one had counted that died is
        lost. Waits for a worker whose handler blocks.
        """
        async with trio.open_nursery() as nursery:
            for worker in self._workers:
                nursery.start_soon(worker.count)
        return sum((worker.statistics for worker in self._workers), Statistics())

    async def drain(self) -> None:
        """Stop in good order, each of them as ``Server.drain`` does it; returns when all have.

        When it is cancelled, what is left is answered 5.03. Raises
        ``trio.ClosedResourceError`` if they have ended already.
        """
        if self._over.is_set():
            raise trio.ClosedResourceError("the workers have ended")
        self._draining.set()
        try:
            await self._order(DRAIN)
            await self._over.wait()
        finally:
            # The caller's time is up, so this is shielded, and bounded itself.
            with trio.move_on_after(_PATIENCE, shield=True):
                await self._order(STOP)
                await self._over.wait()

    async def _order(self, message: bytes) -> None:
        for worker in self._workers:
            await worker.order(message)

    # -- processes -------------------------------------------------------------------

    async def _run(self, *, task_status: trio.TaskStatus[Workers]) -> None:
        """Keep all of them running until they have drained."""
        try:
            async with trio.open_nursery() as nursery:
                first, *others = self._workers
                # Alone: what is wrong with the module is then said once.
                await nursery.start(self._keep, first)
                async with trio.open_nursery() as starting:
                    for worker in others:
                        starting.start_soon(nursery.start, self._keep, worker)
                task_status.started(self)
        finally:
            self._over.set()

    async def _keep(self, worker: _Worker, *, task_status: trio.TaskStatus[None]) -> None:
        """Have this worker running, started anew as often as it dies."""
        delay, longest = _DELAYS
        while True:
            began = trio.current_time()
            try:
                end = _described(await self._run_once(worker, task_status))
            except OSError as exc:
                if not worker.has_served:
                    raise
                end = f"could not be started: {exc}"
            if self._draining.is_set():
                return
            if not worker.has_served:
                if worker.failure is not None:
                    raise TargetError(worker.failure)
                raise EndpointCrashed(f"worker {worker.number} {end} before it served")
            if trio.current_time() - began > _SETTLED:
                delay = _DELAYS[0]
            _logger.error("worker %d %s; another one starts in %g s", worker.number, end, delay)
            with trio.move_on_after(delay):
                await self._draining.wait()
                return
            delay = min(2 * delay, longest)

    async def _run_once(self, worker: _Worker, task_status: trio.TaskStatus[None]) -> int:
        """One process, from its start to its end; returns its exit code."""
        ours, theirs = make_channel()
        with trio.socket.from_stdlib_socket(ours) as channel:
            with theirs:
                process = await self._start(worker, theirs)
            try:
                worker.statistics = Statistics()
                worker.channel = channel
                if self._draining.is_set():
                    await worker.order(DRAIN)
                await self._listen(worker, channel, task_status)
            finally:
                worker.channel = None
                worker.wake()
                channel.close()  # if it does not know yet, it knows now
                await _end(process)
        assert process.returncode is not None
        return process.returncode

    async def _start(self, worker: _Worker, channel: socket.socket) -> trio.Process:
        sockets = tuple(sock.fileno() for sock in worker.sockets)
        orders = attrs.evolve(self._orders, sockets=sockets, channel=channel.fileno())
        return await trio.lowlevel.open_process(
            [sys.executable, "-m", "coapsep.hosting.worker", orders.write()],
            stdin=subprocess.DEVNULL,
            pass_fds=(*orders.sockets, orders.channel),
            start_new_session=True,  # Ctrl-C is for the parent
        )

    async def _listen(
        self,
        worker: _Worker,
        channel: trio.socket.SocketType,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """What a process says, until it has gone."""
        while message := await hear(channel):
            report = Report.read(message)
            worker.failure = report.failure
            if report.ready and not worker.has_served:
                worker.has_served = True
                task_status.started()
            if report.statistics is not None:
                worker.statistics = report.statistics
                worker.wake()


async def _end(process: trio.Process) -> None:
    """It was told to end, or has gone: see to it that it has."""
    with trio.move_on_after(_PATIENCE, shield=True):
        await process.wait()
    if process.returncode is None:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def _described(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"died of {signal.Signals(-code).name}"
    except ValueError:
        return f"died of signal {-code}"


@asynccontextmanager
async def open_workers(
    target: str,
    count: int,
    *,
    host: str | Sequence[str] | None = None,
    port: int = 5683,
    gc_policy: GcPolicy = "default",
    log_level: str = "warning",
) -> AsyncGenerator[Workers, None]:
    """Serve in so many processes for the length of a block: on Linux, one for each core.

    ::

        async with open_workers("app:router", 4) as workers:
            print(workers.addresses)

    ``target`` names the router: ``MODULE:ROUTER`` or ``FILE:ROUTER``, where ROUTER is an
    attribute, or a function without parameters that makes one. Each worker is a fresh Python
    that loads it, from where this process would and the working directory, so nothing is shared:
    this is for resources without a state, or with one that lies elsewhere. All have the same
    addresses; ``host`` and ``port`` are those of ``serve``. The kernel picks the worker for a
    datagram by a hash of both addresses and ports. So a peer stays with one worker, which has its
    own message IDs, deduplication, observers and Echo key. Groups cannot be joined: each worker
    would answer.

    A worker that dies is logged and replaced, after half a second, then one, two, at most 30.
    What it knew is lost: pending requests, which are acknowledged and will not be answered;
    observers, which are told nothing more; and what was deduplicated, so that a copy that comes
    later may run a handler a second time. What its peers send meanwhile waits for the next one.

    Leaving the block ends the workers; what is open is answered 5.03, and one that has not
    ended after 5 seconds is killed. If this process dies, they end, too. ``gc_policy`` is that
    of each worker, and ``log_level`` what it logs to standard error, unless the module sets up
    logging itself.

    Raises ValueError if there is no such router, OSError if an address cannot be had or this
    system is not Linux, and EndpointCrashed if a worker dies before it serves.
    """
    if count < 1:
        raise ValueError(f"count is a whole number of at least 1, not {count!r}")
    orders = Orders(
        target=target,
        path=tuple(sys.path),
        sockets=(),
        channel=-1,
        gc_policy=gc_policy,
        log_level=log_level,
    )
    sets = await bind_sets(host, port, count)
    try:
        async with open_background(Workers(orders, sets)._run) as workers:
            yield workers
    finally:
        for sock in itertools.chain(*sets):
            sock.close()
