"""What a guard tells besides its state changes."""

from __future__ import annotations

import pytest

from trio_wsguard._core.events import AnomalyKind, EventsDropped, Gap


def test_gap_tells_its_duration() -> None:
    """A gap lasts from the loss of one connection until the next is ready."""
    gap = Gap(lost_at=10.0, ready_at=12.5, time=1e9, lost_generation=1, ready_generation=2)
    assert gap.duration == 2.5


def test_events_cannot_be_altered() -> None:
    """An event is frozen: every reader sees the same."""
    dropped = EventsDropped(count=3)
    with pytest.raises(AttributeError):
        dropped.count = 0  # type: ignore[misc]


def test_anomaly_kinds() -> None:
    """The kinds of anomaly are the documented eight, by stable values."""
    assert {kind.value for kind in AnomalyKind} == {
        "slow_response",
        "heartbeat_lost",
        "heartbeat_rejected",
        "silence",
        "flapping",
        "slow_consumer",
        "local_stall",
        "stuck",
    }
