"""A recording as one HTML page, which loads nothing: no font, no script, no picture.

Whatever a peer had a hand in is escaped twice: by the guard when it was
recorded, and for HTML here; and the page may run no script but its own.
"""

from __future__ import annotations

import json
from collections import Counter
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from trio_wsguard.cli import lines
from trio_wsguard.cli.report_events import Figure, Said, say, summary_of
from trio_wsguard.cli.report_svg import (
    Axis,
    Lane,
    Scale,
    draw_axis,
    draw_bars,
    draw_lane,
    draw_row,
    linear,
    logarithmic,
)
from trio_wsguard.cli.series import Line, Row, Span, line_of, outages_of, rows_of, states_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_wsguard.cli.recording import Happening, Recording

MAX_EVENTS: Final = 2000  # rows of the table; of more, the first and the last half
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CHART: Final = "Figures over time; the arrow keys move the marker"
_SCORE: Final = Scale(low=0, high=100, ticks=(0, 100))
_STATES: Final = ("connected", "connecting", "reconnecting", "failed", "disconnected", "closed")


def lanes_of(recording: Recording) -> list[Lane]:
    """Choose the lines of a report, and their scales."""
    limits, duration = recording.limits, recording.duration or 1.0
    response = line_of(recording.points, lambda point: point.response, duration)
    silence = line_of(recording.points, lambda point: point.silence, duration)
    score = line_of(recording.points, lambda point: point.score, duration)
    slow, silent = limits.slow_response, limits.silence_timeout
    return [
        Lane(
            key="response",
            title="Response time",
            hint="the last answer's, or the wait for the open one; log scale",
            line=response,
            scale=logarithmic([slow, *_values(response)]),
            unit="seconds",
            borders=[(slow, f"slow {lines.seconds(slow)}")],
            is_step=True,
        ),
        Lane(
            key="silence",
            title="Silence",
            hint="since the last message",
            line=silence,
            scale=linear(max([silent, *_values(silence)])),
            unit="seconds",
            borders=[(silent, f"silent {lines.seconds(silent)}")],
        ),
        Lane(
            key="score",
            title="Health score",
            hint="100 less 10 a failure and 2 a second of delay",
            line=score,
            scale=_SCORE,
            unit="points",
            borders=[(80, "80 healthy"), (50, "50 degraded")],
            is_step=True,
        ),
    ]


def _values(line: Line) -> list[float]:
    return [value for piece in line for _, value in piece]


def render_page(recording: Recording) -> str:
    """Make the page."""
    axis = Axis.of(recording)
    states, rows, lanes = states_of(recording), rows_of(recording), lanes_of(recording)
    name = escape(recording.name)
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{name} - trio-wsguard report</title>",
            f"<style>{_asset('report.css')}</style></head>\n<body>",
            f'<header><p class="eyebrow">trio-wsguard report</p><h1>{name}</h1>',
            f"<p>{escape(_when(axis))}</p></header>\n<main>",
            _notes(recording.notes),
            f'<section class="figures" aria-label="Summary">{_figures(recording)}</section>\n',
            _chart(axis, states, rows, lanes),
            _events(recording.events, axis),
            "</main>\n",
            _data(axis, states, rows, lanes),
            f"<script>{_asset('report.js')}</script></body></html>\n",
        ]
    )


def _asset(name: str) -> str:
    return (files("trio_wsguard.cli") / name).read_text(encoding="utf-8")


def _when(axis: Axis) -> str:
    begin, end = axis.clock(0.0), axis.clock(axis.duration)
    is_same_day = begin.date() == end.date()
    last = end.strftime("%H:%M:%S" if is_same_day else "%a %d %b %Y, %H:%M:%S")
    return f"{begin:%a %d %b %Y, %H:%M:%S} to {last} ({begin.tzname()})"


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<aside class="notes"><b>Of this recording</b><ul>{items}</ul></aside>\n'


def _figures(recording: Recording) -> str:
    return "".join(_figure(figure) for figure in summary_of(recording))


