"""What happens on one connection: on_connect, heartbeats, watchdog, in virtual time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard import AnomalyKind, ConnectionState, FailureKind

from .conftest import Net, accept, deaf_after_handshake, dial_stalled_first, drop, echo, idle, quick
from .test_guard import first

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTED = ConnectionState.CONNECTED
RECONNECTING = ConnectionState.RECONNECTING


async def test_on_connect_talks_before_the_guard_is_ready(net: Net) -> None:
    """on_connect sends and receives first; what it leaves unread goes to the application."""

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        assert await ws.get_message() == "login"
        await ws.send_message("welcome")
        await ws.send_message("first of the feed")
        await echo(ws)

    states: list[ConnectionState] = []

    async def on_connect(connection: wsguard.Connection) -> None:
        states.append(ws.state)
        await connection.send_message("login")
        assert await connection.get_message() == "welcome"

    net.script(accept(server))
    async with net.open(wait=False, on_connect=on_connect) as ws:
        await ws.wait_connected()
        assert states == [ConnectionState.CONNECTING]
        assert await ws.get_message() == "first of the feed"


async def test_sends_wait_until_on_connect_is_done(net: Net) -> None:
    """A message of the application never overtakes what on_connect sends."""
    received: list[object] = []

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        while True:
            received.append(await ws.get_message())

    async def on_connect(connection: wsguard.Connection) -> None:
        await trio.sleep(5)
        await connection.send_message("login")

    net.script(accept(server))
    async with net.open(wait=False, on_connect=on_connect) as ws:
        await ws.send_message("order")
        await trio.testing.wait_all_tasks_blocked()
        assert received == ["login", "order"]


async def test_a_task_of_a_connection_ends_with_it(net: Net) -> None:
    """connection.start_soon() runs a task that is cancelled exactly when it is lost."""
    log: list[str] = []

    async def poll(generation: int) -> None:
        log.append(f"start {generation}")
        try:
            await trio.sleep_forever()
        finally:
            log.append(f"end {generation}")

    async def on_connect(connection: wsguard.Connection) -> None:
        connection.start_soon(poll, connection.generation)

    net.script(accept(idle))
    async with net.open(on_connect=on_connect) as ws:
        ws.force_reconnect()
        await ws.wait_connected()
        await trio.testing.wait_all_tasks_blocked()
        assert log == ["start 1", "end 1", "start 2"]
    assert log[-1] == "end 2"


async def test_an_error_of_a_connections_task_leaves_the_block(net: Net) -> None:
    """What a task of the user's raises comes out of the block as itself."""

    async def broken() -> None:
        await trio.sleep(1)
        raise KeyError("mine")

    async def on_connect(connection: wsguard.Connection) -> None:
        connection.start_soon(broken)

    net.script(accept(idle))
    with pytest.raises(KeyError, match="mine"):
        async with net.open(on_connect=on_connect) as ws:
            await ws.get_message()
    assert ws.state is ConnectionState.CLOSED


async def test_a_lost_connection_does_not_crash_its_tasks(net: Net) -> None:
    """A task that meets the loss of its own connection just ends."""

    async def poll(connection: wsguard.Connection) -> None:
        while True:
            await connection.send_message("poll")
            await trio.lowlevel.checkpoint()

    async def on_connect(connection: wsguard.Connection) -> None:
        connection.start_soon(poll, connection)

    async def once(ws: trio_websocket.WebSocketConnection) -> None:
        await ws.get_message()

    net.script(accept(once), accept(echo))
    async with net.open(policy=quick(), on_connect=on_connect) as ws:
        await ws.wait_state(RECONNECTING)
        await ws.wait_connected()


async def test_messages_of_a_ready_connection_belong_to_the_guard(net: Net) -> None:
    """connection.get_message() after on_connect is misuse, and says so."""
    kept: list[wsguard.Connection] = []

    async def on_connect(connection: wsguard.Connection) -> None:
        kept.append(connection)

    net.script(accept(idle))
    async with net.open(on_connect=on_connect):
        with pytest.raises(trio.BusyResourceError):
            await kept[0].get_message()


async def test_a_connection_that_dies_in_on_connect_fails_the_attempt(net: Net) -> None:
    """on_connect is cancelled when its connection dies, whatever it waits for."""

    async def on_connect(connection: wsguard.Connection) -> None:
        if connection.generation == 1:
            await trio.sleep_forever()

    net.script(accept(drop), accept(idle))
    async with net.open(policy=quick(), on_connect=on_connect) as ws:
        assert ws.generation == 2
        assert net.dialed_at[1] - net.dialed_at[0] == pytest.approx(1)


