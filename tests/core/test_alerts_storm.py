"""No storm: what holds of notifications for any input and any asking."""

from __future__ import annotations

import math
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.test_alerts import snapshot
from tests.core.test_alerts_notify import GROUPINGS, HOUR, raised, resolved
from trio_wsguard._core.alerts import Alert, AlertRaised, AlertResolved, Alerts
from trio_wsguard._core.notify import Grouping, Notification, Notifier
from trio_wsguard._core.rates import RateWindows

if TYPE_CHECKING:
    from trio_wsguard._core.rules import AlertRule


class NotifierMachine(RuleBasedStateMachine):
    """What holds for any input and any, even late, asking."""

    @initialize(grouping=GROUPINGS, by=st.sampled_from([(), ("guard",), ("alert",), ("level",)]))
    def begin(self, grouping: Grouping, by: tuple[str, ...]) -> None:
        self.grouping = attrs.evolve(grouping, by=by)
        self.notifier, self.twin = Notifier(self.grouping), Notifier(self.grouping)
        self.now = 0.0
        self.open: set[tuple[str, str]] = set()
        self.told_open: set[tuple[str, str]] = set()
        self.told_at: dict[object, list[float]] = defaultdict(list)

    @rule(
        step=st.floats(0, 8),
        name=st.sampled_from("ABC"),
        guard=st.sampled_from(["one", "two"]),
        is_raised=st.booleans(),
    )
    def add(self, step: float, name: str, guard: str, is_raised: bool) -> None:
        self.now += step
        made = raised if is_raised else resolved
        alert = made(self.now, name, guard)
        self.notifier.add(self.now, alert)
        self.twin.add(self.now, alert)
        (self.open.add if is_raised else self.open.discard)(alert.key)

    @rule(late=st.sampled_from([0.0, 0.0, 0.3, 50.0]))
    def tick(self, late: float) -> None:
        deadline = self.notifier.next_deadline()
        if deadline < math.inf:
            self.now = max(self.now, deadline) + late
        self.ask()

    @rule(step=st.floats(0, 8))
    def ask_anyhow(self, step: float) -> None:
        self.now += step
        self.ask()

    def ask(self) -> None:
        is_early = self.now < self.notifier.next_deadline()
        notifications = self.notifier.tick(self.now, self.now)
        assert self.twin.tick(self.now, self.now) == notifications
        assert not (is_early and notifications)
        assert self.notifier.next_deadline() > self.now
        for notification in notifications:
            self.check(notification)

    def check(self, notification: Notification) -> None:
        assert notification.firing or notification.resolved
        times = self.told_at[notification.group]
        assert not times or self.now >= times[-1] + self.grouping.group_interval
        times.append(self.now)
        firing = {alert.key for alert in notification.firing}
        ended = {alert.key for alert in notification.resolved}
        assert firing <= self.open
        assert ended <= self.told_open - self.open
        self.told_open = (self.told_open | firing) - ended

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        assert len(self.notifier._groups) <= 3

    def teardown(self) -> None:
        """Left alone long enough, everything open is told, and every end was told."""
        if not hasattr(self, "notifier"):
            return
        for _ in range(3):
            self.tick(0.0)
        self.now += self.grouping.group_wait + self.grouping.group_interval
        self.ask()
        assert self.told_open == self.open


NotifierMachine.TestCase.settings = settings(deadline=None, stateful_step_count=40)
TestNotifierMachine = NotifierMachine.TestCase
"""No storm whatever the input; no end without a beginning; nothing is left untold."""


def test_a_day_of_faults() -> None:
    """1,000 faults in 24 h are told at the pace of the group, and leave nothing behind."""
    draw = Random(1)
    faults = sorted(draw.uniform(0, 24 * HOUR) for _ in range(1000))
    windows, alerts, notifier = RateWindows(), Alerts(0.0, interval=5.0), Notifier()
    notifications: list[Notification] = []
    events: list[Alert] = []
    for second in range(0, 25 * HOUR, 5):
        now = float(second)
        while faults and faults[0] <= now:
            faults.pop(0)
            windows.attempted(now, is_good=draw.random() < 0.6)
            windows.beat(now, is_good=False)
        if second % 15 == 0:
            windows.beat(now, is_good=draw.random() < 0.9)
            windows.responded(now, draw.expovariate(0.3))
        raised_or_over = alerts.tick(now, snapshot(now, rates=windows.rates(now)))
        for alert in raised_or_over:
            notifier.add(now, alert)
        events += raised_or_over
        notifications += notifier.tick(now, now)
    for ended in alerts.finish(25 * HOUR, 25 * HOUR):
        notifier.add(25 * HOUR, ended)
        events.append(ended)
    while (now := notifier.next_deadline()) < math.inf:
        notifications += notifier.tick(now, now)
    assert len(events) > 50
    assert len(notifications) <= 25 * HOUR / 300 + 2
    assert notifications[-1].is_over
    by_rule: dict[AlertRule, list[type[Alert]]] = defaultdict(list)
    for alert in events:
        by_rule[alert.rule].append(type(alert))
    for kinds in by_rule.values():
        assert kinds == [AlertRaised, AlertResolved] * (len(kinds) // 2)
