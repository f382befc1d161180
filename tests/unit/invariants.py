"""What must be true of a core's private tables after every step; ``Scenario`` checks it."""

from __future__ import annotations

import math

from coapsep.numbers import Type
from coapsep.params import Limits, Tuning
from coapsep.protocol.core import Core
from coapsep.protocol.held import Body, Held, Upload
from coapsep.protocol.observations import Standing
from coapsep.protocol.records import Asked, ClientExchange, Peer, Phase, Stage
from coapsep.protocol.timers import Timer


def check(core: Core, tuning: Tuning, limits: Limits) -> None:
    """Compare the tables with each other, and with the limits."""
    peers, timers = core._peers, core._timers
    # Requests of sessions that were lost belong to peers that are forgotten.
    assert 0 <= sum(peer.open for peer in peers) <= core.open_requests <= limits.requests
    assert len(peers) <= limits.peers
    assert len(timers) == sum(timer.action is not None for _, _, timer in timers._heap)
    _check_dedup(core, limits)
    _check_storage(core, limits)
    _check_transfers(core, limits)
    for peer in peers:
        assert peers.find(peer.session) is peer
        _check_server_side(peer, tuning, limits)
        if peer.asked is not None:
            _check_client_side(peer, peer.asked, tuning)
        held = peer.kept or peer.done or peer.open or peer.in_flight or peer.waiting or peer.held
        asked = peer.asked is not None and peer.asked.tokens
        assert held or asked or (peer.message_ids and peer.lingering), "a peer without a reason"
    assert core._requests.open == sum(len(peer.asked.tokens) for peer in peers if peer.asked)
    assert all(exchange.request.token == token for token, exchange in core._groups._tokens.items())


def _check_dedup(core: Core, limits: Limits) -> None:
    peers, dedup = core._peers, core._dedup
    entries = sum(len(peer.kept) + len(peer.done) for peer in peers)
    done_bytes = sum(len(reply) for peer in peers for reply in peer.done.values())
    kept_bytes = sum(len(entry.reply) for peer in peers for entry in peer.kept.values())
    assert dedup.entries == entries <= limits.dedup_entries
    assert dedup.bytes == done_bytes + kept_bytes
    assert dedup._done_bytes == done_bytes
    if dedup._ranking is not None:
        ranked: dict[Peer, int] = {}
        for count, _, peer in dedup._ranking._heap:
            ranked[peer] = max(-count, ranked.get(peer, 0))
        assert all(ranked.get(peer, 0) >= len(peer.done) for peer in peers)
    queued = [item for queue in dedup._queues for expiry in queue for item in expiry.entries()]
    assert len(queued) == entries + dedup._ghosts


def _check_server_side(peer: Peer, tuning: Tuning, limits: Limits) -> None:
    assert 0 <= peer.open <= limits.requests_per_session
    assert len(peer.kept) + len(peer.done) <= limits.dedup_entries_per_session
    assert not peer.kept.keys() & peer.done.keys()
    assert all(entry.mid == mid for mid, entry in peer.kept.items())
    assert all(
        exchange.phase is not Phase.CLOSED
        and not exchange.abandoned
        and exchange.peer is peer
        and exchange.request.token == token
        for token, exchange in peer.exchanges.items()
    )
    assert len(peer.exchanges) <= peer.open
    in_flight = peer.in_flight
    assert peer.in_window == sum(one.is_response for one in in_flight.values())
    assert peer.in_window <= tuning.response_window
    assert all(one.mid == mid and _is_set(one.timer) for mid, one in in_flight.items())
    assert all(one.is_response and not one.data for one in peer.waiting or ())


def _check_storage(core: Core, limits: Limits) -> None:
    """Bodies and observers: what is counted is there, and everything there has an end."""
    storage, observers = core._storage, core._observers
    helds = {peer: peer.held for peer in core._peers if peer.held is not None}
    # Open requests of sessions that were lost have bodies, too.
    counted = sum(held.counted for held in helds.values())
    assert counted <= storage.bytes <= limits.body_bytes
    bodies = [body for held in helds.values() for body in held.bodies.values()]
    evictable = storage._evictable
    assert evictable.keys() <= set(bodies)
    assert storage._evictable_bytes == sum(body.counted for body in evictable)
    # What may leave early is what nobody works on, and nothing else.
    assert all((body in evictable) == body.is_settled for body in bodies)
    rows = [one for held in helds.values() for one in held.observers.values()]
    assert len(observers) == len(rows) <= limits.observers
    topics = observers._topics
    assert {one for one in rows if not one.over} == {one for t in topics.values() for one in t}
    assert all(one.topic.key == key for key, of_it in topics.items() for one in of_it)
    assert all(topics.values())
    for peer, held in helds.items():
        _check_held(peer, held, limits)


def _check_held(peer: Peer, held: Held, limits: Limits) -> None:
    assert held
    kept: list[Upload | Body] = [*held.uploads.values(), *held.bodies.values()]
    assert all(one.peer is peer and not one.over and _is_set(one.timer) for one in kept)
    assert all(upload.key == key for key, upload in held.uploads.items())
    assert all(body.key == key for key, body in held.bodies.items())
    exchanges = peer.exchanges.values()
    counted = sum(one.counted for one in kept)
    counted += sum(one.counted for one in held.observers.values())
    counted += sum(one.counted for one in exchanges)
    # A request whose token was taken over has its body until it is closed.
    assert counted == held.counted or (counted < held.counted and peer.open > len(exchanges))
    assert held.counted <= limits.body_bytes_per_session
    for upload in held.uploads.values():
        assert upload.exchange is None or upload.exchange.phase is Phase.RUNNING
        assert len(upload.data) <= min(upload.counted, limits.body_size)
    for body in held.bodies.values():
        if body.waiting is not None:
            assert body.waiting[0].phase is Phase.RUNNING or body.waiting[0].abandoned
            assert not body.is_settled
    _check_observers(peer, held, limits)


