"""Keeps a drawing at the bottom of a terminal, below a log that scrolls.

Not rich's `Live`: that one erases before it draws, and does not know what a
terminal that became narrower does to lines that are there. Here each frame is
one write; every line is written over the old one and only its rest is erased,
so that at no moment there is nothing; and terminals that know how (DEC's
private mode 2026, "synchronized output") show it all at once.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, cast

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType

_ANY_WIDTH: Final = 10_000  # columns; lines of a drawing fit already
_BEGIN: Final = "\x1b[?2026h"
_END: Final = "\x1b[?2026l"
_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
_ERASE_REST: Final = "\x1b[K"  # of the line
_ERASE_LINE: Final = "\x1b[2K"
_ERASE_BELOW: Final = "\x1b[J"


class Painter:
    """Paints on a terminal.

    The cursor rests at the first column of the last line. So a "^C" that the
    terminal shows there makes no new line, and is painted over.

    Args:
        console: The terminal.
        write: Writes to it, at once.
    """

    def __init__(self, console: Console, write: Callable[[str], None]) -> None:
        self._console = console
        self._write = write
        self._buffer = io.StringIO()
        # Capturing with the terminal's own console writes to it, if only nothing.
        self._renderer = Console(
            file=self._buffer,
            force_terminal=True,
            color_system=cast("Any", console.color_system),
            width=_ANY_WIDTH,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
        )
        self._painted: list[str] = []
        self._widths: list[int] = []
        self._size = console.size

    def start(self) -> None:
        """Begin."""
        self._write(_HIDE_CURSOR)

    def stop(self) -> None:
        """Take the drawing away; the log stays."""
        self._write(f"{self._home()}{_ERASE_BELOW}{_SHOW_CURSOR}")
        self._painted, self._widths = [], []

    def log(self, renderable: RenderableType) -> None:
        """Put something above the drawing, where it stays."""
        rows = self._rendered(renderable, width=self._console.width - 1)
        # With nothing at their ends, neither blanks nor what stood there before: what
        # stays must not wrap when the terminal becomes narrower.
        above = "".join(f"{_ERASE_LINE}{row.rstrip(' ')}\n" for row in rows)
        self._write(f"{_BEGIN}{self._home()}{above}{self._joined()}{_END}")
        self._size = self._console.size

    def paint(self, drawing: Sequence[Text]) -> None:
        """Replace the drawing, unless it is the same.

        Args:
            drawing: Lines that are narrower than the terminal, and fewer than its rows.
        """
        painted = self._rendered(Text("\n").join(drawing)) if drawing else []
        if painted == self._painted and self._console.size == self._size:
            return
        home = self._home()
        self._painted, self._widths = painted, [line.cell_len for line in drawing]
        self._write(f"{_BEGIN}{home}{self._joined()}{_END}")
        self._size = self._console.size

    def _rendered(self, renderable: RenderableType, width: int = _ANY_WIDTH) -> list[str]:
        self._renderer.print(renderable, width=width, no_wrap=width == _ANY_WIDTH, crop=False)
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.split("\n")[:-1]

    def _home(self) -> str:
        """Move to where the drawing begins; after a change of size, erase it first."""
        if not self._widths:
            return "\r"
        size, before = self._console.size, self._size
        rows = len(self._widths) - 1
        if size.width < before.width:
            # A line that no longer fits was wrapped by the terminal.
            rows = sum(max(1, -(-width // size.width)) for width in self._widths[:-1])
        up = f"\x1b[{rows}A" if rows else ""
        return f"\r{up}{'' if size == before else _ERASE_BELOW}"

    def _joined(self) -> str:
        rows = f"{_ERASE_REST}\n".join(self._painted)
        return f"{rows}{_ERASE_REST}{_ERASE_BELOW}\r" if self._painted else _ERASE_BELOW
