"""Alerts told in groups, at the pace that Alertmanager defines."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_alerts import depth_rule
from trio_wsguard._core.alerts import Alert, AlertRaised, AlertResolved
from trio_wsguard._core.notify import Grouping, Notification, NotificationReason, Notifier
from trio_wsguard._core.rules import AlertLevel
from trio_wsguard._errors import PolicyError

FIRST, NEW = NotificationReason.FIRST, NotificationReason.NEW
RESOLVED, REPEAT = NotificationReason.RESOLVED, NotificationReason.REPEAT
RULES = {
    "A": depth_rule(name="A"),
    "B": depth_rule(name="B", level=AlertLevel.CRITICAL),
    "C": depth_rule(name="C"),
}
Told = tuple[float, NotificationReason, str, str]
Script = list[tuple[int, str]]


def raised(now: float, name: str, guard: str = "feed") -> AlertRaised:
    return AlertRaised(rule=RULES[name], guard=guard, value=11.0, at=now, time=now)


def resolved(now: float, name: str, guard: str = "feed") -> AlertResolved:
    return AlertResolved(rule=RULES[name], guard=guard, value=9.0, duration=1.0, at=now, time=now)


def event(now: float, what: str) -> Alert:
    """Read an upper-case letter as an alert raised, and a lower-case one as it resolved."""
    return raised(now, what) if what.isupper() else resolved(now, what.upper())


def brief(notification: Notification) -> Told:
    firing = "".join(sorted(alert.rule.name for alert in notification.firing))
    ended = "".join(sorted(alert.rule.name for alert in notification.resolved))
    return notification.at, notification.reason, firing, ended


def by_second(script: Script) -> dict[int, list[str]]:
    events: dict[int, list[str]] = defaultdict(list)
    for at, what in script:
        events[at].append(what)
    return events


def told(script: Script, until: int, grouping: Grouping | None = None) -> list[Told]:
    """Play a script, asked every second."""
    notifier = Notifier(grouping)
    notifications: list[Notification] = []
    events = by_second(script)
    for now in range(until + 1):
        for what in events[now]:
            notifier.add(float(now), event(now, what))
        notifications += notifier.tick(float(now), float(now))
    return [brief(notification) for notification in notifications]


HOUR = 3600


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([(0, "A")], [(30, FIRST, "A", "")]),
        ([(0, "A"), (29, "B"), (30, "C")], [(30, FIRST, "ABC", "")]),
        ([(0, "A"), (31, "B")], [(30, FIRST, "A", ""), (330, NEW, "AB", "")]),
        ([(0, "A"), (20, "a")], []),
        ([(0, "A"), (20, "a"), (40, "A")], [(70, FIRST, "A", "")]),
        ([(0, "A"), (20, "a"), (25, "B")], [(30, FIRST, "B", "")]),
        ([(0, "A"), (40, "a")], [(30, FIRST, "A", ""), (330, RESOLVED, "", "A")]),
        ([(0, "A"), (40, "a"), (99, "A")], [(30, FIRST, "A", "")]),
        (
            [(0, "A"), (0, "B"), (40, "a")],
            [(30, FIRST, "AB", ""), (330, RESOLVED, "B", "A")],
        ),
        (
            [(0, "A"), (40, "a"), (50, "B")],
            [(30, FIRST, "A", ""), (330, NEW, "B", "A")],
        ),
        ([(0, "A"), (40, "B"), (50, "b")], [(30, FIRST, "A", "")]),
        (
            [(0, "A"), (40, "a"), (331, "A")],
            [(30, FIRST, "A", ""), (330, RESOLVED, "", "A"), (630, FIRST, "A", "")],
        ),
        (
            [(0, "A"), (40, "a"), (620, "A"), (640, "B")],
            [(30, FIRST, "A", ""), (330, RESOLVED, "", "A"), (650, FIRST, "AB", "")],
        ),
        ([(0, "A"), (40, "a"), (320, "B")], [(30, FIRST, "A", ""), (330, NEW, "B", "A")]),
        (
            [(0, "A"), (40, "a"), (610, "A"), (615, "a"), (625, "A")],
            [(30, FIRST, "A", ""), (330, RESOLVED, "", "A"), (640, FIRST, "A", "")],
        ),
        (
            [(0, "A"), (40, "a"), (700, "A")],
            [(30, FIRST, "A", ""), (330, RESOLVED, "", "A"), (730, FIRST, "A", "")],
        ),
    ],
    ids=lambda value: " ".join(f"{at}{what}" for at, what, *_ in value) or "nothing",
)
def test_defaults(script: Script, expected: list[Told]) -> None:
    """With Alertmanager's own intervals: 30 s, 5 min, and 4 h, which is not reached."""
    assert told(script, HOUR) == expected


