"""The guard in virtual time: every edge of the table, and what users call."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
import trio
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, FailureKind

from .conftest import (
    Net,
    accept,
    answer,
    close_with,
    dial_stalled_first,
    drop,
    echo,
    idle,
    mute,
    quick,
)

CONNECTED = ConnectionState.CONNECTED
CONNECTING = ConnectionState.CONNECTING
RECONNECTING = ConnectionState.RECONNECTING
FAILED = ConnectionState.FAILED
DISCONNECTED = ConnectionState.DISCONNECTED
CLOSED = ConnectionState.CLOSED


async def changes(stream: Any, count: int) -> list[wsguard.StateChange]:
    """Take so many state changes."""
    found: list[wsguard.StateChange] = []
    async for event in stream:
        if isinstance(event, wsguard.StateChange):
            found.append(event)
            if len(found) == count:
                break
    return found


async def first(stream: Any, kind: type[Any]) -> Any:
    """Take the first event of a kind."""
    async for event in stream:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


async def test_a_message_goes_out_and_its_echo_comes_back(net: Net) -> None:
    """What is sent reaches the peer, and what it sends is received."""
    net.script(accept(echo))
    async with net.open() as ws:
        await ws.send_message("hello")
        assert await ws.get_message() == "hello"
        await ws.send_message(bytearray(b"\x00\x01"))
        assert await ws.get_message() == b"\x00\x01"
        assert (ws.state, ws.generation, ws.name) == (CONNECTED, 1, "test")


async def test_leaving_the_block_closes(net: Net) -> None:
    """Leaving the block goes CONNECTED -> CLOSED with a close handshake."""
    codes: list[int] = []

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        with pytest.raises(trio_websocket.ConnectionClosed) as caught:
            await ws.get_message()
        codes.append(getattr(caught.value.reason, "code", 0))

    net.script(accept(talk))
    async with net.open() as ws:
        pass
    assert ws.state is CLOSED
    assert ws.closed == wsguard.CloseReason(1000)
    await trio.testing.wait_all_tasks_blocked()
    assert codes == [1000]


async def test_a_lost_connection_comes_back(net: Net) -> None:
    """CONNECTED -> RECONNECTING -> CONNECTING -> CONNECTED, with the documented delay."""
    net.script(accept(drop), accept(echo))
    async with net.open(wait=False) as ws, ws.events() as events:
        seen = await changes(events, 5)
    assert [(c.previous, c.state) for c in seen] == [
        (DISCONNECTED, CONNECTING),
        (CONNECTING, CONNECTED),
        (CONNECTED, RECONNECTING),
        (RECONNECTING, CONNECTING),
        (CONNECTING, CONNECTED),
    ]
    assert seen[2].failure is not None
    assert seen[2].failure.kind is FailureKind.CLOSED
    assert seen[2].retry_in == 3
    assert seen[3].at - seen[2].at == pytest.approx(3)


async def test_the_gap_is_told(net: Net) -> None:
    """A Gap tells when the connection was lost, when it is ready, and both generations."""
    net.script(accept(drop), accept(idle))
    async with net.open(wait=False) as ws, ws.events() as events:
        gap = await first(events, wsguard.Gap)
    assert (gap.lost_generation, gap.ready_generation) == (1, 2)
    assert gap.duration == pytest.approx(3)


async def test_the_documented_delays_until_failed(net: Net) -> None:
    """A refused connection is retried after 10, 20, 30 and 40 s; the fifth failure is FAILED."""
    net.script(ConnectionRefusedError("refused"))
    with pytest.raises(wsguard.GuardFailedError) as caught:
        async with net.open():
            raise AssertionError("entered")
    waits = [b - a for a, b in zip(net.dialed_at, net.dialed_at[1:], strict=False)]
    assert waits == pytest.approx([10, 20, 30, 40])
    assert [f.kind for f in caught.value.failures] == [FailureKind.NETWORK] * 5
    group = caught.value.__cause__
    assert isinstance(group, ExceptionGroup)
    assert all(isinstance(exc, wsguard.ConnectFailedError) for exc in group.exceptions)


async def test_failed_ends_iteration_and_sends_with_its_error(net: Net) -> None:
    """In FAILED, receiving and sending raise GuardFailedError instead of waiting for ever."""
    net.script(ConnectionRefusedError())
    async with net.open(wait=False, policy=quick(max_connection_failures=2)) as ws:
        assert await ws.wait_state(FAILED) is FAILED
        for call in (ws.get_message, ws.get_messages, ws.wait_connected, ws.__anext__):
            with pytest.raises(wsguard.GuardFailedError):
                await call()
        with pytest.raises(wsguard.GuardFailedError):
            await ws.send_message("x")
        with pytest.raises(wsguard.IllegalTransitionError):
            ws.connect()
    assert ws.state is DISCONNECTED


async def test_who_waits_for_a_message_learns_of_failed(net: Net) -> None:
    """A task that is waiting in get_message when the guard fails gets GuardFailedError."""
    net.script(accept(drop), ConnectionRefusedError())
    async with net.open(policy=quick(max_connection_failures=2)) as ws:
        with pytest.raises(wsguard.GuardFailedError):
            await ws.get_message()


async def test_reset_leaves_failed(net: Net) -> None:
    """reset() goes FAILED -> RECONNECTING with the count at 0, and on at once."""
    net.script(ConnectionRefusedError(), accept(echo))
    async with net.open(wait=False, policy=quick(max_connection_failures=1)) as ws:
        await ws.wait_state(FAILED)
        started = trio.current_time()
        ws.reset()
        assert ws.snapshot().connection_failures == 0
        await ws.wait_connected()
        assert trio.current_time() == started


async def test_failed_cooldown_tries_again(net: Net) -> None:
    """After failed_cooldown the guard leaves FAILED by itself."""
    net.script(ConnectionRefusedError(), accept(echo))
    policy = quick(max_connection_failures=1, failed_cooldown=60)
    async with net.open(wait=False, policy=policy) as ws:
        await ws.wait_state(FAILED)
        await ws.wait_state(CONNECTED)
        assert net.dialed_at[1] - net.dialed_at[0] == pytest.approx(60)


async def test_disconnect_and_connect_from_every_state(net: Net) -> None:
    """disconnect() rests in DISCONNECTED, connect() leaves it, from any state that lives."""
    net.script(accept(echo))
    async with net.open(policy=quick(max_connection_failures=1)) as ws:
        ws.disconnect()
        await ws.wait_state(DISCONNECTED)
        ws.connect()
        await ws.wait_connected()
        assert ws.snapshot().losses == 0
        net.script(accept(drop), mute)
        ws.force_reconnect()
        await ws.wait_state(FAILED)
        ws.disconnect()
        await ws.wait_state(DISCONNECTED)
        ws.connect()
        await ws.wait_state(CONNECTING)
        ws.disconnect()
        await ws.wait_state(DISCONNECTED)


async def test_a_connect_takes_a_disconnect_back(net: Net) -> None:
    """connect() right after disconnect() ends connected."""
    net.script(accept(echo))
    async with net.open() as ws:
        ws.disconnect()
        ws.connect()
        await ws.wait_state(RECONNECTING)
        await ws.wait_connected()
        assert ws.generation == 2


@pytest.mark.parametrize("how", ["cancel", "reconnect_now", "disconnect", "aclose"])
async def test_backoff_is_cut_short(net: Net, how: str) -> None:
    """Each of the four ways ends a 60 s backoff without a second passing."""
    long = wsguard.LinearBackoff(step=60, cap=60)
    policy = quick(backoff=wsguard.BackoffPolicy(closed=long, network=long, other=long))
    net.script(ConnectionRefusedError(), accept(echo))
    with trio.CancelScope() as scope:
        async with net.open(wait=False, policy=policy) as ws:
            await ws.wait_state(RECONNECTING)
            started = trio.current_time()
            if how == "cancel":
                scope.cancel()
                await trio.lowlevel.checkpoint()
            elif how == "reconnect_now":
                ws.reconnect_now()
                await ws.wait_connected()
            elif how == "disconnect":
                ws.disconnect()
                await ws.wait_state(DISCONNECTED)
            else:
                await ws.aclose()
                assert ws.state is DISCONNECTED
    assert trio.current_time() == started


async def test_force_reconnect_begins_anew_without_a_failure(net: Net) -> None:
    """force_reconnect() drops a living connection, counts nothing and dials at once."""
    net.script(accept(echo))
    async with net.open() as ws:
        started = trio.current_time()
        ws.force_reconnect("stuck")
        await ws.wait_connected()
        assert ws.generation == 2
        assert ws.snapshot().connection_failures == 0
        assert trio.current_time() - started < 0.1


async def test_force_reconnect_abandons_an_attempt(net: Net) -> None:
    """force_reconnect() while CONNECTING starts the next attempt at once."""
    net.script(mute, accept(echo))
    async with net.open(wait=False) as ws:
        await ws.wait_state(CONNECTING)
        await trio.testing.wait_all_tasks_blocked()
        ws.force_reconnect()
        await ws.wait_connected()
        assert trio.current_time() == net.dialed_at[0]


async def test_stable_connections_forget_failures(net: Net) -> None:
    """The count falls to 0 after 5 s of CONNECTED, and not before."""
    net.script(accept(drop), accept(drop), accept(echo))
    async with net.open(wait=False) as ws:
        for _ in range(3):
            await ws.wait_state(CONNECTED)
            if ws.generation < 3:
                await ws.wait_state(RECONNECTING)
        assert ws.snapshot().connection_failures == 2
        await trio.sleep(4.9)
        assert ws.snapshot().connection_failures == 2
        await trio.sleep(0.2)
        assert ws.snapshot().connection_failures == 0


async def test_a_server_that_accepts_and_closes_ends_in_failed(net: Net) -> None:
    """A handshake is no health: five short connections in a row are five failures."""
    net.script(accept(close_with(1011)))
    async with net.open(wait=False) as ws:
        await ws.wait_state(FAILED)
        waits = [b - a for a, b in zip(net.dialed_at, net.dialed_at[1:], strict=False)]
        assert waits == pytest.approx([3, 6, 9, 12], abs=0.3)
        with pytest.raises(wsguard.GuardFailedError) as caught:
            await ws.get_message()
        assert [failure.close_code for failure in caught.value.failures] == [1011] * 5


async def test_a_final_close_is_the_end(net: Net) -> None:
    """Close code 1000 from the peer: CLOSED, iteration ends, get_message raises."""
    net.script(accept(close_with(1000, "bye")))
    async with net.open() as ws:
        assert [m async for m in ws] == []
        assert ws.state is CLOSED
        with pytest.raises(wsguard.ConnectionClosedError) as caught:
            await ws.get_message()
        assert (caught.value.code, caught.value.reason) == (1000, "bye")
        with pytest.raises(wsguard.ConnectionClosedError):
            await ws.send_message("x")


async def test_messages_read_before_a_loss_are_delivered(net: Net) -> None:
    """What was read before the connection was lost still comes, in order."""

    async def push(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(50):
            await ws.send_message(str(n))

    net.script(accept(push), accept(idle))
    async with net.open() as ws:
        await ws.wait_state(RECONNECTING)
        assert [await ws.get_message() for _ in range(50)] == [str(n) for n in range(50)]


async def test_get_messages_takes_all_at_hand(net: Net) -> None:
    """get_messages() returns a batch of at least one, in order, and loses none."""

    async def push(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(100):
            await ws.send_message(str(n))
        await idle(ws)

    net.script(accept(push))
    received: list[object] = []
    async with net.open() as ws:
        while len(received) < 100:
            batch = await ws.get_messages()
            assert batch
            received += batch
    assert received == [str(n) for n in range(100)]


async def test_sends_wait_for_the_connection(net: Net) -> None:
    """send_message() while reconnecting waits, and goes out on the next connection."""
    net.script(accept(drop), accept(echo))
    async with net.open(policy=quick()) as ws:
        await ws.wait_state(RECONNECTING)
        await ws.send_message("later")
        assert await ws.get_message() == "later"
        assert ws.generation == 2


async def test_a_send_on_a_dead_connection_says_so(net: Net) -> None:
    """A send under which the connection dies raises ConnectionLostError with maybe_sent."""
    async with net.open(dial=dial_stalled_first(net)) as ws:
        started = trio.current_time()
        with pytest.raises(wsguard.ConnectionLostError) as caught:
            await ws.send_message("x" * 100)
        assert caught.value.maybe_sent
        assert caught.value.generation == 1
        # The watchdog's limit for a blocked send, and not the 35 s of lost beats.
        assert trio.current_time() - started == pytest.approx(10)
        assert caught.value.failure is not None
        assert caught.value.failure.kind is FailureKind.TIMEOUT


async def test_a_user_error_leaves_unwrapped(net: Net) -> None:
    """An exception of the block's body comes out as itself."""
    net.script(accept(echo))
    with pytest.raises(KeyError, match="mine"):
        async with net.open():
            raise KeyError("mine")


