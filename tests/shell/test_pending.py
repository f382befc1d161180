"""The async registry: every function of libcoap's table, every way a pending request ends."""

from __future__ import annotations

import gc
import math
import threading
from typing import Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from coapsep import (
    AsyncAlreadyRegistered,
    Code,
    Ended,
    Limits,
    LocalProtocolError,
    PendingRequest,
    Request,
    Response,
    Router,
    Server,
    ServiceUnavailable,
    TooManyPending,
    Type,
    open_server,
)
from coapsep.testing import Network
from tests.shell.peer import SERVER, Peer


class Resource:
    """/r registers itself with ``delay`` and answers ``done``; a test may change its ways."""

    def __init__(self, router: Router) -> None:
        self.delay: float = 5
        self.passes: list[float] = []
        self.entries: list[PendingRequest] = []
        router.get("/r")(self.handle)
        router.post("/r")(self.handle)

    async def handle(self, request: Request) -> Response | str | None:
        if request.pending is None:
            entry = request.asyncs.register_async(request, self.delay, app_data={"tries": 0})
            self.entries.append(entry)
            return await self.first(entry)
        self.passes.append(trio.current_time())
        return await self.later(request.pending)

    async def first(self, entry: PendingRequest) -> Response | str | None:
        return None

    async def later(self, entry: PendingRequest) -> Response | str | None:
        return "done"


@pytest.fixture
def resource(router: Router) -> Resource:
    return Resource(router)


def is_clean(server: Server) -> bool:
    """Whether nothing is pending and nothing open."""
    statistics = server.statistics()
    return len(server.asyncs) == statistics.pending == statistics.open_requests == 0


# -- register, find, app_data ------------------------------------------------------------


