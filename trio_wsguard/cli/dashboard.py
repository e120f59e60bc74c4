"""The live view as a drawing: figures and history in, lines of text out.

What matters most is kept where there is little room: the state and the score,
then what is wrong, then the lines of the last minutes, then all else. The
drawing is never wider or higher than it is told.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

import attrs
from rich.text import Text

import trio_wsguard as wsguard
from trio_wsguard.cli import lines
from trio_wsguard.cli.history import values_of
from trio_wsguard.cli.spark import Charset, bars, gauge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_wsguard.cli.history import Cell, History
    from trio_wsguard.cli.record import Limits

_WIDE: Final = 120  # columns from which there are two halves
_LABEL: Final = 10  # columns of a label
_PROBLEM: Final = 18  # columns of what a problem is called: "heartbeat rejected"
_VALUE: Final = 21  # columns of the words behind a line
_FOUR: Final = 70  # columns from which four figures stand in a line
_GAUGE: Final = 20
_TALL: Final = (30, 40)  # rows from which lines are drawn two and three rows high
_MAX_EVENTS: Final = 6
_LEAST_CHART: Final = 12


@attrs.frozen(kw_only=True)
class View:
    """All that is drawn.

    Attributes:
        snapshot: The figures.
        health: The parts of the score.
        alerts: The open ones.
        history: What happened of late.
        limits: What the figures are looked at against.
        task: What the command is doing; empty for nothing in particular.
        now: Monotonic seconds.
    """

    snapshot: wsguard.Snapshot
    health: wsguard.Health
    alerts: Sequence[wsguard.AlertRaised]
    history: History
    limits: Limits
    task: str
    now: float


@attrs.frozen
class _Block:
    """Lines that are shown together or not at all; the lowest rank is kept longest."""

    rank: int
    lines: list[Text]


def draw(view: View, width: int, height: int, charset: Charset) -> list[Text]:
    """Draw the dashboard.

    Args:
        view: What to draw.
        width: Columns of the terminal.
        height: Rows of the terminal; at least a third of them is left to the log.
        charset: What to draw it with.

    Returns:
        Lines, each of them a column shorter than the terminal is wide, so that
        the cursor never hangs over its edge.
    """
    room = min(height - 3, height - height // 3)
    inner = width - 1 - 4
    if room < 1 or inner < _LABEL:
        return []
    has_frame = room >= 4
    body = _Body(view, inner, charset, rows=1 + sum(height >= tall for tall in _TALL))
    drawn = body.drawn(room - 2 if has_frame else room)
    return _framed(view, drawn, inner, charset) if has_frame else [fit(one, inner) for one in drawn]


def _framed(view: View, body: Sequence[Text], inner: int, charset: Charset) -> list[Text]:
    style = lines.STATE_STYLES[view.snapshot.connection_state]
    across, down = charset.sides
    left_top, right_top, left_bottom, right_bottom = charset.corners
    task = Text(view.task or "Ctrl-C ends", "bold cyan" if view.task else "dim")
    name = Text(charset.spell(lines.printable(view.snapshot.name, 200)), "bold")
    rows = [_edge(left_top, name, right_top, inner, across, style)]
    for line in body:
        row = Text.assemble((down, style), " ")
        row.append_text(fit(line, inner))
        rows.append(row.append(" ").append(down, style))
    return [*rows, _edge(left_bottom, task, right_bottom, inner, across, style)]


def _edge(left: str, said: Text, right: str, inner: int, across: str, style: str) -> Text:
    said.truncate(inner - 2, overflow="crop")
    edge = Text.assemble((left + across, style), " ", said, " ")
    return edge.append(across * (inner + 3 - edge.cell_len) + right, style)


def fit(line: Text, width: int) -> Text:
    """Cut a line or fill it up to a width."""
    # By cells: a character may be two wide.
    line.truncate(width, overflow="crop", pad=True)
    return line


@attrs.frozen(kw_only=True)
class _Chart:
    """A line of the last minutes.

    Attributes:
        name: What it is, and of which figure.
        said: The present value, in words.
        border: What is greater is out of the ordinary.
        least: What a bar of full height stands for at least.
        rank: As that of a block.
    """

    name: str
    said: str
    border: float
    least: float
    rank: int


class _Body:
    """What stands inside the frame.

    Args:
        view: What to draw.
        width: Columns.
        charset: What to draw it with.
        rows: How many rows high the lines of the last minutes are.
    """

    def __init__(self, view: View, width: int, charset: Charset, rows: int) -> None:
        self._view = view
        self._width = width
        self._charset = charset
        self._rows = rows

    def drawn(self, room: int) -> list[Text]:
        """Draw as much as there is room for."""
        if self._width < _WIDE - 5:
            # The log above has them, too, unless messages scroll it away.
            events = self._events(min(_MAX_EVENTS, room // 3 - 2))
            return _chosen([*self._charts(), *self._figures(), self._problems(), events], room)
        right_width = self._width * 9 // 20
        left = _Body(self._view, self._width - right_width - 3, self._charset, self._rows)
        right = _Body(self._view, right_width, self._charset, self._rows)
        left_lines = _chosen(left._charts(), room)
        taken = sum(len(block.lines) for block in (*right._figures(), right._problems()))
        right_room = min(room, max(len(left_lines), taken, 8))
        events = right._events(max(0, right_room - taken))
        right_lines = _chosen([*right._figures(), right._problems(), events], right_room)
        return _beside(left_lines, right_lines, left._width, f" {self._charset.sides[1]} ")

    # --- the state and the lines of the last minutes -----------------------------

    def _charts(self) -> list[_Block]:
        view = self._view
        width = self._width - _LABEL - _VALUE - 1
        columns, seconds = view.history.columns(max(width, _LEAST_CHART))
        times, silence, limits = view.snapshot.response_time, view.health.silence, view.limits
        answer = f"{lines.seconds(times.last)}, p95 {lines.seconds(times.p95)}"
        quiet = f"{lines.seconds(silence)} of {limits.silence_timeout:g} s"
        # Scales that make a mountain of nothing would only alarm.
        response = _Chart(
            name="response",
            said=answer,
            border=limits.slow_response,
            least=limits.slow_response / 10,
            rank=3,
        )
        silent = _Chart(
            name="silence",
            said="no connection" if silence is None else quiet,
            border=limits.silence_timeout,
            least=limits.silence_timeout,
            rank=4,
        )
        return [
            _Block(0, [self._state()]),
            _Block(1, [self._score()]),
            _Block(6, [self._band(columns, seconds)]),
            self._chart(response, columns),
            self._chart(silent, columns),
        ]

    def _state(self) -> Text:
        view, snapshot = self._view, self._view.snapshot
        state, style = snapshot.connection_state, lines.STATE_STYLES[snapshot.connection_state]
        line = Text.assemble((f"{self._charset.dot} {state.name}", style), "  ")
        is_backoff = state is wsguard.ConnectionState.RECONNECTING
        if is_backoff and view.history.retry_at is not None:
            left = max(0.0, view.history.retry_at - view.now)
            line.append(f"next attempt in {_ticking(left)}  ")
            whole = view.history.retry_in
            full, rest = gauge(1 - left / whole if whole else 1.0, _GAUGE // 2, self._charset)
            line.append(full, style).append(rest, "dim")
        else:
            line.append(
                f"for {_ticking(max(0.0, snapshot.time - snapshot.last_state_change_time))}"
            )
        count = f"#{snapshot.generation}, {_many(snapshot.reconnects, 'reconnect')}"
        return _ended(line, Text(count, "dim"), self._width)

    def _score(self) -> Text:
        health = self._view.health
        style = lines.STATUS_STYLES[health.status]
        line = self._labelled("score")
        width = _GAUGE if self._width >= 90 else _GAUGE // 2
        full, rest = gauge(health.score / 100, width, self._charset)
        line.append(full, style).append(rest, "dim")
        line.append(f" {health.score:3.0f} ", "bold").append(health.status.name, style)
        failures = _many(health.connection_failures, "failure")
        parts = f"100 - 10 x {failures} - 2 x {health.delay:.2f} s"
        if line.cell_len + 2 + len(parts) > self._width:
            parts = f"-10 x {health.connection_failures} -2 x {health.delay:.2f}"
        return _ended(line, Text(parts, "dim"), self._width)

    def _band(self, columns: Sequence[Cell | None], seconds: float) -> Text:
        line = self._labelled("state")
        # By runs of one style: a style for each character costs more than all else.
        for state, run in groupby(values_of(columns, "state")):
            count = len(list(run))
            if state is None:
                line.append(" " * count)
            else:
                style = lines.STATE_STYLES[wsguard.ConnectionState[state]]
                line.append(self._charset.states[state] * count, style)
        return line.append(f" last {_span(seconds * len(columns))}", "dim")

    def _chart(self, chart: _Chart, columns: Sequence[Cell | None]) -> _Block:
        """Draw one figure of the last minutes; what is beyond the border is told by colour."""
        values: list[float | None] = values_of(columns, chart.name)
        greatest = max((value for value in values if value is not None), default=0.0)
        drawn = bars(values, max(greatest, chart.least), self._rows, self._charset)
        rows = [self._labelled(chart.name if not at else "") for at in range(self._rows)]
        for row, pieces in zip(rows, drawn, strict=True):
            pairs = zip(values, pieces, strict=True)
            for is_beyond, run in groupby(pairs, lambda pair: (pair[0] or 0.0) > chart.border):
                row.append("".join(piece for _, piece in run), "yellow" if is_beyond else "cyan")
        rows[-1].append(f" {chart.said}")
        if self._rows > 1:
            rows[0].append(f" at most {lines.seconds(greatest or None)}", "dim")
        return _Block(chart.rank, rows)

    def _labelled(self, label: str) -> Text:
        return Text.assemble((f"{label:{_LABEL}}", "dim"))

    # --- figures -----------------------------------------------------------------

    def _figures(self) -> list[_Block]:
        snapshot = self._view.snapshot
        limit = snapshot.max_connection_failures
        failures = f"{snapshot.connection_failures}{'' if limit is None else f' of {limit}'}"
        health = [
            ("uptime", f"{snapshot.uptime_ratio:.2%}"),
            ("MTBF", lines.seconds(snapshot.mean_time_between_failures)),
            ("losses", f"{snapshot.losses:,}"),
            ("failures", failures),
        ]
        traffic = [
            ("messages", f"{snapshot.messages_received:,}"),
            ("rate", f"{self._view.history.rate:,.1f}/s"),
            ("queued", f"{snapshot.queue_depth:,}"),
            ("beats lost", f"{snapshot.beats_missed:,}"),
        ]
        return [_Block(5, self._side_by_side(health)), _Block(7, self._side_by_side(traffic))]

    def _side_by_side(self, pairs: Sequence[tuple[str, str]]) -> list[Text]:
        """Put figures side by side, two or four in a line, in columns of one width."""
        count = len(pairs) if self._width >= _FOUR else 2
        rows: list[Text] = []
        for at, (label, value) in enumerate(pairs):
            is_first = at % count == 0
            cell = self._labelled(label) if is_first else Text.assemble((f"{label} ", "dim"))
            if is_first:
                rows.append(Text())
            rows[-1].append_text(fit(cell.append(value), self._width // count))
        return rows

    # --- what is wrong, and what happened ------------------------------------------

    def _problems(self) -> _Block:
        view = self._view
        found = [
            self._problem(
                alert.level.value,
                alert.message,
                view.now - alert.at,
                "bold red" if alert.level is wsguard.AlertLevel.CRITICAL else "red",
            )
            for alert in view.alerts
        ]
        found += [
            self._problem(
                anomaly.kind.value.replace("_", " "),
                anomaly.message,
                view.now - anomaly.at,
                "yellow",
            )
            for anomaly in view.history.anomalies.values()
        ]
        if found:
            return _Block(2, found)
        return _Block(8, [self._labelled("open").append("no anomaly, no alert", "green")])

    def _problem(self, label: str, said: str, since: float, style: str) -> Text:
        line = Text.assemble((f"{self._charset.mark} {label:{_PROBLEM}} ", style))
        line.append(self._charset.spell(lines.printable(said)))
        lasting = Text(lines.seconds(since), "dim")
        line.truncate(max(0, self._width - lasting.cell_len - 2), overflow="crop")
        return _ended(line, lasting, self._width)

    def _events(self, count: int) -> _Block:
        shown = list(self._view.history.events)[-count:] if count > 0 else []
        return _Block(9, [self._event(line) for line in shown])

    def _event(self, said: lines.Line) -> Text:
        clock = said.clock.partition(".")[0]
        line = Text.assemble((f"{clock:{_LABEL}}", "dim"), (f"{said.label:13}", said.style))
        return line.append(self._charset.spell(said.text))


def _chosen(blocks: Sequence[_Block], room: int) -> list[Text]:
    """Choose the blocks that there is room for; of the one that is cut, the first lines."""
    kept: dict[int, list[Text]] = {}
    for at, block in sorted(enumerate(blocks), key=lambda pair: pair[1].rank):
        kept[at] = block.lines[: max(0, room)]
        room -= len(kept[at])
    return [line for at in sorted(kept) for line in kept[at]]


def _beside(left: list[Text], right: list[Text], width: int, between: str) -> list[Text]:
    rows = max(len(left), len(right))
    padded = [*left, *(Text() for _ in range(rows - len(left)))]
    others = [*right, *(Text() for _ in range(rows - len(right)))]
    return [
        fit(one, width).append(between, "dim").append_text(other)
        for one, other in zip(padded, others, strict=True)
    ]


def _ended(line: Text, end: Text, width: int) -> Text:
    """Put words at the end of a line, if there is room for them."""
    rest = width - line.cell_len - end.cell_len
    return line if rest < 2 else line.append(" " * rest).append_text(end)


def _ticking(value: float) -> str:
    """Write a time that runs; tenths only as long as they matter."""
    return f"{value:.1f} s" if value < 60 else lines.seconds(value)


def _span(value: float) -> str:
    return f"{value:.0f} s" if value < 120 else lines.seconds(value).removesuffix(" 00 s")


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