async def test_break_leaves_the_guard_usable(net: Net) -> None:
    """Leaving `async for` by break loses nothing and harms nothing."""

    async def push(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(3):
            await ws.send_message(str(n))
        await echo(ws)

    net.script(accept(push))
    async with net.open() as ws:
        async for message in ws:
            assert message == "0"
            break
        assert await ws.get_message() == "1"
        await ws.send_message("x")
        assert [await ws.get_message() for _ in range(2)] == ["2", "x"]


async def test_after_aclose_every_call_raises(net: Net) -> None:
    """aclose() is idempotent, and afterwards calls raise trio.ClosedResourceError."""
    net.script(accept(echo))
    async with net.open() as ws:
        await ws.aclose(4001, "done")
        await ws.aclose()
        assert ws.state is CLOSED
        assert ws.closed == wsguard.CloseReason(4001, "done")
        for call in (ws.get_message, ws.get_messages, ws.wait_connected):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises(trio.ClosedResourceError):
            await ws.send_message("x")
        for wish in (ws.reconnect_now, ws.force_reconnect, ws.reset, ws.disconnect, ws.connect):
            with pytest.raises(trio.ClosedResourceError):
                wish()
        assert [m async for m in ws] == []


async def test_aclose_is_bounded_where_the_peer_does_not_answer(net: Net) -> None:
    """A peer that ignores the close frame holds aclose() for close_timeout and no longer."""
    from .conftest import deaf_after_handshake

    net.script(deaf_after_handshake())
    async with net.open() as ws:
        started = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - started == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1000, "x" * 124)])
