"""Figures in, alerts out: each raised once and resolved once.

Rules are judged at a fixed interval, as Prometheus does it, and not at every
change of a figure: what an alert costs is then known, and so is how often at
most it can come and go. Whom an alert is told, when, and together with which
others, is the business of `trio_wsguard._core.notify`.

A figure without a value (nothing measured, or NaN) does not meet a condition,
as in Prometheus, where it is an empty result: a pending alert is forgotten and
a raised one is resolved. There is one exception. While the guard is not
CONNECTED, nothing measured proves nothing: a guard that gave up makes no more
attempts, and that is no recovery. An alert that is open then stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core.rules import DOCUMENTED_RULES, AlertLevel, AlertRule, read_figure
from trio_wsguard._core.state import CONNECTED
from trio_wsguard._errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard._core.health import Snapshot

EVALUATION_INTERVAL: Final = 15.0  # seconds; between two beats there is little news


@attrs.frozen(kw_only=True)
class _About:
    """Which alert it is about."""

    rule: AlertRule
    guard: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells one alert from another: the guard and the rule, by name."""
        return self.guard, self.rule.name

    @property
    def level(self) -> AlertLevel:
        """How bad it is, or was."""
        return self.rule.level


@attrs.frozen(kw_only=True)
class AlertRaised(_About):
    """An alert begins.

    Attributes:
        rule: Whose condition is met.
        guard: The name of the guard.
        value: The figure behind it, in its own unit.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
    """

    value: float
    at: float
    time: float

    @property
    def message(self) -> str:
        """One line for a person."""
        rule = self.rule
        return f"{rule.figure} is {self.value:.4g} ({rule.comparison} {rule.threshold:g})"


@attrs.frozen(kw_only=True)
class AlertResolved(_About):
    """An alert is over.

    Attributes:
        rule: Whose condition is no longer met.
        guard: The name of the guard.
        value: The figure behind it; ``None`` if nothing is measured any more.
        duration: Seconds that it was raised.
        at: When, in monotonic seconds.
        time: When, in Unix seconds.
    """

    value: float | None
    duration: float
    at: float
    time: float

    @property
    def message(self) -> str:
        """One line for a person."""
        stand = "no longer measured" if self.value is None else f"{self.value:.4g}"
        return f"{self.rule.figure} is {stand}; over after {self.duration:.0f} s"


Alert = AlertRaised | AlertResolved


@attrs.define
class _Standing:
    """How one rule stands: at rest, pending (met, not raised) or raised."""

    rule: AlertRule
    met_at: float | None = None
    unmet_at: float | None = None
    raised: AlertRaised | None = None

    def judge(self, now: float, snapshot: Snapshot) -> Alert | None:
        value, samples = read_figure(snapshot, self.rule.figure)
        if self.raised is None:
            return self._judge_at_rest(now, snapshot, value, samples)
        is_connected = snapshot.connection_state is CONNECTED
        if self.rule.is_met(value) or (value is None and not is_connected):
            self.unmet_at = None
            return None
        self.unmet_at = now if self.unmet_at is None else self.unmet_at
        if now < self.unmet_at + self.rule.keep_firing_for:
            return None
        return self.resolve(now, snapshot.time, value)

    def _judge_at_rest(
        self, now: float, snapshot: Snapshot, value: float | None, samples: int | None
    ) -> AlertRaised | None:
        if value is None or not (self.rule.is_met(value) and self.rule.is_enough(samples)):
            self.met_at = None
            return None
        self.met_at = now if self.met_at is None else self.met_at
        if now < self.met_at + self.rule.for_:
            return None
        self.raised = AlertRaised(
            rule=self.rule, guard=snapshot.name, value=value, at=now, time=snapshot.time
        )
        return self.raised

    def resolve(self, now: float, time: float, value: float | None) -> AlertResolved | None:
        raised, self.raised, self.met_at, self.unmet_at = self.raised, None, None, None
        if raised is None:
            return None
        return AlertResolved(
            rule=self.rule,
            guard=raised.guard,
            value=value,
            duration=now - raised.at,
            at=now,
            time=time,
        )


class Alerts:
    """The alerts of one guard; they outlive its connections.

    Args:
        now: Monotonic seconds; the first judgement is due an interval later.
        rules: What to look for.
        interval: Seconds from one judgement to the next.

    Raises:
        PolicyError: Two rules have one name, or the interval is not above 0.
    """

    def __init__(
        self,
        now: float,
        rules: Iterable[AlertRule] = DOCUMENTED_RULES,
        interval: float = EVALUATION_INTERVAL,
    ) -> None:
        if not interval > 0:
            raise PolicyError("interval", interval, "must be above 0")
        self._standings = [_Standing(rule) for rule in rules]
        names: set[str] = set()
        for standing in self._standings:
            if standing.rule.name in names:
                raise PolicyError("rules", standing.rule.name, "is the name of two rules")
            names.add(standing.rule.name)
        self._interval = interval
        self._due_at = now + interval

    @property
    def open(self) -> tuple[AlertRaised, ...]:
        """The alerts raised and not yet resolved, in the order of the rules."""
        return tuple(s.raised for s in self._standings if s.raised is not None)

    def next_deadline(self) -> float:
        """Tell when to call `tick`, in monotonic seconds."""
        return self._due_at

    def tick(self, now: float, snapshot: Snapshot) -> list[Alert]:
        """Judge all rules; called too early it does nothing.

        Args:
            now: Monotonic seconds.
            snapshot: The figures of this moment.

        Returns:
            What was raised and what was resolved, in the order of the rules.
        """
        if now < self._due_at:
            return []
        # Counted from now: a judgement that comes late is not made up for.
        self._due_at = now + self._interval
        judged = [standing.judge(now, snapshot) for standing in self._standings]
        return [alert for alert in judged if alert is not None]

    def finish(self, now: float, time: float) -> list[AlertResolved]:
        """Resolve what is open: the guard is over, and nobody will judge it again."""
        ended = [standing.resolve(now, time, None) for standing in self._standings]
        return [resolved for resolved in ended if resolved is not None]
