"""What a report says in words: its summary, and a line for each event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard.cli import lines
from trio_wsguard.cli.series import event_label

if TYPE_CHECKING:
    from trio_wsguard.cli.recording import Happening, Recording

GROUPS: Final = {
    "state_change": "state",
    "gap": "gap",
    "anomaly": "anomaly",
    "recovery": "anomaly",
    "health_change": "health",
    "alert_raised": "alert",
    "alert_resolved": "alert",
}


@attrs.frozen(kw_only=True)
class Figure:
    """One figure of the summary.

    Attributes:
        label: What it is.
        value: How much.
        more: What else there is to say.
        tone: ``good``, ``fair`` or ``bad``; empty where it is neither.
    """

    label: str
    value: str
    more: str = ""
    tone: str = ""


def summary_of(recording: Recording) -> list[Figure]:
    """Sum a recording up."""
    times = {name: recording.figure(f"response_time.{name}") for name in ("p50", "p95", "p99")}
    answers = recording.figure("response_time.count") or 0.0
    received = recording.figure("messages_received") or 0.0
    losses = recording.figure("losses") or 0.0
    of_those = ", last 1,000" if answers > 1000 else ""
    return [
        Figure(label="Duration", value=lines.seconds(recording.duration)),
        _uptime(recording),
        Figure(
            label="Reconnects",
            value=_count(recording.figure("reconnects")),
            more=f"{_count(recording.figure('attempts'))} attempts in all",
        ),
        Figure(
            label="Losses",
            value=_count(losses),
            more=f"{sum(e.kind == 'gap' for e in recording.events):,} gaps",
            tone="good" if losses == 0 else "",
        ),
        Figure(
            label="MTBF",
            value=lines.seconds(recording.figure("mean_time_between_failures")),
            more="connected time per loss",
        ),
        Figure(
            label="Response time, median",
            value=lines.seconds(times["p50"]),
            more=f"p95 {lines.seconds(times['p95'])}, p99 {lines.seconds(times['p99'])}{of_those}",
        ),
        _worst_score(recording),
        Figure(
            label="Messages",
            value=_count(received),
            more=f"{received / recording.duration:,.1f} a second" if recording.duration else "",
        ),
    ]


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _uptime(recording: Recording) -> Figure:
    ratio = recording.figure("uptime_ratio")
    if ratio is None:
        return Figure(label="Uptime", value="-")
    down = lines.seconds(max(0.0, 1 - ratio) * recording.duration)
    # Cut, not rounded: what was down for a moment was not up for 100 %.
    shown = f"{int(ratio * 10_000) / 100:g} %"
    tone = "good" if ratio >= 0.999 else "fair" if ratio >= 0.95 else "bad"
    return Figure(label="Uptime", value=shown, more=f"{down} without a connection", tone=tone)


def _worst_score(recording: Recording) -> Figure:
    scored = [(point.score, point.at) for point in recording.points if point.score is not None]
    if not scored:
        return Figure(label="Worst score", value="-")
    score, at = min(scored)
    tone = "good" if score >= 80 else "fair" if score >= 50 else "bad"
    word = {"good": "healthy", "fair": "degraded", "bad": "unhealthy"}[tone]
    return Figure(
        label="Worst score",
        value=f"{score:.0f}",
        more=f"{word}, after {lines.seconds(at)}",
        tone=tone,
    )


@attrs.frozen(kw_only=True)
class Said:
    """An event in words.

    Attributes:
        group: Which filter it falls under.
        label: What happened, in a word.
        style: How the label is coloured.
        text: The rest.
    """

    group: str
    label: str
    style: str
    text: str


def say(event: Happening) -> Said:
    """Put an event into words; of one that is not known, its name."""
    group = GROUPS.get(event.kind, "other")
    if event.kind == "state_change":
        state = event.text("state")
        return Said(group=group, label=state, style=state.lower(), text=_change(event))
    lasted = lines.seconds(event.number("duration"))
    what = event.text("kind").lower().replace("_", " ")
    label, style, text = {
        "gap": ("gap", "gap", f"{lasted} without a connection"),
        "anomaly": ("anomaly", "anomaly", f"{what}: {event.text('message')}"),
        "recovery": ("recovery", "good", f"{what} is over, after {lasted}"),
        "health_change": ("health", event.text("status").lower(), _health(event)),
        "alert_raised": ("alert", "critical", _alert(event)),
        "alert_resolved": ("resolved", "good", _alert(event)),
        "events_dropped": ("dropped", "critical", f"{_count(event.number('count'))} events"),
    }.get(event.kind, (event.kind, "", "an event that this version does not know"))
    return Said(group=group, label=label, style=style, text=text)


def _change(event: Happening) -> str:
    text = event.text("reason")
    retry_in = event.number("retry_in")
    if retry_in is not None:
        text += f"; again {'at once' if retry_in == 0 else f'in {lines.seconds(retry_in)}'}"
    duration = event.number("duration")
    if duration and event.text("previous"):
        text += f" (after {lines.seconds(duration)} of {event.text('previous')})"
    return text


def _health(event: Happening) -> str:
    score = event.number("score")
    shown = "" if score is None else f", score {score:.0f}"
    return f"{event.text('previous')} to {event.text('status')}{shown}"


def _alert(event: Happening) -> str:
    rule = event.pairs.get("rule")
    name = rule.get("name") if isinstance(rule, dict) else None
    label = event_label(name) if isinstance(name, str) else "an alert"
    return f"{label.removeprefix('alert: ')}: {event.text('message')}"
