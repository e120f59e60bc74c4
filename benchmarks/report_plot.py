"""One picture for each benchmark: ours highlighted, the floor a line.

A panel for each case with a scale of its own, since cases differ by orders of
magnitude; every bar says its figure. Needs matplotlib (extra ``bench``).
"""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any, Final

from benchmarks.framework import is_installed, is_ours
from benchmarks.report_table import figure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.report import Result, Row

_OURS: Final = "#d9480f"
_OTHERS: Final = "#adb5bd"
_BASELINE: Final = "#495057"
_LINE: Final = "#1c7ed6"
_COLUMNS: Final = 3
_STEEP: Final = 30.0  # greatest by least bar, above which lengths can only be told on a log scale
_FAR: Final = 1.6  # times the greatest bar: a floor beyond is told in words


def can_plot() -> bool:
    """Tell whether there can be pictures."""
    return is_installed("matplotlib")


def plot(path: Path, result: Result, machine: Mapping[str, Any]) -> None:
    """Draw a result.

    Args:
        path: The PNG; its folder is made.
        result: What to draw; it must have rows.
        machine: What `conditions` told.
    """
    matplotlib: Any = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    benchmark = result.benchmark
    cases = list(dict.fromkeys(row.case for row in result.rows))
    peers = [peer for peer in benchmark.peers if peer != benchmark.floor]
    columns = len(cases) if len(cases) < _COLUMNS else 2 if len(cases) == 4 else _COLUMNS
    lines = math.ceil(len(cases) / columns)
    figure, grid = pyplot.subplots(
        lines,
        columns,
        figsize=(max(8.0, 4.6 * columns), 1.5 + lines * (1.1 + 0.3 * len(peers))),
        squeeze=False,
        layout="constrained",
    )
    panels = grid.ravel()
    for panel, case in zip(panels, cases, strict=False):
        _draw(panel, result, [row for row in result.rows if row.case == case])
    for panel in panels[len(cases) :]:
        panel.axis("off")
    aim = "shorter" if benchmark.lower_is_better else "longer"
    quick = ", QUICK RUN" if result.is_quick else ""
    figure.suptitle(
        f"{benchmark.name}: {benchmark.unit} ({aim} is better{quick})\n", fontweight="bold"
    )
    figure.supxlabel(
        f"medians, whiskers: quartiles; {machine['processor']}, {machine['cpus']} CPUs, "
        f"Python {machine['python']}",
        fontsize=8,
        color="#495057",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _draw(panel: Any, result: Result, rows: Sequence[Row]) -> None:
    """Draw one case."""
    benchmark = result.benchmark
    bars = [row for row in rows if row.peer != benchmark.floor]
    floor = next((row.median for row in rows if row.peer == benchmark.floor), None)
    medians = [row.median for row in bars]
    panel.set_title(rows[0].case, fontsize=11, loc="left", fontweight="bold")
    if bars:
        panel.barh(
            range(len(bars)),
            medians,
            xerr=_whiskers(bars),
            color=[_colour(row.peer, benchmark.baseline) for row in bars],
            error_kw={"ecolor": "#868e96", "elinewidth": 1, "capsize": 2},
            height=0.72,
            zorder=2,
        )
        _scale(panel, medians, floor)
    for at, row in enumerate(bars):
        panel.annotate(
            f"{figure_of(row.median)}{_times(row, benchmark.baseline)}",
            (max(row.median, row.quartiles[1]), at),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            zorder=4,
            fontweight="bold" if is_ours(row.peer) else "normal",
        )
    if floor is not None:
        _draw_floor(panel, floor, max(medians, default=0.0), benchmark.floor or "")
    panel.set_yticks(range(len(bars)), [row.peer for row in bars], fontsize=9)
    for label in panel.get_yticklabels():
        if is_ours(label.get_text()):
            label.set_fontweight("bold")
            label.set_color(_OURS)
    panel.invert_yaxis()
    panel.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def _scale(panel: Any, medians: Sequence[float], floor: float | None) -> None:
    """Choose a scale on which all bars can be told, and leave room for their figures."""
    positive = [value for value in medians if value > 0]
    if not positive:
        return
    least, greatest = min(positive), max(positive)
    if floor is not None and _is_near(floor, greatest):
        greatest = max(greatest, floor)
        least = min(least, floor)
    if greatest / least > _STEEP:
        panel.set_xscale("log")
        panel.set_xlim(least / 2, greatest * (greatest / least) ** 0.45)
        panel.set_xlabel("log scale", fontsize=7)
    else:
        panel.set_xlim(0, greatest * 1.45)


def _is_near(floor: float, greatest: float) -> bool:
    return floor <= greatest * _FAR


def _draw_floor(panel: Any, floor: float, greatest: float, name: str) -> None:
    if _is_near(floor, greatest):
        panel.axvline(floor, color=_LINE, linestyle="--", linewidth=1.2, zorder=3)
    panel.set_title(
        f"{name}: {figure_of(floor)}" + ("" if _is_near(floor, greatest) else " (off the scale)"),
        fontsize=8,
        loc="right",
        color=_LINE,
    )


def _whiskers(rows: Sequence[Row]) -> list[list[float]]:
    return [
        [max(0.0, row.median - row.quartiles[0]) for row in rows],
        [max(0.0, row.quartiles[1] - row.median) for row in rows],
    ]


def _colour(peer: str, baseline: str) -> str:
    if is_ours(peer):
        return _OURS
    return _BASELINE if peer == baseline else _OTHERS


def _times(row: Row, baseline: str) -> str:
    return "" if row.ratio is None or row.peer == baseline else f"  ({row.ratio:.2f} x)"
