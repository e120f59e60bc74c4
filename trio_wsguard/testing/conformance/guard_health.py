"""What must hold of a guard's judgement of itself: its health, its alerts, and being stuck."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import trio
from hypothesis import strategies as st

import trio_wsguard as wsguard
from trio_wsguard.testing import strategies
from trio_wsguard.testing.conformance.guard_states import Wish, grant, wishes, worlds
from trio_wsguard.testing.conformance.life import Life, World, open_life, policy_for
from trio_wsguard.testing.conformance.property import property_of
from trio_wsguard.testing.conformance.violation import expect

if TYPE_CHECKING:
    from trio_wsguard.testing.conformance.run import Run

_S: Final = wsguard.ConnectionState
_EPS: Final = 1e-6
_OFTEN: Final = 0.5  # seconds from one look at the figures to the next
_RULES: Final = (
    *wsguard.DOCUMENTED_RULES,
    wsguard.AlertRule(
        name="quiet",
        figure="silence",
        comparison=">",
        threshold=20,
        level=wsguard.AlertLevel.WARNING,
    ),
)


def _policy(run: Run, interval: float) -> wsguard.GuardPolicy:
    return policy_for(run, alerts=wsguard.AlertPolicy(rules=_RULES, interval=interval))


@property_of("guard", rows=(36,))
def alerts_come_in_pairs(run: Run) -> None:
    """An alert is raised once until it is resolved, and none is open after the end."""

    async def check(world: World, asked: list[Wish], interval: float) -> None:
        async with open_life(run, world, _policy(run, interval)) as life:
            await grant(life, asked)
            await trio.sleep(600)
        for rule in _RULES:
            alerts = [a for a in _alerts(life) if a.rule.name == rule.name]
            kinds = [type(alert).__name__ for alert in alerts]
            wanted = ["AlertRaised", "AlertResolved"] * ((len(kinds) + 1) // 2)
            expect(kinds == wanted, f"{rule.name}: told were {', '.join(kinds)}")
            for one, two in pairwise(alerts[:-1]):
                expect(two.at >= one.at + interval - _EPS, f"{rule.name}: twice in {interval} s")

    intervals = st.sampled_from([0.5, 5.0, 15.0])
    run.for_all(
        {"world": worlds(run), "asked": wishes(run), "interval": intervals}, check, share=0.3
    )


def _alerts(life: Life) -> list[wsguard.Alert]:
    return [event for event in life.events if isinstance(event, wsguard.Alert)]


@property_of("guard", rows=(36,))
def alerts_agree_with_the_figures(run: Run) -> None:
    """While a figure stands still its alert is open just if its rule is met."""

    async def check(world: World, at: float) -> None:
        async with open_life(run, world, _policy(run, _OFTEN)) as life:
            await trio.sleep(at)
            before = life.ws.snapshot().rates
            await trio.sleep(2.5 * _OFTEN)
            after, state = life.ws.snapshot().rates, life.ws.state
            is_open = {alert.rule.name for alert in life.ws.open_alerts}
        for rule in wsguard.DOCUMENTED_RULES:
            value = getattr(before, rule.figure)
            if value != getattr(after, rule.figure) or state is not _S.CONNECTED:
                continue
            if rule.is_met(value) and not _is_enough(rule, after):
                continue  # one that was raised with more samples stays
            expect(
                (rule.name in is_open) == rule.is_met(value),
                f"{rule.figure} is {value}, and of the alerts {sorted(is_open)} are open",
            )

    run.for_all({"world": worlds(run), "at": strategies.seconds(30, 600)}, check, share=0.3)


def _is_enough(rule: wsguard.AlertRule, rates: wsguard.Rates) -> bool:
    samples = {
        "heartbeat_timeout_rate": rates.beat_samples,
        "mean_response_time": rates.response_samples,
    }
    return rule.is_enough(samples.get(rule.figure, rates.attempt_samples))


@property_of("guard", rows=(35, 36))
def raised_alerts_were_due(run: Run) -> None:
    """An alert about attempts tells their rate over 300 s: of 5 or more, above its threshold."""

    async def check(world: World) -> None:
        async with open_life(run, world, _policy(run, 5.0)) as life:
            await trio.sleep(600)
        for alert in life.told(wsguard.AlertRaised):
            if alert.rule.figure != "connection_failure_rate":
                continue
            outcomes = [good for at, good in _outcomes(life) if at <= alert.at < at + 300]
            rate = outcomes.count(False) / max(1, len(outcomes))
            expect(len(outcomes) >= 5, f"raised on {len(outcomes)} attempts")
            expect(alert.value == rate, f"told was a rate of {alert.value:g}, it was {rate:g}")
            expect(rate > alert.rule.threshold, f"raised at a rate of {rate:g}")

    run.for_all({"world": worlds(run)}, check, share=0.3)


def _outcomes(life: Life) -> list[tuple[float, bool]]:
    """Tell when attempts ended, and whether well; one given up by the user is none."""
    told: list[tuple[float, bool]] = []
    for change in life.changes:
        if change.state is _S.CONNECTED:
            told.append((change.at, True))
        elif change.previous is _S.CONNECTING and change.failure is not None:
            told.append((change.at, False))
    return told


@property_of("guard", rows=(35,))
def health_is_told_as_it_changes(run: Run) -> None:
    """Each change of health begins where the last one ended, and DOWN is to be not CONNECTED."""

    async def check(world: World, asked: list[Wish]) -> None:
        async with open_life(run, world) as life:
            await grant(life, asked)
            await trio.sleep(180)
        status, state = wsguard.HealthStatus.DOWN, _S.DISCONNECTED
        for event in life.events:
            if isinstance(event, wsguard.StateChange):
                is_down = status is wsguard.HealthStatus.DOWN
                expect(is_down == (state is not _S.CONNECTED), f"{status.name} in {state.name}")
                state = event.state
            elif isinstance(event, wsguard.HealthChange):
                expect(event.previous is status, f"from {event.previous.name}, was {status.name}")
                expect(event.status is not status, f"{status.name} was told twice")
                status = event.status
        expect(status is wsguard.HealthStatus.DOWN, f"{status.name} after the end")

    run.for_all({"world": worlds(run), "asked": wishes(run)}, check, share=0.3)


@property_of("guard")
def a_stuck_attempt_is_told(run: Run) -> None:
    """An attempt that heeds nothing is stuck just when its time is over, until it goes on."""

    async def check(lasts: float, timeout: float) -> None:
        async def heed_nothing(_connection: wsguard.Connection) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(lasts)

        watchdog = wsguard.WatchdogPolicy(stuck_timeout=timeout)
        policy = policy_for(run, watchdog=watchdog, open_timeout=10)
        async with open_life(run, World(), policy, on_connect=heed_nothing) as life:
            await life.ws.wait_state(_S.CONNECTED, _S.RECONNECTING)
            await life.settle()
        first = life.entered(_S.CONNECTING)[0].at
        kind = wsguard.AnomalyKind.STUCK
        told = [a.at - first for a in life.told(wsguard.Anomaly) if a.kind is kind]
        over = [r.at - first for r in life.told(wsguard.Recovery) if r.kind is kind]
        is_stuck = lasts > timeout
        expect(len(told) == len(over) == is_stuck, f"told at {told}, over at {over}")
        for at, end in zip(told, over, strict=True):
            expect(abs(at - timeout) < _EPS, f"told after {at:g} s, not {timeout:g}")
            expect(abs(end - lasts) < _EPS, f"over after {end:g} s, not {lasts:g}")

    # Apart by half a second: which of two deadlines of one instant comes first is no promise.
    times = st.integers(1, 90).map(float)
    run.for_all({"lasts": times.map(lambda s: s + 0.5), "timeout": times}, check, share=0.5)