async def test_a_close_that_cannot_be_sent_is_refused(net: Net, code: int, reason: str) -> None:
    """aclose() refuses codes and reasons that a close frame cannot carry."""
    net.script(accept(echo))
    async with net.open() as ws:
        with pytest.raises(wsguard.PolicyError):
            await ws.aclose(code, reason)
        assert ws.state is CONNECTED


async def test_open_timeout_bounds_an_attempt(net: Net) -> None:
    """A server that never answers the handshake is given up after open_timeout."""
    net.script(mute, accept(echo))
    async with net.open(wait=False) as ws, ws.events() as events:
        seen = await changes(events, 2)
        assert seen[1].failure is not None
        assert seen[1].failure.kind is FailureKind.TIMEOUT
        assert seen[1].at - seen[0].at == pytest.approx(20)


async def test_max_age_renews_without_a_failure(net: Net) -> None:
    """A connection past max_age is closed by us and made anew at once."""
    net.script(accept(idle))
    async with net.open(policy=quick(max_age=100)) as ws:
        await trio.sleep(101)
        assert ws.generation == 2
        snapshot = ws.snapshot()
        assert (snapshot.connection_failures, snapshot.losses) == (0, 0)


async def test_flapping_is_an_anomaly_and_recovers(net: Net) -> None:
    """Five short-lived connections raise `flapping`; one that lives 30 s ends it."""
    net.script(*[accept(drop)] * 5, accept(idle))
    policy = quick(max_connection_failures=None)
    async with net.open(wait=False, policy=policy) as ws, ws.events() as events:
        flapping = wsguard.AnomalyKind.FLAPPING
        raised = await first(events, wsguard.Anomaly)
        assert (raised.kind, raised.value) == (flapping, 5)
        over = await first(events, wsguard.Recovery)
        assert over.kind is flapping
        assert over.duration == pytest.approx(31, abs=1)