def test_repeats() -> None:
    """What stays open is told again after 4 h, counted from the last time, until it ends."""
    times = [(at, reason) for at, reason, *_ in told([(0, "A"), (5 * HOUR, "B")], 10 * HOUR)]
    assert times == [
        (30, FIRST),
        (30 + 4 * HOUR, REPEAT),
        (30 + 5 * HOUR, NEW),
        (30 + 9 * HOUR, REPEAT),
    ]


def test_repeats_wait_for_the_next_look() -> None:
    """A repeat interval is stretched to the next group interval, as Alertmanager's is."""
    grouping = Grouping(group_wait=0, group_interval=10, repeat_interval=25)
    assert [at for at, *_ in told([(0, "A")], 95, grouping)] == [0, 30, 60, 90]
    often = Grouping(group_wait=0, group_interval=10, repeat_interval=1)
    assert [at for at, *_ in told([(0, "A")], 35, often)] == [0, 10, 20, 30]
    never = Grouping(group_wait=0, group_interval=10, repeat_interval=None)
    assert [at for at, *_ in told([(0, "A")], HOUR, never)] == [0]


def test_a_notification_shows_the_group() -> None:
    """A notification holds the alerts themselves, the group's labels and its worst level."""
    notifier = Notifier(Grouping(by=("guard",), group_wait=0, group_interval=10))
    a, b = raised(0.0, "A"), raised(0.0, "B")
    notifier.add(0.0, a)
    notifier.add(0.0, b)
    (first,) = notifier.tick(0.0, 1e9)
    assert first == Notification(
        group=(("guard", "feed"),),
        reason=FIRST,
        firing=(a, b),
        resolved=(),
        at=0.0,
        time=1e9,
    )
    assert (first.level, first.is_over) == (AlertLevel.CRITICAL, False)
    gone = resolved(5.0, "B")
    notifier.add(5.0, gone)
    (second,) = notifier.tick(10.0, 1e9 + 10)
    assert (second.firing, second.resolved) == ((a,), (gone,))
    assert (second.level, second.is_over) == (AlertLevel.WARNING, False)
    notifier.add(15.0, resolved(15.0, "A"))
    (third,) = notifier.tick(20.0, 1e9 + 20)
    assert (third.level, third.is_over) == (AlertLevel.WARNING, True)


@pytest.mark.parametrize(
    ("by", "groups"),
    [((), 1), (("guard",), 2), (("alert",), 3), (("level",), 2), (("guard", "level"), 4)],
)
def test_groups_by_labels(by: tuple[str, ...], groups: int) -> None:
    """Alerts with equal labels are told in one notification; without labels, all are."""
    notifier = Notifier(Grouping(by=by, group_wait=0))
    for guard in ("one", "two"):
        for name in RULES:
            notifier.add(0.0, raised(0.0, name, guard))
    notifications = notifier.tick(0.0, 0.0)
    assert len(notifications) == groups
    assert sum(len(notification.firing) for notification in notifications) == 6
    assert all(tuple(label for label, _ in n.group) == by for n in notifications)


