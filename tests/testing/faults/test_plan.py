"""Plans of faults, written down or drawn."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import PolicyError
from trio_wsguard.testing import (
    RECOVERABLE,
    Blackhole,
    Corrupt,
    Direction,
    FaultPlan,
    Latency,
    Partition,
    Refuse,
    TlsFailure,
    faults,
    random_plan,
)

from ..wire import World, with_a_guard

PLAN = FaultPlan(
    Latency(delay=0.5, start=3, end=8),
    Blackhole(direction=Direction.UP, start=10, end=20.5),
)


def test_a_plan_reads_well() -> None:
    """One line a fault, settings that differ from the defaults only; it can be pasted back."""
    shown = """\
FaultPlan(
    Latency(delay=0.5, start=3, end=8),
    Blackhole(direction=Direction.UP, start=10, end=20.5),
)"""
    assert repr(PLAN) == shown
    assert eval(shown, dict(vars(faults))) == PLAN  # noqa: S307 - our own text
    assert repr(FaultPlan()) == "FaultPlan()"
    assert repr(FaultPlan(Refuse(end=1))) == "FaultPlan(Refuse(end=1))"


def test_a_plan_is_a_sequence() -> None:
    """It has the length, members, slices, equality and hash of a sequence that cannot change."""
    assert len(PLAN) == 2
    assert PLAN[0] == Latency(delay=0.5, start=3, end=8)
    assert PLAN[1:] == FaultPlan(PLAN[1])
    assert list(PLAN) == [PLAN[0], PLAN[1]]
    assert hash(FaultPlan(*PLAN)) == hash(PLAN)
    assert FaultPlan(*reversed(PLAN)) != PLAN
    assert tuple(PLAN) != PLAN


def test_quiet_from() -> None:
    """A plan is quiet from the last end on, or never."""
    assert PLAN.quiet_from == 20.5
    assert FaultPlan().quiet_from == 0
    assert FaultPlan(*PLAN, Refuse(start=1)).quiet_from == math.inf


def test_what_is_no_fault_is_refused() -> None:
    """Bad members are refused by value."""
    wrong: Any = "rain"
    with pytest.raises(PolicyError, match="faults='rain': is no fault"):
        FaultPlan(wrong)


def test_a_plan_happens() -> None:
    """Added to a link, each fault begins and ends in its time."""

    async def body(world: World) -> list[str]:
        world.link.add(*FaultPlan(Refuse(start=1, end=4), Partition(start=2, end=3)))
        found: list[str] = []
        for _ in range(5):
            await trio.sleep(0.5)
            found.append("+".join(type(fault).__name__ for fault in world.link.faults))
            await trio.sleep(0.5)
        return found

    assert with_a_guard(body) == ["", "Refuse", "Refuse+Partition", "Refuse", ""]


def test_a_random_plan_is_a_function_of_the_state_of_chance() -> None:
    """One seed gives one plan, another another; all is over in time, and in order."""
    plans = [random_plan(Random(seed), duration=30 * 86400) for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]
    plan = plans[0]
    assert 500 < len(plan) < 1000  # 720 are expected
    assert plan.quiet_from <= 30 * 86400 + 0.001
    assert [fault.start for fault in plan] == sorted(fault.start for fault in plan)
    assert {type(fault) for fault in plan} == set(RECOVERABLE)


@pytest.mark.parametrize("kind", [*RECOVERABLE, Corrupt, TlsFailure])
def test_every_kind_can_be_drawn(kind: type[faults.Fault]) -> None:
    """Each kind gives valid settings, whatever is drawn; and a repr that can be pasted back."""
    plan = random_plan(Random(3), duration=3600, mean_gap=10, mean_length=10, kinds=[kind])
    assert {type(fault) for fault in plan} == {kind}
    assert eval(repr(plan), dict(vars(faults))) == plan  # noqa: S307 - our own text


def test_all_faults_that_can_be_recovered_from_are_drawn() -> None:
    """No fault is forgotten."""
    exported = {
        value
        for value in vars(faults).values()
        if isinstance(value, type) and issubclass(value, faults.Fault)
    }
    assert exported - {faults.Fault, Corrupt, TlsFailure} == set(RECOVERABLE)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"duration": 0}, "duration=0"),
        ({"duration": 1, "mean_gap": -1}, "mean_gap=-1"),
        ({"duration": 1, "mean_length": math.inf}, "mean_length=inf"),
        ({"duration": 1, "kinds": [faults.Fault]}, "kinds=.*cannot be drawn"),
    ],
)
def test_bad_settings(settings: dict[str, Any], problem: str) -> None:
    """Bad settings are refused by name and value."""
    with pytest.raises(PolicyError, match=problem):
        random_plan(Random(0), **settings)


@pytest.mark.parametrize("kind", RECOVERABLE)
def test_a_guard_outlives_it(kind: type[faults.Fault]) -> None:
    """After random faults of a kind the guard is connected and its peer answers."""

    async def body(world: World) -> str:
        plan = random_plan(
            Random(kind.__name__), duration=5_000, mean_gap=250, mean_length=50, kinds=[kind]
        )
        world.link.add(*plan)
        await trio.sleep(plan.quiet_from + 200)
        await world.echo("still there", within=60)
        return world.ws.state.name

    policy = wsguard.GuardPolicy(max_connection_failures=None)
    assert with_a_guard(body, policy=policy) == "CONNECTED"
