"""The figures of a guard, drawn: the panel of the live view, and the table at the end."""

from __future__ import annotations

from collections import deque
from typing import Final

import trio
from rich import box
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import trio_wsguard as wsguard
from trio_wsguard.cli import lines

_RATE_WINDOW: Final = 3.0  # seconds over which messages a second are told
_NARROW: Final = 100  # columns below which the figures stand in one column
# A terminal echoes "^C" at the cursor, which rests behind the panel: without room for
# it there, the line would wrap and the panel could not be taken away whole.
_ECHO_WIDTH: Final = 2


class FiguresPanel:
    """The panel; it remembers what no snapshot tells: the next attempt, and the rate."""

    def __init__(self) -> None:
        self._retry_at: float | None = None
        self._counts: deque[tuple[float, int]] = deque()

    def note(self, event: wsguard.Event) -> None:
        """Take in when the next attempt will be."""
        if isinstance(event, wsguard.StateChange):
            self._retry_at = None if event.retry_in is None else event.at + event.retry_in

    def draw(self, snapshot: wsguard.Snapshot, task: str, width: int) -> Panel:
        """Draw it.

        Args:
            snapshot: The figures.
            task: What the command is doing; empty for nothing in particular.
            width: Columns of the terminal.
        """
        cells = self._cells(snapshot)
        grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
        is_narrow = width < _NARROW
        for _ in range(1 if is_narrow else 2):
            grid.add_column(width=13, style="dim")
            grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        if is_narrow:
            for label, value in cells:
                grid.add_row(Text(label), value)
        else:
            half = (len(cells) + 1) // 2
            for left, right in zip(cells[:half], cells[half:], strict=False):
                grid.add_row(Text(left[0]), left[1], Text(right[0]), right[1])
        return Panel(
            grid,
            title=Text(lines.printable(snapshot.name, 100), "bold"),
            title_align="left",
            subtitle=Text(task or "Ctrl-C ends", "bold cyan" if task else "dim"),
            subtitle_align="left",
            border_style=lines.STATE_STYLES[snapshot.connection_state],
            box=box.ROUNDED,
            width=max(width - _ECHO_WIDTH, 1),
        )

    def _cells(self, snapshot: wsguard.Snapshot) -> list[tuple[str, Text]]:
        times = snapshot.response_time
        response = lines.seconds(times.last)
        if times.p95 is not None:
            response += f"  (p50 {lines.seconds(times.p50)}, p95 {lines.seconds(times.p95)})"
        rate = self._rate(snapshot)
        score = Text(f"{snapshot.score:.0f}  ")
        score.append(snapshot.status.name, lines.STATUS_STYLES[snapshot.status])
        return [
            ("state", self._state(snapshot)),
            ("generation", Text(f"{snapshot.generation}  (reconnects: {snapshot.reconnects})")),
            ("failures", Text(_failures(snapshot))),
            ("messages", Text(f"{snapshot.messages_received:,}  ({rate:,.1f} a second)")),
            ("score", score),
            ("response time", Text(response)),
            ("silence", Text(lines.seconds(snapshot.silence))),
            ("uptime", Text(f"{snapshot.uptime_ratio:.2%}")),
        ]

    def _state(self, snapshot: wsguard.Snapshot) -> Text:
        state = snapshot.connection_state
        text = Text(state.name, lines.STATE_STYLES[state])
        if state is wsguard.ConnectionState.RECONNECTING and self._retry_at is not None:
            left = max(0.0, self._retry_at - trio.current_time())
            shown = f"{left:.1f} s" if left < 10 else lines.seconds(left)
            return text.append(f"  retry in {shown}", "default not bold")
        since = max(0.0, snapshot.time - snapshot.last_state_change_time)
        shown = f"{since:.1f} s" if since < 60 else lines.seconds(since)
        return text.append(f"  for {shown}", "default not bold")

    def _rate(self, snapshot: wsguard.Snapshot) -> float:
        counts = self._counts
        counts.append((snapshot.time, snapshot.messages_received))
        while counts[0][0] < snapshot.time - _RATE_WINDOW:
            counts.popleft()
        elapsed = snapshot.time - counts[0][0]
        return (snapshot.messages_received - counts[0][1]) / elapsed if elapsed > 0 else 0.0


def _failures(snapshot: wsguard.Snapshot) -> str:
    limit = snapshot.max_connection_failures
    bound = "" if limit is None else f" of {limit}"
    return f"{snapshot.connection_failures}{bound} in a row  (losses: {snapshot.losses})"


def figures_table(snapshot: wsguard.Snapshot, last_failure: wsguard.Failure | None) -> Table:
    """Sum a guard up."""
    times = snapshot.response_time
    table = Table(box=box.SIMPLE_HEAD, show_header=False, title=Text("Summary", "bold"))
    table.title_justify = "left"
    for label, value in [
        ("endpoint", lines.printable(snapshot.name, 100)),
        ("uptime", f"{snapshot.uptime_ratio:.2%}"),
        ("reconnects", f"{snapshot.reconnects} ({snapshot.attempts} attempts in all)"),
        ("losses", str(snapshot.losses)),
        ("messages", f"{snapshot.messages_received:,} ({snapshot.bytes_received:,} bytes)"),
        ("response time", f"p50 {lines.seconds(times.p50)}, p95 {lines.seconds(times.p95)}"),
        ("last failure", "none" if last_failure is None else lines.printable(str(last_failure))),
    ]:
        table.add_row(Text(label, "dim"), Text(value))
    return table
