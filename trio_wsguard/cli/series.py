"""Recordings made small enough to draw: lines of few points, bars that span time.

However long a recording is, what is made of it is bounded, and nothing that
stands out is lost on the way: of each stretch of a line its least and its
greatest value are kept, and of each stretch of states the worst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from trio_wsguard.cli.recording import Happening, Point, Recording

MAX_STRETCHES: Final = 600  # of a line; each gives two points at most, and its gaps
MAX_SPANS: Final = 400  # of a row of bars

# What must not vanish beside something better.
BADNESS: Final = {
    "CONNECTED": 0,
    "CLOSED": 1,
    "DISCONNECTED": 2,
    "CONNECTING": 3,
    "RECONNECTING": 4,
    "FAILED": 5,
}

Line = list[list[tuple[float, float]]]


@attrs.frozen(kw_only=True)
class Span:
    """Something that lasted.

    Attributes:
        begin: When it began.
        end: When it ended, or the recording did.
        label: What it was.
        detail: More about it, for whoever asks.
        is_open: Whether the recording ended before it did.
    """

    begin: float
    end: float
    label: str
    detail: str = ""
    is_open: bool = False


@attrs.frozen(kw_only=True)
class Row:
    """Bars of one kind.

    Attributes:
        label: What they are.
        style: ``warning``, ``critical`` or ``anomaly``.
        spans: The bars, in order.
        count: How many there were, before those too close to tell apart were joined.
    """

    label: str
    style: str
    spans: list[Span]
    count: int


def line_of(
    points: Sequence[Point], read: Callable[[Point], float | None], duration: float
) -> Line:
    """Draw a line with gaps through figures.

    Args:
        points: The figures of a whole recording.
        read: Picks one of them; ``None`` makes a gap.
        duration: Of the recording, in seconds.

    Returns:
        Pieces of points (seconds, value): all of them if they are few, else
        the least and the greatest of each stretch of time.
    """
    width = duration / MAX_STRETCHES if len(points) > 2 * MAX_STRETCHES else 0.0
    pieces: Line = [[]]
    stretch = _Stretch()
    is_gap = False
    for point in points:
        value = read(point)
        if value is None:
            if not is_gap and stretch.held:  # the last one held until now
                stretch.add(point.at, stretch.last)
            is_gap = True
            continue
        number = int(point.at / width) if width else point.at
        if number != stretch.number or is_gap:
            pieces[-1] += stretch.take()
            # In a long recording a gap must be wide enough to be seen.
            if is_gap and pieces[-1] and (not width or number > stretch.number + 1):
                pieces.append([])
        stretch.number, is_gap = number, False
        stretch.add(point.at, value)
    pieces[-1] += stretch.take()
    return [piece for piece in pieces if piece]


class _Stretch:
    """The least and the greatest value of a stretch of time."""

    def __init__(self) -> None:
        self.number = -1.0
        self.last = 0.0
        self.held: list[tuple[float, float]] = []

    def add(self, at: float, value: float) -> None:
        self.last = value
        if len(self.held) < 2:
            self.held.append((at, value))
            return
        three = sorted([*self.held, (at, value)], key=lambda pair: pair[1])
        self.held = [three[0], three[2]]

    def take(self) -> list[tuple[float, float]]:
        held, self.held = sorted(self.held), []
        return held


def states_of(recording: Recording) -> list[Span]:
    """Tell which state lasted how long, from the beginning to the end."""
    changes = [event for event in recording.events if event.kind == "state_change"]
    spans: list[Span] = []
    begin, state, detail = 0.0, "", ""
    for change in changes:
        after = change.text("state")
        before = state or change.text("previous")
        if change.at > begin and before:
            spans.append(Span(begin=begin, end=change.at, label=before, detail=detail))
        begin, state, detail = max(begin, change.at), after, change.text("reason")
    state = state or recording.points[0].state
    spans.append(Span(begin=begin, end=recording.duration, label=state, detail=detail))
    return _coarser(spans, recording.duration, _worse)


def _worse(one: Span, other: Span) -> Span:
    rank = {span: BADNESS.get(span.label, 9) for span in (one, other)}
    worst = max((one, other), key=lambda span: rank[span])
    return attrs.evolve(worst, begin=one.begin, end=max(one.end, other.end))


def _coarser(spans: list[Span], duration: float, join: Callable[[Span, Span], Span]) -> list[Span]:
    """Join what is too close to be told apart, unless there is little of it."""
    if len(spans) <= MAX_SPANS:
        return spans
    width = duration / MAX_SPANS * 2
    joined: list[Span] = []
    for span in spans:
        # Measured from where the joined one began, so that it does not grow for ever.
        if joined and span.end - joined[-1].begin <= width:
            joined[-1] = join(joined[-1], span)
        else:
            joined.append(span)
    return joined


def outages_of(states: Sequence[Span]) -> list[Span]:
    """Tell when there was no connection."""
    outages: list[Span] = []
    for span in states:
        if span.label == "CONNECTED":
            continue
        if outages and outages[-1].end == span.begin:
            outages[-1] = attrs.evolve(outages[-1], end=span.end)
        else:
            outages.append(attrs.evolve(span, label="no connection", detail=""))
    return outages


def rows_of(recording: Recording) -> list[Row]:
    """Tell the anomalies and alerts as bars, a row for each kind; alerts come first."""
    begun: dict[str, Happening] = {}
    found: dict[str, list[Span]] = {}
    styles: dict[str, str] = {}
    for event in recording.events:
        row = _row_of(event)
        if row is None:
            continue
        label, style, is_begin = row
        if is_begin:
            begun.setdefault(label, event)
            styles[label] = style
        elif (first := begun.pop(label, None)) is not None:
            found.setdefault(label, []).append(_span(label, first, event.at))
    for label, first in begun.items():
        found.setdefault(label, []).append(_span(label, first, None, recording.duration))
    return sorted(
        (_row(label, styles[label], spans, recording.duration) for label, spans in found.items()),
        key=lambda row: (("critical", "warning", "anomaly").index(row.style), row.label),
    )


def _row_of(event: Happening) -> tuple[str, str, bool] | None:
    if event.kind in ("anomaly", "recovery"):
        label = event.text("kind").lower().replace("_", " ")
        return (label, "anomaly", event.kind == "anomaly") if label else None
    if event.kind in ("alert_raised", "alert_resolved"):
        rule = event.pairs.get("rule")
        name = rule.get("name") if isinstance(rule, dict) else None
        if not isinstance(name, str):
            return None
        is_critical = isinstance(rule, dict) and rule.get("level") == "CRITICAL"
        style = "critical" if is_critical else "warning"
        return event_label(name), style, event.kind == "alert_raised"
    return None


def event_label(name: str) -> str:
    """Write an alert's name so that it is told from an anomaly of the same name."""
    return f"alert: {name.replace('_', ' ')}"


def _span(label: str, first: Happening, end: float | None, duration: float = 0.0) -> Span:
    detail = first.text("message")
    if end is None:
        return Span(begin=first.at, end=duration, label=label, detail=detail, is_open=True)
    return Span(begin=first.at, end=end, label=label, detail=detail)


def _row(label: str, style: str, spans: Iterable[Span], duration: float) -> Row:
    every = list(spans)

    def join(one: Span, other: Span) -> Span:
        return attrs.evolve(
            one,
            end=max(one.end, other.end),
            is_open=other.is_open,
            detail="several, close together",
        )

    return Row(label=label, style=style, spans=_coarser(every, duration, join), count=len(every))
