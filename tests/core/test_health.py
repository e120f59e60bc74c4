"""The figures and the score made of them."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._core.health import (
    RESPONSE_TIME_BUCKETS,
    WINDOW,
    Counters,
    HealthStatus,
    ResponseTimes,
    ResponseTimeWindow,
    Uptime,
    health_score,
    health_status,
)
from trio_wsguard._core.state import CONNECTED, ConnectionState

DELAYS = st.floats(0, 1e6)


@pytest.mark.parametrize(
    ("failures", "delay", "score"),
    [
        (0, 0.0, 100.0),
        (1, 0.0, 90.0),
        (0, 1.0, 98.0),
        (2, 2.5, 75.0),
        (5, 0.0, 50.0),
        (10, 0.0, 0.0),
        (0, 50.0, 0.0),
        (11, 100.0, 0.0),
    ],
)
def test_score(failures: int, delay: float, score: float) -> None:
    """The score is 100 less 10 a failure and 2 a second, and not below 0."""
    assert health_score(failures, delay) == score


@given(st.integers(0, 10**9), DELAYS)
def test_score_is_the_formula_within_bounds(failures: int, delay: float) -> None:
    """Whatever goes in, the score is the formula cut to 0..100."""
    exact = 100 - 10 * failures - 2 * Fraction(delay)
    assert 0 <= health_score(failures, delay) <= 100
    within = min(Fraction(100), max(Fraction(0), exact))
    assert health_score(failures, delay) == pytest.approx(float(within), abs=1e-9)


@given(st.integers(0, 20), DELAYS)
def test_score_never_rises_with_trouble(failures: int, delay: float) -> None:
    """One more failure, or one more second, never betters the score."""
    score = health_score(failures, delay)
    assert health_score(failures + 1, delay) <= score
    assert health_score(failures, delay + 1) <= score


@pytest.mark.parametrize(
    ("score", "status"),
    [
        (100.0, HealthStatus.HEALTHY),
        (80.0, HealthStatus.HEALTHY),
        (math.nextafter(80.0, 0), HealthStatus.DEGRADED),
        (50.0, HealthStatus.DEGRADED),
        (math.nextafter(50.0, 0), HealthStatus.UNHEALTHY),
        (0.0, HealthStatus.UNHEALTHY),
    ],
)
def test_status_borders(score: float, status: HealthStatus) -> None:
    """The borders of the status are 80 and 50, both on the better side."""
    assert health_status(score, CONNECTED) is status


@pytest.mark.parametrize("state", [s for s in ConnectionState if s is not CONNECTED])
def test_down_unless_connected(state: ConnectionState) -> None:
    """Whatever the score, a guard that is not CONNECTED is DOWN."""
    assert health_status(100.0, state) is HealthStatus.DOWN


def test_window_before_the_first_answer() -> None:
    """Without an answer there is no response time of any kind."""
    window = ResponseTimeWindow()
    assert window.last is None
    assert window.figures() == ResponseTimes()


def nearest_rank(values: list[float], percent: int) -> float:
    return sorted(values)[math.ceil(Fraction(percent * len(values), 100)) - 1]


def check_against_naive(values: list[float]) -> None:
    window = ResponseTimeWindow()
    for value in values:
        window.add(value)
    kept = values[-1000:]
    figures = window.figures()
    assert figures.count == len(values)
    assert figures.sum == pytest.approx(math.fsum(values))
    assert figures.buckets == tuple(
        sum(value <= bound for value in values) for bound in RESPONSE_TIME_BUCKETS
    )
    assert window.last == figures.last == kept[-1]
    assert figures.mean == pytest.approx(math.fsum(kept) / len(kept), abs=1e-7)
    assert figures.p50 == nearest_rank(kept, 50)
    assert figures.p95 == nearest_rank(kept, 95)
    assert figures.p99 == nearest_rank(kept, 99)


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=120))
def test_window_matches_a_naive_one(values: list[float]) -> None:
    """Last, mean and nearest-rank percentiles are those of a plain list."""
    check_against_naive(values)


@pytest.mark.parametrize("length", [999, 1000, 1001, 2500])
def test_window_keeps_the_last_thousand(length: int) -> None:
    """Figures are made of the last 1,000 answers and nothing older, repeats included."""
    assert WINDOW == 1000
    draw = Random(length)
    check_against_naive([round(draw.expovariate(1.0), 2) for _ in range(length)])


def test_window_forgets_an_outlier() -> None:
    """A very slow answer leaves the figures with the thousandth answer after it."""
    window = ResponseTimeWindow()
    window.add(500.0)
    for _ in range(999):
        window.add(1.0)
    assert window.figures().mean == pytest.approx(1.499)
    window.add(1.0)
    times = window.figures()
    assert {times.last, times.mean, times.p50, times.p95, times.p99} == {1.0}


@pytest.mark.parametrize(("connections", "reconnects"), [(0, 0), (1, 0), (2, 1), (9, 8)])
def test_reconnects(connections: int, reconnects: int) -> None:
    """Every connection after the first is a reconnect."""
    assert Counters(connections=connections).reconnects == reconnects


def test_uptime_sums_the_connected_times() -> None:
    """Only connected seconds count, the running connection's included."""
    uptime = Uptime(100.0)
    assert uptime.connected_seconds(110.0) == 0.0
    uptime.up(110.0)
    assert uptime.connected_seconds(113.0) == 3.0
    uptime.down(115.0)
    uptime.down(119.0)
    uptime.up(120.0)
    assert uptime.connected_seconds(122.0) == 7.0
    assert uptime.elapsed(122.0) == 22.0
