"""Rules files for Prometheus, made of the rules that a guard itself goes by."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import trio_wsguard as wsguard
from trio_wsguard._core.rules import FIGURES
from trio_wsguard.instrumentation.export import (
    alert_name,
    expression,
    markdown_table,
    prometheus_rules,
)
from trio_wsguard.instrumentation.metrics import METRICS

from .guarded import needs_promtool, promtool

if TYPE_CHECKING:
    from pathlib import Path

RULES = {rule.name: rule for rule in wsguard.DOCUMENTED_RULES}
NO_METRIC = {"generation", "max_connection_failures", "response_time.last"}
HOSTILE = attrs.evolve(
    RULES["mean_response_time"],
    name='très "lent": {{ bad }} \\ 😀 #1',
    figure="queue_depth",
    threshold=1e-7,
    for_=90,
    keep_firing_for=0.25,
    advice='{{ .Boom }} "so": \\ %s # \x7f 😀',
)


def own_rule(figure: str) -> wsguard.AlertRule:
    return attrs.evolve(HOSTILE, name=f"own {figure}", figure=figure, advice="")


def metrics_in(expr: str) -> set[str]:
    names = set(re.findall(r"wsguard_\w+", expr))
    return {re.sub(r"(?<=_seconds)_(bucket|sum|count)$", "", name) for name in names}


def check(tmp_path: Path, text: str) -> str:
    path = tmp_path / "rules.yml"
    path.write_text(text, encoding="utf-8")
    return promtool("check", "rules", str(path))


@needs_promtool
def test_documented_rules_pass_promtool(tmp_path: Path) -> None:
    """Prometheus takes the file of the documented rules."""
    assert "SUCCESS: 4 rules found" in check(tmp_path, prometheus_rules())


@needs_promtool
def test_any_rule_passes_promtool(tmp_path: Path) -> None:
    """Whatever a user's rule says, and whatever figure it is about, Prometheus takes it."""
    rules = [HOSTILE, *map(own_rule, sorted(FIGURES - NO_METRIC))]
    said = check(tmp_path, prometheus_rules(rules, window=0.5))
    assert f"SUCCESS: {len(rules)} rules found" in said


@pytest.mark.parametrize("figure", sorted(NO_METRIC))
def test_figures_without_a_metric_are_refused(figure: str) -> None:
    """A rule about what Prometheus does not know is refused by its figure."""
    with pytest.raises(wsguard.PolicyError) as caught:
        prometheus_rules([own_rule(figure)])
    assert caught.value.field == "figure"


@pytest.mark.parametrize("figure", sorted(FIGURES - NO_METRIC))
def test_expressions_use_metrics_of_the_table(figure: str) -> None:
    """An expression asks for nothing that a guard does not tell."""
    assert metrics_in(expression(own_rule(figure))) <= {metric.name for metric in METRICS}


def test_rules_file_as_it_is_read() -> None:
    """A rule is written with its durations, level and advice, readable for a person."""
    rule = attrs.evolve(RULES["mean_response_time"], for_=90, keep_firing_for=3600)
    assert prometheus_rules([rule]).partition("\n\n")[0].split("\n", 2)[2] == (
        """\
groups:
  - name: trio_wsguard
    interval: 15s
    rules:
      - alert: WSGuardMeanResponseTime
        expr: |-
          increase(wsguard_response_time_seconds_sum[5m]) / (
            increase(wsguard_response_time_seconds_count[5m])
          ) > 5
          and (
            increase(wsguard_response_time_seconds_count[5m])
          ) >= 5
        for: 90s
        keep_firing_for: 1h
        labels:
          severity: warning
        annotations:
          summary: "{{ $labels.guard }}: mean_response_time is {{ printf \\"%.4g\\" $value }} (> 5)"
          description: "look into the performance of the server"
"""
    )


def test_alerts_are_named_in_words() -> None:
    """A rule's name becomes one word, as is the custom with alerts."""
    assert alert_name(RULES["mean_response_time"]) == "WSGuardMeanResponseTime"
    assert alert_name(own_rule("response_time.p95")) == "WSGuardOwnResponseTimeP95"


# --- the documented thresholds, judged by Prometheus itself -----------------------

