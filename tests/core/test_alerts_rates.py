"""Rates and means over sliding windows."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_wsguard._core.rates import MeanWindow, Rates, RateWindow, RateWindows
from trio_wsguard._errors import PolicyError

STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 1.0, 9.9, 10.0, 10.1]) | st.floats(0, 30), st.booleans()),
    max_size=60,
)


@given(STEPS, st.integers(1, 20), st.floats(0, 30))
def test_rate_matches_a_naive_window(
    steps: list[tuple[float, bool]], max_samples: int, wait: float
) -> None:
    """Both rates are those of a plain list of all that ever happened."""
    window = RateWindow(10.0, max_samples)
    history: list[tuple[float, bool]] = []
    now = 0.0
    for step, is_good in steps:
        now += step
        window.add(now, is_good)
        history.append((now, is_good))
    now += wait
    # Those outdated and those pushed out are both the oldest: order does not matter.
    kept = [good for at, good in history[-max_samples:] if now < at + 10.0]
    assert window.samples(now) == len(kept)
    assert window.good_rate(now) == (sum(kept) / len(kept) if kept else None)
    assert window.bad_rate(now) == (kept.count(False) / len(kept) if kept else None)


@given(
    st.lists(st.tuples(st.floats(0, 20), st.floats(0, 1e6)), max_size=60),
    st.integers(1, 20),
    st.floats(0, 30),
)
def test_mean_matches_a_naive_window(
    steps: list[tuple[float, float]], max_samples: int, wait: float
) -> None:
    """The mean is that of a plain list, whatever has passed through the window before."""
    window = MeanWindow(10.0, max_samples)
    history: list[tuple[float, float]] = []
    now = 0.0
    for step, seconds in steps:
        now += step
        window.add(now, seconds)
        history.append((now, seconds))
    now += wait
    kept = [seconds for at, seconds in history[-max_samples:] if now < at + 10.0]
    if kept:
        assert window.mean(now) == pytest.approx(math.fsum(kept) / len(kept), rel=1e-12, abs=1e-9)
    else:
        assert window.mean(now) is None


def test_mean_forgets_an_outlier_altogether() -> None:
    """A huge value leaves no trace of rounding behind: sums are whole numbers."""
    window = MeanWindow(10.0)
    window.add(0.0, 1e15)
    window.add(5.0, 0.1)
    assert window.mean(10.0) == 0.1


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_no_finite_number_is_no_sample(seconds: float) -> None:
    """What is no finite number does not enter the mean."""
    window = MeanWindow()
    window.add(0.0, seconds)
    assert window.mean(0.0) is None


def test_window_is_open_on_the_left() -> None:
    """A sample counts for less than the window, and not at its end."""
    window = RateWindow(300.0)
    window.add(100.0, is_good=False)
    assert window.bad_rate(math.nextafter(400.0, 0)) == 1.0
    assert window.bad_rate(400.0) is None


def test_time_is_never_turned_back() -> None:
    """An outcome told late counts from the last one told, and the order stands."""
    window = RateWindow(10.0)
    window.add(20.0, is_good=True)
    window.add(15.0, is_good=False)
    assert window.samples(29.0) == 2
    assert window.samples(30.0) == 0


def test_window_is_bounded_in_number() -> None:
    """However many fall into the window, only the last are kept."""
    window = RateWindow(300.0, 1000)
    for index in range(5000):
        window.add(0.0, is_good=index < 4000)
    assert window.samples(0.0) == 1000
    assert window.bad_rate(0.0) == 1.0


@given(st.integers(1, 100), st.integers(0, 100))
def test_rates_at_a_threshold_are_exact(count: int, percent: int) -> None:
    """A rate that is a whole number of percent compares equal to it."""
    if count * percent % 100:
        return
    bad = count * percent // 100
    window = RateWindow()
    for index in range(count):
        window.add(0.0, is_good=index >= bad)
    assert window.bad_rate(0.0) == percent / 100
    assert window.good_rate(0.0) == (100 - percent) / 100


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("window", {"window": 0}),
        ("window", {"window": math.inf}),
        ("max_samples", {"max_samples": 0}),
    ],
)
def test_settings_are_checked(field: str, settings: dict[str, Any]) -> None:
    """A window without width or room is refused, by name."""
    with pytest.raises(PolicyError) as refused:
        RateWindow(**settings)
    assert refused.value.field == field


def test_rates_of_a_guard() -> None:
    """Attempts, beats and response times have a window each."""
    windows = RateWindows()
    assert windows.rates(0.0) == Rates()
    windows.attempted(1.0, is_good=True)
    windows.attempted(2.0, is_good=False)
    windows.beat(3.0, is_good=True)
    windows.responded(3.0, 0.25)
    windows.beat(4.0, is_good=True)
    windows.beat(5.0, is_good=False)
    windows.beat(6.0, is_good=False)
    assert windows.rates(6.0) == Rates(
        connection_failure_rate=0.5,
        connection_success_rate=0.5,
        heartbeat_timeout_rate=0.5,
        mean_response_time=0.25,
        attempt_samples=2,
        beat_samples=4,
        response_samples=1,
    )
    assert windows.rates(301.5).connection_success_rate == 0.0
    assert windows.rates(306.0) == Rates()
