"""The drawings of a report: lanes over one time axis, as pieces of HTML.

Lines are SVG that is stretched to the width of the page, with strokes that are
not. Words and bars are HTML beside and upon it, placed in per cent: they keep
their size and their patterns on a phone and in print.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from html import escape
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard.cli import lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_wsguard.cli.recording import Recording
    from trio_wsguard.cli.series import Line, Row, Span

_WIDTH: Final = 1000  # of a drawing's own coordinates
_HEIGHT: Final = 100
_MAX_TICKS: Final = 8
_TICK_HEIGHT: Final = 17  # of a label, in per cent of the lowest lane
_STEPS: Final = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400),
)
_DENSE: Final = 600  # points
_DAY: Final = 86_400.0


@attrs.frozen
class Axis:
    """The time axis.

    Args:
        time: When it begins, in Unix seconds.
        duration: How many seconds it spans.
        zone: Where its clocks are.
    """

    time: float
    duration: float
    zone: timezone = UTC

    @classmethod
    def of(cls, recording: Recording) -> Axis:
        """Make the axis of a whole recording."""
        zone = timezone(timedelta(seconds=recording.utc_offset))
        return cls(recording.time, recording.duration or 1.0, zone)

    def clock(self, at: float) -> datetime:
        """Tell the time of day, where it was recorded."""
        return datetime.fromtimestamp(self.time + at, self.zone)

    def percent(self, at: float) -> float:
        """Tell how far along something is, in per cent."""
        return min(100.0, max(0.0, 100 * at / self.duration))

    @property
    def step(self) -> float:
        """Seconds from one tick to the next."""
        fitting = (step for step in _STEPS if self.duration / step <= _MAX_TICKS)
        return next(fitting, math.ceil(self.duration / _MAX_TICKS / _DAY) * _DAY)

    def ticks(self) -> list[tuple[float, str]]:
        """Give the ticks, at round times of day: seconds since the begin, and a label."""
        step, begin = self.step, self.clock(0.0)
        midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
        first = -(begin - midnight).total_seconds() % step
        count = int((self.duration - first) / step) + 1 if first <= self.duration else 0
        return [(at, self._label(at)) for at in (first + step * n for n in range(count))]

    def _label(self, at: float) -> str:
        # Half a millisecond more: 59.99999 is the next minute.
        clock, step = self.clock(at + 0.0005), self.step
        if step < 1:
            return clock.strftime("%H:%M:%S.%f")[:-5]
        if step < 60:
            return clock.strftime("%H:%M:%S")
        is_midnight = not (clock.hour or clock.minute)
        return clock.strftime("%d %b" if is_midnight or step >= _DAY else "%H:%M")


@attrs.frozen(kw_only=True)
class Scale:
    """A value axis.

    Attributes:
        low: At the bottom.
        high: At the top.
        ticks: The values that have a grid line.
        is_log: Whether each grid line is ten times the one below.
    """

    low: float
    high: float
    ticks: Sequence[float]
    is_log: bool = False

    def y(self, value: float) -> float:
        """Tell how far from the top a value stands, 0 to 100."""
        low, high = self.low, self.high
        if self.is_log:
            value, low, high = (math.log10(max(v, 1e-9)) for v in (value, low, high))
        return _HEIGHT * min(1.0, max(0.0, (high - value) / (high - low)))


def linear(greatest: float) -> Scale:
    """Make a scale from 0 up to a round number beyond the greatest value."""
    greatest = max(greatest, 1e-3)
    power = 10.0 ** math.floor(math.log10(greatest))
    step = next(step * power for step in (0.5, 1, 2, 5) if greatest / (step * power) <= 3)
    high = math.ceil(greatest / step * 1.02) * step
    return Scale(low=0.0, high=high, ticks=[n * step for n in range(round(high / step) + 1)])


def logarithmic(values: Iterable[float]) -> Scale:
    """Make a scale of whole decades around values."""
    found = [max(value, 1e-5) for value in values] or [1.0]
    low = math.floor(math.log10(min(found)))
    high = max(low + 1, math.ceil(math.log10(max(found)) + 1e-9))
    ticks = [10.0**power for power in range(low, high + 1)]
    return Scale(low=ticks[0], high=ticks[-1], ticks=ticks, is_log=True)


@attrs.frozen(kw_only=True)
class Lane:
    """A line with its axis.

    Attributes:
        key: What it is called by the page's styles and its script.
        title: What it is called by people.
        hint: More about it.
        line: What is drawn.
        scale: Its axis.
        unit: How values are written: ``seconds`` or ``points``.
        borders: Values that mean something, and what.
        is_step: Whether a value holds until the next.
    """

    key: str
    title: str
    hint: str
    line: Line
    scale: Scale
    unit: str
    borders: Sequence[tuple[float, str]] = ()
    is_step: bool = False

    @property
    def is_dense(self) -> bool:
        """Whether a thick line would only be a smear."""
        return sum(map(len, self.line)) > _DENSE


def write_value(unit: str, value: float) -> str:
    """Write a tick, as short as can be."""
    if unit == "points":
        return f"{value:.0f}"
    if value == 0:
        return "0"
    if value < 1:
        return f"{value * 1000:g} ms"
    return f"{value:g} s" if value < 100 else lines.seconds(value)


def draw_lane(lane: Lane, axis: Axis, outages: str) -> str:
    """Draw a line over the time axis.

    Args:
        lane: What to draw.
        axis: The time axis.
        outages: Bars that stand behind it.
    """
    scale = lane.scale
    grid = "".join(f'<path class="grid" d="M0 {scale.y(t):.2f}H{_WIDTH}"/>' for t in scale.ticks)
    borders = "".join(
        f'<path class="border" d="M0 {scale.y(value):.2f}H{_WIDTH}"/>' for value, _ in lane.borders
    )
    strokes = "".join(_stroke(piece, lane, axis) for piece in lane.line)
    svg = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" aria-hidden="true">'
        f"{grid}{strokes}{borders}</svg>"
    )
    empty = "" if lane.line else '<p class="empty">nothing was measured</p>'
    ticks = f'<div class="ticks">{_marks(lane)}</div>'
    dense = " dense" if lane.is_dense else ""
    return (
        f'<div class="lane {lane.key}{dense}"><div class="label"><b>{escape(lane.title)}</b>'
        f"<span>{escape(lane.hint)}</span></div>"
        f'<div class="plot">{outages}{svg}{empty}</div>{ticks}</div>'
    )


def _marks(lane: Lane) -> str:
    marks = [(lane.scale.y(value), name, "border") for value, name in lane.borders]
    for value in lane.scale.ticks:
        y = lane.scale.y(value)
        if all(
            abs(y - other) > _TICK_HEIGHT for other, _, _ in marks
        ):  # else one is upon the other
            marks.append((y, write_value(lane.unit, value), "tick"))
    return "".join(
        f'<span class="{kind}" style="top:{y:.2f}%">{escape(text)}</span>'
        for y, text, kind in marks
    )


def _stroke(piece: Sequence[tuple[float, float]], lane: Lane, axis: Axis) -> str:
    spots = [(axis.percent(at) * _WIDTH / 100, lane.scale.y(value)) for at, value in piece]
    if len(spots) == 1:  # a line of one point would not be seen
        spots = [*spots, (spots[0][0] + 1, spots[0][1])]
    path = f"M{spots[0][0]:.1f} {spots[0][1]:.1f}"
    for x, y in spots[1:]:
        path += f"H{x:.1f}V{y:.1f}" if lane.is_step else f"L{x:.1f} {y:.1f}"
    # Below a line on a log scale there is no amount.
    area = "" if lane.scale.is_log else f"{path}V{_HEIGHT}H{spots[0][0]:.1f}Z"
    return f'<path class="area" d="{area}"/><path class="line" d="{path}"/>'


def draw_bars(spans: Iterable[Span], style: str, axis: Axis) -> str:
    """Draw bars.

    Args:
        spans: What lasted.
        style: The bars' style; empty to take that of each label.
        axis: The time axis.
    """
    return "".join(_bar(span, style or span.label.lower(), axis) for span in spans)


def _bar(span: Span, style: str, axis: Axis) -> str:
    left, right = axis.percent(span.begin), axis.percent(span.end)
    lasted = lines.seconds(span.end - span.begin)
    title = f"{span.label}, {lasted}{' and not over' if span.is_open else ''}"
    if span.detail:
        title += f"\n{span.detail}"
    return (
        f'<i class="bar {escape(style)}{" open" if span.is_open else ""}" title="{escape(title)}"'
        f' style="left:{left:.3f}%;width:{right - left:.3f}%"></i>'
    )


def draw_row(row: Row, axis: Axis) -> str:
    """Draw a row of bars over the time axis."""
    name = f'<b><i class="bar {row.style}"></i>{escape(row.label)}</b>'
    return (
        f'<div class="lane row"><div class="label">{name}<span>{row.count:,}&times;</span></div>'
        f'<div class="plot">{draw_bars(row.spans, row.style, axis)}</div>'
        f'<div class="ticks"></div></div>'
    )


def draw_axis(axis: Axis) -> str:
    """Draw the time axis itself."""
    ticks = "".join(
        f'<span style="left:{axis.percent(at):.3f}%">{escape(label)}</span>'
        for at, label in axis.ticks()
    )
    return (
        '<div class="lane axis"><div class="label"></div>'
        f'<div class="plot">{ticks}</div><div class="ticks"></div></div>'
    )