async def test_a_dead_peer_is_found_within_the_bound(net: Net) -> None:
    """Three beats unanswered end a connection as HEARTBEAT 45 s after it fell silent."""
    net.script(deaf_after_handshake(), accept(idle))
    async with net.open() as ws, ws.events() as events:
        started = trio.current_time()
        lost = await first(events, wsguard.Anomaly)
        while lost.kind is not AnomalyKind.HEARTBEAT_LOST:
            lost = await first(events, wsguard.Anomaly)
        change = await first(events, wsguard.StateChange)
        assert change.failure is not None
        assert change.failure.kind is FailureKind.HEARTBEAT
        assert change.at - started == pytest.approx(wsguard.GuardPolicy().detection_bound)
        assert ws.snapshot().beats_missed == 3


async def test_traffic_is_life(net: Net) -> None:
    """A peer that answers no ping but talks is not dead, unless the policy says so."""

    async def talk(stream: trio.abc.Stream) -> None:
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, stream)
            await request.accept()
            nursery.cancel_scope.cancel()
        while True:
            await trio.sleep(7)
            await stream.send_all(b"\x81\x02hi")

    net.script(talk)
    async with net.open() as ws:
        await trio.sleep(600)
        assert ws.generation == 1
    strict = wsguard.HeartbeatPolicy(traffic_is_life=False)
    async with net.open(policy=quick(heartbeat=strict)) as ws:
        await trio.sleep(50)
        assert ws.generation == 2


async def test_a_slow_answer_is_an_anomaly_while_it_is_missing(net: Net) -> None:
    """slow_response is raised five seconds after the beat, and recovered by a quick answer."""
    delays = iter([7.0, 0.0])

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        while True:
            beat = await ws.get_message()
            await trio.sleep(next(delays, 0.0))
            assert beat == "ping"
            await ws.send_message("pong")

    net.script(accept(server))
    async with net.open(heartbeat=wsguard.TextHeartbeat()) as ws, ws.events() as events:
        started = trio.current_time()
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SLOW_RESPONSE
        assert anomaly.at - started == pytest.approx(15 + 5)
        recovery = await first(events, wsguard.Recovery)
        assert recovery.kind is AnomalyKind.SLOW_RESPONSE
        assert recovery.at - started == pytest.approx(30)
        assert ws.snapshot().response_time.p99 == pytest.approx(7)


def lwp(beat: str) -> str:
    """Answer an LWP beat."""
    found = json.loads(beat)
    assert found["lwp"] == "/!"
    return json.dumps({"code": 200, "headers": {"mid": found["headers"]["mid"]}})


@pytest.mark.parametrize(
    ("heartbeat", "answer"),
    [
        (wsguard.TextHeartbeat("hb", "ok"), lambda _: "ok"),
        (wsguard.TextHeartbeat(b"\x01", b"\x02"), lambda _: b"\x02"),
        (wsguard.JsonHeartbeat(), lambda _: '{"type": "pong", "code": 200}'),
        (wsguard.JsonHeartbeat({"op": 1}, {}, good_code=0), lambda _: '{"code": 0}'),
        (wsguard.LwpHeartbeat(), lwp),
    ],
)
async def test_message_heartbeats(
    net: Net, heartbeat: Any, answer: Callable[[Any], str | bytes]
) -> None:
    """Each message heartbeat is answered, and its answers never reach the application."""

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        while True:
            await ws.send_message(answer(await ws.get_message()))
            await ws.send_message("feed")

    net.script(accept(server))
    async with net.open(heartbeat=heartbeat) as ws:
        await trio.sleep(61)
        assert ws.snapshot().beats_answered == 4
        assert await ws.get_messages() == ["feed"] * 4


@pytest.mark.parametrize(
    ("heartbeat", "answer"),
    [
        (wsguard.JsonHeartbeat(), '{"type": "pong", "code": 500}'),
        (wsguard.LwpHeartbeat(), '{"code": 401}'),
    ],
)
async def test_a_wrong_code_is_an_anomaly_and_a_failure(
    net: Net, heartbeat: Any, answer: str
) -> None:
    """A beat answered with a bad code raises heartbeat_rejected; three end the connection."""

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        while True:
            await ws.get_message()
            await ws.send_message(answer)

    net.script(accept(server))
    policy = quick(max_connection_failures=1)
    async with net.open(heartbeat=heartbeat, policy=policy) as ws, ws.events() as events:
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.HEARTBEAT_REJECTED
        change = await first(events, wsguard.StateChange)
        assert change.failure.kind is FailureKind.HEARTBEAT


