"""Rules as data, and the documented ones at their thresholds."""

from __future__ import annotations

import math

import attrs
import pytest

from tests.core.test_alerts import FAILING, SNAPSHOT, attempts, depth_at, depth_rule, snapshot
from trio_wsguard._core.alerts import AlertRaised, AlertResolved, Alerts
from trio_wsguard._core.health import ResponseTimes, Snapshot
from trio_wsguard._core.rates import Rates, RateWindows
from trio_wsguard._core.rules import DOCUMENTED_RULES, FIGURES, AlertLevel, read_figure
from trio_wsguard._errors import PolicyError


def test_documented_rules() -> None:
    """The four rules are the documents' table, to the number."""
    assert [(r.name, r.figure, r.comparison, r.threshold, r.level) for r in DOCUMENTED_RULES] == [
        ("connection_failure_rate", "connection_failure_rate", ">", 0.3, AlertLevel.WARNING),
        ("heartbeat_timeout_rate", "heartbeat_timeout_rate", ">", 0.2, AlertLevel.CRITICAL),
        ("connection_success_rate", "connection_success_rate", "<", 0.7, AlertLevel.CRITICAL),
        ("mean_response_time", "mean_response_time", ">", 5, AlertLevel.WARNING),
    ]
    assert all(r.min_samples == 5 and r.for_ == r.keep_firing_for == 0 for r in DOCUMENTED_RULES)
    assert all(r.advice for r in DOCUMENTED_RULES)


def beats(good: int, bad: int) -> RateWindows:
    windows = RateWindows()
    for index in range(good + bad):
        windows.beat(0.0, is_good=index < good)
    return windows


def answers(*seconds: float) -> RateWindows:
    windows = RateWindows()
    for taken in seconds:
        windows.responded(0.0, taken)
    return windows


@pytest.mark.parametrize(
    ("windows", "raised"),
    [
        (attempts(7, 3), []),
        (attempts(14, 6), []),
        (attempts(13, 6), FAILING),
        (attempts(6, 4), FAILING),
        (attempts(0, 4), []),
        (attempts(0, 5), FAILING),
        (beats(4, 1), []),
        (beats(8, 2), []),
        (beats(7, 2), ["heartbeat_timeout_rate"]),
        (beats(0, 4), []),
        (beats(3, 2), ["heartbeat_timeout_rate"]),
        (answers(5, 5, 5, 5, 5), []),
        (answers(1, 9, 2, 8, 5), []),
        (answers(5, 5, 5, 5, 5.000001), ["mean_response_time"]),
        (answers(10, 10, 10, 10), []),
        (RateWindows(), []),
    ],
)
def test_documented_thresholds(windows: RateWindows, raised: list[str]) -> None:
    """Each rule is raised beyond its threshold, not at it, nor with fewer than 5 samples."""
    alerts = Alerts(0.0, interval=5.0)
    told = alerts.tick(5.0, snapshot(5.0, rates=windows.rates(5.0)))
    assert [alert.rule.name for alert in told] == raised
    assert all(isinstance(alert, AlertRaised) for alert in told)
    now = 300.0  # the window is over: all that was raised is recovered
    ended = alerts.tick(now, snapshot(now, rates=windows.rates(now)))
    assert [alert.rule.name for alert in ended] == raised
    assert all(isinstance(alert, AlertResolved) for alert in ended)
    assert alerts.open == ()


def test_documented_recovery_by_good_outcomes() -> None:
    """A rate that comes back to its threshold is recovered."""
    windows, alerts = beats(7, 2), Alerts(0.0, interval=5.0)
    assert alerts.tick(5.0, snapshot(5.0, rates=windows.rates(5.0)))
    windows.beat(9.0, is_good=True)
    (ended,) = alerts.tick(10.0, snapshot(10.0, rates=windows.rates(10.0)))
    assert isinstance(ended, AlertResolved)
    assert ended.value == 0.2


@pytest.mark.parametrize(
    ("comparison", "below", "at", "above"),
    [
        (">", False, False, True),
        (">=", False, True, True),
        ("<", True, False, False),
        ("<=", True, True, False),
    ],
)
def test_comparisons(comparison: str, below: bool, at: bool, above: bool) -> None:
    """A figure is compared as written; no figure meets nothing."""
    made = depth_rule(comparison=comparison)
    assert [made.is_met(value) for value in (9.0, 10.0, 11.0, None)] == [below, at, above, False]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("figure", "que_depth"),
        ("figure", "name"),
        ("figure", "connection_state"),
        ("figure", "response_time"),
        ("figure", "response_time.p42"),
        ("figure", "__class__"),
        ("figure", ["queue_depth"]),
        ("comparison", "=="),
        ("comparison", None),
        ("threshold", math.nan),
        ("threshold", "10"),
        ("threshold", -1),
        ("level", "warning"),
        ("for_", -1),
        ("for_", math.inf),
        ("keep_firing_for", -1),
        ("min_samples", 0),
        ("min_samples", 2.5),
        ("advice", None),
    ],
)
def test_rules_are_checked(field: str, value: object) -> None:
    """A rule that cannot work is refused when built, by field and value."""
    with pytest.raises(PolicyError) as refused:
        depth_rule(**{field: value})
    assert (refused.value.field, refused.value.value) == (field, value)


def test_figures_are_the_numbers_of_a_snapshot() -> None:
    """Every figure can be read; all numbers of a snapshot are figures, nothing else is."""
    full = attrs.evolve(
        SNAPSHOT,
        response_time=ResponseTimes(last=1.0, mean=1.0, p50=1.0, p95=1.0, p99=1.0),
        silence=0.0,
        mean_time_between_failures=1.0,
    )
    for name in FIGURES - set(attrs.fields_dict(Rates)):
        value, samples = read_figure(full, name)
        assert isinstance(value, int | float), name
        assert samples is None
    assert {"queue_depth", "score", "silence", "response_time.p99"} < FIGURES
    numbers = {n for n in attrs.fields_dict(Snapshot) if type(getattr(full, n)) in (int, float)}
    assert numbers <= FIGURES


def test_windowed_figures_tell_their_samples() -> None:
    """A windowed figure is read with the number of samples behind it."""
    figures = snapshot(0.0, rates=beats(3, 1).rates(0.0))
    assert read_figure(figures, "heartbeat_timeout_rate") == (0.25, 4)
    assert read_figure(figures, "connection_failure_rate") == (None, 0)


def test_nan_is_no_value() -> None:
    """NaN is read as no value."""
    assert read_figure(depth_at(0.0, math.nan), "queue_depth") == (None, None)
