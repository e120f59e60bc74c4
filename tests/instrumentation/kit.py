"""A guard whose alerts the test raises, and sinks that do what they are told."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import attrs
import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.listeners import Listeners
from trio_wsguard.instrumentation import SinkError, SinkPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_wsguard import AlertRaised, AlertResolved, EventStream, Notification

RULES = {
    name: wsguard.AlertRule(
        name=name,
        figure="queue_depth",
        comparison=">",
        threshold=10,
        level=wsguard.AlertLevel.CRITICAL if name == "C" else wsguard.AlertLevel.WARNING,
        advice=f"look after {name}",
    )
    for name in "ABC"
}
QUICK = wsguard.Grouping(group_wait=10, group_interval=60, repeat_interval=None)
# Looks at 0.37 s and its multiples: never at the whole seconds at which tests do things.
AT_ONCE = wsguard.Grouping(group_wait=0, group_interval=0.37, repeat_interval=None)
PLAIN = SinkPolicy(
    timeout=4, max_attempts=3, backoff=wsguard.LinearBackoff(step=1, cap=60), max_queue=3
)


def raised(name: str, guard: str = "feed", now: float = 0.0, unix: float = 1e9) -> AlertRaised:
    return wsguard.AlertRaised(rule=RULES[name], guard=guard, value=11.0, at=now, time=unix)


def resolved(name: str, guard: str = "feed", now: float = 0.0, unix: float = 1e9) -> AlertResolved:
    return wsguard.AlertResolved(
        rule=RULES[name], guard=guard, value=9.0, duration=30.0, at=now, time=unix
    )


def notification(*alerts: wsguard.Alert, unix: float = 1e9, **fields: Any) -> Notification:
    facts: dict[str, Any] = {"group": (), "reason": wsguard.NotificationReason.FIRST, "at": 0.0}
    return wsguard.Notification(
        firing=tuple(a for a in alerts if isinstance(a, wsguard.AlertRaised)),
        resolved=tuple(a for a in alerts if isinstance(a, wsguard.AlertResolved)),
        time=unix,
        **(facts | fields),
    )


class FakeGuard:
    """What a notifier knows of a guard; the listeners are the real ones."""

    def __init__(self, name: str = "feed") -> None:
        self.name = name
        self.closed: wsguard.CloseReason | None = None
        self.listeners = Listeners()
        self._open: dict[str, AlertRaised] = {}

    @property
    def open_alerts(self) -> tuple[AlertRaised, ...]:
        return tuple(self._open.values())

    @asynccontextmanager
    async def events(self, max_queue: int = 1024) -> AsyncIterator[EventStream]:
        stream = self.listeners.open(max_queue)
        try:
            yield stream
        finally:
            self.listeners.close(stream)

    def begin(self, name: str) -> None:
        """Raise an alert; nothing if it is open."""
        if name not in self._open:
            now = trio.current_time()
            self._open[name] = raised(name, self.name, now, time.time())
            self.listeners.publish(self._open[name])

    def end(self, name: str, value: float | None = 9.0) -> None:
        """Resolve an alert; nothing if it is not open."""
        alert = self._open.pop(name, None)
        if alert is not None:
            now = trio.current_time()
            over = resolved(name, self.name, now, time.time())
            self.listeners.publish(attrs.evolve(over, value=value, duration=now - alert.at))

    def close(self) -> None:
        """End, as a guard ends: nothing stays open."""
        self.closed = wsguard.CloseReason(1000)
        for name in list(self._open):
            self.end(name, None)
        self.listeners.finish()


def guard_named(name: str = "feed") -> Any:
    """A fake guard, of the type that the notifier asks for."""
    return FakeGuard(name)


Told = tuple[int, str, str]


@attrs.define(eq=False)
class Recorder:
    """A sink that notes what it took, and when.

    Attributes:
        troubles: What the coming tries meet, oldest first: an exception to
            raise, seconds to take (infinite to hang), or ``None`` for nothing.
        tried_at: When each try began.
    """

    name: str = "recorder"
    policy: SinkPolicy = PLAIN
    troubles: list[Exception | float | None] = attrs.field(factory=list)
    taken: list[tuple[float, Notification]] = attrs.field(factory=list)
    tried_at: list[float] = attrs.field(factory=list)

    async def send(self, notification: Notification) -> None:
        self.tried_at.append(trio.current_time())
        trouble = self.troubles.pop(0) if self.troubles else None
        await trio.sleep(trouble if isinstance(trouble, float) else 0)
        if isinstance(trouble, Exception):
            raise trouble
        self.taken.append((trio.current_time(), notification))

    @property
    def told(self) -> list[Told]:
        """In which second which alerts were told as open, and which as over."""
        return [
            (int(at), names(notification.firing), names(notification.resolved))
            for at, notification in self.taken
        ]


def names(alerts: tuple[wsguard.Alert, ...]) -> str:
    return "".join(sorted(alert.rule.name for alert in alerts))


def hanging() -> Recorder:
    """A sink that never answers."""
    return Recorder("hanging", troubles=[float("inf")] * 1000)


def failing() -> Recorder:
    """A sink that always fails."""
    return Recorder("failing", troubles=[SinkError("no")] * 1000)