@pytest.mark.parametrize(("up", "down"), [(40, 20), (20, 500), (301, 1), (7, 29), (33, 33)])
def test_a_flapping_alert_keeps_the_pace_of_its_group(up: int, down: int) -> None:
    """What comes and goes all day is told once an interval at most, and not put off for ever."""
    starts = range(0, 24 * HOUR, up + down)
    script = [step for start in starts for step in ((start, "A"), (start + up, "a"))]
    times = [at for at, *_ in told(script, 24 * HOUR)]
    assert all(later - sooner >= 300 for sooner, later in pairwise(times))
    assert len(times) <= 24 * HOUR / 300 + 1
    # What never lasts as long as `group_wait` is never told, as by Alertmanager.
    assert bool(times) == (up > 30)


def test_what_is_over_is_forgotten() -> None:
    """An interval after its end was told nothing is left of a group, and no deadline."""
    notifier = Notifier()
    assert notifier.next_deadline() == math.inf
    notifier.add(0.0, raised(0.0, "A"))
    notifier.add(1.0, resolved(1.0, "A"))
    assert notifier.next_deadline() == 30.0
    assert notifier.tick(30.0, 30.0) == []
    assert notifier.next_deadline() == math.inf


def test_the_unknown_is_ignored() -> None:
    """The end of an alert that was never raised here is nobody's business."""
    notifier = Notifier()
    notifier.add(0.0, resolved(0.0, "A"))
    assert notifier.next_deadline() == math.inf
    notifier.add(1.0, raised(1.0, "B"))
    notifier.add(2.0, resolved(2.0, "A"))
    (only,) = notifier.tick(31.0, 31.0)
    assert brief(only) == (31.0, FIRST, "B", "")


def test_called_early_it_does_nothing() -> None:
    """Before the deadline nothing is told, and the deadline stands."""
    notifier = Notifier()
    notifier.add(100.0, raised(100.0, "A"))
    for now in (0.0, 100.0, 129.9):
        assert notifier.tick(now, now) == []
        assert notifier.next_deadline() == 130.0
    assert len(notifier.tick(130.0, 130.0)) == 1
    assert notifier.tick(130.0, 130.0) == []


def test_at_the_end_all_is_told() -> None:
    """The last look waits for nothing; what was told already is not told again."""
    notifier = Notifier(Grouping(by=("alert",)))
    notifier.add(0.0, raised(0.0, "A"))
    notifier.add(0.0, raised(0.0, "B"))
    notifier.tick(30.0, 30.0)
    notifier.add(40.0, resolved(40.0, "A"))
    notifier.add(40.0, raised(40.0, "C"))
    last = notifier.finish(41.0, 41.0)
    assert [brief(told) for told in last] == [(41.0, RESOLVED, "", "A"), (41.0, FIRST, "C", "")]
    assert notifier.finish(41.0, 41.0) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("by", "guard"),
        ("by", ["guard"]),
        ("by", ("host",)),
        ("by", (3,)),
        ("by", ("guard", "guard")),
        ("group_wait", -1),
        ("group_interval", 0),
        ("repeat_interval", 0),
        ("repeat_interval", math.inf),
    ],
)
def test_settings_are_checked(field: str, value: Any) -> None:
    """A grouping that cannot work is refused when built, by field."""
    with pytest.raises(PolicyError) as refused:
        Grouping(**{field: value})
    assert refused.value.field == field


# --- properties -----------------------------------------------------------------


