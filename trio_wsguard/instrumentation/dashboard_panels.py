"""What the dashboard shows: rows of panels over the metrics of guards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

import trio_wsguard as wsguard
from trio_wsguard.instrumentation.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

_CHOSEN: Final = '{job=~"$job",instance=~"$instance",guard=~"$guard"}'
_LEGEND: Final = "{{guard}}"
_HELP: Final = {metric.name: metric.help for metric in METRICS}
# In the order of the states' life; the colour says how a guard in it fares.
_STATES: Final = {
    wsguard.ConnectionState.DISCONNECTED: "#8e8e8e",
    wsguard.ConnectionState.CONNECTING: "blue",
    wsguard.ConnectionState.CONNECTED: "green",
    wsguard.ConnectionState.RECONNECTING: "orange",
    wsguard.ConnectionState.FAILED: "red",
    wsguard.ConnectionState.CLOSED: "purple",
}


@attrs.frozen(kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Above it.
        about: What it shows, on its corner.
        kind: Grafana's name of its type.
        queries: PromQL by the legend of its series.
        unit: Grafana's name of a unit.
        width: Columns of 24.
        height: Rows of 30 pixels.
        field: What else the fields are told: bounds, thresholds, how to draw.
    """

    title: str
    about: str
    kind: str = "timeseries"
    queries: Mapping[str, str]
    unit: str = "short"
    width: int = 12
    height: int = 8
    field: Mapping[str, Any] = attrs.field(factory=dict)


_STEPS: Final = {"custom": {"lineInterpolation": "stepAfter", "fillOpacity": 15}}


def _of(name: str, label: str = "") -> str:
    chosen = _CHOSEN if not label else f"{_CHOSEN[:-1]},{label}}}"
    return f"{name}{chosen}"


def _rate(name: str) -> str:
    return f"rate({_of(name)}[$__rate_interval])"


def _increase(name: str) -> str:
    return f"increase({_of(name)}[$__rate_interval])"


def _state_number() -> str:
    """Number the states: a timeline shows one value for each guard."""
    terms = [
        f"{number} * sum by (job, instance, guard) ({_of('wsguard_connection_state', label)})"
        for number, state in enumerate(_STATES)
        for label in [f'state="{state.value}"']
    ]
    return " + ".join(terms)


def _state_mappings() -> list[dict[str, Any]]:
    options = {
        str(number): {"index": number, "text": state.name, "color": colour}
        for number, (state, colour) in enumerate(_STATES.items())
    }
    return [{"type": "value", "options": options}]


def _steps(*steps: tuple[float | None, str]) -> dict[str, Any]:
    found = [{"value": value, "color": colour} for value, colour in steps]
    return {"mode": "absolute", "steps": found}


def _coloured(*steps: tuple[float | None, str]) -> dict[str, Any]:
    """Colour a value by the step that it has reached."""
    return {"color": {"mode": "thresholds"}, "thresholds": _steps(*steps)}


def _lines(*steps: tuple[float | None, str]) -> dict[str, Any]:
    """Draw the steps as lines; each guard keeps a colour of its own."""
    return {"thresholds": _steps(*steps), "custom": {"thresholdsStyle": {"mode": "dashed"}}}


def _panel(title: str, metric: str, query: str, **changes: Any) -> Panel:
    """Make a panel of one metric, explained by the metric's own help."""
    legend = changes.pop("legend", _LEGEND)
    return Panel(title=title, about=_HELP[metric], queries={legend: query}, **changes)


def _quantiles() -> dict[str, str]:
    grouped = f"sum by (guard, le) ({_rate('wsguard_response_time_seconds_bucket')})"
    queries = {
        f"{{{{guard}}}} p{100 * quantile:g}": f"histogram_quantile({quantile}, {grouped})"
        for quantile in (0.5, 0.95, 0.99)
    }
    total, count = (_rate(f"wsguard_response_time_seconds_{part}") for part in ("sum", "count"))
    return {**queries, "{{guard}} mean": f"{total} / {count}"}


_AGE: Final = "time() - "
_ALARM: Final = _coloured((None, "green"), (1, "red"))