FAILED = "wsguard_connection_attempts_failed_total"
MADE = "wsguard_connections_total"
ANSWERED = "wsguard_heartbeats_answered_total"
MISSED = "wsguard_heartbeats_missed_total"
SUM = "wsguard_response_time_seconds_sum"
COUNT = "wsguard_response_time_seconds_count"
# For each rule: what grows in 15 s exactly at the threshold, just beyond it, and the figure then.
THRESHOLDS: dict[str, tuple[dict[str, float], dict[str, float], float]] = {
    "connection_failure_rate": ({FAILED: 3, MADE: 7}, {FAILED: 31, MADE: 69}, 0.31),
    "connection_success_rate": ({FAILED: 3, MADE: 7}, {FAILED: 31, MADE: 69}, 0.69),
    "heartbeat_timeout_rate": ({MISSED: 2, ANSWERED: 8}, {MISSED: 21, ANSWERED: 79}, 0.21),
    "mean_response_time": ({SUM: 5, COUNT: 1}, {SUM: 5.01, COUNT: 1}, 5.01),
}
# For each rule: what one bad sample adds, and the figure of bad samples alone.
BAD: dict[str, tuple[dict[str, float], float]] = {
    "connection_failure_rate": ({FAILED: 1, MADE: 0}, 1),
    "connection_success_rate": ({FAILED: 1, MADE: 0}, 0),
    "heartbeat_timeout_rate": ({MISSED: 1, ANSWERED: 0}, 1),
    "mean_response_time": ({SUM: 7, COUNT: 1}, 7),
}


def judge(tmp_path: Path, name: str, series: dict[str, str], value: float | None) -> None:
    """Have Prometheus judge a rule after five minutes: the alert has this value, or is none."""
    rule = RULES[name]
    fired: list[dict[str, Any]] = []
    if value is not None:
        alert = wsguard.AlertRaised(rule=rule, guard="feed", value=value, at=0, time=0)
        said = {"summary": f"feed: {alert.message}", "description": rule.advice}
        labels = {"guard": "feed", "severity": rule.level.value}
        fired.append({"exp_labels": labels, "exp_annotations": said})
    case = {"eval_time": "5m", "alertname": alert_name(rule), "exp_alerts": fired}
    inputs = [{"series": f'{key}{{guard="feed"}}', "values": text} for key, text in series.items()]
    test = {"interval": "15s", "input_series": inputs, "alert_rule_test": [case]}
    plan = {"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]}
    (tmp_path / "rules.yml").write_text(prometheus_rules(), encoding="utf-8")
    (tmp_path / "test.yml").write_text(json.dumps(plan), encoding="utf-8")
    promtool("test", "rules", "test.yml", cwd=tmp_path)


def steadily(steps: dict[str, float]) -> dict[str, str]:
    return {name: f"0+{step}x20" for name, step in steps.items()}


def at_once(steps: dict[str, float], times: int) -> dict[str, str]:
    return {name: f"0x4 {step * times}x15" for name, step in steps.items()}


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_at_the_threshold_nothing_fires(tmp_path: Path, name: str) -> None:
    """A figure exactly at the documented threshold is no alert for Prometheus either."""
    judge(tmp_path, name, steadily(THRESHOLDS[name][0]), None)


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_beyond_the_threshold_it_fires(tmp_path: Path, name: str) -> None:
    """Just beyond it the alert fires, and says the same as the guard's own alert."""
    _, beyond, value = THRESHOLDS[name]
    judge(tmp_path, name, steadily(beyond), value)


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_few_samples_fire_nothing(tmp_path: Path, name: str) -> None:
    """Four samples are too few, however bad they are; five are enough."""
    steps, value = BAD[name]
    judge(tmp_path, name, at_once(steps, 4), None)
    judge(tmp_path, name, at_once(steps, 5), value)


@needs_promtool
@pytest.mark.parametrize("name", RULES)
def test_it_is_over_once_all_is_well(tmp_path: Path, name: str) -> None:
    """What was bad before the window is forgotten."""
    steps, _ = BAD[name]
    judge(tmp_path, name, {key: f"{step * 9}x20" for key, step in steps.items()}, None)


# --- the docs ------------------------------------------------------------------


def test_the_table_has_every_metric_once() -> None:
    """The documentation's table has a row for each metric, whole and in order."""
    head, rule, *rows = markdown_table().splitlines()
    assert [row.split("`")[1] for row in rows] == [metric.name for metric in METRICS]
    assert {row.count("|") for row in (head, rule, *rows)} == {7}
