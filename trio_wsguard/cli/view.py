"""Where the commands show what happens: a live view, plain lines, or JSON.

All three are told the same things. The live view prints the log above a panel
of figures that stays at the bottom; so nothing of the log is lost when the
command ends.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import TYPE_CHECKING, Final

import trio
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from trio_wsguard.cli import lines
from trio_wsguard.cli.dashboard import View, draw
from trio_wsguard.cli.figures import figures_table
from trio_wsguard.cli.history import History
from trio_wsguard.cli.painter import Painter
from trio_wsguard.cli.record import Limits
from trio_wsguard.cli.spark import ASCII, BLOCKS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    import trio_wsguard as wsguard

_REFRESH: Final = 0.1  # seconds between two frames
_PLAIN_WIDTH: Final = 120  # columns of a table where there is no terminal


def open_screen(
    *, as_json: bool = False, status_interval: float = 10.0, limits: Limits | None = None
) -> Screen:
    """Choose where to show things: JSON if asked for, live on a terminal, else plain.

    Args:
        as_json: Whether to print JSON.
        status_interval: Seconds between two lines of figures among plain lines.
        limits: What the live view looks at figures against; ``None`` for the default policy's.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if as_json:
        return JsonScreen()
    console = Console(highlight=False, emoji=False, markup=False)
    # Not console.is_terminal: that is also true in a pipe where FORCE_COLOR is set.
    is_capable = not console.is_dumb_terminal and not console.legacy_windows
    if sys.stdout.isatty() and is_capable:
        return LiveScreen(console, Limits() if limits is None else limits)
    return PlainScreen(status_interval)


class Screen:
    """What the commands talk to; prints lines to stdout.

    Attributes:
        task: What the command is doing at the moment, for the live view.
        on_gone: Called when nobody reads stdout any more.
        write_error: Why stdout can no longer be written to.
    """

    def __init__(self) -> None:
        self.task = ""
        self.on_gone: Callable[[], None] = lambda: None
        self.write_error: OSError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the view."""

    def event(self, event: wsguard.Event) -> None:
        """Show an event of the guard."""
        self.show([lines.event_line(event)])

    def messages(self, batch: Sequence[str | bytes], generation: int) -> None:
        """Show messages."""
        now = time.time()
        self.show([lines.message_line(message, now, generation) for message in batch])

    def note(self, label: str, text: str) -> None:
        """Show a line of the command's own."""
        self.show([lines.Line(label=label, text=text, style="bold cyan", time=time.time())])

    def show(self, batch: Sequence[lines.Line]) -> None:
        """Show lines of the log."""
        self.write("\n".join(str(line) for line in batch))

    def figures(self, snapshot: wsguard.Snapshot, last_failure: wsguard.Failure | None) -> None:
        """Show the figures at the end."""
        self.table(figures_table(snapshot, last_failure))

    def table(self, table: Table) -> None:
        """Show a table."""
        if not (sys.stdout.encoding or "").lower().startswith("utf"):
            table.box = box.ASCII
        buffer = io.StringIO()
        console = Console(file=buffer, width=_PLAIN_WIDTH, emoji=False, color_system=None)
        console.print(table)
        self.write("\n" + "\n".join(row.rstrip() for row in buffer.getvalue().splitlines()))

    async def keep_fresh(self, ws: wsguard.GuardedWebSocket) -> None:  # noqa: ARG002 - see subclasses
        """Show the present figures again and again."""
        await trio.sleep_forever()

    def write(self, text: str) -> None:
        """Write a line to stdout, at once; whoever went away is not written to again."""
        self.write_raw(text + "\n")

    def write_raw(self, text: str) -> None:
        """Write to stdout, at once and nothing more."""
        if self.write_error is not None:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as exc:
            self.write_error = exc
            self.on_gone()


