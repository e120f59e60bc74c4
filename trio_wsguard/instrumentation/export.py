"""Alerting rules for Prometheus, and the table of the docs, made of what the library itself uses.

The rules ask of Prometheus' own history what `trio_wsguard` asks of its
windows: they go on judging where the program itself is dead or stalled. Two
things differ by nature. ``increase()`` estimates what happened before the
first and after the last scrape of the window, so few samples are counted a
little high; and an alert whose figure vanishes is over for Prometheus.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from trio_wsguard._core.alerts import EVALUATION_INTERVAL
from trio_wsguard._core.rates import RATE_WINDOW
from trio_wsguard._core.rules import DOCUMENTED_RULES, AlertRule
from trio_wsguard._errors import PolicyError
from trio_wsguard.instrumentation.metrics import GUARD_LABEL, METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_FAILED: Final = "wsguard_connection_attempts_failed_total"
_MADE: Final = "wsguard_connections_total"
_ANSWERED: Final = "wsguard_heartbeats_answered_total"
_MISSED: Final = "wsguard_heartbeats_missed_total"
_TIME: Final = "wsguard_response_time_seconds"
# Each windowed figure: what is counted, and all that it is a part of (or the mean over).
_PARTS: Final = {
    "connection_failure_rate": (_FAILED, (_FAILED, _MADE)),
    "connection_success_rate": (_MADE, (_FAILED, _MADE)),
    "heartbeat_timeout_rate": (_MISSED, (_ANSWERED, _MISSED)),
    "mean_response_time": (f"{_TIME}_sum", (f"{_TIME}_count",)),
}
_PLAIN: Final = {
    **{metric.figure: metric.name for metric in METRICS if metric.figure},
    "response_time.count": f"{_TIME}_count",
    "response_time.sum": f"{_TIME}_sum",
}
_QUANTILES: Final = {
    "response_time.p50": 0.5,
    "response_time.p95": 0.95,
    "response_time.p99": 0.99,
}
_HEADER: Final = """\
# Alerting rules for Prometheus 2.42 or later: name this file under rule_files.
# Made by trio-wsguard export prometheus-rules.
"""


def prometheus_rules(
    rules: Iterable[AlertRule] = DOCUMENTED_RULES, *, window: float = RATE_WINDOW
) -> str:
    """Write alert rules as a rules file of Prometheus, in YAML.

    Args:
        rules: The rules, such as `GuardPolicy().alerts.rules`.
        window: Seconds that rates and means look back, as in `AlertPolicy`.

    Raises:
        PolicyError: A rule's figure is no metric.
    """
    group = {
        "name": "trio_wsguard",
        "interval": _duration(EVALUATION_INTERVAL),
        "rules": [_alert(rule, window) for rule in rules],
    }
    return _HEADER + "\n".join(_yaml({"groups": [group]})) + "\n"


def _alert(rule: AlertRule, window: float) -> dict[str, Any]:
    alert: dict[str, Any] = {"alert": alert_name(rule), "expr": expression(rule, window)}
    if rule.for_:
        alert["for"] = _duration(rule.for_)
    if rule.keep_firing_for:
        alert["keep_firing_for"] = _duration(rule.keep_firing_for)
    value = '{{ printf "%.4g" $value }}'
    condition = f"{rule.comparison} {rule.threshold:g}"
    summary = f"{{{{ $labels.{GUARD_LABEL} }}}}: {rule.figure} is {value} ({condition})"
    annotations = {"summary": summary}
    if rule.advice:
        annotations["description"] = rule.advice.replace("{{", '{{ "{{" }}')
    return {**alert, "labels": {"severity": rule.level.value}, "annotations": annotations}


def alert_name(rule: AlertRule) -> str:
    """Name a rule as Prometheus' users name alerts: ``WSGuardMeanResponseTime``."""
    words = re.findall(r"[^\W_]+", rule.name)
    return "WSGuard" + "".join(word[0].upper() + word[1:] for word in words)


def expression(rule: AlertRule, window: float = RATE_WINDOW) -> str:
    """Put a rule's condition into PromQL, its minimum of samples included.

    Raises:
        PolicyError: Its figure is no metric.
    """
    condition = f"{rule.comparison} {rule.threshold!r}"
    over = f"[{_duration(window)}]"
    if rule.figure in _PARTS:
        counted, parts = _PARTS[rule.figure]
        whole = "\n  + ".join(f"increase({name}{over})" for name in parts)
        return (
            f"increase({counted}{over}) / (\n  {whole}\n) {condition}\n"
            f"and (\n  {whole}\n) >= {rule.min_samples}"
        )
    if rule.figure in _QUANTILES:
        quantile = _QUANTILES[rule.figure]
        return f"histogram_quantile({quantile}, rate({_TIME}_bucket{over})) {condition}"
    if rule.figure == "response_time.mean":
        return f"rate({_TIME}_sum{over}) / rate({_TIME}_count{over}) {condition}"
    if rule.figure not in _PLAIN:
        raise PolicyError("figure", rule.figure, "is no metric, so Prometheus cannot judge it")
    return f"{_PLAIN[rule.figure]} {condition}"


def _duration(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds % length == 0:
            return f"{milliseconds // length}{unit}"
    return f"{milliseconds}ms"


def _yaml(value: Any) -> Iterator[str]:
    """Write mappings, sequences and strings as block YAML: all that a rules file needs."""
    if isinstance(value, dict):
        for key, member in value.items():
            if isinstance(member, str):
                yield f"{key}: {_scalar(member)}"
            else:
                yield f"{key}:"
                yield from (f"  {line}" for line in _yaml(member))
    else:
        for member in value:
            first, *rest = "\n".join(_yaml(member)).split("\n")
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)


def _scalar(text: str) -> str:
    if re.fullmatch(r"[A-Za-z]\w*|\d+m?s|\d+[mh]", text, re.ASCII):
        return text
    if "\n" in text:
        return "\n  ".join(("|-", *text.split("\n")))
    # YAML takes JSON's strings, but not JSON's halves of characters beyond U+FFFF.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def markdown_table() -> str:
    """Write all metrics as a table, for the documentation."""
    lines = [
        "| metric | type | unit | labels | meaning | what to do |",
        "|---|---|---|---|---|---|",
    ]
    for metric in METRICS:
        labels = f"`{GUARD_LABEL}`"
        if metric.label is not None:
            labels += f", `{metric.label.name}`: {', '.join(metric.label.values)}"
        kind, unit = metric.kind.value, metric.unit or "-"
        cells = (f"`{metric.name}`", kind, unit, labels, metric.help, metric.advice)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