async def test_flapping_can_fail_the_guard(net: Net) -> None:
    """With flapping.fail=True the fifth short-lived connection ends in FAILED."""
    net.script(accept(drop))
    policy = quick(max_connection_failures=None, flapping=wsguard.FlappingPolicy(fail=True))
    async with net.open(wait=False, policy=policy) as ws:
        await ws.wait_state(FAILED)
        assert ws.generation == 5


async def test_a_slow_reader_of_events_is_told_what_it_lost(net: Net) -> None:
    """A reader with room for two events finds how many older ones were dropped."""
    net.script(accept(drop))
    policy = quick(max_connection_failures=3)
    async with net.open(wait=False, policy=policy) as ws, ws.events(max_queue=2) as events:
        await ws.wait_state(FAILED)
        first = await anext(events)
        assert isinstance(first, wsguard.EventsDropped)
        assert first.count > 2
        last = [await anext(events) for _ in range(2)][-1]
        assert isinstance(last, wsguard.StateChange)
        assert last.state is FAILED


async def test_a_state_passed_through_is_not_missed(net: Net) -> None:
    """wait_state() sees RECONNECTING though the guard leaves it within the same tick."""
    net.script(accept(idle))
    async with net.open() as ws, trio.open_nursery() as nursery:
        nursery.start_soon(ws.wait_state, RECONNECTING)
        await trio.testing.wait_all_tasks_blocked()
        ws.force_reconnect()