async def test_any_message_is_no_answer(net: Net) -> None:
    """A strict message heartbeat takes only its own answers; other JSON goes to the user."""
    others = [
        '{"code": 200, "body": {}}',
        '{"code": 200, "headers": {"mid": "of another"}}',
        '{"lwp": "/x", "code": 200}',
        '{"code"',
        "[200]",
        "x",
    ]

    async def server(ws: trio_websocket.WebSocketConnection) -> None:
        while True:
            await ws.get_message()
            for other in others:
                await ws.send_message(other)

    net.script(accept(server))
    strict = wsguard.HeartbeatPolicy(traffic_is_life=False)
    policy = quick(heartbeat=strict, max_connection_failures=1)
    async with net.open(heartbeat=wsguard.LwpHeartbeat(), policy=policy) as ws:
        await ws.wait_state(RECONNECTING)
        assert ws.snapshot().beats_answered == 0
        assert (await ws.get_messages())[:2] == [others[0], others[2]]


async def test_silence_is_raised_and_recovered_across_connections(net: Net) -> None:
    """30 s without a message raise `silence`; the next message, on any connection, ends it."""

    async def late(ws: trio_websocket.WebSocketConnection) -> None:
        await trio.sleep(10)
        await ws.send_message("at last")
        await idle(ws)

    net.script(accept(idle), accept(late))
    async with net.open() as ws, ws.events() as events:
        started = trio.current_time()
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SILENCE
        assert anomaly.at - started == pytest.approx(30)
        await trio.sleep(70)
        ws.force_reconnect()
        recovery = await first(events, wsguard.Recovery)
        assert recovery.kind is AnomalyKind.SILENCE
        assert recovery.at - started == pytest.approx(110, abs=0.1)
        assert ws.generation == 2


async def test_a_second_silence_is_told_in_time(net: Net) -> None:
    """After a message has ended a silence, the next is told 30 s later, and not at some beat."""

    async def once(ws: trio_websocket.WebSocketConnection) -> None:
        await trio.sleep(37)
        await ws.send_message("once")
        await idle(ws)

    net.script(accept(once))
    policy = wsguard.GuardPolicy(heartbeat=wsguard.HeartbeatPolicy(interval=1000))
    async with net.open(policy=policy) as ws, ws.events() as events:
        raised = [(await first(events, wsguard.Anomaly)).at for _ in range(2)]
    assert raised == pytest.approx([30, 67])


async def test_unread_messages_do_not_pile_up_over_connections(net: Net) -> None:
    """What an application never reads stays bounded, however many connections come and go."""

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for number in range(100):
            await ws.send_message(str(number))

    net.script(accept(flood))
    policy = quick(max_queue=10, max_connection_failures=None)
    async with net.open(policy=policy) as ws:
        await trio.sleep(2000)
        assert ws.generation > 30
        assert ws.snapshot().queue_depth <= 2 * 10 + 100  # a read may hold all of a flood


async def test_on_connect_reads_though_the_queue_is_full(net: Net) -> None:
    """A full queue keeps nobody from logging in: `on_connect` gets what it asks for, in order."""

    async def greet(ws: trio_websocket.WebSocketConnection) -> None:
        for number in range(9):
            await ws.send_message(str(number))
        await idle(ws)

    heard: list[object] = []

    async def log_in(connection: wsguard.Connection) -> None:
        heard.append([await connection.get_message() for _ in range(2)])

    net.script(accept(greet))
    async with net.open(policy=quick(max_queue=3), on_connect=log_in) as ws:
        await trio.sleep(1)
        ws.force_reconnect()
        await ws.wait_state(RECONNECTING)
        await ws.wait_connected()
        assert [await ws.get_message() for _ in range(8)] == [*"234", *"2345", "6"]
    assert heard == [["0", "1"]] * 2


async def test_a_burst_is_no_slow_consumer(net: Net) -> None:
    """A burst that fills the queue, and is taken at once, raises nothing."""

    async def burst(ws: trio_websocket.WebSocketConnection) -> None:
        for number in range(40):
            await ws.send_message(str(number))
        await idle(ws)

    net.script(accept(burst))
    async with net.open(policy=quick(max_queue=4)) as ws, ws.events() as events:
        assert [await ws.get_message() for _ in range(40)] == [str(n) for n in range(40)]
        with trio.move_on_after(20):
            pytest.fail(f"raised {await first(events, wsguard.Anomaly)}")


