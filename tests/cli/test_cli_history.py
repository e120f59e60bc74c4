"""What the live view remembers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.cli.history import CELL, History, values_of

from .views import STATE, anomaly, change, health, snapshot


def look(history: History, now: float, silence: float | None = 1.0, received: int = 0) -> None:
    history.look(
        snapshot(silence=silence, messages_received=received), health(delay=now / 1000), now
    )


def test_columns_begin_at_the_right() -> None:
    """What is known fills the columns from the right, one for each half second at first."""
    history = History()
    assert history.columns(4) == ([None] * 4, CELL)
    for now, silence in ((10.0, 1.0), (10.2, 3.0), (10.4, 2.0), (10.5, None)):
        look(history, now, silence)
    columns, seconds = history.columns(4)
    assert seconds == CELL
    assert values_of(columns, "silence") == [None, None, 3.0, None]
    assert values_of(columns, "state") == [None, None, "CONNECTED", "CONNECTED"]
    assert values_of(columns, "response") == [None, None, 0.0104, None]


def test_nothing_measured() -> None:
    """Before the first answer there is no response time, which is not a short one."""
    history = History()
    history.look(snapshot(response_time=wsguard.ResponseTimes()), health(), 1.0)
    assert values_of(history.columns(1)[0], "response") == [None]


@settings(deadline=None)
@given(st.integers(1, 1500), st.integers(1, 200))
def test_columns_span_all_that_is_remembered(cells: int, count: int) -> None:
    """However long it has been watched, the columns hold all of the last ten minutes' worst."""
    history = History()
    for number in range(cells):
        look(history, number * CELL, silence=float(number == max(0, cells - 1200)))
    columns, seconds = history.columns(count)
    assert len(columns) == count
    assert columns[-1] is not None
    if seconds * count >= 610 or cells * CELL <= seconds * (count - 1):
        assert max(value or 0 for value in values_of(columns, "silence")) == 1.0


def test_columns_do_not_flicker() -> None:
    """A column moves as a whole: what it stands for does not change as time goes on."""
    history = History()
    for number in range(100):
        look(history, number * CELL, silence=float(number))
    before = values_of(history.columns(30)[0], "silence")
    look(history, 100 * CELL, silence=100.0)
    after = values_of(history.columns(30)[0], "silence")
    assert before[1:-1] in (after[1:-1], after[:-2])


def test_rate() -> None:
    """Messages a second are those of the last three seconds."""
    history = History()
    assert history.rate == 0.0
    look(history, 0.0, received=0)
    assert history.rate == 0.0
    for now in range(1, 11):
        look(history, float(now), received=now * 50)
    assert history.rate == pytest.approx(50.0)
    look(history, 20.0, received=500)
    assert history.rate == 0.0


def test_backoff() -> None:
    """The next attempt is remembered until the next change of state."""
    history = History()
    history.note(change(STATE.RECONNECTING, retry_in=8.0))
    assert (history.retry_at, history.retry_in) == (1006.0, 8.0)
    history.note(change(STATE.CONNECTING))
    assert history.retry_at is None


def test_anomalies() -> None:
    """Anomalies are open until they are over, however they come and go."""
    history = History()
    for kind in (wsguard.AnomalyKind.SILENCE, wsguard.AnomalyKind.STUCK):
        history.note(anomaly(kind))
    over = wsguard.Recovery(
        kind=wsguard.AnomalyKind.SILENCE, duration=1.0, at=1.0, time=1.0, generation=1
    )
    history.note(over)
    history.note(over)
    assert list(history.anomalies) == [wsguard.AnomalyKind.STUCK]


def test_events_are_bounded() -> None:
    """Only the last events are kept."""
    history = History()
    for count in range(100):
        history.note(wsguard.EventsDropped(count=count))
    assert len(history.events) <= 20
    assert history.events[-1].text.startswith("99 ")
