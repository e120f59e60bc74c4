"""Recordings made small enough to draw."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_wsguard.cli.record import Limits
from trio_wsguard.cli.recording import Happening, Point, Recording
from trio_wsguard.cli.series import (
    BADNESS,
    MAX_SPANS,
    MAX_STRETCHES,
    line_of,
    outages_of,
    rows_of,
    states_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def recording(duration: float, events: Sequence[Happening] = ()) -> Recording:
    made = Recording(name="feed", time=0.0, utc_offset=0.0, limits=Limits(), events=list(events))
    made.points.append(Point(duration, "CONNECTED", None, None, None))
    return made


def happening(at: float, kind: str, /, **pairs: Any) -> Happening:
    return Happening(at=at, kind=kind, pairs=pairs)


def change(at: float, previous: str, state: str) -> Happening:
    return happening(at, "state_change", previous=previous, state=state)


def points(values: Sequence[float | None]) -> list[Point]:
    return [Point(float(at), "CONNECTED", value, None, None) for at, value in enumerate(values)]


def test_few_points_are_all_drawn() -> None:
    """A short line has every point; where there is nothing it has a gap, up to which it holds."""
    line = line_of(points([1.0, 2.0, None, None, 3.0]), lambda point: point.response, 4.0)
    assert line == [[(0.0, 1.0), (1.0, 2.0), (2.0, 2.0)], [(4.0, 3.0)]]


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(0, 100), min_size=1, max_size=3000))
def test_lines_are_bounded_and_keep_extremes(values: list[float | None]) -> None:
    """However long a recording is, its line is bounded and has its greatest and least value."""
    seen = [value for value in values if value is not None]
    line = line_of(points(values), lambda point: point.response, max(1.0, len(values) - 1.0))
    drawn = [value for piece in line for _, value in piece]
    assert len(drawn) <= 2 * (MAX_STRETCHES + 1) + (len(values) <= 2 * MAX_STRETCHES) * len(values)
    assert (min(drawn, default=0), max(drawn, default=0)) == (
        min(seen, default=0),
        max(seen, default=0),
    )
    times = [at for piece in line for at, _ in piece]
    assert times == sorted(times)


def test_states() -> None:
    """Each state lasts until the next; the last until the end."""
    events = [
        change(1.0, "DISCONNECTED", "CONNECTING"),
        change(2.0, "CONNECTING", "CONNECTED"),
        change(7.0, "CONNECTED", "RECONNECTING"),
    ]
    states = states_of(recording(10.0, events))
    assert [(span.begin, span.end, span.label) for span in states] == [
        (0.0, 1.0, "DISCONNECTED"),
        (1.0, 2.0, "CONNECTING"),
        (2.0, 7.0, "CONNECTED"),
        (7.0, 10.0, "RECONNECTING"),
    ]
    assert [(span.begin, span.end) for span in outages_of(states)] == [(0.0, 2.0), (7.0, 10.0)]


def test_states_without_changes() -> None:
    """A recording without a change shows the state that its figures tell."""
    assert [span.label for span in states_of(recording(10.0))] == ["CONNECTED"]


@settings(deadline=None)
@given(st.lists(st.sampled_from(sorted(BADNESS)), min_size=2, max_size=3000))
def test_states_are_bounded_and_keep_the_worst(names: list[str]) -> None:
    """However often the state changes, bars are few and without a hole, and show the worst."""
    events = [
        change(float(at), before, after)
        for at, (before, after) in enumerate(itertools.pairwise(names), 1)
    ]
    states = states_of(recording(len(names) + 1.0, events))
    assert len(states) <= MAX_SPANS
    assert max(BADNESS[span.label] for span in states) == max(BADNESS[name] for name in names)
    assert [span.end for span in states[:-1]] == [span.begin for span in states[1:]]
    assert (states[0].begin, states[-1].end) == (0.0, len(names) + 1.0)


def alert(at: float, kind: str, level: str) -> Happening:
    return happening(at, kind, rule={"name": "my_rule", "level": level}, message="so")


def test_rows() -> None:
    """Anomalies and alerts are bars from raised to over, or to the end; alerts come first."""
    events = [
        happening(1.0, "anomaly", kind="SILENCE", message="quiet"),
        happening(1.5, "anomaly", kind="SILENCE", message="a second time, which cannot be"),
        alert(2.0, "alert_raised", "CRITICAL"),
        happening(3.0, "recovery", kind="SILENCE"),
        happening(4.0, "recovery", kind="SILENCE"),
        happening(5.0, "anomaly", kind="STUCK", message="stuck"),
        alert(6.0, "alert_resolved", "CRITICAL"),
        happening(7.0, "alert_raised", rule="of a newer version"),
        happening(8.0, "anomaly"),
    ]
    rows = rows_of(recording(10.0, events))
    assert [(row.label, row.style, row.count) for row in rows] == [
        ("alert: my rule", "critical", 1),
        ("silence", "anomaly", 1),
        ("stuck", "anomaly", 1),
    ]
    (silence,), (stuck,) = rows[1].spans, rows[2].spans
    assert (silence.begin, silence.end, silence.detail, silence.is_open) == (1, 3, "quiet", False)
    assert (stuck.begin, stuck.end, stuck.is_open) == (5, 10, True)


def test_rows_are_bounded() -> None:
    """A row of very many bars is drawn with few, and tells how many there were."""
    events = [
        happening(at / 2, "recovery" if at % 2 else "anomaly", kind="SILENCE")
        for at in range(20_000)
    ]
    (row,) = rows_of(recording(10_000.0, events))
    assert row.count == 10_000
    assert len(row.spans) <= MAX_SPANS
    assert row.spans[-1].end == events[-1].at