async def test_snapshot_counts(net: Net) -> None:
    """The snapshot tells messages, bytes, attempts, uptime and times of what happened."""
    net.script(accept(echo))
    async with net.open() as ws:
        await ws.send_message("hello")
        await ws.get_message()
        await trio.sleep(20)
        figures = ws.snapshot()
        assert (figures.messages_sent, figures.messages_received) == (1, 1)
        assert (figures.attempts, figures.reconnects, figures.losses) == (1, 0, 0)
        assert figures.beats_sent == figures.beats_answered == 1
        assert figures.bytes_received > 100
        assert figures.bytes_sent > 100
        assert figures.silence == pytest.approx(20)
        assert figures.uptime_ratio == 1.0
        assert figures.score == 100
        assert figures.response_time.last == 0
        assert figures.last_heartbeat_response > 0
        assert ws.health().status is wsguard.HealthStatus.HEALTHY


async def test_a_day_of_beats_takes_moments(net: Net) -> None:
    """24 hours of an idle connection are 5,760 beats, all answered, on one connection."""
    net.script(accept(idle))
    async with net.open() as ws:
        for _ in range(24):
            await trio.sleep(3600)
        await trio.sleep(1)
        figures = ws.snapshot()
    assert figures.generation == 1
    assert figures.beats_answered == 86_400 // 15


async def test_same_seed_same_delays(net: Net) -> None:
    """Two guards with the same seed retry at the same times, jitter and all."""
    times: list[list[float]] = []
    spread = wsguard.JitteredBackoff(wsguard.LinearBackoff(step=10, cap=60), "full")
    policy = quick(backoff=wsguard.BackoffPolicy(network=spread))
    for _ in range(2):
        net.script(ConnectionRefusedError())
        net.dialed_at.clear()
        with pytest.raises(wsguard.GuardFailedError):
            async with net.open(policy=policy, rng=random.Random(7)):
                raise AssertionError("entered")
        times.append([b - a for a, b in zip(net.dialed_at, net.dialed_at[1:], strict=False)])
    assert times[0] == pytest.approx(times[1])
    assert len({round(wait, 3) for wait in times[0]}) == 4


async def test_state_changes_are_logged_by_level(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """FAILED is logged at ERROR, RECONNECTING at WARNING, other states at INFO."""
    net.script(accept(drop))
    with caplog.at_level(logging.INFO, logger="trio_wsguard"):
        async with net.open(wait=False, policy=quick(max_connection_failures=1)) as ws:
            await ws.wait_state(FAILED)
    levels = [(r.levelname, r.getMessage().split(" -> ")[1].split()[0]) for r in caplog.records]
    assert levels == [
        ("INFO", "CONNECTING"),
        ("INFO", "CONNECTED"),
        ("WARNING", "RECONNECTING"),
        ("ERROR", "FAILED"),
        ("INFO", "DISCONNECTED"),
    ]


async def test_retry_after_is_waited_for(net: Net) -> None:
    """A 503 with Retry-After: 77 is retried no sooner than that."""
    net.script(
        answer(b"HTTP/1.1 503 Busy\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n"), accept(idle)
    )
    async with net.open(policy=quick()):
        assert net.dialed_at[1] - net.dialed_at[0] == pytest.approx(77)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("url", {"url": "http://x/"}),
        ("url", {"url": "ws://"}),
        ("url", {"url": []}),
        ("url", {"url": 7}),
        ("headers", {"headers": {"a b": "c"}}),
        ("headers", {"headers": {"X": "a\r\nb"}}),
        ("headers", {"headers": 7}),
        ("transport", {"transport": "carrier-pigeon"}),
        ("policy", {"policy": 7}),
        ("heartbeat", {"heartbeat": 7}),
    ],
)
async def test_a_wrong_argument_is_refused_by_name(
    net: Net, field: str, options: dict[str, Any]
) -> None:
    """A wrong argument raises PolicyError that names it, before anything is dialed."""
    with pytest.raises(wsguard.PolicyError) as caught:
        async with net.open(**options):
            raise AssertionError("entered")
    assert caught.value.field == field
    assert net.dialed_at == []


