"""How connections are lost on real sockets, and how the guard comes back."""

from __future__ import annotations

import gc
import itertools
from typing import TYPE_CHECKING

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .servers import (
    BEATING,
    CLOSE,
    QUICK,
    TEXT,
    accept,
    close_at_once,
    close_with,
    drop,
    echo,
    eventually,
    failure_of,
    failures_of,
    frame,
    greet,
    needs_proc,
    next_change,
    next_event,
    open_files,
    open_guard,
    quick,
    reset_at_once,
    respond,
    shake_and_send,
)

if TYPE_CHECKING:
    from .servers import Peer, Server


async def test_comes_back_after_a_reset(server: Server) -> None:
    """An RST loses the connection as CLOSED; the next one follows and works."""

    async def reset_when_told(peer: Peer) -> None:
        await peer.shake()
        await peer.read_frame()
        await peer.reset()

    server.script(reset_when_told, accept(echo))
    async with open_guard(server.url) as ws, ws.events() as events:
        await ws.send_message("reset me")
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.kind is FailureKind.CLOSED
        gap = await next_event(events, wsguard.Gap)
        assert (gap.lost_generation, gap.ready_generation) == (1, 2)
        await ws.send_message("again")
        assert await ws.get_message() == "again"
    assert len(server.accepted_at) == 2