async def test_a_slow_consumer_keeps_its_connection(net: Net) -> None:
    """A full queue stops reading, is an anomaly and drops nothing, however long it lasts."""

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(2000):
            await ws.send_message(str(n))
        await idle(ws)

    net.script(accept(flood))
    async with net.open(policy=quick(max_queue=10)) as ws, ws.events() as events:
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SLOW_CONSUMER
        await trio.sleep(3600)
        assert ws.snapshot().queue_depth == 10
        received = [await ws.get_message() for _ in range(2000)]
        assert received == [str(n) for n in range(2000)]
        recovery = await first(events, wsguard.Recovery)
        assert recovery.kind is AnomalyKind.SLOW_CONSUMER
        assert ws.generation == 1


@pytest.mark.parametrize("seed", range(20))
async def test_a_slow_consumer_is_nothing_else(net: Net, seed: int) -> None:
    """An application that takes its time is no silent feed and no slow peer, in any order."""
    trio._core._run._r.seed(seed)  # what decides trio's order

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(200):
            await ws.send_message(str(n))
        await idle(ws)

    net.script(accept(flood))
    async with net.open(policy=quick(max_queue=4)) as ws, ws.events() as events:
        for _ in range(120):
            await ws.get_message()
            await trio.sleep(20)
        ws.disconnect()
        seen: set[AnomalyKind] = set()
        async for event in events:
            if isinstance(event, wsguard.Anomaly):
                seen.add(event.kind)
            elif isinstance(event, wsguard.StateChange) and event.state is not CONNECTED:
                break
        assert (ws.snapshot().response_time.p99 or 0) < 1
    assert seen == {AnomalyKind.SLOW_CONSUMER}


async def test_a_stalled_loop_is_not_the_peers_fault(net: Net) -> None:
    """Waking late raises local_stall with the delay, and no beat of that round is judged."""
    net.script(deaf_after_handshake(), accept(idle))
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    async with net.open() as ws, ws.events() as events:
        await trio.sleep(16)
        clock.jump(100)
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.LOCAL_STALL
        assert anomaly.value == pytest.approx(100 - 4, abs=1)
        recovery = await first(events, wsguard.Recovery)
        assert recovery.kind is AnomalyKind.LOCAL_STALL
        assert ws.generation == 1
        assert ws.snapshot().beats_missed == 0


async def test_a_cancelled_send_that_was_begun_drops_the_connection(net: Net) -> None:
    """A send cancelled while the peer takes no bytes drops the connection, without a failure."""
    net.script(accept(echo))
    async with net.open(dial=dial_stalled_first(net)) as ws:
        started = trio.current_time()
        with trio.move_on_after(1):
            await ws.send_message("half")
        assert trio.current_time() - started == pytest.approx(1)
        await ws.send_message("whole")
        assert await ws.get_message() == "whole"
        assert ws.snapshot().connection_failures == 0
        assert ws.generation == 2


async def test_reading_stops_at_the_bytes_too(net: Net) -> None:
    """Few large messages fill the queue as many small ones do; nothing of them is lost."""

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for number in range(100):
            await ws.send_message(f"{number:02}" + 10_000 * "x")
        await idle(ws)

    net.script(accept(flood))
    async with net.open(policy=quick(max_queue_bytes=100_000)) as ws, ws.events() as events:
        anomaly = await first(events, wsguard.Anomaly)
        assert anomaly.kind is AnomalyKind.SLOW_CONSUMER
        assert 10 <= ws.snapshot().queue_depth < 40  # and what one read brings
        for number in range(100):
            assert str(await ws.get_message()).startswith(f"{number:02}")


async def test_unread_bytes_do_not_pile_up_over_connections(net: Net) -> None:
    """Bytes never read stay bounded as messages do, however many connections come and go."""

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for _ in range(100):
            await ws.send_message(1000 * "x")

    net.script(accept(flood))
    policy = quick(max_queue_bytes=10_000, max_connection_failures=None)
    async with net.open(policy=policy) as ws:
        await trio.sleep(2000)
        assert ws.generation > 30
        assert ws.snapshot().queue_depth <= 2 * 10 + 100  # a read may hold all of a flood
