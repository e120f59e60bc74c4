"""An alert as other programs know it: labels, annotations, times.

The names are Prometheus' own, so that routes, templates and receivers made for
its alerts work for these.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from typing import TYPE_CHECKING, Final

import trio_wsguard as wsguard

if TYPE_CHECKING:
    from collections.abc import Mapping

LABELS: Final = {"guard": "guard", "alert": "alertname", "level": "severity"}
"""What the labels of a `Grouping` are called outside."""

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Accept labels of the user's, beside ours.

    Raises:
        PolicyError: One has no legal name, one of ours, or no text.
    """
    for name, value in labels.items():
        if not isinstance(name, str) or not _LABEL_NAME.fullmatch(name):
            raise wsguard.PolicyError("labels", name, "is no name of a label")
        if name in LABELS.values():
            raise wsguard.PolicyError("labels", name, "is a label that every alert has")
        if not isinstance(value, str) or not value:
            raise wsguard.PolicyError("labels", value, f"is no text for {name}")
    return dict(labels)


def labels_of(alert: wsguard.Alert) -> dict[str, str]:
    """Tell what an alert is told from others by."""
    return {
        "alertname": alert.rule.name,
        "guard": alert.guard,
        "severity": alert.level.value,
    }


def sentence(alert: wsguard.Alert) -> str:
    """Tell an alert in one line, without its guard."""
    if isinstance(alert, wsguard.AlertRaised):
        return alert.message
    now = "not measured any more" if alert.value is None else f"now {alert.value:.4g}"
    return f"{alert.rule.figure} alert is over after {alert.duration:.0f} s ({now})"


def annotations_of(alert: wsguard.Alert) -> dict[str, str]:
    """Tell what a person wants to know of an alert."""
    told = {
        "summary": f"{alert.rule.name} of {alert.guard}",
        "description": sentence(alert),
        "advice": alert.rule.advice,
    }
    return {name: text for name, text in told.items() if text}


def started_time(alert: wsguard.Alert) -> float:
    """Tell when an alert began, in Unix seconds."""
    lasted = 0.0 if isinstance(alert, wsguard.AlertRaised) else alert.duration
    return alert.time - lasted


def fingerprint(names: Mapping[str, str]) -> str:
    """Make a short text of labels that is the same for the same labels."""
    return hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:16]


def rfc3339(time: float) -> str:
    """Write Unix seconds as RFC 3339 does, in UTC, to the millisecond."""
    moment = datetime.datetime.fromtimestamp(time, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
