"""Small drawings made of characters, with plain ones for terminals that know no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen(kw_only=True)
class Charset:
    """What drawings are made of.

    Attributes:
        levels: Bars from the lowest to a full one.
        full: A full piece of a gauge.
        rest: An empty one.
        states: A piece of the band, for each state.
        dot: Stands before the state.
        mark: Stands before what is wrong.
        corners: Of the frame: top left, top right, bottom left, bottom right.
        sides: Of the frame: horizontal, vertical.
        is_ascii: Whether that is all that the terminal knows.
    """

    levels: str
    full: str
    rest: str
    states: dict[str, str]
    dot: str
    mark: str
    corners: tuple[str, str, str, str]
    sides: tuple[str, str]
    is_ascii: bool = False

    def spell(self, text: str) -> str:
        """Write text in characters that the terminal knows."""
        return text.encode("ascii", "backslashreplace").decode() if self.is_ascii else text


BLOCKS: Final = Charset(
    levels="▁▂▃▄▅▆▇█",
    full="█",
    rest="░",
    states={
        "CONNECTED": "█",
        "CONNECTING": "▓",
        "RECONNECTING": "▒",
        "FAILED": "X",
        "DISCONNECTED": "░",
        "CLOSED": "─",
    },
    dot="●",
    mark="▲",
    corners=("╭", "╮", "╰", "╯"),
    sides=("─", "│"),
)
ASCII: Final = Charset(
    levels="_.-=+*%#",
    full="#",
    rest=".",
    states={
        "CONNECTED": "#",
        "CONNECTING": "+",
        "RECONNECTING": "-",
        "FAILED": "x",
        "DISCONNECTED": ".",
        "CLOSED": "_",
    },
    dot="*",
    mark="!",
    corners=("+", "+", "+", "+"),
    sides=("-", "|"),
    is_ascii=True,
)


def bars(values: Sequence[float | None], greatest: float, rows: int, charset: Charset) -> list[str]:
    """Draw values as bars, one a column.

    Args:
        values: From 0 on; ``None`` leaves a column empty.
        greatest: What a bar of full height stands for.
        rows: How many rows high it is.
        charset: What it is made of.

    Returns:
        The rows, from the top.
    """
    steps = len(charset.levels)
    heights = [
        0 if value is None else max(1, round(min(1.0, value / greatest) * rows * steps))
        for value in values
    ]
    return [
        "".join(_piece(height - steps * (rows - 1 - row), charset.levels) for height in heights)
        for row in range(rows)
    ]


def _piece(height: int, levels: str) -> str:
    return " " if height <= 0 else levels[min(height, len(levels)) - 1]


def gauge(share: float, width: int, charset: Charset) -> tuple[str, str]:
    """Draw a gauge, as its full and its empty part.

    Args:
        share: How much of it is full, 0 to 1.
        width: Columns.
        charset: What it is made of.
    """
    full = round(min(1.0, max(0.0, share)) * width)
    return charset.full * full, charset.rest * (width - full)