async def test_secrets_are_not_shown(net: Net) -> None:
    """User, password and query of a URL appear neither in the name nor in errors."""
    with pytest.raises(wsguard.PolicyError) as caught:
        async with net.open(url="http://user:pw@host/p?token=s3cret", name=None):
            raise AssertionError("entered")
    assert "s3cret" not in str(caught.value)
    assert "pw" not in str(caught.value)
    net.script(accept(idle))
    async with net.open(url="ws://user:pw@host/p?token=s3cret", name=None) as ws:
        assert ws.name == "ws://host/p"


@pytest.mark.parametrize("wish", ["connect", "reset"])
async def test_wishes_do_not_restart_the_backoff(net: Net, wish: str) -> None:
    """What is asked for during a backoff leaves the next dial where it was announced."""
    net.script(ConnectionRefusedError())
    async with net.open(wait=False) as ws:
        await ws.wait_state(RECONNECTING)
        for _ in range(3):
            await trio.sleep(2.5)
            getattr(ws, wish)()
        await trio.sleep(3)
    assert net.dialed_at == pytest.approx([0, 10])


async def test_dials_that_fail_at_once_starve_nobody() -> None:
    """A dial that fails without waiting, and is retried without a delay, lets others run."""

    async def dial(_: object) -> trio.abc.Stream:
        raise OSError("no")

    at_once = wsguard.LinearBackoff(0, 0)
    backoff = wsguard.BackoffPolicy(closed=at_once, network=at_once, other=at_once)
    policy = wsguard.GuardPolicy(backoff=backoff, max_connection_failures=None)
    async with wsguard.open_guarded_websocket("ws://a", policy=policy, dial=dial, wait=False) as ws:
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert 1 < ws.snapshot().attempts < 20


async def test_failures_and_anomalies_are_counted_by_kind(net: Net) -> None:
    """The figures tell how many attempts failed, of what, and which anomalies there were."""
    net.script(ConnectionRefusedError(), ConnectionRefusedError(), accept(drop), accept(idle))
    async with net.open() as ws, ws.events() as events:
        async for event in events:
            if isinstance(event, wsguard.Anomaly):
                break
        read = ws.snapshot()
        assert read.failures == {FailureKind.NETWORK: 2, FailureKind.CLOSED: 1}
        assert (read.attempts, read.failed_attempts) == (4, 2)
        assert (read.connections, read.losses) == (2, 1)
        assert read.anomalies == {wsguard.AnomalyKind.SILENCE: 1}
        assert read.open_anomalies == (wsguard.AnomalyKind.SILENCE,)


async def test_changes_tell_the_endpoint_of_the_attempt(net: Net) -> None:
    """Each change names where its attempt went, without secrets, as soon as that is known."""
    net.script(ConnectionRefusedError(), accept(idle))
    urls = ("ws://user:pw@first/p?token=s3cret", "ws://second:81/")
    async with net.open(url=urls, wait=False) as ws, ws.events() as events:
        found: list[tuple[str, str]] = []
        async for event in events:
            if isinstance(event, wsguard.StateChange):
                found.append((event.state.name, event.endpoint))
                if event.state is ConnectionState.CONNECTED:
                    break
    assert found == [
        ("CONNECTING", ""),
        ("RECONNECTING", "ws://first/p"),
        ("CONNECTING", ""),
        ("CONNECTED", "ws://second:81/"),
    ]


async def test_events_can_be_taken_without_waiting(net: Net) -> None:
    """What is there is taken at once; that nothing is there now, or ever, are two things."""
    net.script(accept(idle))
    async with net.open() as ws, ws.events(max_queue=1) as events:
        with pytest.raises(trio.WouldBlock):
            events.get_nowait()
        await ws.aclose()
        found = [events.get_nowait(), events.get_nowait()]
        assert isinstance(found[0], wsguard.EventsDropped)
        with pytest.raises(trio.EndOfChannel):
            events.get_nowait()