async def test_the_handler_is_called_again_with_a_copy(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r", query=("a=1",))
    await peer.expect_ack(request)
    (entry,) = server.asyncs
    assert entry is resource.entries[0]
    assert entry.request.query == ("a=1",)
    assert entry.request.peer == peer.address
    assert entry.request.pending is entry
    assert entry.reason is None
    assert entry.due == pytest.approx(trio.current_time() - 0.01 + 5)
    entry.app_data["tries"] += 1
    await peer.expect_separate(request.token, b"done")
    assert entry.app_data == {"tries": 1}
    assert await entry.ended is Ended.ANSWERED
    await trio.sleep(1)
    assert is_clean(server)


async def test_find_by_session_and_token(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    await peer.expect_ack(peer.request("/r", token=b"one"))
    await peer.expect_ack(peer.request("/r", token=b"two"))
    one, two = server.asyncs
    assert server.asyncs.find_async(one.session, b"one") is one
    assert server.asyncs.find_async(two.session, b"two") is two
    assert server.asyncs.find_async(one.session, b"three") is None
    await trio.sleep(6)
    assert server.asyncs.find_async(one.session, b"one") is None


async def test_a_second_registration_is_refused(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def twice(entry: PendingRequest) -> None:
        with pytest.raises(AsyncAlreadyRegistered) as caught:
            entry.request.asyncs.register_async(entry.request, 1)
        assert caught.value.max_age == 5

    resource.first = twice  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    assert len(server.asyncs) == 1
    await peer.expect_separate(request.token, b"done")
    assert server.statistics().async_refused == 1


async def test_uncaught_it_is_5_03_with_max_age(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    @router.get("/twice")
    def twice(request: Request) -> None:
        request.asyncs.register_async(request, 1)
        request.asyncs.register_async(request, 1)

    request = peer.request("/twice")
    answer = await peer.expect(Type.ACK, Code.SERVICE_UNAVAILABLE, mid=request.mid)
    assert answer.options.max_age == 5
    await peer.expect_silence()
    assert is_clean(server)


@pytest.mark.parametrize("delay", [-1, -0.001, math.nan, -math.inf])
async def test_a_delay_that_is_none(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    delay: float,
) -> None:
    resource.delay = delay
    peer.request("/r")
    await peer.expect(Type.ACK, Code.INTERNAL_SERVER_ERROR)
    assert "a delay is zero or more seconds" in errors.text
    resource.delay = 0
    await peer.expect_ack(peer.request("/r"))
    with pytest.raises(ValueError, match="zero or more"):
        resource.entries[0].set_delay(delay)
    assert is_clean(server) is False


async def test_an_answered_request_cannot_be_registered(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    kept: list[Request] = []

    @router.get("/keep")
    def keep(request: Request) -> str:
        kept.append(request)
        return "answered"

    peer.request("/keep")
    await peer.expect(Type.ACK, Code.CONTENT)
    with pytest.raises(LocalProtocolError, match="has been answered"):
        server.asyncs.register_async(kept[0], 1)


# -- set_delay, trigger, parking ---------------------------------------------------------


@pytest.mark.parametrize("delay", [0, math.inf])
async def test_parked_until_triggered(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer, delay: float
) -> None:
    resource.delay = delay
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_silence(10_000)
    assert resource.entries[0].due == math.inf
    resource.entries[0].trigger()
    await peer.expect_separate(request.token, b"done")


async def test_set_delay_counts_from_now(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep(3)
    resource.entries[0].set_delay(10)
    start = trio.current_time()
    await peer.expect_separate(request.token, b"done")
    assert trio.current_time() - start == pytest.approx(10.01)


async def test_set_delay_zero_parks(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    resource.entries[0].set_delay(0)
    await peer.expect_silence(1000)
    resource.entries[0].set_delay(1)
    await peer.expect_separate(request.token, b"done")


async def test_triggered_before_its_task_ran(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    resource.delay = 0

    async def trigger(entry: PendingRequest) -> None:
        entry.trigger()

    resource.first = trigger  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")


async def test_the_second_pass_waits_for_the_end_of_the_first(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def dawdle(entry: PendingRequest) -> None:
        await trio.sleep(20)

    resource.first = dawdle  # type: ignore[method-assign]  # a test replaces its own fake
    start = trio.current_time()
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")
    assert resource.passes == [pytest.approx(start + 20.01)]


async def test_parked_again_three_times(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def three_times(entry: PendingRequest) -> str | None:
        entry.app_data["tries"] += 1
        if entry.app_data["tries"] > 3:
            return "done"
        entry.set_delay(0)
        return None

    resource.later = three_times  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    for _ in range(3):
        await trio.sleep(100)
        resource.entries[0].trigger()
    await peer.expect_separate(request.token, b"done")
    assert len(resource.passes) == 4
    await peer.expect_silence()
    assert is_clean(server)


async def test_triggered_while_firing_runs_once_more(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def slow_pass(entry: PendingRequest) -> str | None:
        await trio.sleep(10)
        return "done" if len(resource.passes) == 2 else None

    resource.later = slow_pass  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep(7)  # in the middle of the first delayed pass
    resource.entries[0].trigger()
    await peer.expect_separate(request.token, b"done")
    assert len(resource.passes) == 2


async def test_a_response_wins_over_a_delay_set_while_firing(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def both(entry: PendingRequest) -> str:
        entry.set_delay(1)
        return "done"

    resource.later = both  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")
    await peer.expect_silence()
    assert len(resource.passes) == 1


async def test_set_delay_and_trigger_after_the_end_do_nothing(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")
    (entry,) = resource.entries
    entry.set_delay(1)
    entry.trigger()
    await peer.expect_silence()
    assert entry.reason is Ended.ANSWERED
    assert len(resource.passes) == 1


# -- free_async --------------------------------------------------------------------------


async def test_freed_while_waiting_says_nothing(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    server.asyncs.free_async(resource.entries[0])
    server.asyncs.free_async(resource.entries[0])  # twice does nothing
    assert await resource.entries[0].ended is Ended.FREED
    await peer.expect_silence(200)
    peer.again(request)
    await peer.expect_ack(request)
    assert is_clean(server)


async def test_freed_with_an_outcome(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    outcome = Response(Code.SERVICE_UNAVAILABLE, max_age=30)
    server.asyncs.free_async(resource.entries[0], outcome)
    answer = await peer.expect_separate(request.token, b"", Code.SERVICE_UNAVAILABLE)
    assert answer.options.max_age == 30
    await peer.expect_silence()


async def test_freed_before_its_task_ran(
    autojump_clock: MockClock, server: Server, router: Router, peer: Peer
) -> None:
    @router.get("/f")
    def handler(request: Request) -> str | None:
        assert request.pending is None
        entry = request.asyncs.register_async(request, 0.001)
        request.asyncs.free_async(entry)
        entry.trigger()
        return "after all"

    peer.request("/f")
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"after all")
    await peer.expect_silence()
    assert is_clean(server)


async def test_freed_with_an_outcome_during_the_first_pass(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def wait(entry: PendingRequest) -> str:
        await trio.sleep(1)
        return "too late"

    resource.first = wait  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    server.asyncs.free_async(resource.entries[0], Response(Code.GATEWAY_TIMEOUT))
    await peer.expect_separate(request.token, b"", Code.GATEWAY_TIMEOUT)
    await peer.expect_silence()
    assert is_clean(server)


async def test_freed_and_triggered_in_the_same_instant(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    await peer.expect_ack(peer.request("/r"))
    resource.entries[0].trigger()
    server.asyncs.free_async(resource.entries[0])
    await peer.expect_silence()
    assert resource.passes == []


async def test_freed_in_the_instant_in_which_it_falls_due(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    """Either may be first; the request ends once, either way."""
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep_until(resource.entries[0].due)
    server.asyncs.free_async(resource.entries[0])
    await trio.sleep(1)
    reason = resource.entries[0].reason
    assert (reason, len(resource.passes)) in [(Ended.FREED, 0), (Ended.ANSWERED, 1)]
    if reason is Ended.ANSWERED:
        await peer.expect_separate(request.token, b"done")
    await peer.expect_silence(200)
    assert is_clean(server)


async def test_freed_from_elsewhere_cancels_the_handler(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    cancelled: list[PendingRequest] = []

    async def hang(entry: PendingRequest) -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(entry)
            raise

    resource.later = hang  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep(6)
    server.asyncs.free_async(resource.entries[0], Response(Code.SERVICE_UNAVAILABLE))
    await peer.expect_separate(request.token, b"", Code.SERVICE_UNAVAILABLE)
    await peer.expect_silence()
    assert cancelled == resource.entries
    assert is_clean(server)


async def test_freed_inside_its_handler_the_pass_goes_on(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def free(entry: PendingRequest) -> str:
        server.asyncs.free_async(entry)
        assert server.asyncs.find_async(entry.session, entry.token) is None
        await trio.sleep(1)
        return "after all"

    resource.later = free  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"after all")
    assert resource.entries[0].reason is Ended.FREED
    await peer.expect_silence()
    assert is_clean(server)


async def test_freed_inside_its_handler_and_none_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def free(entry: PendingRequest) -> None:
        server.asyncs.free_async(entry)

    resource.later = free  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"", Code.INTERNAL_SERVER_ERROR)
    assert "returned None without a pending request" in errors.text


async def test_freed_and_registered_again_inside_its_handler(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def again(entry: PendingRequest) -> str | None:
        if len(resource.passes) == 1:
            server.asyncs.free_async(entry)
            resource.entries.append(server.asyncs.register_async(entry.request, 7))
            return None
        return "done"

    resource.later = again  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")
    first, second = resource.passes
    assert second - first == pytest.approx(7)
    assert [entry.reason for entry in resource.entries] == [Ended.FREED, Ended.ANSWERED]
    await peer.expect_silence()
    assert is_clean(server)


async def test_registered_again_without_freeing_is_5_03(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    async def again(entry: PendingRequest) -> None:
        server.asyncs.register_async(entry.request, 7)

    resource.later = again  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(
        request.token, b"a request with this token is pending", Code.SERVICE_UNAVAILABLE
    )
    await peer.expect_silence()
    assert is_clean(server)


async def test_a_child_of_the_handler_frees_it(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    """Another task is elsewhere, even if the handler started it."""

    async def spawn(entry: PendingRequest) -> str:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep(1)

            async def free() -> None:
                server.asyncs.free_async(entry, Response(Code.CONTENT, b"from the child"))

            nursery.start_soon(free)
        return "not reached"

    resource.later = spawn  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"from the child")
    await peer.expect_silence()
    assert is_clean(server)


async def test_ten_thousand_freed_at_once(
    autojump_clock: MockClock, network: Network, router: Router, resource: Resource
) -> None:
    async with open_server(router, transport=network.bind(SERVER)) as server:
        sender = network.bind("10.0.0.9", 1)
        peer = Peer(sender, SERVER)
        for number in range(10_000):
            peer.request("/r", token=number.to_bytes(3, "big"), mid=number)
        await trio.sleep(1)
        assert len(server.asyncs) == 10_000
        before = len(network.trace)
        for entry in server.asyncs:
            server.asyncs.free_async(entry)
        assert is_clean(server)
        await trio.sleep(100)
        assert len(network.trace) == before
        assert resource.passes == []


# -- passes ------------------------------------------------------------------------------


async def test_a_response_on_the_first_pass_frees_the_entry(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def answer(entry: PendingRequest) -> str:
        return "at once"

    resource.first = answer  # type: ignore[method-assign]  # a test replaces its own fake
    peer.request("/r")
    await peer.expect(Type.ACK, Code.CONTENT, payload=b"at once")
    await peer.expect_silence()
    assert resource.entries[0].reason is Ended.ANSWERED
    assert "answered too" in errors.text
    assert is_clean(server)


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_none_where_nothing_is_registered_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    router: Router,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
    kind: Type,
) -> None:
    @router.get("/none")
    async def none(request: Request) -> None:
        await trio.lowlevel.checkpoint()

    peer.request("/none", kind=kind)
    answer = Type.ACK if kind is Type.CON else Type.NON
    await peer.expect(answer, Code.INTERNAL_SERVER_ERROR, payload=b"")
    assert "returned None" in errors.text
    assert server.statistics().handler_errors == 1


async def test_none_on_a_delayed_pass_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def none(entry: PendingRequest) -> None:
        pass

    resource.later = none  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"", Code.INTERNAL_SERVER_ERROR)
    assert resource.entries[0].reason is Ended.ANSWERED
    assert is_clean(server) is False  # until the client's ACK is there
    await peer.expect_silence()
    assert is_clean(server)


async def test_an_error_on_a_delayed_pass(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def fail(entry: PendingRequest) -> None:
        raise KeyError("secret")

    resource.later = fail  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"", Code.INTERNAL_SERVER_ERROR)
    assert "secret" in errors.text


@pytest.mark.parametrize(
    "wrong", [Code.SERVICE_UNAVAILABLE, ServiceUnavailable("x"), "text", b"x"], ids=repr
)
async def test_an_outcome_that_is_no_response_changes_nothing(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer, wrong: Any
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    with pytest.raises(TypeError, match="outcome is a Response or None"):
        server.asyncs.free_async(resource.entries[0], wrong)
    await peer.expect_separate(request.token, b"done")


async def test_a_forgotten_scope_that_is_cancelled_in_a_delayed_pass_is_5_00(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def leave_open(entry: PendingRequest) -> str:
        trio.move_on_after(1).__enter__()
        await trio.sleep(10)
        return "not reached"

    resource.later = leave_open  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"", Code.INTERNAL_SERVER_ERROR)
    assert "corrupted its cancel scopes" in errors.text
    await peer.expect_silence()
    assert is_clean(server)


async def test_a_thread_of_ones_own_must_go_through_trio(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    (entry,) = resource.entries

    def in_a_thread() -> None:
        for delay in (0, 1):
            with pytest.raises(RuntimeError):
                entry.set_delay(delay)
        with pytest.raises(RuntimeError):
            entry.trigger()

    outside = threading.Thread(target=in_a_thread)
    outside.start()
    outside.join()
    await trio.to_thread.run_sync(trio.from_thread.run_sync, entry.trigger)
    await peer.expect_separate(request.token, b"done")


async def test_requests_leave_nothing_for_the_cyclic_collector(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    """The collector is what slows many pending tasks down; here it has nothing to find."""
    resource.delay = 1
    for token in (b"1", b"2"):  # the first one warms up
        await peer.expect_ack(peer.request("/r", token=token))
        await peer.expect_separate(token, b"done")
        resource.entries.clear()
        await trio.sleep(1)
        if token == b"1":
            gc.collect()
            gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        ours = [o for o in gc.garbage if type(o).__module__.startswith("coapsep")]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


async def test_a_handler_that_leaves_a_scope_open_costs_its_own_request(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def leave_open(entry: PendingRequest) -> str:
        trio.CancelScope().__enter__()
        return "done"

    resource.later = leave_open  # type: ignore[method-assign]  # a test replaces its own fake
    request = peer.request("/r")
    await peer.expect_ack(request)
    await peer.expect_separate(request.token, b"done")
    assert "corrupted its cancel scopes" in errors.text
    await peer.expect_ack(peer.request("/r", token=b"next"))
    assert len(server.asyncs) == 1


# -- other ends --------------------------------------------------------------------------


async def test_ended_can_be_awaited_early_late_and_by_many(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    reasons: list[Ended] = []
    await peer.expect_ack(peer.request("/r"))
    (entry,) = resource.entries

    async def watch() -> None:
        reasons.append(await entry.ended)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        nursery.start_soon(watch)
        await wait_all_tasks_blocked()
        server.asyncs.free_async(entry)
    reasons.append(await entry.ended)
    assert reasons == [Ended.FREED] * 3


@pytest.mark.parametrize("delay", [0, 90_000, 86_500])
async def test_an_entry_ends_with_its_age(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer, delay: float
) -> None:
    resource.delay = delay
    start = trio.current_time()
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep(86_390)
    answer = await peer.expect_separate(request.token, b"", Code.SERVICE_UNAVAILABLE)
    assert answer.options.max_age == 5
    assert trio.current_time() - start == pytest.approx(86_400.02)
    assert resource.entries[0].reason is Ended.EXPIRED
    assert resource.passes == []
    assert server.statistics().async_expired == 1


async def test_set_delay_does_not_prolong_the_age(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    request = peer.request("/r")
    await peer.expect_ack(request)
    for _ in range(90):
        resource.entries[0].set_delay(2000)
        await trio.sleep(1000)
    await peer.expect_separate(request.token, b"", Code.SERVICE_UNAVAILABLE)


async def test_due_exactly_at_its_age_it_still_runs(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    resource.delay = 86_400
    request = peer.request("/r")
    await peer.expect_ack(request)
    await trio.sleep(86_390)
    await peer.expect_separate(request.token, b"done")


async def test_a_different_request_with_its_token_ends_it(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    await peer.expect_ack(peer.request("/r"))
    second = peer.request("/r", query=("other",))
    await peer.expect_ack(second)
    first_entry, second_entry = resource.entries
    assert await first_entry.ended is Ended.REPLACED
    assert list(server.asyncs) == [second_entry]
    await peer.expect_separate(second.token, b"done")
    await peer.expect_silence()
    assert len(resource.passes) == 1


@pytest.mark.parametrize("kind", [Type.CON, Type.NON])
async def test_the_same_request_again_is_only_acknowledged(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer, kind: Type
) -> None:
    """As a client does that is started twice on one port: same token, new message ID."""
    first = peer.request("/r", kind=kind)
    if kind is Type.CON:
        await peer.expect_ack(first)
    await trio.sleep(1)
    second = peer.request("/r", kind=kind)
    assert second.mid != first.mid
    if kind is Type.CON:
        await peer.expect_ack(second)
        await peer.expect_separate(first.token, b"done")
    else:
        await peer.expect(Type.NON, Code.CONTENT, payload=b"done")
    await peer.expect_silence(100)
    assert len(resource.entries) == 1
    assert server.statistics().repeats == 1


async def test_replaced_while_firing_the_handler_finishes_unheard(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    told: list[bool] = []

    async def slow_pass(entry: PendingRequest) -> str:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                await entry.request.wait_abandoned()
                told.append(entry.request.abandoned)

            nursery.start_soon(watch)
            await trio.sleep(10)
        return "unheard"

    resource.later = slow_pass  # type: ignore[method-assign]  # a test replaces its own fake
    first = peer.request("/r")
    await peer.expect_ack(first)
    await trio.sleep(7)
    resource.delay = 0
    second = peer.request("/r", query=("other",))
    await peer.expect_ack(second)
    await peer.expect_silence()
    assert told == [True]
    assert resource.entries[0].reason is Ended.REPLACED
    assert server.statistics().responses_abandoned == 1
    assert list(server.asyncs) == [resource.entries[1]]


async def test_replaced_during_the_first_pass(
    autojump_clock: MockClock,
    server: Server,
    resource: Resource,
    peer: Peer,
    errors: pytest.LogCaptureFixture,
) -> None:
    async def wait(entry: PendingRequest) -> None:
        if len(resource.entries) == 1:
            await trio.sleep(3)
            with pytest.raises(AsyncAlreadyRegistered):
                server.asyncs.register_async(entry.request, 1)

    resource.first = wait  # type: ignore[method-assign]  # a test replaces its own fake
    first = peer.request("/r")
    await peer.expect_ack(first)
    second = peer.request("/r", query=("other",))
    await peer.expect_ack(second)
    await peer.expect_separate(second.token, b"done")
    await peer.expect_silence()
    assert [entry.reason for entry in resource.entries] == [Ended.REPLACED, Ended.ANSWERED]
    assert "returned None" not in errors.text
    assert is_clean(server)


# -- limits and shutdown -----------------------------------------------------------------


async def test_limits_in_all_and_per_session(
    autojump_clock: MockClock, network: Network, router: Router, peer: Peer
) -> None:
    refused: list[TooManyPending] = []

    @router.get("/r")
    def handler(request: Request) -> None:
        try:
            request.asyncs.register_async(request)
        except TooManyPending as exc:
            refused.append(exc)
            raise

    limits = Limits(pending=3, pending_per_session=2, retry_after=9)
    other = Peer(network.bind("10.0.0.3", 1), SERVER)
    async with open_server(router, transport=network.bind(SERVER), limits=limits) as server:
        await peer.expect_ack(peer.request("/r", token=b"1"))
        await peer.expect_ack(peer.request("/r", token=b"2"))
        peer.request("/r", token=b"3")
        answer = await peer.expect(Type.ACK, Code.SERVICE_UNAVAILABLE)
        assert answer.options.max_age == 9
        other.request("/r", token=b"1")
        other.request("/r", token=b"2")  # the fourth in all
        await trio.sleep(1)
        assert len(refused) == 2
        assert server.statistics().pending == 3
        server.asyncs.free_async(next(iter(server.asyncs)))
        await peer.expect_ack(peer.request("/r", token=b"4"))


async def test_a_cancelled_nursery_ends_them_without_a_word(
    autojump_clock: MockClock, network: Network, router: Router, resource: Resource, peer: Peer
) -> None:
    resource.delay = 0
    async with open_server(router, transport=network.bind(SERVER)) as server:
        await peer.expect_ack(peer.request("/r"))
        asyncs = server.asyncs
    (entry,) = resource.entries
    assert await entry.ended is Ended.SHUTDOWN
    assert len(asyncs) == 0
    await peer.expect_silence()
    entry.trigger()
    with pytest.raises(trio.ClosedResourceError):
        asyncs.register_async(entry.request, 1)


async def test_the_handle_and_its_states_have_names(
    autojump_clock: MockClock, server: Server, resource: Resource, peer: Peer
) -> None:
    await peer.expect_ack(peer.request("/r", token=b"\x01\x02"))
    (entry,) = resource.entries
    assert "WAITING" in repr(entry)
    assert "GET /r" in repr(entry)
    assert entry.token == b"\x01\x02"
    server.asyncs.free_async(entry)
    assert "FREED" in repr(entry)
