"""Alerts of guards reach sinks in groups, and no sink is in another's way."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard.instrumentation import SinkPolicy, open_notifier
from trio_wsguard.testing import SimulatedNetwork
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer

from ..shell.test_cancellation import CancelAtStep
from .kit import (
    AT_ONCE,
    QUICK,
    Recorder,
    failing,
    guard_named,
    hanging,
    names,
)

# --- when what is told -------------------------------------------------------------


async def test_alerts_are_told_in_groups() -> None:
    """Alerts that come together are told together, and their ends at the next look."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink], grouping=QUICK):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(5)
        guard.begin("B")
        await trio.sleep(20)
        guard.end("A")
        await trio.sleep(100)
        assert sink.told == [(11, "AB", ""), (71, "B", "A")]
        assert guard.listeners._streams
    assert not guard.listeners._streams


async def test_a_fleet_has_one_notifier() -> None:
    """Alerts of several guards are told in one notification."""
    one, two, sink = guard_named("one"), guard_named("two"), Recorder()
    async with open_notifier(one, two, sinks=[sink], grouping=QUICK) as notifier:
        await trio.sleep(1)
        assert notifier.guards == (one, two)
        one.begin("A")
        two.begin("A")
        await trio.sleep(20)
    (_, first), *_ = sink.taken
    assert {alert.guard for alert in first.firing} == {"one", "two"}


async def test_a_sink_may_have_a_grouping_of_its_own() -> None:
    """One sink is told at once and another in its time."""
    guard, quick, slow = guard_named(), Recorder(policy=SinkPolicy(grouping=AT_ONCE)), Recorder()
    async with open_notifier(guard, sinks=[quick, slow], grouping=QUICK):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(5)
        guard.begin("B")
        await trio.sleep(6)
        assert quick.told == [(1, "A", ""), (6, "AB", "")]
        assert slow.told == [(11, "AB", "")]


async def test_the_documented_grouping_is_the_default() -> None:
    """Without a word the first telling comes after 30 s."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink]):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(40)
        assert sink.told == [(31, "A", "")]


async def test_a_day_of_flapping_is_no_storm() -> None:
    """A thousand raises and their ends are told once in five minutes at most."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink]) as notifier:
        for _ in range(1000):
            guard.begin("A")
            await trio.sleep(50)
            guard.end("A")
            await trio.sleep(36.4)
        assert trio.current_time() == pytest.approx(24 * 3600)
        assert notifier.sinks[0].queued == 0
    times = [at for at, _ in sink.taken]
    assert all(later - sooner >= 300 for sooner, later in pairwise(times[:-1]))
    assert 100 < len(times) <= 24 * 3600 / 300 + 1


# --- guards come and go ------------------------------------------------------------


async def test_guards_are_added_at_run_time() -> None:
    """What a guard has open when it is added counts as raised then."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(sinks=[sink], grouping=QUICK) as notifier:
        guard.begin("A")
        await trio.sleep(100)
        notifier.add(guard)
        notifier.add(guard)
        await trio.sleep(20)
        assert sink.told == [(110, "A", "")]
        assert len(guard.listeners._streams) == 1


async def test_a_removed_guard_is_told_to_be_over() -> None:
    """Its alerts end without a value, it is heard no more, and may be added again."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(9)
        notifier.remove(guard)
        notifier.remove(guard)
        assert notifier.guards == ()
        await trio.sleep(1)
        assert not guard.listeners._streams
        guard.begin("B")
        await trio.sleep(9)
        (over,) = sink.taken[-1][1].resolved
        assert (over.value, over.duration) == (None, 9)
        assert sink.told == [(1, "A", ""), (10, "", "A")]
        notifier.add(guard)
        await trio.sleep(1)
        assert sink.told[2:] == [(20, "AB", "")]


async def test_a_guard_that_ends_is_forgotten() -> None:
    """Its last events are told, and another of its name may follow."""
    guard, other, sink = guard_named(), guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(1)
        guard.close()
        notifier.add(other)  # before anything was heard of that end
        assert notifier.guards == (other,)
        await trio.sleep(1)
        other.begin("B")
        await trio.sleep(1)
        assert notifier.guards == (other,)
        other.close()
        await trio.sleep(1)
        assert not notifier.guards
    assert sink.told == [(1, "A", ""), (2, "", "A"), (3, "B", ""), (4, "", "B")]


async def test_two_guards_of_one_name_are_refused() -> None:
    """Alerts are told apart by the guard's name."""
    async with open_notifier(guard_named(), sinks=[]) as notifier:
        with pytest.raises(wsguard.PolicyError, match="name='feed': is the name of two guards"):
            notifier.add(guard_named())


