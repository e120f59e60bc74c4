"""A sink that is a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import _wire
from trio_wsguard.instrumentation.sinks import SinkPolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVELS: Final = {
    wsguard.AlertLevel.WARNING: logging.WARNING,
    wsguard.AlertLevel.CRITICAL: logging.CRITICAL,
}


class LogSink:
    """Logs each notification as one line, with its facts as fields.

    The level is that of the worst alert that is open, and INFO once none is.
    The fields (``extra``) are ``wsguard_reason``, ``wsguard_level``,
    ``wsguard_group`` (labels and their values), ``wsguard_firing`` and
    ``wsguard_resolved`` (a list of alerts each); all of them are plain JSON.

    Args:
        logger: Where to; ``None`` for ``trio_wsguard.alerts``.
        name: For figures.
        policy: How it is served.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        name: str = "log",
        policy: SinkPolicy | None = None,
    ) -> None:
        self.name = name
        self.policy = policy or SinkPolicy()
        self._logger = logging.getLogger("trio_wsguard.alerts") if logger is None else logger

    async def send(self, notification: wsguard.Notification) -> None:
        """Log it."""
        await trio.lowlevel.checkpoint()
        level = logging.INFO if notification.is_over else _LEVELS[notification.level]
        fields = {
            "wsguard_reason": notification.reason.value,
            "wsguard_level": notification.level.value,
            "wsguard_group": dict(notification.group),
            "wsguard_firing": [_facts(alert) for alert in notification.firing],
            "wsguard_resolved": [_facts(alert) for alert in notification.resolved],
        }
        self._logger.log(level, "%s", _line(notification), extra=fields)


def _line(notification: wsguard.Notification) -> str:
    parts: list[str] = []
    if notification.firing:
        parts.append(f"{len(notification.firing)} open: {_list(notification.firing)}")
    if notification.resolved:
        parts.append(f"{len(notification.resolved)} over: {_list(notification.resolved)}")
    return f"alerts ({notification.reason.value}): {'; '.join(parts)}"


def _list(alerts: Iterable[wsguard.Alert]) -> str:
    return ", ".join(f"{alert.rule.name} of {alert.guard}" for alert in alerts)


def _facts(alert: wsguard.Alert) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "alert": alert.rule.name,
        "guard": alert.guard,
        "level": alert.level.value,
        "figure": alert.rule.figure,
        "value": alert.value,
        "threshold": alert.rule.threshold,
        "message": _wire.sentence(alert),
        "advice": alert.rule.advice,
        "time": alert.time,
    }
    if isinstance(alert, wsguard.AlertResolved):
        facts["duration"] = alert.duration
    return facts
