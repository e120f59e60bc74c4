"""Views of guards that never were, for the tests of what is drawn."""

from __future__ import annotations

import functools
from typing import Any

import attrs

import trio_wsguard as wsguard
from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.cli.dashboard import View
from trio_wsguard.cli.history import History
from trio_wsguard.cli.record import Limits

STATE = wsguard.ConnectionState
NOW = 1000.0


@functools.cache
def _new() -> wsguard.Snapshot:
    monitor = ConnectionMonitor(wsguard.GuardPolicy(), 0.0, 0.0)
    return monitor.snapshot(
        NOW, NOW, name="feed", generation=7, queue_depth=3, silence=2.5, open_delay=0.0
    )


def snapshot(**changed: Any) -> wsguard.Snapshot:
    """Give the figures of a sound guard, but for some."""
    figures: dict[str, Any] = {
        "connection_state": STATE.CONNECTED,
        "last_state_change_time": NOW - 12.34,
        "reconnects": 6,
        "losses": 6,
        "messages_received": 1234,
        "beats_sent": 40,
        "beats_missed": 2,
        "uptime_ratio": 0.9876,
        "mean_time_between_failures": 42.0,
        "response_time": wsguard.ResponseTimes(last=0.02, p95=0.05, count=38),
        "score": 79.8,
        "status": wsguard.HealthStatus.DEGRADED,
    }
    return attrs.evolve(_new(), **figures | changed)


def health(**changed: Any) -> wsguard.Health:
    """Give the parts of a score, but for some."""
    parts: dict[str, Any] = {
        "score": 79.8,
        "status": wsguard.HealthStatus.DEGRADED,
        "connection_failures": 2,
        "delay": 0.1,
        "silence": 2.5,
    }
    return wsguard.Health(**parts | changed)


def anomaly(kind: wsguard.AnomalyKind, message: str = "so it is") -> wsguard.Anomaly:
    """Give an anomaly that began five seconds ago."""
    return wsguard.Anomaly(
        kind=kind, message=message, value=1.0, at=NOW - 5, time=NOW - 5, generation=7
    )


def change(state: wsguard.ConnectionState, **more: Any) -> wsguard.StateChange:
    """Give a state change that was two seconds ago."""
    return wsguard.StateChange(
        previous=STATE.CONNECTED, state=state, at=NOW - 2, time=NOW - 2, **more
    )


def alert(level: int) -> wsguard.AlertRaised:
    """Give an alert of the documented rule of that number, two minutes old."""
    rule = wsguard.DOCUMENTED_RULES[level]
    return wsguard.AlertRaised(rule=rule, guard="feed", value=0.5, at=NOW - 120, time=NOW - 120)


def view(history: History | None = None, **changed: Any) -> View:
    """Give a view, but for some."""
    parts: dict[str, Any] = {
        "snapshot": snapshot(),
        "health": health(),
        "alerts": (),
        "history": history or History(),
        "limits": Limits(),
        "task": "",
        "now": NOW,
    }
    return View(**parts | changed)