ROWS: Final[dict[str, tuple[Panel, ...]]] = {
    "State": (
        _panel(
            "State",
            "wsguard_connection_state",
            _state_number(),
            kind="state-timeline",
            width=24,
            unit="none",
            field={"mappings": _state_mappings(), "custom": {"fillOpacity": 80}},
        ),
        _panel(
            "Health score",
            "wsguard_health_score",
            _of("wsguard_health_score"),
            unit="none",
            field={"min": 0, "max": 100, **_lines((None, "red"), (50, "orange"), (80, "green"))},
        ),
        _panel(
            "Open alerts",
            "wsguard_open_alerts",
            _of("wsguard_open_alerts"),
            legend="{{guard}} {{level}}",
            unit="none",
            field={"min": 0, **_STEPS},
        ),
        _panel(
            "Uptime",
            "wsguard_uptime_ratio",
            _of("wsguard_uptime_ratio"),
            kind="stat",
            width=8,
            height=5,
            unit="percentunit",
            field=_coloured((None, "red"), (0.95, "orange"), (0.99, "green")),
        ),
        _panel(
            "Time in this state",
            "wsguard_last_state_change_timestamp_seconds",
            _AGE + _of("wsguard_last_state_change_timestamp_seconds"),
            kind="stat",
            width=8,
            height=5,
            unit="s",
            field=_coloured((None, "blue")),
        ),
        _panel(
            "Age of these figures",
            "wsguard_figures_timestamp_seconds",
            _AGE + _of("wsguard_figures_timestamp_seconds"),
            kind="stat",
            width=8,
            height=5,
            unit="s",
            field=_coloured((None, "green"), (60, "orange"), (300, "red")),
        ),
    ),
    "Responses and heartbeats": (
        _panel(
            "Response time, by how many",
            "wsguard_response_time_seconds",
            f"sum by (le) ({_increase('wsguard_response_time_seconds_bucket')})",
            kind="heatmap",
            legend="{{le}}",
            unit="none",
        ),
        Panel(
            title="Response time",
            about=_HELP["wsguard_response_time_seconds"],
            queries=_quantiles(),
            unit="s",
            field={"min": 0},
        ),
        Panel(
            title="Heartbeats",
            about="Beats sent, answered and missed, a second.",
            queries={
                f"{{{{guard}}}} {what}": _rate(f"wsguard_heartbeats_{what}_total")
                for what in ("sent", "answered", "missed")
            },
            unit="cps",
            field={"min": 0},
        ),
        Panel(
            title="Since the last beat, and its answer",
            about="An answer much older than the beat: the peer is about to be given up.",
            queries={
                "{{guard}} beat": _AGE + _of("wsguard_last_heartbeat_timestamp_seconds"),
                "{{guard}} answer": _AGE + _of("wsguard_last_heartbeat_response_timestamp_seconds"),
            },
            unit="s",
            field={"min": 0},
        ),
    ),
    "Messages": (
        Panel(
            title="Messages",
            about="Messages a second, and repeats among them; those sent are below the axis.",
            queries={
                "{{guard}} received": _rate("wsguard_messages_received_total"),
                "{{guard}} repeats": _rate("wsguard_duplicates_dropped_total"),
                "{{guard}} sent": f"-{_rate('wsguard_messages_sent_total')}",
            },
            unit="cps",
        ),
        Panel(
            title="Bytes",
            about="Bytes a second; those sent are below the axis.",
            queries={
                "{{guard}} received": _rate("wsguard_received_bytes_total"),
                "{{guard}} sent": f"-{_rate('wsguard_sent_bytes_total')}",
            },
            unit="Bps",
        ),
        Panel(
            title="Silence",
            about="The silence of the connection, and over reconnects the age of the feed.",
            queries={
                "{{guard}} silence": _of("wsguard_silence_seconds"),
                "{{guard}} age": _AGE + _of("wsguard_last_message_timestamp_seconds"),
            },
            unit="s",
            field={"min": 0, **_lines((None, "green"), (30, "orange"))},
        ),
        _panel(
            "Messages waiting for the application",
            "wsguard_queued_messages",
            _of("wsguard_queued_messages"),
            field={"min": 0},
        ),
    ),
    "Failures": (
        Panel(
            title="Attempts and connections",
            about="What the guard tried, what became of it, and what was lost.",
            queries={
                "{{guard}} attempts": _increase("wsguard_connection_attempts_total"),
                "{{guard}} failed": _increase("wsguard_connection_attempts_failed_total"),
                "{{guard}} connections": _increase("wsguard_connections_total"),
                "{{guard}} reconnects": _increase("wsguard_reconnects_total"),
                "{{guard}} losses": _increase("wsguard_connection_losses_total"),
            },
            field={"min": 0},
        ),
        _panel(
            "Failures by kind",
            "wsguard_failures_total",
            f"sum by (kind) ({_increase('wsguard_failures_total')})",
            legend="{{kind}}",
            field={"min": 0, "custom": {"drawStyle": "bars", "fillOpacity": 80}},
        ),
        _panel(
            "Failures in a row",
            "wsguard_consecutive_failures",
            _of("wsguard_consecutive_failures"),
            field={"min": 0, **_STEPS},
        ),
        Panel(
            title="Time between failures, and since the last connect",
            about=_HELP["wsguard_mean_time_between_failures_seconds"],
            queries={
                "{{guard}} mean": _of("wsguard_mean_time_between_failures_seconds"),
                "{{guard}} connected": _AGE + _of("wsguard_last_connected_timestamp_seconds"),
            },
            unit="s",
            field={"min": 0},
        ),
        _panel(
            "Open anomalies",
            "wsguard_open_anomalies",
            f"sum by (guard, kind) ({_of('wsguard_open_anomalies')})",
            kind="state-timeline",
            legend="{{guard}} {{kind}}",
            unit="none",
            field=_ALARM,
        ),
        _panel(
            "Anomalies by kind",
            "wsguard_anomalies_total",
            f"sum by (kind) ({_increase('wsguard_anomalies_total')})",
            legend="{{kind}}",
            field={"min": 0, "custom": {"drawStyle": "bars", "fillOpacity": 80}},
        ),
    ),
}
"""The panels by the title of their row, from left to right."""
