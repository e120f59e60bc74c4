"""Alert rules as data, and the figures that they look at."""

from __future__ import annotations

import enum
import math
import typing
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.health import ResponseTimes, Snapshot
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable


class AlertLevel(enum.Enum):
    """How bad it is."""

    WARNING = "warning"
    CRITICAL = "critical"


Comparison = Literal[">", ">=", "<", "<="]

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda value, threshold: value > threshold,
    ">=": lambda value, threshold: value >= threshold,
    "<": lambda value, threshold: value < threshold,
    "<=": lambda value, threshold: value <= threshold,
}

# A windowed figure, and where its number of samples stands.
_WINDOWED: Final = {
    "connection_failure_rate": "attempt_samples",
    "connection_success_rate": "attempt_samples",
    "heartbeat_timeout_rate": "beat_samples",
    "mean_response_time": "response_samples",
}


def _numbers(kind: type) -> set[str]:
    hints = typing.get_type_hints(kind)
    return {name for name, hint in hints.items() if hint in (int, float, int | None, float | None)}


FIGURES: Final = frozenset(
    _numbers(Snapshot) | {f"response_time.{name}" for name in _numbers(ResponseTimes)}
) | frozenset(_WINDOWED)


def read_figure(snapshot: Snapshot, name: str) -> tuple[float | None, int | None]:
    """Tell a figure, and how many samples it was made of.

    Args:
        snapshot: The guard's figures.
        name: One of `FIGURES`.

    Returns:
        The value, ``None`` where there is none (NaN is none); and the
        samples, ``None`` for a figure that does not count them.
    """
    source: Any = snapshot.rates if name in _WINDOWED else snapshot
    for part in name.split("."):
        source = getattr(source, part)
    is_value = source is not None and not math.isnan(source)
    samples = getattr(snapshot.rates, _WINDOWED[name]) if name in _WINDOWED else None
    return (source if is_value else None), samples


def _filled(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise PolicyError(attribute.name, value, "must be a name")


def _figure(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or value not in FIGURES:
        raise PolicyError(attribute.name, value, "is no figure of a snapshot and no windowed rate")


def _comparison(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or value not in _COMPARE:
        raise PolicyError(attribute.name, value, f"must be one of {' '.join(_COMPARE)}")


@attrs.frozen(kw_only=True)
class AlertRule:
    """When a figure is cause for an alert.

    Args:
        name: What the alert is called; unique among the rules of a guard.
        figure: A number of the snapshot (``"queue_depth"``,
            ``"response_time.p95"``), or a windowed one
            (``"connection_failure_rate"``); see `FIGURES`.
        comparison: How the figure must stand to the threshold.
        threshold: In the figure's own unit; rates are 0 to 1.
        level: How bad it is.
        for_: Seconds that the condition must hold before the alert is raised.
        keep_firing_for: Seconds that it must not hold before the alert is
            resolved; against a figure that wavers at the threshold.
        min_samples: Samples below which a windowed figure raises nothing. One
            raised already stays as long as the condition holds: in a long
            outage attempts grow rare. Other figures count no samples.
        advice: What to do about it, in one line.

    Source: Prometheus' alerting rules (``expr``, ``for``, ``keep_firing_for``).
    """

    name: str = attrs.field(validator=_filled)
    figure: str = attrs.field(validator=_figure)
    comparison: Comparison = attrs.field(validator=_comparison)
    threshold: float = attrs.field(validator=checks.not_negative)  # as all figures are
    level: AlertLevel = attrs.field(validator=checks.instance_of(AlertLevel))
    for_: float = attrs.field(default=0, validator=checks.not_negative)
    keep_firing_for: float = attrs.field(default=0, validator=checks.not_negative)
    min_samples: int = attrs.field(default=5, validator=checks.count)
    advice: str = attrs.field(default="", validator=checks.instance_of(str))

    def is_met(self, value: float | None) -> bool:
        """Tell whether a value is cause for the alert; none never is."""
        return value is not None and _COMPARE[self.comparison](value, self.threshold)

    def is_enough(self, samples: int | None) -> bool:
        """Tell whether so many samples may raise it; ``None`` for a figure without."""
        return samples is None or samples >= self.min_samples


DOCUMENTED_RULES: Final = (
    AlertRule(
        name="connection_failure_rate",
        figure="connection_failure_rate",
        comparison=">",
        threshold=0.30,
        level=AlertLevel.WARNING,
        advice="check the network and the state of the server",
    ),
    AlertRule(
        name="heartbeat_timeout_rate",
        figure="heartbeat_timeout_rate",
        comparison=">",
        threshold=0.20,
        level=AlertLevel.CRITICAL,
        advice="look into the network at once",
    ),
    AlertRule(
        name="connection_success_rate",
        figure="connection_success_rate",
        comparison="<",
        threshold=0.70,
        level=AlertLevel.CRITICAL,
        advice="find out why the attempts fail",
    ),
    AlertRule(
        name="mean_response_time",
        figure="mean_response_time",
        comparison=">",
        threshold=5,
        level=AlertLevel.WARNING,
        advice="look into the performance of the server",
    ),
)
"""The documents' table of alerts, over a window of 300 s with at least 5 samples."""
