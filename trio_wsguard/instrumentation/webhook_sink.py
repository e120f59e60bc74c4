"""A sink that posts notifications to a URL (extra `alerts`).

The body is that of Alertmanager's own webhooks, version 4, so that what reads
those reads these. Beside its fields there are two of ours, ``reason`` and
``level``. Source: Prometheus' documentation, "Alertmanager: Configuration",
``<webhook_config>``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import _wire
from trio_wsguard.instrumentation._post import JsonPost
from trio_wsguard.instrumentation.sinks import SinkPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

# What Alertmanager, in Go, writes for the end of what has not ended.
_NEVER: Final = "0001-01-01T00:00:00Z"


class WebhookSink:
    """Posts each notification as JSON.

    An answer 2xx is good. 408, 425, 429, 5xx and a transport that fails are
    tried again, not before ``Retry-After``; all else is final. A repetition has
    the same body, byte for byte.

    Args:
        url: Where to; of it, logs and figures show scheme, host and port.
        headers: Extra headers, such as ``Authorization``.
        name: For logs and figures, and ``receiver`` in the body; ``None`` for
            scheme, host and port of the URL.
        policy: How it is served.
        transport: For proxies, client certificates and the like: an
            ``httpx.AsyncHTTPTransport(...)``; it stays the caller's.

    Raises:
        PolicyError: The URL is none, or httpx is missing.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        policy: SinkPolicy | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._post = JsonPost(url, headers, transport)
        self.name = self._post.origin if name is None else name
        self.policy = policy or SinkPolicy()

    async def send(self, notification: wsguard.Notification) -> None:
        """Post it, once."""
        await self._post.send(webhook_body(notification, self.name))


def webhook_body(notification: wsguard.Notification, receiver: str) -> dict[str, Any]:
    """Make the body that is posted.

    Args:
        notification: What is told.
        receiver: The name of the sink.
    """
    alerts = [_alert(alert) for alert in notification.firing]
    alerts += [_alert(alert) for alert in notification.resolved]
    group = {_wire.LABELS[label]: value for label, value in notification.group}
    return {
        "version": "4",
        "groupKey": f"trio_wsguard:{json.dumps(group)}",
        "truncatedAlerts": 0,
        "status": "resolved" if notification.is_over else "firing",
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": _common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _common([alert["annotations"] for alert in alerts]),
        "externalURL": "",
        "alerts": alerts,
        "reason": notification.reason.value,
        "level": notification.level.value,
    }


def _alert(alert: wsguard.Alert) -> dict[str, Any]:
    is_firing = isinstance(alert, wsguard.AlertRaised)
    labels = _wire.labels_of(alert)
    return {
        "status": "firing" if is_firing else "resolved",
        "labels": labels,
        "annotations": _wire.annotations_of(alert),
        "startsAt": _wire.rfc3339(_wire.started_time(alert)),
        "endsAt": _NEVER if is_firing else _wire.rfc3339(alert.time),
        "generatorURL": "",
        "fingerprint": _wire.fingerprint(labels),
    }


def _common(texts: list[dict[str, str]]) -> dict[str, str]:
    first, *others = texts
    return {
        name: text
        for name, text in first.items()
        if all(other.get(name) == text for other in others)
    }
