"""Events as lines: for people, and as JSON for pipes.

Everything that a peer may have had a hand in goes through `printable` before
it is shown, and through `json.dumps`, which escapes it, before it is piped.
"""

from __future__ import annotations

import base64
import enum
import json
import math
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import attrs

import trio_wsguard as wsguard
from trio_wsguard._core.failure import printable as escape

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SHOWN: Final = 200  # characters of a message
LABEL_WIDTH: Final = 12  # "RECONNECTING", "DISCONNECTED"

STATE_STYLES: Final = {
    wsguard.ConnectionState.DISCONNECTED: "dim",
    wsguard.ConnectionState.CONNECTING: "cyan",
    wsguard.ConnectionState.CONNECTED: "bold green",
    wsguard.ConnectionState.RECONNECTING: "bold yellow",
    wsguard.ConnectionState.FAILED: "bold red",
    wsguard.ConnectionState.CLOSED: "blue",
}

STATE_NAMES: Final = tuple(state.name for state in wsguard.ConnectionState)

STATUS_STYLES: Final = {
    wsguard.HealthStatus.HEALTHY: "green",
    wsguard.HealthStatus.DEGRADED: "yellow",
    wsguard.HealthStatus.UNHEALTHY: "red",
    wsguard.HealthStatus.DOWN: "bold red",
}

_EVENT_NAMES: Final[Mapping[type, str]] = {
    wsguard.StateChange: "state_change",
    wsguard.Gap: "gap",
    wsguard.Anomaly: "anomaly",
    wsguard.Recovery: "recovery",
    wsguard.HealthChange: "health_change",
    wsguard.AlertRaised: "alert_raised",
    wsguard.AlertResolved: "alert_resolved",
    wsguard.EventsDropped: "events_dropped",
}


@attrs.frozen(kw_only=True)
class Line:
    """One line of the log.

    Attributes:
        label: What it is about, in a word.
        text: The rest.
        style: The label's style, as rich names it.
        time: Unix seconds; ``None`` for a line without a time.
        generation: The connection; ``None`` where it is about none.
    """

    label: str
    text: str = ""
    style: str = ""
    time: float | None = None
    generation: int | None = None

    @property
    def clock(self) -> str:
        """The time of day, to the millisecond."""
        if self.time is None:
            return ""
        # Cut, not rounded: 59.9996 must not read 60.000.
        return datetime.fromtimestamp(self.time).strftime("%H:%M:%S.%f")[:-3]

    @property
    def number(self) -> str:
        """The generation, as ``#3``."""
        return f"#{self.generation}" if self.generation else ""

    def __str__(self) -> str:
        head = f"{self.clock:12}  {self.number:>3}  {self.label:{LABEL_WIDTH}}  "
        return f"{head}{self.text}".rstrip()


def event_line(event: wsguard.Event) -> Line:
    """Put an event into a line."""
    if isinstance(event, wsguard.EventsDropped):
        return Line(label="dropped", text=f"{event.count} events, shown too slowly", style="red")
    if isinstance(event, wsguard.StateChange):
        return _change_line(event)
    if isinstance(event, wsguard.Gap):
        lost, ready = event.lost_generation, event.ready_generation
        text = f"{seconds(event.duration)} without a connection, #{lost} to #{ready}"
        return Line(label="gap", text=text, style="magenta", time=event.time, generation=ready)
    if isinstance(event, wsguard.HealthChange):
        text = f"{event.previous.name} -> {event.status.name}, score {event.score:.0f}"
        return Line(label="health", text=text, style=STATUS_STYLES[event.status], time=event.time)
    if isinstance(event, wsguard.AlertRaised | wsguard.AlertResolved):
        return _alert_line(event)
    what = event.kind.value.replace("_", " ")
    if isinstance(event, wsguard.Anomaly):
        label, style, text = "anomaly", "yellow", f"{what}: {printable(event.message)}"
    else:
        label, style, text = "recovery", "green", f"{what} is over, after {seconds(event.duration)}"
    return Line(label=label, text=text, style=style, time=event.time, generation=event.generation)


def _alert_line(alert: wsguard.Alert) -> Line:
    if isinstance(alert, wsguard.AlertRaised):
        label, style = "alert", "bold red" if alert.level is wsguard.AlertLevel.CRITICAL else "red"
    else:
        label, style = "resolved", "green"
    text = f"{alert.rule.name} ({alert.level.value}): {alert.message}"
    return Line(label=label, text=text, style=style, time=alert.time)


def _change_line(change: wsguard.StateChange) -> Line:
    text = printable(change.reason)
    if change.retry_in is not None:
        when = "at once" if change.retry_in == 0 else f"in {seconds(change.retry_in)}"
        text += f" - trying again {when}"
    return Line(
        label=change.state.name,
        text=text,
        style=STATE_STYLES[change.state],
        time=change.time,
        generation=change.generation,
    )


def message_line(message: str | bytes, time: float, generation: int) -> Line:
    """Put a message into a line, escaped and cut."""
    if isinstance(message, str):
        text = printable(message, MAX_SHOWN)
    else:
        text = f"{len(message)} bytes: {printable(repr(message[:MAX_SHOWN]), MAX_SHOWN)}"
    return Line(label="message", text=text, style="dim", time=time, generation=generation)


def event_dict(event: wsguard.Event) -> dict[str, Any]:
    """Turn an event into what JSON knows: enums as names, times as numbers."""
    pairs: dict[str, Any] = {"event": _EVENT_NAMES[type(event)], **plain_dict(event)}
    if isinstance(event, wsguard.Gap):
        pairs["duration"] = event.duration
    if isinstance(event, wsguard.AlertRaised | wsguard.AlertResolved):
        pairs["message"] = event.message
    return pairs


def event_json(event: wsguard.Event) -> str:
    """Put an event into one line of JSON."""
    return json.dumps(event_dict(event))


def message_json(message: str | bytes, time: float, generation: int) -> str:
    """Put a whole message into one line of JSON; binary ones in base 64."""
    pairs: dict[str, Any] = {"event": "message", "time": time, "generation": generation}
    if isinstance(message, str):
        pairs["text"] = message
    else:
        pairs["base64"] = base64.b64encode(message).decode()
    return json.dumps(pairs)


def plain_dict(record: attrs.AttrsInstance) -> dict[str, Any]:
    """Turn one of the library's records into what JSON knows."""
    return attrs.asdict(record, value_serializer=lambda _record, _field, value: _plain(value))


def _plain(value: object) -> object:
    return value.name if isinstance(value, enum.Enum) else value


def printable(text: str, limit: int = 2 * MAX_SHOWN) -> str:
    """Escape and cut text, so that it can do nothing to a terminal.

    Args:
        text: Anything.
        limit: Characters to keep at the most.
    """
    return escape(text, limit)


def seconds(value: float | None) -> str:
    """Write a duration as a person would read it.

    Args:
        value: Seconds; ``None`` for not known.
    """
    if value is None:
        return "-"
    if value < 0.01:
        return f"{value * 1000:.1f} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.2f} s" if value < 9.995 else f"{value:.1f} s"
    minutes, rest = divmod(math.floor(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
