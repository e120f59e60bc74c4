"""Painting below a log, on a terminal that a library of others emulates."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from trio_wsguard.cli.painter import Painter

pyte: Any = pytest.importorskip("pyte")


class Terminal:
    """A terminal of a size, with a painter on it."""

    def __init__(self, width: int = 20, height: int = 8) -> None:
        self.screen = pyte.HistoryScreen(width, height)
        self.screen.set_mode(pyte.modes.LNM)  # as a tty makes of each line feed
        self._stream = pyte.Stream(self.screen)
        self.writes: list[str] = []
        self.console = Console(
            width=width, height=height, force_terminal=True, color_system="standard"
        )
        self.painter = Painter(self.console, self._write)
        self.painter.start()

    def _write(self, text: str) -> None:
        self.writes.append(text)
        self._stream.feed(text)

    @property
    def rows(self) -> list[str]:
        return [row.rstrip() for row in self.screen.display]

    def paint(self, *rows: str) -> None:
        self.painter.paint([Text(row) for row in rows])

    def log(self, row: str) -> None:
        self.painter.log(Text(row))


def shown(terminal: Terminal) -> list[str]:
    """Give what is on the screen down to the last row that is not empty."""
    rows = terminal.rows
    while rows and not rows[-1]:
        rows.pop()
    return rows


def test_log_above_drawing() -> None:
    """The log stands above the drawing, whichever came first, and scrolls."""
    terminal = Terminal()
    terminal.log("one")
    terminal.paint("+--+", "+--+")
    terminal.log("two")
    assert shown(terminal) == ["one", "two", "+--+", "+--+"]
    for number in range(20):
        terminal.log(f"line {number}")
    assert shown(terminal) == [*(f"line {n}" for n in range(14, 20)), "+--+", "+--+"]
    assert len(terminal.screen.history.top) == 16


def test_drawing_that_grows_and_shrinks() -> None:
    """A drawing of another height leaves nothing behind."""
    terminal = Terminal()
    terminal.log("log")
    for count in (1, 5, 2, 6, 0, 3):
        terminal.paint(*(f"row {n}" for n in range(count)))
        assert shown(terminal) == ["log", *(f"row {n}" for n in range(count))]


def test_shorter_rows_leave_nothing() -> None:
    """A row that became shorter leaves nothing of the old one; neither does the log."""
    terminal = Terminal()
    terminal.paint("a long row", "another one")
    terminal.paint("a", "b")
    assert shown(terminal) == ["a", "b"]
    terminal.paint("a long row", "another one")
    terminal.log("x")
    assert shown(terminal) == ["x", "a long row", "another one"]


def test_end() -> None:
    """At the end the drawing is gone, the log is whole, and the cursor is where it goes on."""
    terminal = Terminal()
    terminal.log("log")
    terminal.paint("a", "b", "c")
    assert terminal.screen.cursor.hidden
    terminal.painter.stop()
    assert shown(terminal) == ["log"]
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, 1)
    assert not terminal.screen.cursor.hidden


def test_one_write_a_frame() -> None:
    """Each frame is one write, shown all at once; the same again is none."""
    terminal = Terminal()
    before = len(terminal.writes)
    terminal.paint("a", "b")
    assert len(terminal.writes) == before + 1
    assert terminal.writes[-1].startswith("\x1b[?2026h")
    assert terminal.writes[-1].endswith("\x1b[?2026l")
    terminal.paint("a", "b")
    assert len(terminal.writes) == before + 1


def test_nothing_is_erased_before_it_is_replaced() -> None:
    """A row is written over the old one: at no moment there is nothing."""
    terminal = Terminal()
    terminal.paint("aaaa", "bbbb")
    terminal.paint("cccc", "dddd")
    text = terminal.writes[-1]
    assert text.index("cccc") < text.index("\x1b[K")
    assert text.index("dddd") < text.index("\x1b[J")


def test_echo_of_an_interrupt() -> None:
    """A ^C that the terminal shows at the cursor is painted over."""
    terminal = Terminal(width=10)
    terminal.paint("123456789", "abcdefghi")
    terminal._write("^C")
    terminal.paint("123456789", "ABCDEFGHI")
    assert shown(terminal) == ["123456789", "ABCDEFGHI"]


def test_narrower() -> None:
    """After the terminal became narrower, as many rows are taken away as the old ones fill now."""
    terminal = Terminal(width=20)
    terminal.log("log")
    terminal.paint("x" * 19, "y" * 19, "z" * 19)
    # What terminals do, and this one does not: rows that no longer fit are wrapped.
    terminal.screen.resize(8, 10)
    terminal.screen.reset()
    terminal.screen.set_mode(pyte.modes.LNM)
    terminal._write("log\n" + "x" * 19 + "\n" + "y" * 19 + "\n" + "z" * 8 + "\r")
    terminal.console.width = 10
    terminal.paint("x" * 9, "y" * 9)
    assert shown(terminal) == ["log", "x" * 9, "y" * 9]


def test_wider() -> None:
    """After the terminal became wider, the same drawing is painted anew."""
    terminal = Terminal()
    terminal.paint("a", "b")
    before = len(terminal.writes)
    terminal.console.width = 30
    terminal.paint("a", "b")
    assert len(terminal.writes) == before + 1
    assert shown(terminal) == ["a", "b"]


def test_colours() -> None:
    """Styles of the drawing reach the terminal."""
    terminal = Terminal()
    terminal.painter.paint([Text("red", "red")])
    assert terminal.screen.buffer[0][0].fg == "red"


def test_log_has_no_ends() -> None:
    """A row of the log is no longer than its words, so that it does not wrap later."""
    terminal = Terminal()
    terminal.paint("x" * 19)
    terminal.log("word      ")
    assert "\x1b[2Kword\n" in terminal.writes[-1]
