"""A recording as a picture, by matplotlib: the lanes of the page, without its words."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from trio_wsguard.cli.report_events import summary_of
from trio_wsguard.cli.report_page import lanes_of
from trio_wsguard.cli.report_svg import Axis, Lane, write_value
from trio_wsguard.cli.series import BADNESS, Row, Span, outages_of, rows_of, states_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trio_wsguard.cli.recording import Recording

# A colour and a hatch: what a colour says can be told without it.
_STATES: Final = {
    "CONNECTED": ("#35a063", ""),
    "CONNECTING": ("#3f8fe0", "||||"),
    "RECONNECTING": ("#eb9413", "////"),
    "FAILED": ("#cc2f36", "xxxx"),
    "DISCONNECTED": ("#97a1ab", "----"),
    "CLOSED": ("#6c7fa0", ""),
}
_ROWS: Final = {
    "critical": ("#c4232b", "|||"),
    "warning": ("#d9640b", ""),
    "anomaly": ("#c98a00", "////"),
}
_LINES: Final = {"response": "#1f5fd0", "silence": "#8033c7", "score": "#0b7568"}
_MUTED: Final = "#59636e"
_SETTINGS: Final = {"font.family": "sans-serif", "font.size": 9, "hatch.linewidth": 0.6}


def draw_png(path: Path, recording: Recording) -> None:
    """Draw it.

    Args:
        path: Where to.
        recording: What to draw.

    Raises:
        OSError: It cannot be written.
    """
    axis, states, rows = Axis.of(recording), states_of(recording), rows_of(recording)
    heights = [0.45, 1.5, 1.1, 1.5, *([0.28 * len(rows) + 0.2] if rows else [])]
    matplotlib: Any = importlib.import_module("matplotlib")
    # Not by pyplot, which would choose a window system, and keep the figure.
    new_figure: Any = importlib.import_module("matplotlib.figure").Figure
    with matplotlib.rc_context(_SETTINGS):
        figure = new_figure(figsize=(12, 1.7 + sum(heights)), layout="constrained")
        panels = figure.subplots(len(heights), 1, height_ratios=heights, sharex=True, squeeze=False)
        band, *others = panels[:, 0]
        _draw_states(band, states, axis)
        for panel, lane in zip(others, lanes_of(recording), strict=False):
            _draw_lane(panel, lane, outages_of(states), axis)
        if rows:
            _draw_rows(others[-1], rows, axis)
        _finish(figure, [band, *others], recording, axis)
        figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.25)


def _draw_states(panel: Any, states: Sequence[Span], axis: Axis) -> None:
    shown: set[str] = set()
    # The worst at last: what is short must not vanish under what is well.
    for span in sorted(states, key=lambda span: BADNESS.get(span.label, 0)):
        colour, hatch = _STATES.get(span.label, ("#97a1ab", ""))
        label = "_" if span.label in shown else span.label.lower()
        shown.add(span.label)
        _bar(panel, span, 0, 1.0, axis, colour, hatch, label=label)
    panel.set_yticks([0], ["state"], fontweight="bold")
    panel.set_ylim(-0.5, 0.5)
    panel.legend(
        loc="lower right", bbox_to_anchor=(1, 1), ncols=6, frameon=False, borderaxespad=0.2
    )


def _bar(
    panel: Any,
    span: Span,
    y: float,
    height: float,
    axis: Axis,
    colour: str,
    hatch: str,
    **more: str,
) -> None:
    # A moment must be seen, too.
    width = max(span.end - span.begin, axis.duration / 600)
    panel.barh(
        y, width, height, span.begin, color=colour, hatch=hatch, edgecolor="#ffffff99", lw=0, **more
    )


def _draw_lane(panel: Any, lane: Lane, outages: Sequence[Span], axis: Axis) -> None:
    colour = _LINES[lane.key]
    for span in outages:
        panel.axvspan(span.begin, span.end, color="#eb9413", alpha=0.13, lw=0)
    for piece in lane.line:
        times, values = [at for at, _ in piece], [value for _, value in piece]
        style = "steps-post" if lane.is_step else "default"
        panel.plot(
            times,
            values,
            color=colour,
            lw=0.8 if lane.is_dense else 1.5,
            drawstyle=style,
            clip_on=False,
        )
        if not lane.scale.is_log:
            step = "post" if lane.is_step else None
            panel.fill_between(times, values, step=step, color=colour, alpha=0.12, lw=0)
    if lane.scale.is_log:
        panel.set_yscale("log")
    for value, name in lane.borders:
        panel.axhline(value, color=_MUTED, lw=0.9, ls=(0, (5, 4)))
        panel.annotate(
            f" {name}", (axis.duration, value), va="center", fontsize=8, annotation_clip=False
        )
    panel.set_ylim(lane.scale.low, lane.scale.high)
    panel.set_yticks(lane.scale.ticks, [write_value(lane.unit, tick) for tick in lane.scale.ticks])
    panel.minorticks_off()
    panel.grid(axis="y", color="#e9edf1", lw=0.8)
    panel.set_title(lane.title, loc="left", fontsize=9, fontweight="bold")


def _draw_rows(panel: Any, rows: Sequence[Row], axis: Axis) -> None:
    for y, row in enumerate(rows):
        colour, hatch = _ROWS[row.style]
        for span in row.spans:
            _bar(panel, span, y, 0.7, axis, colour, hatch)
    panel.set_yticks(range(len(rows)), [_plain(row.label) for row in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.grid(axis="y", color="#e9edf1", lw=0.8)


def _finish(figure: Any, panels: Sequence[Any], recording: Recording, axis: Axis) -> None:
    for panel in panels:
        panel.set_axisbelow(True)
        panel.tick_params(length=0, colors=_MUTED)
        panel.spines[:].set_visible(False)
    ticks = axis.ticks()
    panels[-1].set_xlim(0, axis.duration)
    panels[-1].set_xticks([at for at, _ in ticks], [label for _, label in ticks])
    panels[-1].spines["bottom"].set_visible(True)
    said = "   ".join(f"{figure.label.lower()} {figure.value}" for figure in summary_of(recording))
    figure.suptitle(_plain(recording.name), x=0.01, ha="left", fontsize=13, fontweight="bold")
    panels[0].set_title(said, loc="left", fontsize=9, color=_MUTED, pad=24)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # a dollar would begin a formula
