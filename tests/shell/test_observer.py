"""What a guard tells of itself: its log, its alerts while nothing happens, and being stuck."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import AnomalyKind, WatchdogPolicy

from .conftest import accept, answer, drop, idle, quick

if TYPE_CHECKING:
    import trio_websocket

    from .conftest import Net

CONNECTING = wsguard.ConnectionState.CONNECTING
CONNECTED = wsguard.ConnectionState.CONNECTED
RECONNECTING = wsguard.ConnectionState.RECONNECTING
FAILED = wsguard.ConnectionState.FAILED
BUSY = answer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


async def say_once(ws: trio_websocket.WebSocketConnection) -> None:
    await ws.send_message("unread")
    await idle(ws)


async def hang(_connection: wsguard.Connection) -> None:
    await trio.sleep_forever()


# --- the log -------------------------------------------------------------------


async def test_a_state_change_is_one_line_with_its_fields(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """Old state, new state, the time in the old one, reason and failure, as text and as fields."""
    net.script(accept(drop), accept(idle))
    with caplog.at_level(logging.INFO, logger="trio_wsguard"):
        async with net.open(name="feed.example", policy=quick()) as ws:
            await ws.wait_state(RECONNECTING)
    (lost,) = (r for r in caplog.records if r.levelname == "WARNING" and " -> " in r.getMessage())
    assert lost.name == "trio_wsguard.guard.feed_example"
    assert lost.getMessage().startswith("feed.example: CONNECTED -> RECONNECTING after ")
    assert "CLOSED" in lost.getMessage()
    fields = {k: v for k, v in vars(lost).items() if k.startswith("wsguard_")}
    assert fields == {
        "wsguard_guard": "feed.example",
        "wsguard_generation": 1,
        "wsguard_previous": "CONNECTED",
        "wsguard_state": "RECONNECTING",
        "wsguard_failure": "CLOSED",
    }


async def test_a_refusal_is_logged_at_its_own_level(
    net: Net, caplog: pytest.LogCaptureFixture
) -> None:
    """What kind of failure it was decides, where that is worse than RECONNECTING itself."""
    net.script(BUSY, accept(idle))
    with caplog.at_level(logging.INFO, logger="trio_wsguard"):
        async with net.open(policy=quick()):
            pass
    levels = [r.levelname for r in caplog.records if "-> RECONNECTING" in r.getMessage()]
    assert levels == ["ERROR"]


async def test_beats_are_logged_at_debug_only(net: Net, caplog: pytest.LogCaptureFixture) -> None:
    """A beat sent and its answer are a line each at DEBUG, and nothing above."""
    net.script(accept(idle))
    with caplog.at_level(logging.DEBUG, logger="trio_wsguard"):
        async with net.open():
            await trio.sleep(16)
    beats = [r for r in caplog.records if "beat" in r.getMessage()]
    assert [r.levelname for r in beats] == ["DEBUG", "DEBUG"]
    assert ["sent" in r.getMessage() for r in beats] == [True, False]


# --- alerts ---------------------------------------------------------------------


async def test_an_alert_outlives_the_attempts_it_is_about(net: Net) -> None:
    """A guard that gave up makes no more attempts: its alert stays open until the guard ends."""
    net.script(*[BUSY] * 5)
    async with net.open(wait=False) as ws, ws.events() as events:
        await ws.wait_state(FAILED)
        await trio.sleep(1000)
        assert [alert.rule.name for alert in ws.open_alerts] == [
            "connection_failure_rate",
            "connection_success_rate",
        ]
        await ws.aclose()
    told = [event async for event in events if isinstance(event, wsguard.Alert)]
    assert [type(alert) for alert in told] == [
        *[wsguard.AlertRaised] * 2,
        *[wsguard.AlertResolved] * 2,
    ]


async def test_a_rule_of_the_users_own(net: Net) -> None:
    """Any figure can be watched, for as long as is asked."""
    rule = wsguard.AlertRule(
        name="unread",
        figure="queue_depth",
        comparison=">=",
        threshold=1,
        level=wsguard.AlertLevel.WARNING,
        for_=20,
    )
    policy = quick(alerts=wsguard.AlertPolicy(rules=(rule,), interval=5))
    net.script(accept(say_once))
    async with net.open(policy=policy) as ws:
        await trio.sleep(24)
        assert ws.open_alerts == ()
        await trio.sleep(2)
        assert [alert.rule for alert in ws.open_alerts] == [rule]
        await ws.get_message()
        await trio.sleep(5)
        assert ws.open_alerts == ()


# --- stuck ----------------------------------------------------------------------


async def test_a_stuck_attempt_can_be_cured(net: Net) -> None:
    """With `cure_stuck` an attempt that hangs within its `open_timeout` is begun anew."""
    net.script(accept(idle))
    policy = quick(open_timeout=300, watchdog=WatchdogPolicy(stuck_timeout=40, cure_stuck=True))
    async with net.open(wait=False, policy=policy, on_connect=hang) as ws, ws.events() as events:
        told: list[tuple[float, str]] = []
        began = trio.current_time()
        async for event in events:
            if isinstance(event, wsguard.Anomaly | wsguard.Recovery):
                told.append((trio.current_time() - began, type(event).__name__))
            elif isinstance(event, wsguard.StateChange):
                told.append((trio.current_time() - began, event.state.name))
            if len(told) == 5:
                break
        assert ws.snapshot().connection_failures == 0
    assert told == [
        (0.0, "CONNECTING"),
        (40.0, "Anomaly"),
        (40.0, "RECONNECTING"),
        (40.0, "Recovery"),
        (40.0, "CONNECTING"),
    ]


async def test_without_a_cure_it_is_told_only(net: Net) -> None:
    """By default a stuck attempt is left to its own timeout."""
    net.script(accept(idle))
    async with net.open(wait=False, policy=quick(open_timeout=300), on_connect=hang) as ws:
        await trio.sleep(100)
        assert (ws.state, ws.generation) == (CONNECTING, 1)


async def test_a_connection_that_does_not_come_to_its_end_is_stuck(net: Net) -> None:
    """A task that shields itself keeps a dropped connection CONNECTED: that is told."""

    async def start(connection: wsguard.Connection) -> None:
        async def linger() -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(100)

        connection.start_soon(linger)

    net.script(accept(drop), accept(idle))
    async with net.open(wait=False, policy=quick(), on_connect=start) as ws, ws.events() as events:
        began = trio.current_time()
        async for event in events:
            if isinstance(event, wsguard.Anomaly) and event.kind is AnomalyKind.STUCK:
                break
        assert ws.state is CONNECTED
        assert trio.current_time() - began == pytest.approx(30, abs=0.2)
        assert "CONNECTED" in event.message


# --- listening ------------------------------------------------------------------


async def test_a_stream_of_events_ends_with_its_block(net: Net) -> None:
    """Whoever reads on after the block gets what was told, and then the end."""
    net.script(accept(idle))
    async with net.open() as ws:
        async with ws.events() as events:
            ws.force_reconnect("now")
            await ws.wait_state(RECONNECTING)
        told = [event.state async for event in events if isinstance(event, wsguard.StateChange)]
        assert told[0] is RECONNECTING
        assert ws.state is not FAILED