class SlowAlertmanager:
    """One group of Alertmanager, second by second, with the module's two exceptions.

    ``store`` is the aggregation group's alerts (True while firing), ``entry`` its
    last line in the notification log: what fired then, and when.
    """

    def __init__(self, grouping: Grouping) -> None:
        self.grouping = grouping
        self.store: dict[str, bool] | None = None
        self.entry: tuple[set[str], float] = (set(), -math.inf)
        self.flush_at = math.inf
        self.is_waiting = False

    def add(self, now: float, what: str) -> None:
        name, is_firing = what.upper(), what.isupper()
        wait_until = now + self.grouping.group_wait
        if is_firing and self.store is None:
            self.store, self.flush_at, self.is_waiting = {}, wait_until, True
        elif is_firing and self.store == {} and not self.is_waiting:
            self.flush_at, self.is_waiting = max(self.flush_at, wait_until), True
        if self.store is not None and (is_firing or name in self.store):
            self.store[name] = is_firing

    def needs_update(self, now: float) -> NotificationReason | None:
        assert self.store is not None
        entry_firing, entry_time = self.entry
        firing = {name for name, is_firing in self.store.items() if is_firing}
        ended = (set(self.store) - firing) & entry_firing
        if firing - entry_firing:
            return NEW if entry_firing else FIRST
        if not firing:
            return RESOLVED if entry_firing else None
        if ended:
            return RESOLVED
        repeat = self.grouping.repeat_interval
        return REPEAT if repeat is not None and now - entry_time >= repeat else None

    def second(self, now: float) -> list[Told]:
        if now < self.flush_at or self.store is None:
            return []
        self.flush_at, self.is_waiting = now + self.grouping.group_interval, False
        reason = self.needs_update(now)
        firing = {name for name, is_firing in self.store.items() if is_firing}
        ended = (set(self.store) - firing) & self.entry[0]
        self.store = dict.fromkeys(firing, True)
        if reason is None:
            if not firing:
                self.store, self.flush_at = None, math.inf
            return []
        self.entry = firing, now
        return [(now, reason, "".join(sorted(firing)), "".join(sorted(ended)))]


GROUPINGS = st.builds(
    Grouping,
    group_wait=st.integers(0, 12),
    group_interval=st.integers(1, 12),
    repeat_interval=st.integers(1, 30) | st.none(),
)
SCRIPTS = st.lists(st.tuples(st.integers(0, 100), st.sampled_from("AaBbCc")), max_size=40).map(
    lambda steps: sorted(steps, key=lambda step: step[0])
)


@given(SCRIPTS, GROUPINGS)
def test_matches_a_slow_alertmanager(script: Script, grouping: Grouping) -> None:
    """Any script is told as a plain model of Alertmanager's rules tells it."""
    model, expected = SlowAlertmanager(grouping), []
    events = by_second(script)
    for now in range(151):
        for what in events[now]:
            model.add(float(now), what)
        expected += model.second(float(now))
    assert told(script, 150, grouping) == expected


@given(SCRIPTS, GROUPINGS, st.integers(0, 100))
def test_the_last_look_leaves_nothing_untold(
    script: Script, grouping: Grouping, until: int
) -> None:
    """After it, what is open and what was told to be open are the same."""
    notifier, is_open, is_told = Notifier(grouping), set[str](), set[str]()
    events = by_second(script)
    for now in range(until + 1):
        for what in events[now]:
            notifier.add(float(now), event(now, what))
            is_open = is_open | {what} if what.isupper() else is_open - {what.upper()}
        told = notifier.tick(now, now) if now < until else notifier.finish(now, now)
        for notification in told:
            is_told = {alert.rule.name for alert in notification.firing}
    assert is_told == is_open


@given(SCRIPTS, GROUPINGS)
def test_deadlines_are_enough(script: Script, grouping: Grouping) -> None:
    """Asked only at its deadlines, it tells what it tells when asked every second."""
    notifier = Notifier(grouping)
    notifications: list[Notification] = []

    def run_until(end: float) -> None:
        while (now := notifier.next_deadline()) < end:
            notifications.extend(notifier.tick(now, now))
            assert notifier.next_deadline() > now

    for at, what in script:
        run_until(float(at))
        notifier.add(float(at), event(at, what))
    run_until(150.5)
    assert [brief(notification) for notification in notifications] == told(script, 150, grouping)
