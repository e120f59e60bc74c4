"""Alerts raised once and resolved once."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trio_wsguard._core.alerts import EVALUATION_INTERVAL, Alert, AlertRaised, AlertResolved, Alerts
from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard._core.rates import Rates, RateWindows
from trio_wsguard._core.rules import AlertLevel, AlertRule
from trio_wsguard._core.state import CONNECTED, FAILED, RECONNECTING
from trio_wsguard._errors import PolicyError
from trio_wsguard._policy import GuardPolicy

if TYPE_CHECKING:
    from trio_wsguard._core.health import Snapshot

SNAPSHOT = attrs.evolve(
    ConnectionMonitor(GuardPolicy(), 0.0, 0.0).snapshot(
        0.0, 0.0, name="feed", generation=1, queue_depth=0, silence=None, open_delay=0.0
    ),
    connection_state=CONNECTED,
)
UNIX = 1e9  # Unix seconds at which the clocks of these tests begin
FAILING = ["connection_failure_rate", "connection_success_rate"]


def snapshot(now: float, **changes: Any) -> Snapshot:
    return attrs.evolve(SNAPSHOT, time=UNIX + now, **changes)


def attempts(good: int, bad: int) -> RateWindows:
    windows = RateWindows()
    for index in range(good + bad):
        windows.attempted(0.0, is_good=index < good)
    return windows


def depth_rule(**changes: Any) -> AlertRule:
    fields: dict[str, Any] = {
        "name": "deep",
        "figure": "queue_depth",
        "comparison": ">",
        "threshold": 10,
        "level": AlertLevel.WARNING,
    }
    return AlertRule(**{**fields, **changes})


def depth_at(now: float, depth: float | None) -> Snapshot:
    return snapshot(now, queue_depth=depth)


def play(alerts: Alerts, depths: list[float | None]) -> list[Alert]:
    """Judge one depth a second, from the first judgement on."""
    told: list[Alert] = []
    for second, depth in enumerate(depths, start=1):
        told += alerts.tick(float(second), depth_at(float(second), depth))
    return told


def test_raised_and_resolved_tell_all() -> None:
    """An alert is raised once while its condition holds, and resolved once."""
    made = depth_rule()
    told = play(Alerts(0.0, [made], 1.0), [5, 11, 12, 13, 10, 9])
    assert told == [
        AlertRaised(rule=made, guard="feed", value=11, at=2.0, time=UNIX + 2),
        AlertResolved(rule=made, guard="feed", value=10, duration=3.0, at=5.0, time=UNIX + 5),
    ]
    assert told[0].key == told[1].key == ("feed", "deep")
    assert told[0].message == "queue_depth is 11 (> 10)"
    assert told[1].message == "queue_depth is 10; over after 3 s"
    assert told[0].level is told[1].level is AlertLevel.WARNING


@pytest.mark.parametrize(
    ("for_", "depths", "raised_at"),
    [
        (0, [11], 1),
        (3, [11, 11, 11], None),
        (3, [11, 11, 11, 11], 4),
        (3, [11, 11, 9, 11, 11, 11], None),
        (3, [11, 11, None, 11, 11, 11, 11], 7),
        (2.5, [11, 11, 11, 11], 4),
    ],
)
def test_for_holds_an_alert_back(
    for_: float, depths: list[float | None], raised_at: float | None
) -> None:
    """The condition must hold for `for_` seconds without a break; no value is a break."""
    told = play(Alerts(0.0, [depth_rule(for_=for_)], 1.0), depths)
    assert [alert.at for alert in told] == ([] if raised_at is None else [raised_at])


@pytest.mark.parametrize(
    ("keep", "depths", "resolved_at"),
    [
        (0, [11, 9], 2),
        (3, [11, 9, 9, 9], None),
        (3, [11, 9, 9, 9, 9], 5),
        (3, [11, 9, 9, 11, 9, 9, 9], None),
        (3, [11, None, None, None, None], 5),
    ],
)
def test_keep_firing_for_holds_its_end_back(
    keep: float, depths: list[float | None], resolved_at: float | None
) -> None:
    """The condition must not hold for `keep_firing_for` seconds without a break."""
    told = play(Alerts(0.0, [depth_rule(keep_firing_for=keep)], 1.0), depths)
    assert [alert.at for alert in told[1:]] == ([] if resolved_at is None else [resolved_at])


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_no_value_resolves_while_connected(nothing: float | None) -> None:
    """With nothing measured an alert raises never and ends, as in Prometheus."""
    told = play(Alerts(0.0, [depth_rule()], 1.0), [nothing, 11, nothing, nothing])
    assert [type(alert) for alert in told] == [AlertRaised, AlertResolved]
    assert told[1].value is None
    assert "no longer measured" in told[1].message


def test_no_value_proves_nothing_without_a_connection() -> None:
    """A guard that gave up measures nothing, and that is no recovery."""
    alerts = Alerts(0.0, interval=5.0)
    windows = attempts(0, 5)
    assert len(alerts.tick(5.0, snapshot(5.0, rates=windows.rates(5.0)))) == 2
    for state in (RECONNECTING, FAILED):
        now = alerts.next_deadline() + 1000
        figures = snapshot(now, connection_state=state, rates=windows.rates(now))
        assert alerts.tick(now, figures) == []
    now = alerts.next_deadline()
    figures = snapshot(now, rates=windows.rates(now))
    assert [type(alert) for alert in alerts.tick(now, figures)] == [AlertResolved, AlertResolved]


def test_a_long_outage_does_not_end_its_alert() -> None:
    """Attempts grow rare in an outage; fewer than 5 in the window resolve nothing."""
    windows, alerts = RateWindows(), Alerts(0.0, interval=5.0)
    told: list[Alert] = []
    for now in range(5, 7205, 5):
        if now % 80 == 0 or now <= 25:
            windows.attempted(float(now), is_good=False)
        rates = windows.rates(float(now))
        down = snapshot(float(now), connection_state=RECONNECTING, rates=rates)
        told += alerts.tick(float(now), down)
    assert windows.rates(7200.0).attempt_samples < 5
    assert [alert.rule.name for alert in told] == FAILING
    assert all(isinstance(alert, AlertRaised) for alert in told)


def test_called_early_it_does_nothing() -> None:
    """Between two judgements nothing is judged, whatever the figures."""
    alerts = Alerts(100.0, [depth_rule()])
    due = 100.0 + EVALUATION_INTERVAL
    assert alerts.next_deadline() == due
    assert alerts.tick(due - 0.1, depth_at(due - 0.1, 11)) == []
    assert alerts.tick(0.0, depth_at(0.0, 11)) == []
    assert len(alerts.tick(due, depth_at(due, 11))) == 1
    assert alerts.tick(due, depth_at(due, 9)) == []
    assert alerts.next_deadline() == due + EVALUATION_INTERVAL


def test_a_late_judgement_is_not_made_up_for() -> None:
    """After a late judgement the next comes an interval later, not at once."""
    alerts = Alerts(0.0, [depth_rule()], 5.0)
    alerts.tick(63.0, depth_at(63.0, 0))
    assert alerts.next_deadline() == 68.0


def test_without_rules_nothing_is_raised() -> None:
    """Without rules whatever the figures say is no alert."""
    alerts = Alerts(0.0, [], 5.0)
    assert alerts.tick(10.0, depth_at(10.0, 11)) == []
    assert alerts.next_deadline() == 15.0


def test_finish_ends_what_is_open() -> None:
    """The end of a guard ends its alerts, once; pending ones are forgotten."""
    alerts = Alerts(0.0, [depth_rule(), depth_rule(name="slowly", for_=60)], 1.0)
    (raised,) = alerts.tick(1.0, depth_at(1.0, 11))
    assert alerts.open == (raised,)
    (ended,) = alerts.finish(3.0, UNIX + 3)
    assert (ended.key, ended.value, ended.duration) == (("feed", "deep"), None, 2.0)
    assert alerts.finish(4.0, UNIX + 4) == []
    assert not alerts.open


def test_settings_are_checked() -> None:
    """Two rules of one name, and an interval of nothing, are refused."""
    with pytest.raises(PolicyError, match="two rules"):
        Alerts(0.0, [depth_rule(), depth_rule(threshold=20)])
    with pytest.raises(PolicyError, match="interval"):
        Alerts(0.0, interval=0)


# --- properties -----------------------------------------------------------------


class Reference:
    """One rule judged the slow way: by all that was ever seen, in plain lists."""

    def __init__(self, made: AlertRule) -> None:
        self.made = made
        self.seen: list[tuple[float, str]] = []  # since the last change
        self.is_open = False

    def judge(self, now: float, value: float | None, samples: int, is_connected: bool) -> str:
        is_met = value is not None and value > self.made.threshold
        if not self.is_open:
            verdict = "yes" if is_met and samples >= self.made.min_samples else "no"
            wanted, patience = "yes", self.made.for_
        else:
            is_held = is_met or (value is None and not is_connected)
            verdict = "yes" if is_held else "no"
            wanted, patience = "no", self.made.keep_firing_for
        self.seen.append((now, verdict))
        run = [at for at, seen in self.seen if all(v == wanted for t, v in self.seen if t >= at)]
        if not run or now - run[0] < patience:
            return ""
        self.seen, self.is_open = [], not self.is_open
        return "raised" if self.is_open else "resolved"


class AlertsMachine(RuleBasedStateMachine):
    """Alerts against the reference, over any figures at any times."""

    @initialize(
        for_=st.integers(0, 20),
        keep=st.integers(0, 20),
        interval=st.integers(1, 7),
    )
    def begin(self, for_: int, keep: int, interval: int) -> None:
        made = depth_rule(
            figure="heartbeat_timeout_rate", threshold=0.2, for_=for_, keep_firing_for=keep
        )
        self.alerts = Alerts(0.0, [made], float(interval))
        self.twin = Alerts(0.0, [made], float(interval))
        self.reference = Reference(made)
        self.interval = interval
        self.now = 0
        self.told: list[Alert] = []

    @rule(
        step=st.integers(0, 15),
        value=st.sampled_from([None, math.nan, 0.0, 0.2, 0.21, 1.0]),
        samples=st.sampled_from([1, 4, 5, 20]),
        is_connected=st.booleans(),
    )
    def tick(self, step: int, value: float | None, samples: int, is_connected: bool) -> None:
        self.now += step
        now = float(self.now)
        is_early = now < self.alerts.next_deadline()
        figures = snapshot(
            now,
            connection_state=CONNECTED if is_connected else RECONNECTING,
            rates=Rates(heartbeat_timeout_rate=value, beat_samples=samples),
        )
        told = self.alerts.tick(now, figures)
        assert self.twin.tick(now, figures) == told
        self.told += told
        if is_early:
            assert told == []
            return
        seen = None if value is None or math.isnan(value) else value
        expected = self.reference.judge(now, seen, samples, is_connected)
        kinds = {"raised": AlertRaised, "resolved": AlertResolved}
        assert [type(alert) for alert in told] == ([kinds[expected]] if expected else [])
        assert self.alerts.next_deadline() == now + self.interval

    @invariant()
    def raises_and_resolves_alternate(self) -> None:
        kinds = [type(alert) for alert in self.told]
        assert kinds == [AlertRaised, AlertResolved] * (len(kinds) // 2) + [AlertRaised] * (
            len(kinds) % 2
        )
        assert len(self.alerts.open) == len(kinds) % 2
        for first, second in pairwise(self.told):
            assert second.at - first.at >= self.interval
            if isinstance(second, AlertResolved):
                assert second.duration == second.at - first.at


AlertsMachine.TestCase.settings = settings(deadline=None, stateful_step_count=40)
TestAlertsMachine = AlertsMachine.TestCase
"""Alerts alternate, never storm, and agree with a reference that remembers everything."""

DEPTHS = st.lists(st.sampled_from([None, 0, 10, 11, 50]), min_size=1, max_size=80)


@given(DEPTHS, st.integers(0, 9), st.integers(0, 9), st.integers(1, 7))
def test_deadlines_are_enough(
    depths: list[float | None], for_: int, keep: int, interval: int
) -> None:
    """Asked only at its deadlines, it tells what it tells when asked every second."""
    made = [depth_rule(for_=for_, keep_firing_for=keep)]
    every_second = play(Alerts(0.0, made, float(interval)), depths)
    alerts = Alerts(0.0, made, float(interval))
    told: list[Alert] = []
    while (now := alerts.next_deadline()) <= len(depths):
        told += alerts.tick(now, depth_at(now, depths[int(now) - 1]))
        assert alerts.next_deadline() > now
    assert told == every_second
