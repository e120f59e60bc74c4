"""A sink that is Prometheus' Alertmanager (extra `alerts`).

Alertmanager groups, silences and repeats by itself, so it is told everything,
and at once. It has to be told again what is still open, for it takes what it
does not hear of for over. Prometheus sends alerts every minute and gives each
an end three sendings ahead: a program that dies ends its alerts by dying.
Source: Prometheus, ``rules/manager.go`` (``resendDelay``) and
``rules/alerting.go`` (``ValidUntil``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import _wire
from trio_wsguard.instrumentation._post import JsonPost
from trio_wsguard.instrumentation.sinks import SinkPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

_AT_ONCE: Final = 1.0  # second; rules are judged more seldom
_SENDINGS: Final = 3
# What fails is soon followed by what is newer.
_POLICY: Final = SinkPolicy(max_attempts=3)


class AlertmanagerSink:
    """Posts alerts to Alertmanager's API v2.

    Labels are ``alertname``, ``guard``, ``severity`` and the user's own;
    annotations are ``summary``, ``description`` and ``advice``.

    Args:
        url: Alertmanager's base, such as ``http://127.0.0.1:9093``.
        labels: Extra labels for all alerts, such as ``{"service": "feed"}``.
        interval: Seconds after which open alerts are posted again.
        generator_url: Where to read more; Alertmanager links to it.
        headers: Extra headers.
        name: For logs and figures; ``None`` for scheme, host and port of the URL.
        policy: How it is served; ``None`` for three tries. It has no grouping.
        transport: As for `WebhookSink`.

    Raises:
        PolicyError: A setting is wrong, or httpx is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        labels: Mapping[str, str] | None = None,
        interval: float = 60,
        generator_url: str = "",
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        policy: SinkPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        policy = policy or _POLICY
        if policy.grouping is not None:
            raise wsguard.PolicyError("grouping", policy.grouping, "is Alertmanager's own business")
        if not interval > 0:
            raise wsguard.PolicyError("interval", interval, "must be above 0")
        self._post = JsonPost(url.rstrip("/") + "/api/v2/alerts", headers, transport)
        self._labels = _wire.check_labels(labels or {})
        self._lasts = interval * _SENDINGS
        self._generator_url = generator_url
        self.name = self._post.origin if name is None else name
        pace = min(_AT_ONCE, interval)
        everything = wsguard.Grouping(group_wait=0, group_interval=pace, repeat_interval=interval)
        self.policy = attrs.evolve(policy, grouping=everything)

    async def send(self, notification: wsguard.Notification) -> None:
        """Post all that is open, and what has ended, once."""
        open_until = notification.time + self._lasts
        posted = [self._alert(alert, open_until) for alert in notification.firing]
        posted += [self._alert(alert, alert.time) for alert in notification.resolved]
        await self._post.send(posted)

    def _alert(self, alert: wsguard.Alert, ends_time: float) -> dict[str, Any]:
        posted = {
            "labels": {**self._labels, **_wire.labels_of(alert)},
            "annotations": _wire.annotations_of(alert),
            "startsAt": _wire.rfc3339(_wire.started_time(alert)),
            "endsAt": _wire.rfc3339(ends_time),
        }
        return posted | ({"generatorURL": self._generator_url} if self._generator_url else {})