async def test_messages_read_before_a_reset_are_delivered(server: Server) -> None:
    """What was read before an RST reaches the application after it, in order."""

    async def say_and_reset(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(b"".join(frame(TEXT, b"%d" % n) for n in range(20)))
        # An RST throws away what lies unread in the kernel: wait for the word that all is read.
        await peer.read_frame()
        await peer.reset()

    server.script(say_and_reset, accept(greet("new")))
    async with open_guard(server.url) as ws:
        await eventually(lambda: ws.snapshot().messages_received == 20)
        await ws.send_message("all read")
        await ws.wait_state(ConnectionState.RECONNECTING)
        assert [await ws.get_message() for _ in range(21)] == [*map(str, range(20)), "new"]
        assert ws.generation == 2


async def test_messages_before_a_fin_are_delivered(server: Server) -> None:
    """A FIN without a close frame is CLOSED with 1006, after all that came before it."""

    async def say_and_end(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(b"".join(frame(TEXT, b"%d" % n) for n in range(2000)))

    server.script(say_and_end, accept(echo))
    policy = quick(max_queue=10)
    async with open_guard(server.url, policy=policy) as ws, ws.events() as events:
        assert [await ws.get_message() for _ in range(2000)] == [*map(str, range(2000))]
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert (lost.failure.kind, lost.failure.close_code) == (FailureKind.CLOSED, 1006)
        await ws.wait_connected()


async def test_a_frame_cut_in_the_middle_is_never_delivered(server: Server) -> None:
    """A connection that ends within a frame delivers the whole messages before it only."""

    async def cut(peer: Peer) -> None:
        await peer.shake()
        await peer.send_all(frame(TEXT, b"whole") + frame(TEXT, b"half a message")[:8])

    server.script(cut, accept(greet("next")))
    async with open_guard(server.url) as ws:
        assert await ws.get_message() == "whole"
        assert await ws.get_message() == "next"


async def test_a_refused_port_is_a_network_failure(server: Server) -> None:
    """A port where nobody listens is NETWORK; once somebody does, the guard is there."""
    await server.stop()
    policy = quick(max_connection_failures=None)
    async with open_guard(server.url, policy=policy, wait=False) as ws, ws.events() as events:
        refused = await next_change(events, ConnectionState.RECONNECTING)
        assert refused.failure is not None
        assert refused.failure.kind is FailureKind.NETWORK
        assert "refused" in refused.failure.message.lower()
        server.script(accept(echo))
        await server.start()
        await ws.wait_connected()


async def test_reconnect_now_cuts_a_long_backoff_short(server: Server) -> None:
    """reconnect_now() connects at once to a server that is back, whatever the backoff."""
    await server.stop()
    backoff = wsguard.BackoffPolicy(network=wsguard.LinearBackoff(step=60, cap=60))
    async with open_guard(server.url, policy=quick(backoff=backoff), wait=False) as ws:
        await ws.wait_state(ConnectionState.RECONNECTING)
        server.script(accept(echo))
        await server.start()
        ws.reconnect_now()
        await ws.wait_connected()


async def test_cancelling_a_long_backoff_is_prompt(server: Server) -> None:
    """The scope around a guard in a backoff of a minute ends at once when cancelled."""
    await server.stop()
    backoff = wsguard.BackoffPolicy(network=wsguard.LinearBackoff(step=60, cap=60))
    with trio.CancelScope() as scope:
        async with open_guard(server.url, policy=quick(backoff=backoff), wait=False) as ws:
            await ws.wait_state(ConnectionState.RECONNECTING)
            scope.cancel()
            await ws.get_message()
    assert scope.cancelled_caught
    assert ws.state is ConnectionState.DISCONNECTED


async def test_an_unknown_name_is_a_network_failure() -> None:
    """A name that does not exist (RFC 6761: .invalid) is NETWORK, and retried."""
    failure = await failure_of("ws://wsguard-test.invalid/")
    assert failure.kind is FailureKind.NETWORK
    assert failure.transient


@pytest.mark.parametrize("handler", [close_at_once, reset_at_once, accept(drop)])
async def test_a_server_that_accepts_and_closes_is_not_hammered(
    server: Server, handler: object
) -> None:
    """Closed at once, handshake done or not, counts up to FAILED, with the backoff in between."""
    server.script(handler)  # type: ignore[arg-type]
    backoff = wsguard.BackoffPolicy(closed=wsguard.LinearBackoff(step=0.02, cap=0.06))
    policy = quick(backoff=backoff, max_connection_failures=5)
    with pytest.raises(wsguard.GuardFailedError) as caught:  # noqa: PT012 - it depends on where
        async with open_guard(server.url, policy=policy) as ws:
            await ws.wait_state(ConnectionState.FAILED)
            await ws.get_message()
    assert {failure.kind for failure in caught.value.failures} == {FailureKind.CLOSED}
    assert len(caught.value.failures) == 5
    at = server.accepted_at
    assert len(at) == 5
    delays = [0.02, 0.04, 0.06, 0.06]
    assert at[-1] - at[0] >= sum(delays) * 0.9


async def test_failures_go_on_counting_through_short_connections(server: Server) -> None:
    """A handshake is not health: the backoff grows over connections that are lost at once."""
    server.script(accept(drop))
    backoff = wsguard.BackoffPolicy(closed=wsguard.LinearBackoff(step=0.01, cap=0.03))
    policy = quick(backoff=backoff, max_connection_failures=None)
    changes = await failures_of(server.url, 5, policy=policy)
    assert [change.retry_in for change in changes] == [0.01, 0.02, 0.03, 0.03, 0.03]
    assert {change.previous for change in changes} == {ConnectionState.CONNECTED}


async def test_a_silent_peer_is_found_by_the_heartbeat(server: Server) -> None:
    """A peer that reads and never answers a ping is lost as HEARTBEAT within the bound."""

    async def silent(peer: Peer) -> None:
        await peer.shake()
        await peer.mute()

    server.script(silent, accept(echo))
    policy = quick(heartbeat=BEATING)
    async with open_guard(server.url, policy=policy, wait=False) as ws, ws.events() as events:
        ready = await next_change(events, ConnectionState.CONNECTED)
        lost = await next_change(events, ConnectionState.RECONNECTING)
        assert lost.failure is not None
        assert lost.failure.kind is FailureKind.HEARTBEAT
        beats = BEATING.max_missed * BEATING.response_timeout
        assert lost.at - ready.at >= BEATING.interval + beats
        slack = 3  # of a busy machine
        assert lost.at - ready.at <= policy.detection_bound + slack
        await ws.wait_connected()


async def test_a_peer_that_answers_pings_is_kept(server: Server) -> None:
    """A peer that says nothing but pongs stays connected, beat after beat."""
    server.script(accept(echo))
    policy = quick(
        heartbeat=wsguard.HeartbeatPolicy(interval=0.05, response_timeout=5, max_missed=3)
    )
    async with open_guard(server.url, policy=policy) as ws:
        await eventually(lambda: ws.snapshot().beats_answered >= 5)
        assert ws.generation == 1
        assert ws.snapshot().beats_missed == 0


async def test_a_server_that_never_answers_the_handshake_times_out(server: Server) -> None:
    """A handshake without an answer ends by open_timeout, as TIMEOUT."""

    async def never(peer: Peer) -> None:
        await peer.mute()

    server.script(never)
    failure = await failure_of(server.url, policy=quick(open_timeout=0.2))
    assert failure.kind is FailureKind.TIMEOUT


async def test_force_reconnect_makes_a_new_connection(server: Server) -> None:
    """force_reconnect() drops a healthy connection without a failure and makes another."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        ws.force_reconnect("test")
        await ws.wait_state(ConnectionState.RECONNECTING)
        await ws.wait_connected()
        await ws.send_message("still here")
        assert await ws.get_message() == "still here"
        assert ws.generation == 2
        assert ws.snapshot().connection_failures == 0


@needs_proc
async def test_fifty_abnormal_ends_leave_no_open_socket(server: Server) -> None:
    """However connections end, fifty of them leave no socket open on this side."""

    async def reset_after(peer: Peer) -> None:
        await peer.shake()
        await peer.reset()

    async def banner(peer: Peer) -> None:
        await peer.send_all(b"SSH-2.0-x\r\n")
        await peer.mute()

    ends = itertools.cycle(
        [
            accept(drop),
            reset_after,
            reset_at_once,
            close_at_once,
            accept(close_with(1011)),
            accept(close_with(1002)),
            shake_and_send(frame(CLOSE, (4000).to_bytes(2))),
            shake_and_send(b"\xff" * 100),
            shake_and_send(frame(TEXT, b"\xff")),
            shake_and_send(frame(TEXT, b"x" * 2000)),
            banner,
            respond(503),
        ]
    )
    server.script(*itertools.islice(ends, 50), accept(echo))
    await failure_of("ws://127.0.0.1:1/")  # whatever the first use opens is open now
    gc.collect()
    before = open_files()
    nothing = wsguard.LinearBackoff(step=0, cap=0)
    policy = quick(
        backoff=wsguard.BackoffPolicy(closed=nothing, network=nothing, other=nothing),
        max_connection_failures=None,
        max_message_size=1000,
    )
    async with open_guard(server.url, policy=policy, wait=False) as ws:
        await eventually(lambda: ws.generation == 51)
        await ws.wait_connected()
        await eventually(lambda: open_files() <= before + 2)
        await ws.send_message("alive")
        assert await ws.get_message() == "alive"
    await eventually(lambda: open_files() <= before)
    gc.collect()  # a forgotten socket warns now, and a warning is an error here


def test_quick_policy_is_quick() -> None:
    """The tests' own backoff never waits longer than it says."""
    kinds = list(FailureKind)
    assert max(QUICK.delay(kind, n) for kind in kinds for n in range(1, 50)) <= 0.02
