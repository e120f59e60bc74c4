"""A health status that does not waver with its score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._core.health import HealthStatus, health_status
from trio_wsguard._core.state import CONNECTED, CONNECTING, RECONNECTING, ConnectionState
from trio_wsguard._core.steady import BAND, HealthChange, SteadyStatus
from trio_wsguard._errors import PolicyError

DOWN, UNHEALTHY = HealthStatus.DOWN, HealthStatus.UNHEALTHY
DEGRADED, HEALTHY = HealthStatus.DEGRADED, HealthStatus.HEALTHY
RANK = [DOWN, UNHEALTHY, DEGRADED, HEALTHY]
SCORES = st.floats(0, 100) | st.sampled_from([49.9, 50, 54.9, 55, 79.9, 80, 84.9, 85])
STATES = st.sampled_from([CONNECTED, CONNECTED, CONNECTED, RECONNECTING])


def connected(score: float) -> SteadyStatus:
    steady = SteadyStatus()
    steady.update(score, CONNECTED, 0.0, 0.0)
    return steady


def test_first_change() -> None:
    """A new guard is DOWN; its first connection has the status of its score, told once."""
    steady = SteadyStatus()
    assert steady.update(100.0, CONNECTING, 1.0, 1e9) is None
    assert steady.update(82.0, CONNECTED, 2.0, 1e9 + 1) == HealthChange(
        previous=DOWN, status=HEALTHY, score=82.0, at=2.0, time=1e9 + 1
    )
    assert steady.update(82.0, CONNECTED, 3.0, 1e9 + 2) is None


@pytest.mark.parametrize(
    ("before", "score", "after"),
    [
        (100, 80, HEALTHY),
        (100, math.nextafter(80, 0), DEGRADED),
        (100, 50, DEGRADED),
        (100, math.nextafter(50, 0), UNHEALTHY),
        (70, 80, DEGRADED),
        (70, math.nextafter(85, 0), DEGRADED),
        (70, 85, HEALTHY),
        (20, math.nextafter(55, 0), UNHEALTHY),
        (20, 55, DEGRADED),
        (20, 82, DEGRADED),
        (20, 85, HEALTHY),
    ],
)
def test_borders(before: float, score: float, after: HealthStatus) -> None:
    """It gets worse at 80 and 50 as documented, and better only five points above."""
    steady = connected(before)
    steady.update(score, CONNECTED, 1.0, 1.0)
    assert steady.status is after


@pytest.mark.parametrize("state", [s for s in ConnectionState if s is not CONNECTED])
def test_down_at_once(state: ConnectionState) -> None:
    """A lost connection is DOWN whatever the score, and the next one starts afresh."""
    steady = connected(60.0)
    change = steady.update(100.0, state, 1.0, 1.0)
    assert change is not None
    assert (change.previous, change.status) == (DEGRADED, DOWN)
    steady.update(81.0, CONNECTED, 2.0, 2.0)
    assert steady.status is HEALTHY


@given(st.lists(st.tuples(SCORES, STATES), max_size=60))
def test_changes_make_a_chain(steps: list[tuple[float, ConnectionState]]) -> None:
    """Every change begins where the last ended; the status is never better than the score's."""
    steady, other = SteadyStatus(), SteadyStatus()
    status = DOWN
    for index, (score, state) in enumerate(steps):
        now = float(index)
        change = steady.update(score, state, now, now)
        assert other.update(score, state, now, now) == change
        assert steady.update(score, state, now, now) is None
        if change is not None:
            assert change.previous is status
            assert change.status is not status
            status = change.status
        assert steady.status is status
        plain = health_status(score, state)
        assert RANK.index(status) <= RANK.index(plain)
        if status is not plain:
            assert health_status(score - BAND, state) is status


@given(st.floats(0, 100), st.lists(st.floats(0, BAND, exclude_max=True), max_size=60))
def test_a_wavering_score_does_not_flood(base: float, waves: list[float]) -> None:
    """A score that wavers by less than the band changes the status once at most."""
    steady = connected(base)
    scores = [min(base + wave, 100.0) for wave in waves]
    changes = [steady.update(score, CONNECTED, 1.0, 1.0) for score in scores if score - base < BAND]
    assert len([change for change in changes if change is not None]) <= 1


@pytest.mark.parametrize("band", [-1, math.nan, 20.5, math.inf])
def test_a_band_is_checked(band: float) -> None:
    """A band that would keep a full score from HEALTHY is refused, as is a negative one."""
    with pytest.raises(PolicyError, match="band"):
        SteadyStatus(band)


def test_the_widest_band() -> None:
    """With the widest band, a full score is still HEALTHY."""
    steady = SteadyStatus(20)
    steady.update(10.0, CONNECTED, 0.0, 0.0)
    steady.update(100.0, CONNECTED, 1.0, 1.0)
    assert steady.status is HEALTHY