async def test_what_was_missed_is_made_up_for() -> None:
    """Events dropped because too many came at once leave no alert open or untold."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(1)
        guard.end("A")
        guard.begin("B")
        for _ in range(1024):
            guard.listeners.publish(wsguard.EventsDropped(count=0))
        await trio.sleep(1)
    assert sink.told[:2] == [(1, "A", ""), (2, "B", "A")]


# --- the end -----------------------------------------------------------------------


async def test_around_the_guard_its_end_is_told() -> None:
    """What a guard has open at its end is told as ended when the notifier is left."""
    sink = Recorder()
    async with open_notifier(sinks=[sink], grouping=QUICK) as notifier:
        guard = guard_named()
        notifier.add(guard)
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(20)
        guard.close()
    assert sink.told == [(11, "A", ""), (21, "", "A")]


async def test_inside_the_guard_its_end_is_told_too() -> None:
    """A notifier left before its guard tells the same."""
    guard, sink = guard_named(), Recorder()
    async with open_notifier(guard, sinks=[sink], grouping=QUICK):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(20)
    assert sink.told == [(11, "A", ""), (21, "", "A")]


async def test_leaving_waits_for_what_is_queued() -> None:
    """A slow sink has its time to take what it was told."""
    guard, sink = guard_named(), Recorder(troubles=[2.0, 2.0])
    async with open_notifier(guard, sinks=[sink], grouping=AT_ONCE):
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(1)
    assert sink.told == [(3, "A", ""), (5, "", "A")]


async def test_leaving_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A sink that hangs has `linger` seconds; what it did not take is counted and logged."""
    guard, good, bad = guard_named(), Recorder(), hanging()
    async with open_notifier(guard, sinks=[bad, good], grouping=AT_ONCE, linger=3) as notifier:
        await trio.sleep(1)
        guard.begin("A")
        await trio.sleep(1)
    assert trio.current_time() == 5
    assert good.told == [(1, "A", ""), (2, "", "A")]
    assert [(figures.sent, figures.dropped) for figures in notifier.sinks] == [(0, 2), (2, 0)]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == (
        "hanging: the notifier ended before 2 notifications could be delivered"
    )


async def test_cancelling_ends_at_once() -> None:
    """A cancelled notifier waits for no sink, and tells nothing more."""
    guard, good, bad = guard_named(), Recorder(), hanging()
    with trio.move_on_after(10):
        async with open_notifier(guard, sinks=[bad, good], grouping=AT_ONCE):
            await trio.sleep(1)
            guard.begin("A")
            await trio.sleep_forever()
    assert trio.current_time() == 10
    assert good.told == [(1, "A", "")]
    assert not guard.listeners._streams


async def test_a_users_error_comes_out_as_itself() -> None:
    """It leaves without a group, after what was due is told."""
    guard, sink = guard_named(), Recorder()

    async def life() -> None:
        async with open_notifier(guard, sinks=[sink], grouping=QUICK):
            await trio.sleep(1)
            guard.begin("A")
            await trio.sleep(20)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await life()
    assert sink.told == [(11, "A", ""), (21, "", "A")]


async def test_a_notifier_that_ended_takes_no_guard() -> None:
    """After the block, `add` is misuse, and figures can still be read."""
    async with open_notifier(sinks=[Recorder()]) as notifier:
        pass
    with pytest.raises(trio.ClosedResourceError):
        notifier.add(guard_named())
    assert notifier.sinks[0].sent == 0


class NotedCancel(CancelAtStep):
    """Knows when it cancelled."""

    cancelled_at: float | None = None

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count, cancel, and note it."""
        super().before_task_step(task)
        if self.scope.cancel_called and self.cancelled_at is None:
            self.cancelled_at = trio.current_time()


async def test_cancelled_at_every_step() -> None:
    """Wherever it is cancelled, it ends with no time passed and no listener left."""

    async def life(guard: Any) -> None:
        sinks = [Recorder(), hanging(), failing()]
        async with open_notifier(guard, sinks=sinks, grouping=AT_ONCE, linger=1):
            await trio.sleep(1)
            guard.begin("A")
            await trio.sleep(1)

    for step in range(1, 1000):
        guard = guard_named()
        with trio.CancelScope() as scope:
            cancel = NotedCancel(scope, step)
            trio.lowlevel.add_instrument(cancel)
            try:
                await life(guard)
            finally:
                trio.lowlevel.remove_instrument(cancel)
                assert not guard.listeners._streams
        if cancel.cancelled_at is None:
            break
        assert trio.current_time() == cancel.cancelled_at
    assert 30 < step < 999


# --- settings ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("grouping", "none"),
        ("timeout", 0),
        ("max_attempts", 0),
        ("backoff", 3),
        ("max_retry_after", -1),
        ("max_queue", 0),
    ],
)
def test_policies_are_checked(field: str, value: Any) -> None:
    """A policy that cannot work is refused when built, by field."""
    with pytest.raises(wsguard.PolicyError) as refused:
        SinkPolicy(**{field: value})
    assert refused.value.field == field


async def test_settings_are_checked() -> None:
    """What is no sink is refused by its type, and a negative linger by its value."""
    not_a_sink: Any = "https://user:secret@example/"
    wrong: list[dict[str, Any]] = [{"sinks": [not_a_sink]}, {"sinks": [], "linger": -1}]
    for options in wrong:
        with pytest.raises(wsguard.PolicyError) as refused:
            async with open_notifier(**options):
                raise AssertionError
        assert "secret" not in str(refused.value)


# --- with a real guard -------------------------------------------------------------


async def test_a_real_guard_is_heard() -> None:
    """From the guard's figures to the sink, its end included."""
    rule = wsguard.AlertRule(
        name="quiet",
        figure="silence",
        comparison=">",
        threshold=60,
        level=wsguard.AlertLevel.WARNING,
    )
    policy = wsguard.GuardPolicy(alerts=wsguard.AlertPolicy(rules=(rule,), interval=10))
    sink = Recorder()
    async with SimulatedNetwork(seed=1) as network, open_notifier(sinks=[sink]) as notifier:
        network.listen("feed.example:80", ScriptedPeer(Script(Accept())))
        url = "ws://feed.example/"
        async with network.open_guard(url, policy=policy, name="feed") as ws:
            notifier.add(ws)
            await trio.sleep(200)
        assert notifier.guards == ()
    assert [(names(n.firing), names(n.resolved)) for _, n in sink.taken] == [
        ("quiet", ""),
        ("", "quiet"),
    ]
    first, last = (n for _, n in sink.taken)
    assert first.firing[0].guard == "feed"
    assert last.resolved[0].value is None
