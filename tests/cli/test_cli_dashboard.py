"""What the live view draws, on terminals of every size."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.cli.dashboard import View, draw
from trio_wsguard.cli.history import History
from trio_wsguard.cli.spark import ASCII, BLOCKS

from .views import NOW, STATE, alert, anomaly, change, health, snapshot, view


def drawn(what: View, width: int = 80, height: int = 24) -> list[str]:
    return [line.plain for line in draw(what, width, height, BLOCKS)]


@functools.cache
def troubled() -> View:
    """Give a view with everything wrong, after a while."""
    history = History()
    for tenth in range(2000):
        now = NOW - 200 + tenth / 10
        state = STATE.RECONNECTING if 900 < tenth < 1000 else STATE.CONNECTED
        silence = tenth % 400 / 10 if state is STATE.CONNECTED else None
        history.look(
            snapshot(connection_state=state, silence=silence), health(delay=tenth % 70 / 10), now
        )
    for kind in wsguard.AnomalyKind:
        history.note(anomaly(kind, "x" * 300))
    return view(history, alerts=[alert(n) for n in range(4)], task="fault 1 of 5")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_all_figures(width: int) -> None:
    """Every figure is there, on narrow terminals and on wide ones."""
    text = "\n".join(drawn(view(), width, 45))
    for told in (
        "● CONNECTED",
        "for 12.3 s",
        "#7, 6 reconnects",
        "80 DEGRADED",
        "2.50 s of 30 s",
        "20 ms, p95 50 ms",
        "98.76%",
        "MTBF 42.0 s",
        "1,234",
        "no anomaly, no alert",
        "feed",
        "Ctrl-C ends",
    ):
        assert told in text
    for label in ("score", "state", "response", "silence", "losses", "rate", "queued"):
        assert label in text


def test_score_with_its_parts() -> None:
    """The score is told with what it is made of; on very narrow terminals without."""
    assert "80 DEGRADED" in drawn(view())[2]
    assert "100 - 10 x 2 failures - 2 x 0.10 s" in drawn(view())[2]
    assert "-10 x 2 -2 x 0.10" in drawn(view(), 60)[2]
    assert "80 DEGRADED" in drawn(view(), 46)[2]
    assert "0.10" not in drawn(view(), 46)[2]
    one = view(health=health(connection_failures=1))
    assert "10 x 1 failure - " in drawn(one)[2]


def test_backoff_counts_down() -> None:
    """While there is no connection, the time until the next attempt runs down."""
    history = History()
    history.note(change(STATE.RECONNECTING, retry_in=8.0))
    waiting = view(history, snapshot=snapshot(connection_state=STATE.RECONNECTING))
    assert "● RECONNECTING  next attempt in 6.0 s  ██░░░░░░░░" in drawn(waiting)[1]
    history.note(change(STATE.RECONNECTING, retry_in=0.0))
    assert "next attempt in 0.0 s  ██████████" in drawn(waiting)[1]
    history.note(change(STATE.CONNECTING))
    assert "next attempt" not in drawn(waiting)[1]


def test_no_connection() -> None:
    """Without a connection there is no silence, which is told."""
    down = view(snapshot=snapshot(silence=None), health=health(silence=None))
    assert any(line.startswith("│ silence") and "no connection" in line for line in drawn(down))


def test_lines_of_the_last_minutes() -> None:
    """Beside state, response and silence stands how they were, with its time."""
    rows = {line[2:10].strip(): line for line in drawn(troubled(), height=60)}
    assert "▒" in rows["state"]
    assert "██" in rows["state"]
    assert "last 3 min 35 s" in rows["state"]
    assert "▁" in "".join(drawn(troubled(), height=60))
    assert "at most 6.90 s" in rows["response"]


@pytest.mark.parametrize("width", [80, 160])
def test_problems(width: int) -> None:
    """Open alerts come before open anomalies, each with how long it has been open."""
    rows = [line for line in drawn(troubled(), width, 60) if "▲" in line]
    assert len(rows) == 4 + len(wsguard.AnomalyKind)
    assert "▲ warning " in rows[0]
    assert "connection_failure_rate is 0.5 (> 0." in rows[0]
    assert "  2 min 00 s" in rows[0]
    assert "▲ slow response " in rows[4]
    assert "  5.00 s" in rows[4]


def test_problems_are_seen_where_there_is_little_room() -> None:
    """On ten rows what is wrong comes before the lines of the last minutes."""
    history = History()
    history.note(anomaly(wsguard.AnomalyKind.STUCK))
    rows = drawn(view(history), 80, 10)
    assert len(rows) == 7
    assert "CONNECTED" in rows[1]
    assert "score" in rows[2]
    assert any("▲ stuck" in row for row in rows)
    assert any("response" in row for row in rows)
    assert not any("messages" in row for row in rows)


def test_events() -> None:
    """The last events are told where there is room: more on wide terminals."""
    history = History()
    for number in range(9):
        history.note(change(STATE.CONNECTED, reason=f"reason {number}"))
    assert "reason 8" in drawn(view(history), 80, 24)[-2]
    assert sum("reason" in row for row in drawn(view(history), 80, 24)) == 2
    assert sum("reason" in row for row in drawn(view(history), 80, 60)) == 6
    assert sum("reason" in row for row in drawn(view(history), 160, 45)) >= 4


def test_task() -> None:
    """What the command is doing stands at the bottom."""
    assert "fault 1 of 5" in drawn(troubled())[-1]


@settings(deadline=None)
@given(
    width=st.integers(1, 250),
    height=st.integers(1, 80),
    is_troubled=st.booleans(),
    charset=st.sampled_from([BLOCKS, ASCII]),
)
def test_never_beyond_the_terminal(
    width: int, height: int, is_troubled: bool, charset: object
) -> None:
    """On a terminal of any size the drawing fits, leaves room for the log, and is a rectangle."""
    what = troubled() if is_troubled else view()
    found = draw(what, width, height, BLOCKS if charset is BLOCKS else ASCII)
    assert len(found) <= max(0, height - max(3, height // 3))
    assert all(line.cell_len <= width - 1 for line in found)
    if len(found) >= 4:
        assert {line.cell_len for line in found} == {width - 1}
    if charset is ASCII:
        assert all(line.plain.isascii() for line in found)


def test_wide_characters() -> None:
    """A name of wide or hostile characters breaks no frame."""
    named = view(snapshot=snapshot(name="行情" * 60 + "\x1b[31m"))
    found = draw(named, 80, 24, BLOCKS)
    assert {line.cell_len for line in found} == {79}
    named = view(snapshot=snapshot(name="\x1b[31m\n\u202e"))
    assert all(line.isprintable() for line in drawn(named))
