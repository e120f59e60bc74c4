"""Alerts in, notifications out, as Alertmanager defines them.

Alerts with equal labels (of those in `Grouping.by`) make a group. Its first
alert starts ``group_wait``, in which others may join it; from then on the
group is looked at every ``group_interval``. It is told at such a moment if
something began that was not told yet, if something told has ended, or, with
nothing new, if the last telling is ``repeat_interval`` ago. A notification
always shows the whole group: all that is open, and what has ended since.

So an alert that comes and goes between two looks is never told, nor is one
that goes and comes back. Source: Alertmanager, ``dispatch/dispatch.go`` (the
timers) and ``notify/dedup_stage.go`` (``needsUpdate``).

Three things are done otherwise, each against a needless message:

- A group that was told to be over keeps its pace. Alertmanager forgets it, so
  that an alert which keeps coming back is told after every ``group_wait``;
  here two notifications of a group are never less than ``group_interval`` apart.
- The end of an alert whose beginning was never told is not told either.
  Alertmanager tells it if something else in the group happens to be open.
- A notification counts as delivered once it was handed out: to try again is
  the business of the sink, which alone knows what failed.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING, Any, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.alerts import Alert, AlertRaised, AlertResolved
from trio_wsguard._core.rules import AlertLevel
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

_LABELS: Final[dict[str, Callable[[Alert], str]]] = {
    "guard": lambda alert: alert.guard,
    "alert": lambda alert: alert.rule.name,
    "level": lambda alert: alert.level.value,
}


def _labels(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, tuple):  # a string least of all: it is a sequence of labels, too
        raise PolicyError(attribute.name, value, "must be a tuple of labels")
    for label in value:
        if not isinstance(label, str) or label not in _LABELS:
            raise PolicyError(attribute.name, label, f"must be of {', '.join(_LABELS)}")
    if len(set(value)) < len(value):
        raise PolicyError(attribute.name, value, "has a label twice")


@attrs.frozen(kw_only=True)
class Grouping:
    """Which alerts are told together, and how often.

    Args:
        by: Labels that the alerts of a group have in common, of ``"guard"``,
            ``"alert"`` and ``"level"``; none puts all into one group.
        group_wait: Seconds that a new group waits for others to join.
        group_interval: Seconds from one notification of a group to the next.
        repeat_interval: Seconds after which an unchanged group is told again,
            at the next look; ``None`` for never.

    Source: Alertmanager's route options, names, defaults and bounds.
    """

    by: tuple[str, ...] = attrs.field(default=(), validator=_labels)
    group_wait: float = attrs.field(default=30, validator=checks.not_negative)
    group_interval: float = attrs.field(default=300, validator=checks.positive)
    repeat_interval: float | None = attrs.field(
        default=4 * 3600, validator=checks.optional(checks.positive)
    )

    def key(self, alert: Alert) -> tuple[tuple[str, str], ...]:
        """Tell the group of an alert, as labels with their values."""
        return tuple((label, _LABELS[label](alert)) for label in self.by)


class NotificationReason(enum.Enum):
    """Why a group is told."""

    FIRST = "first"
    NEW = "new"
    RESOLVED = "resolved"
    REPEAT = "repeat"


@attrs.frozen(kw_only=True)
class Notification:
    """What is told of a group.

    Attributes:
        group: The labels that its alerts have in common, with their values.
        reason: Why it is told now.
        firing: All its alerts that are open, in the order they were raised.
        resolved: Those that were told and have ended since.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
    """

    group: tuple[tuple[str, str], ...]
    reason: NotificationReason
    firing: tuple[AlertRaised, ...]
    resolved: tuple[AlertResolved, ...]
    at: float
    time: float

    @property
    def is_over(self) -> bool:
        """Whether nothing of the group is open any more."""
        return not self.firing

    @property
    def level(self) -> AlertLevel:
        """The worst level in it; of what is open, if anything is."""
        shown: tuple[Alert, ...] = self.firing or self.resolved
        is_critical = any(alert.level is AlertLevel.CRITICAL for alert in shown)
        return AlertLevel.CRITICAL if is_critical else AlertLevel.WARNING


class _Group:
    """The alerts of one group, and what was told of them."""

    def __init__(self, look_at: float) -> None:
        self.look_at = look_at
        self.is_gathering = True
        self._firing: dict[tuple[str, str], AlertRaised] = {}
        self._resolved: dict[tuple[str, str], AlertResolved] = {}
        self._told: set[tuple[str, str]] = set()
        self._told_at = -math.inf

    @property
    def is_empty(self) -> bool:
        return not self._firing and not self._told

    def add(self, alert: Alert) -> None:
        if isinstance(alert, AlertRaised):
            self._resolved.pop(alert.key, None)
            self._firing[alert.key] = alert
        elif self._firing.pop(alert.key, None) is not None and alert.key in self._told:
            self._resolved[alert.key] = alert

    def _reason(self, now: float, repeat_interval: float | None) -> NotificationReason | None:
        if not self._firing.keys() <= self._told:
            return NotificationReason.NEW if self._told else NotificationReason.FIRST
        if self._resolved:
            return NotificationReason.RESOLVED
        if not self._firing or repeat_interval is None:
            return None
        # Alertmanager asks for more than the interval; there, a repetition due at
        # a look is missed by the time that the last sending took.
        is_due = now >= self._told_at + repeat_interval
        return NotificationReason.REPEAT if is_due else None

    def look(
        self,
        now: float,
        time: float,
        group: tuple[tuple[str, str], ...],
        repeat_interval: float | None,
    ) -> Notification | None:
        reason = self._reason(now, repeat_interval)
        if reason is None:
            return None
        notification = Notification(
            group=group,
            reason=reason,
            firing=tuple(self._firing.values()),
            resolved=tuple(self._resolved.values()),
            at=now,
            time=time,
        )
        self._told = set(self._firing)
        self._told_at = now
        self._resolved.clear()
        return notification


class Notifier:
    """Makes notifications of the alerts of one guard, or of a fleet.

    What it keeps is bounded by the alerts that are open: a group without any
    is forgotten, an interval after it was last told.

    Args:
        grouping: Which alerts are told together, and how often.
    """

    def __init__(self, grouping: Grouping | None = None) -> None:
        self._grouping = grouping or Grouping()
        self._groups: dict[tuple[tuple[str, str], ...], _Group] = {}

    def add(self, now: float, alert: Alert) -> None:
        """Take in what was raised or resolved; `next_deadline` may come nearer.

        An alert resolved that was not raised here is ignored; one raised twice
        is raised.
        """
        key = self._grouping.key(alert)
        group = self._groups.get(key)
        if isinstance(alert, AlertRaised):
            gathered_at = now + self._grouping.group_wait
            if group is None:
                group = self._groups[key] = _Group(gathered_at)
            elif group.is_empty and not group.is_gathering:
                # Told to be over, and back: gathers anew, but keeps the pace. Once
                # only: what comes and goes quickly must not put the look off for ever.
                group.look_at = max(group.look_at, gathered_at)
                group.is_gathering = True
        if group is not None:
            group.add(alert)

    def next_deadline(self) -> float:
        """Tell when to call `tick`, in monotonic seconds; infinite with nothing to tell."""
        return min((group.look_at for group in self._groups.values()), default=math.inf)

    def tick(self, now: float, time: float) -> list[Notification]:
        """Tell what is due; called too early it does nothing.

        Args:
            now: Monotonic seconds.
            time: Unix seconds.

        Returns:
            At most one notification of each group.
        """
        notifications: list[Notification] = []
        for key, group in list(self._groups.items()):
            if now < group.look_at:
                continue
            # Counted from now: after a late look the pace is kept, not made up for.
            group.look_at = now + self._grouping.group_interval
            group.is_gathering = False
            told = group.look(now, time, key, self._grouping.repeat_interval)
            if told is not None:
                notifications.append(told)
            elif group.is_empty:
                del self._groups[key]
        return notifications

    def finish(self, now: float, time: float) -> list[Notification]:
        """Tell what was not told yet, due or not: nobody will ask again.

        Args:
            now: Monotonic seconds.
            time: Unix seconds.

        Returns:
            At most one notification of each group.
        """
        for group in self._groups.values():
            group.look_at = min(group.look_at, now)
        return self.tick(now, time)
