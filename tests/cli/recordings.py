"""Recordings made for tests, record by record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</script><script>alert(1)</script>\x1b[31m<img src=x onerror=y>"
BEGIN = 1_700_000_000.0


def header(**changed: Any) -> dict[str, Any]:
    """Give a header."""
    return {
        "type": "header",
        "elapsed": 0.0,
        "format": "trio-wsguard recording",
        "version": 1,
        "library": "0",
        "name": "feed",
        "time": BEGIN,
        "utc_offset": 3600.0,
        "limits": {"slow_response": 5, "silence_timeout": 30, "max_connection_failures": 5},
    } | changed


def snapshot(at: float, state: str = "CONNECTED", **changed: Any) -> dict[str, Any]:
    """Give figures."""
    return {
        "type": "snapshot",
        "elapsed": at,
        "connection_state": state,
        "delay": 0.02,
        "silence": 1.0 if state == "CONNECTED" else None,
        "score": 100.0,
        "beats_sent": 3,
        "attempts": 2,
        "reconnects": 1,
        "losses": 1,
        "messages_received": 10,
        "uptime_ratio": 0.99999,
        "mean_time_between_failures": 12.0,
        "response_time": {"p50": 0.02, "p95": 0.05, "p99": 0.06, "count": 40},
    } | changed


def event(at: float, name: str, **pairs: Any) -> dict[str, Any]:
    """Give an event."""
    return {"type": "event", "elapsed": at, "event": name, "generation": 1, **pairs}


def change(at: float, previous: str, state: str, **pairs: Any) -> dict[str, Any]:
    """Give a state change."""
    return event(at, "state_change", previous=previous, state=state, **pairs)


END = {"type": "end", "elapsed": 100.0}

OUTAGE = [
    header(),
    change(0.0, "DISCONNECTED", "CONNECTING", reason="connecting"),
    change(1.0, "CONNECTING", "CONNECTED", reason="ready"),
    snapshot(1.0),
    event(5.0, "anomaly", kind="SILENCE", message="too quiet"),
    snapshot(10.0, score=61.0, delay=7.0),
    change(20.0, "CONNECTED", "RECONNECTING", reason=HOSTILE, retry_in=3.0, duration=19.0),
    snapshot(20.0, "RECONNECTING"),
    change(40.0, "RECONNECTING", "CONNECTED", reason="ready", duration=20.0),
    event(40.0, "gap", duration=20.0, ready_generation=2),
    event(45.0, "recovery", kind="SILENCE", duration=40.0),
    event(
        50.0,
        "alert_raised",
        rule={"name": "connection_failure_rate", "level": "WARNING"},
        message="it is 0.5 (> 0.3)",
    ),
    event(50.0, "health_change", previous="DOWN", status="HEALTHY", score=100.0),
    snapshot(100.0),
    END,
]


def write(path: Path, records: list[dict[str, Any]], tail: str = "") -> Path:
    """Write a recording, and what comes after it."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path