class PlainScreen(Screen):
    """Lines for people, where there is no terminal.

    Args:
        status_interval: Seconds between two lines of figures.
    """

    def __init__(self, status_interval: float) -> None:
        super().__init__()
        self._status_interval = status_interval

    async def keep_fresh(self, ws: wsguard.GuardedWebSocket) -> None:
        """Print a line of figures now and then."""
        while True:
            await trio.sleep(self._status_interval)
            snapshot = ws.snapshot()
            text = (
                f"{snapshot.connection_state.name}, score {snapshot.score:.0f} "
                f"{snapshot.status.name}, failures {snapshot.connection_failures}, "
                f"response time {lines.seconds(snapshot.response_time.last)}, "
                f"silence {lines.seconds(snapshot.silence)}, "
                f"messages {snapshot.messages_received}"
            )
            line = lines.Line(
                label="status", text=text, time=snapshot.time, generation=snapshot.generation
            )
            self.show([line])


class JsonScreen(Screen):
    """One JSON object a line, for pipes."""

    def event(self, event: wsguard.Event) -> None:
        """Print an event."""
        self.write(lines.event_json(event))

    def messages(self, batch: Sequence[str | bytes], generation: int) -> None:
        """Print messages."""
        now = time.time()
        self.write("\n".join(lines.message_json(message, now, generation) for message in batch))

    def note(self, label: str, text: str) -> None:
        """Print a line of the command's own."""
        self.write(json.dumps({"event": "note", "time": time.time(), "label": label, "text": text}))

    def figures(self, snapshot: wsguard.Snapshot, last_failure: wsguard.Failure | None) -> None:
        """Print the figures at the end."""
        failure = None if last_failure is None else lines.plain_dict(last_failure)
        pairs = {"event": "summary", **lines.plain_dict(snapshot), "last_failure": failure}
        self.write(json.dumps(pairs))


class LiveScreen(Screen):
    """The live view.

    Args:
        console: The terminal.
        limits: What figures are looked at against.
    """

    def __init__(self, console: Console, limits: Limits) -> None:
        super().__init__()
        self._console = console
        self._limits = limits
        self._history = History()
        self._news = trio.Event()
        self._painter = Painter(console, self.write_raw)
        self._charset = BLOCKS if console.encoding.lower().startswith("utf") else ASCII

    def __enter__(self) -> Self:
        self._painter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the dashboard away."""
        self._painter.stop()

    def event(self, event: wsguard.Event) -> None:
        """Show an event, and let the dashboard know of it."""
        self._history.note(event)
        super().event(event)
        self._news.set()

    def show(self, batch: Sequence[lines.Line]) -> None:
        """Print lines above the dashboard; long ones are folded under their own column."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=12, style="dim")
        grid.add_column(width=3, justify="right", style="dim")
        grid.add_column(width=lines.LABEL_WIDTH)
        grid.add_column(overflow="fold")
        for line in batch:
            label = Text(line.label, line.style)
            grid.add_row(Text(line.clock), Text(line.number), label, Text(line.text))
        self._painter.log(grid)

    def table(self, table: Table) -> None:
        """Show a table."""
        if self._charset.is_ascii:
            table.box = box.ASCII
        self._painter.log("")
        self._painter.log(table)

    async def keep_fresh(self, ws: wsguard.GuardedWebSocket) -> None:
        """Draw the dashboard ten times a second, and as soon as something happens."""
        while True:
            self._news = trio.Event()
            snapshot, health, now = ws.snapshot(), ws.health(), trio.current_time()
            self._history.look(snapshot, health, now)
            shown = View(
                snapshot=snapshot,
                health=health,
                alerts=ws.open_alerts,
                history=self._history,
                limits=self._limits,
                task=self.task,
                now=now,
            )
            self.draw(shown)
            with trio.move_on_after(_REFRESH):
                await self._news.wait()

    def draw(self, shown: View) -> None:
        """Draw the dashboard once."""
        width, height = self._console.size
        self._painter.paint(draw(shown, width, height, self._charset))