def _check_observers(peer: Peer, held: Held, limits: Limits) -> None:
    assert len(held.observers) <= limits.observers_per_session
    mids = {}
    for token, one in held.observers.items():
        assert (one.peer, one.token) == (peer, token)
        mids.update(dict.fromkeys(one.mids, one))
        if one.transmission is not None:
            assert one.transmission.on_end is not None, "it waits for nothing"
        else:
            assert not one.over, "the last notification of one that is over is under way"
        assert one.gap is None or _is_set(one.gap)
        # Whatever waits, waits for something.
        assert one.waiting is None or one.transmission is not None or one.gap is not None
    assert held.notified == mids


def _check_client_side(peer: Peer, asked: Asked, tuning: Tuning) -> None:
    exchanges = list(asked.tokens.values())
    for token, exchange in asked.tokens.items():
        assert exchange.peer is peer
        assert exchange.token == token
        assert exchange.request.token == (b"" if exchange.is_ping else token)
        _check_stage(peer, exchange, tuning)
    # The queue is in the order in which it was asked.
    assert list(asked.queue) == [e for e in exchanges if e.stage is Stage.QUEUED]
    # After a round of 65,536 an acknowledged request may share its message ID with another.
    assert all(asked.mids[e.request.mid] is e for e in exchanges if e.stage is Stage.SENT)
    for mid, exchange in asked.mids.items():
        assert asked.tokens.get(exchange.token) is exchange
        assert exchange.stage is not Stage.QUEUED
        assert exchange.request.mid == mid
    assert asked.outstanding == sum(exchange.outstanding for exchange in exchanges)
    assert asked.outstanding <= tuning.nstart
    requests_in_flight = [one for one in peer.in_flight.values() if not one.is_response]
    assert requests_in_flight == [e.transmission for e in exchanges if e.transmission]
    # Whoever waits has something to wait for, and an alarm is set for nobody else.
    assert not asked.queue or asked.outstanding == tuning.nstart or _is_set(asked.stalled)
    assert asked.queue or not _is_set(asked.stalled)
    assert asked.paid_at == -math.inf or asked.paid_at > asked.probed_at


def _check_stage(peer: Peer, exchange: ClientExchange, tuning: Tuning) -> None:
    stage, transmission = exchange.stage, exchange.transmission
    confirmable = exchange.request.type is Type.CON
    waits_for_response = stage is Stage.ACKNOWLEDGED or (stage is Stage.SENT and not confirmable)
    assert _is_set(exchange.limit) == (waits_for_response and tuning.response_timeout is not None)
    assert stage is not Stage.OVER
    if stage is Stage.SENT and confirmable:
        assert exchange.outstanding
        assert transmission is not None
        assert transmission is peer.in_flight[exchange.request.mid]
        assert transmission.on_end is not None
        assert transmission.data == exchange.data
    else:
        assert transmission is None
    if stage is Stage.SENT and not confirmable:
        assert _is_set(exchange.place) == exchange.outstanding
    else:
        assert exchange.place is None
    _check_observation(exchange)
    if stage is Stage.QUEUED:
        assert not exchange.outstanding
    if stage is Stage.ACKNOWLEDGED:
        assert confirmable
        assert not exchange.outstanding
        assert not exchange.is_ping


def _check_observation(exchange: ClientExchange) -> None:
    observation, stage = exchange.observation, exchange.stage
    standing = None if observation is None else observation.standing
    if stage is Stage.OBSERVING:
        assert standing is Standing.ENTERED
        assert not exchange.outstanding
    # Registering again is due whenever the server has entered us, and for nobody else.
    renewal = None if observation is None else observation.renewal
    assert _is_set(renewal) == (standing is Standing.ENTERED)
    # One that is fetched for a notification is known by whom it is fetched for.
    for other in _all_asked(exchange.peer):
        if other.observation is not None and other.observation.fetch is exchange:
            assert standing is None
            assert exchange.on_end is not None
            return
    assert (exchange.on_end is not None) == (standing is Standing.LEAVING)


def _check_transfers(core: Core, limits: Limits) -> None:
    """Bodies of ours: their bytes are counted, and blocks that go have a key of their own."""
    peers = [peer for peer in core._peers if peer.asked is not None]
    exchanges = [exchange for peer in peers for exchange in _all_asked(peer)]
    transfers = [e.transfer for e in exchanges if e.transfer is not None]
    assert core._requests.body_bytes == sum(len(transfer.body) for transfer in transfers)
    assert core._requests.body_bytes <= limits.body_bytes
    for exchange in exchanges:
        transfer = exchange.transfer
        if exchange.stage is Stage.PAUSED:
            assert transfer is not None
            assert not exchange.outstanding
            assert transfer.handling.upload_streams or transfer.handling.download_streams
        if transfer is not None and transfer.key is not None:
            assert exchange.peer.asked is not None
            assert exchange.peer.asked.uploads[transfer.key] is exchange
        if transfer is not None:
            assert 0 <= transfer.start <= transfer.sent <= transfer.end
    for peer in peers:
        assert peer.asked is not None
        assert all(
            e.transfer is not None and e.transfer.key == key and e in peer.asked.tokens.values()
            for key, e in peer.asked.uploads.items()
        )


def _all_asked(peer: Peer) -> list[ClientExchange]:
    return [] if peer.asked is None else list(peer.asked.tokens.values())


def _is_set(timer: Timer | None) -> bool:
    return timer is not None and timer.action is not None