def _figure(figure: Figure) -> str:
    return (
        f'<div class="figure {figure.tone}"><span>{escape(figure.label)}</span>'
        f"<b>{escape(figure.value)}</b><small>{escape(figure.more)}</small></div>"
    )


def _chart(axis: Axis, states: Sequence[Span], rows: Sequence[Row], lanes: Sequence[Lane]) -> str:
    seen = {span.label.lower() for span in states}
    legend = "".join(
        f'<li><i class="bar {escape(name)}"></i>{escape(name)}</li>'
        for name in _STATES
        if name in seen
    )
    outages = draw_bars(outages_of(states), "outage", axis)
    return "".join(
        [
            '<section class="card" aria-labelledby="timeline"><h2 id="timeline">Timeline</h2>',
            f'<ul class="legend" aria-label="States">{legend}</ul>',
            f'<div class="chart" tabindex="0" role="group" aria-label="{_CHART}">',
            '<div class="lane band"><div class="label"><b>State</b></div>',
            f'<div class="plot">{draw_bars(states, "", axis)}</div><div class="ticks"></div></div>',
            *(draw_lane(lane, axis, outages) for lane in lanes),
            *(draw_row(row, axis) for row in rows),
            draw_axis(axis),
            '</div><div class="tip" role="status" hidden></div></section>\n',
        ]
    )


def _events(events: Sequence[Happening], axis: Axis) -> str:
    said = [(event, say(event)) for event in events]
    counts = Counter(one.group for _, one in said)
    filters = "".join(
        f'<label><input type="checkbox" value="{group}" checked>{group} <b>{count:,}</b></label>'
        for group, count in counts.items()
    )
    rows = [_event(event, one, axis) for event, one in said]
    if len(rows) > MAX_EVENTS:
        half, left_out = MAX_EVENTS // 2, len(rows) - MAX_EVENTS
        note = f'<tr class="left-out"><td colspan="5">{left_out:,} events left out here</td></tr>'
        rows = [*rows[:half], note, *rows[-half:]]
    return (
        '<section class="card" aria-labelledby="events"><h2 id="events">Events</h2>'
        f'<div class="filters">{filters}'
        '<input type="search" placeholder="Find" aria-label="Find events"></div>'
        '<div class="scroll"><table><thead><tr><th>Time</th><th>After</th><th>#</th>'
        f"<th>Event</th><th>What</th></tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        '<p class="none" hidden>No such events.</p></section>\n'
    )


def _event(event: Happening, said: Said, axis: Axis) -> str:
    is_one_day = axis.clock(0.0).date() == axis.clock(axis.duration).date()
    clock = axis.clock(event.at).strftime("%H:%M:%S.%f" if is_one_day else "%d %b %H:%M:%S.%f")[:-3]
    generation = event.number("generation") or event.number("ready_generation")
    return (
        f'<tr data-group="{said.group}" data-at="{event.at:.3f}"><td>{clock}</td>'
        f"<td>{escape(lines.seconds(event.at))}</td>"
        f"<td>{'' if not generation else f'{generation:.0f}'}</td>"
        f'<td><span class="badge {escape(said.style)}">{escape(said.label)}</span></td>'
        f"<td>{escape(said.text)}</td></tr>\n"
    )


def _data(axis: Axis, states: Sequence[Span], rows: Sequence[Row], lanes: Sequence[Lane]) -> str:
    """Give the page's script what it shows under the pointer."""
    data: dict[str, Any] = {
        "duration": axis.duration,
        # A time that is read as UTC shows the clocks of where it was recorded.
        "begin": (axis.time + (axis.zone.utcoffset(None)).total_seconds()) * 1000,
        "states": [list(_short(span)) for span in states],
        "lines": {
            lane.key: [[[round(at, 3), round(v, 5)] for at, v in piece] for piece in lane.line]
            for lane in lanes
        },
        "rows": [[row.label, [list(_short(span))[:2] for span in row.spans]] for row in rows],
    }
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="data">{text}</script>\n'


def _short(span: Span) -> Iterator[object]:
    yield round(span.begin, 3)
    yield round(span.end, 3)
    yield span.label
