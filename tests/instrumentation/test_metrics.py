"""The table of metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_type_hints

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard._core.rules import FIGURES
from trio_wsguard.instrumentation.guards import GuardSet
from trio_wsguard.instrumentation.metrics import (
    METRICS,
    NO_LABEL,
    SUM,
    Figures,
    Metric,
    MetricKind,
)

from .guarded import SNAPSHOT, fake

if TYPE_CHECKING:
    from collections.abc import Mapping

BY_NAME = {metric.name: metric for metric in METRICS}
BASE_UNITS = {"", "seconds", "bytes", "ratio"}


def figures(**changes: Any) -> Figures:
    return Figures(name="feed", snapshot=attrs.evolve(SNAPSHOT, **changes))


def value(name: str, **changes: Any) -> Mapping[str, float]:
    return BY_NAME[name].values(figures(**changes))


def test_names_are_unique() -> None:
    """No two metrics have one name, nor one figure."""
    assert len(BY_NAME) == len(METRICS)
    shown = [metric.figure for metric in METRICS if metric.figure]
    assert len(set(shown)) == len(shown)
    assert set(shown) <= FIGURES


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_rules(metric: Metric) -> None:
    """A name has the prefix, the base unit and, for what only grows, `_total` at its end."""
    assert re.fullmatch(r"wsguard(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is MetricKind.COUNTER)
    assert metric.unit in BASE_UNITS
    if metric.unit:
        assert metric.name == f"{metric.base_name}_{metric.unit}" + (
            "_total" if metric.kind is MetricKind.COUNTER else ""
        )
    assert metric.help.endswith(".")
    assert metric.advice.endswith(".")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_labels_are_bounded(metric: Metric) -> None:
    """Each metric has a value for all values of its label, and for nothing else."""
    values = set(metric.values(figures(last_message_received_time=1.0)))
    if metric.label is None:
        assert values <= {NO_LABEL}
    elif metric.kind is MetricKind.HISTOGRAM:
        assert values == {*metric.label.values, SUM}
    else:
        assert values == set(metric.label.values)


def test_all_figures_have_a_metric() -> None:
    """Every number of a snapshot is a metric, but for settings and what a histogram tells."""
    numbers = {
        name
        for name, hint in get_type_hints(wsguard.Snapshot).items()
        if hint in (int, float, int | None, float | None)
    }
    shown = {metric.figure for metric in METRICS}
    assert numbers - shown == {"generation", "max_connection_failures"}


@pytest.mark.parametrize("state", wsguard.ConnectionState)
def test_one_state_is_set(state: wsguard.ConnectionState) -> None:
    """The state that the guard is in is 1, and all others are 0."""
    values = value("wsguard_connection_state", connection_state=state)
    assert {name for name, number in values.items() if number} == {state.value}
    assert sum(values.values()) == 1


def test_kinds_are_counted_by_their_label() -> None:
    """Failures and anomalies stand at their kind; kinds without any are 0."""
    failures = value("wsguard_failures_total", failures={wsguard.FailureKind.TLS: 3})
    assert failures["tls"] == 3
    assert sum(failures.values()) == 3
    kind = wsguard.AnomalyKind.SILENCE
    assert value("wsguard_anomalies_total", anomalies={kind: 2})["silence"] == 2
    assert value("wsguard_open_anomalies", open_anomalies=(kind,))["silence"] == 1


def test_open_alerts_are_counted_by_level() -> None:
    """Open alerts stand at their level."""
    levels = (wsguard.AlertLevel.WARNING, wsguard.AlertLevel.WARNING)
    read = Figures(name="feed", snapshot=SNAPSHOT, levels=levels)
    assert BY_NAME["wsguard_open_alerts"].values(read) == {"warning": 2, "critical": 0}


def test_what_is_not_known_is_absent() -> None:
    """Before anything happened there is no value, where 0 would be a lie."""
    for name in ("last_message", "last_heartbeat", "last_heartbeat_response", "last_connected"):
        assert value(f"wsguard_{name}_timestamp_seconds") == {}
    assert value("wsguard_silence_seconds", silence=None) == {}
    assert value("wsguard_mean_time_between_failures_seconds") == {}


def test_histogram_is_cumulative() -> None:
    """Each bucket holds all shorter times; the last one holds all."""
    times = wsguard.ResponseTimes(count=3, sum=21.5, buckets=(0, 0, 0, 0, 0, 1, 1, 1, 1, 2))
    values = value("wsguard_response_time_seconds", response_time=times)
    assert values["0.25"] == 0
    assert (values["0.5"], values["10.0"], values["+Inf"], values[SUM]) == (1, 2, 3, 21.5)


STEPS = st.lists(
    st.tuples(st.sampled_from(["open", "close", "grow", "read"]), st.integers(0, 2)), max_size=40
)


@given(STEPS)
def test_counters_never_go_back(steps: list[tuple[str, int]]) -> None:
    """Whatever guards come and go under a name, its counters go on; gone, it tells nothing."""

    async def run() -> None:
        guards = GuardSet()
        live: dict[int, Any] = {}
        stood: dict[tuple[str, str, str], float] = {}
        for step, number in steps:
            if step == "open" and number not in live:
                guards.add(live.setdefault(number, fake(f"feed {number}")))
            elif step == "close" and number in live:
                guards.remove(live.pop(number))
            elif step == "grow" and number in live:
                grow(live[number])
            told = guards.read()
            assert {read.name for read in told} == {f"feed {key}" for key in live}
            for read in told:
                check(read, stood)

    trio.run(run)


def grow(guard: Any) -> None:
    now = guard.now
    kind = wsguard.FailureKind.TLS
    times = wsguard.ResponseTimes(
        count=now.response_time.count + 1, sum=now.response_time.sum + 7, buckets=(0,) * 10
    )
    guard.now = attrs.evolve(
        now,
        losses=now.losses + 1,
        failures={kind: now.failures.get(kind, 0) + 1},
        response_time=times,
    )


def check(read: Figures, stood: dict[tuple[str, str, str], float]) -> None:
    for metric in METRICS:
        if metric.kind is not MetricKind.GAUGE:
            for key, number in metric.values(read).items():
                at = (read.name, metric.name, key)
                assert number >= stood.get(at, 0)
                stood[at] = number


async def test_names_are_remembered_within_bounds() -> None:
    """Names that never come back are forgotten, the oldest first."""
    guards = GuardSet()
    first = fake("first", losses=1)
    guards.add(first)
    guards.remove(first)
    for number in range(1000):
        other = fake(str(number), losses=1)
        guards.add(other)
        guards.remove(other)
    guards.add(fake("first"))
    guards.add(fake("999"))
    losses = BY_NAME["wsguard_connection_losses_total"]
    assert [losses.values(read)[NO_LABEL] for read in guards.read()] == [0, 1]
