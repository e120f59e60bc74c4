"""Senders that a peer blocks, and consumers that are slow, on real sockets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard import AnomalyKind, ConnectionState, FailureKind

from .servers import (
    BEATING,
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    next_change,
    next_event,
    open_guard,
    quick,
    take_no_bytes,
)

if TYPE_CHECKING:
    from .servers import Peer, Server

# More than the kernel's buffers of both ends can hold (tcp_wmem and tcp_rmem: 4 + 6 MiB).
HUGE = 24 * 2**20


async def answer_pings(peer: Peer, frames: list[tuple[int, bytes]] | None = None) -> None:
    """Answer pings until the client ends, and keep what messages come."""
    with suppress(trio.EndOfChannel):
        while True:
            opcode, payload = await peer.read_frame()
            if opcode == CLOSE:
                return
            if opcode == PING:
                await peer.send_whole(PONG, payload)
            elif frames is not None:
                frames.append((opcode, payload))


class Collector:
    """A server's handler that takes the frames of a client, whole ones only."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []

    async def __call__(self, peer: Peer) -> None:
        await peer.shake()
        await answer_pings(peer, self.frames)


class Senders:
    """Three tasks that send a message each: the first a huge one, which blocks the others."""

    def __init__(self, ws: wsguard.GuardedWebSocket) -> None:
        self._ws = ws
        self.errors: list[wsguard.ConnectionLostError] = []
        self.sent: list[bytes] = []

    async def run(self) -> None:
        """Send, all at once, and note what comes of it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send, bytes(HUGE))
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(self._send, b"b")
            nursery.start_soon(self._send, b"c")

    async def _send(self, message: bytes) -> None:
        try:
            await self._ws.send_message(message)
            self.sent.append(message)
        except wsguard.ConnectionLostError as exc:
            self.errors.append(exc)


async def test_the_heartbeat_finds_a_peer_that_blocks_senders(server: Server) -> None:
    """A peer that stops reading is found by the beats, and no sender stays blocked on it."""
    collector = Collector()
    server.script(take_no_bytes, collector)
    async with open_guard(server.url, policy=quick(heartbeat=BEATING)) as ws, ws.events() as events:
        senders = Senders(ws)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(senders.run)
            lost = await next_change(events, ConnectionState.RECONNECTING)
            assert lost.failure is not None
            assert lost.failure.kind is FailureKind.HEARTBEAT
        assert [error.maybe_sent for error in senders.errors] == [True]
        assert senders.errors[0].generation == 1
        assert senders.errors[0].failure is not None
        assert senders.errors[0].failure.kind is FailureKind.HEARTBEAT
        # The others had not begun, and went out whole on the next connection.
        assert sorted(senders.sent) == [b"b", b"c"]
        await ws.send_message("end")
        while not collector.frames or collector.frames[-1][1] != b"end":
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert sorted(collector.frames) == [(TEXT, b"end"), (BINARY, b"b"), (BINARY, b"c")]


async def test_the_watchdog_finds_a_stuck_send(server: Server) -> None:
    """With beats far apart, a send without progress ends the connection as TIMEOUT."""
    server.script(take_no_bytes, Collector())
    policy = quick(
        heartbeat=wsguard.HeartbeatPolicy(interval=600),
        watchdog=wsguard.WatchdogPolicy(send_timeout=0.3),
    )
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        senders = Senders(ws)
        await senders.run()
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.kind is FailureKind.TIMEOUT
        assert [error.maybe_sent for error in senders.errors] == [True]
        assert sorted(senders.sent) == [b"b", b"c"]


async def test_a_slow_but_reading_peer_is_kept(server: Server) -> None:
    """A long send that makes progress is no stuck send, even past the watchdog's timeout."""
    received = 0

    async def reader(peer: Peer) -> None:
        nonlocal received
        await peer.shake()
        while received < HUGE // 2:
            received += len(await peer.receive_some(2**20))
            await trio.sleep(0.005)  # the slowness is what the test is about
        await peer.mute()

    server.script(reader)
    policy = quick(
        heartbeat=wsguard.HeartbeatPolicy(interval=600),
        watchdog=wsguard.WatchdogPolicy(send_timeout=0.5),
    )
    async with open_guard(server.url, policy=policy) as ws:
        await ws.send_message(bytes(HUGE // 2))
        await ws.send_message("after")
        assert ws.generation == 1
        assert ws.state is ConnectionState.CONNECTED


async def test_leaving_with_a_blocked_sender_is_prompt(server: Server) -> None:
    """A blocked sender does not keep the block from being left, and is told the guard closed."""
    server.script(take_no_bytes)
    told: list[Exception] = []

    async def send(ws: wsguard.GuardedWebSocket) -> None:
        try:
            await ws.send_message(bytes(HUGE))
        except (trio.ClosedResourceError, wsguard.ConnectionLostError) as exc:
            told.append(exc)

    policy = quick(close_timeout=0.2)
    async with trio.open_nursery() as nursery, open_guard(server.url, policy=policy) as ws:
        nursery.start_soon(send, ws)
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert len(told) == 1
    assert ws.state is ConnectionState.CLOSED


async def test_cancelling_a_stalled_send_drops_the_connection(server: Server) -> None:
    """A send cancelled midway is prompt and costs the connection, no failure and no stub."""
    collector = Collector()
    server.script(take_no_bytes, collector)
    async with open_guard(server.url) as ws, ws.events() as events:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send_message, bytes(HUGE))
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert ws.state is ConnectionState.CONNECTED
            nursery.cancel_scope.cancel()
        dropped = await next_change(events, ConnectionState.RECONNECTING)
        assert dropped.failure is None
        assert ws.snapshot().connection_failures == 0
        await ws.send_message("whole")
        assert ws.generation == 2
        await ws.send_message(b"too")
        while len(collector.frames) < 2:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert collector.frames == [(TEXT, b"whole"), (BINARY, b"too")]
        assert ws.generation == 2


async def test_cancelled_sends_that_were_not_stalled_leave_whole_frames(server: Server) -> None:
    """Sends cancelled at any moment leave whole frames only, or a new connection."""
    collector = Collector()
    server.script(collector)
    async with open_guard(server.url) as ws:
        for n in range(300):
            with trio.CancelScope() as scope:
                scope.deadline = trio.current_time() + n % 20 * 0.00002
                await ws.send_message(bytes([n % 256]) * (n * 37 + 1))
        await ws.send_message("end")
        while not collector.frames or collector.frames[-1] != (TEXT, b"end"):
            await trio.testing.wait_all_tasks_blocked(0.01)
    numbers = [payload[0] for opcode, payload in collector.frames if opcode == BINARY]
    sizes = [len(payload) for opcode, payload in collector.frames if opcode == BINARY]
    assert all(
        (size - 1) // 37 % 256 == number for size, number in zip(sizes, numbers, strict=True)
    )
    assert sizes == sorted(set(sizes))


async def test_a_slow_consumer_costs_no_connection_and_no_message(server: Server) -> None:
    """An application that rests longer than the beats' patience keeps connection and messages."""
    count, size = 5000, 4096  # 20 MiB: more than all the buffers on the way

    async def flood(peer: Peer) -> None:
        await peer.shake()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer_pings, peer)
            for n in range(count):
                await peer.send_whole(TEXT, b"%d" % n + b" " * size)

    server.script(flood)
    policy = quick(heartbeat=BEATING, max_queue=16)
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        anomaly = await next_event(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SLOW_CONSUMER
        rest = BEATING.interval + BEATING.max_missed * BEATING.response_timeout
        await trio.sleep(2 * rest)  # the application is slow: this is the input
        assert ws.snapshot().queue_depth >= 16
        assert ws.state is ConnectionState.CONNECTED
        for n in range(count):
            message = await ws.get_message()
            assert isinstance(message, str)
            assert int(message) == n
        recovery = await next_event(events, wsguard.Recovery)
        assert recovery.kind is AnomalyKind.SLOW_CONSUMER
        assert recovery.duration >= rest
        assert ws.generation == 1
        assert ws.snapshot().losses == 0


async def test_a_dead_peer_is_found_after_a_slow_consumer_reads_again(server: Server) -> None:
    """Beats are judged again once the application reads: a peer that died meanwhile is found."""

    async def say_and_die(peer: Peer) -> None:
        await peer.shake()
        for n in range(600):
            await peer.send_whole(TEXT, b"%d" % n)
        await trio.sleep_forever()

    server.script(say_and_die, Collector())
    policy = quick(heartbeat=BEATING, max_queue=16)
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        anomaly = await next_event(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SLOW_CONSUMER
        assert [await ws.get_message() for _ in range(600)] == [*map(str, range(600))]
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.kind is FailureKind.HEARTBEAT
