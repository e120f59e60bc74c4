"""What is noticed of what a guard leaves behind."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard._shell.dial import parse_url
from trio_wsguard.testing.conformance import Arm, Parts, Run, guard_leaving
from trio_wsguard.testing.conformance.life import World
from trio_wsguard.testing.conformance.stage import open_stage
from trio_wsguard.testing.simulation import run_simulation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_wsguard.testing.conformance.stage import Stage


def a_run(open_guard: Any = wsguard.open_guarded_websocket, arm: Arm = Arm.SIMULATED) -> Run:
    parts = Parts(open_guard=open_guard)
    return Run(property=guard_leaving.leaving_leaves_nothing, parts=parts, arm=arm)


async def visit(run: Run, after: Callable[[Stage], object] = lambda _: None) -> None:
    async with open_stage(run, World()) as stage:
        async with stage.open() as ws:
            stage.guards.append(ws)
        after(stage)
        stage.expect_clean()


@pytest.mark.parametrize("arm", Arm)
def test_a_sound_guard_leaves_nothing(arm: Arm) -> None:
    """On both arms, streams are noted, and after the block none is open."""
    start = run_simulation if arm is Arm.SIMULATED else trio.run
    counts: list[int] = []
    start(visit, a_run(arm=arm), lambda stage: counts.append(len(stage.streams)))
    assert counts == [1]


def test_an_open_stream_is_noticed() -> None:
    """A stream that is not closed is told."""

    async def main() -> None:
        async with open_stage(a_run(), World()) as stage:
            await stage.dial(parse_url(stage.url))
            stage.expect_clean()

    with pytest.raises(AssertionError, match="1 of 1 streams are open"):
        run_simulation(main)


def test_a_guard_that_has_not_ended_is_noticed() -> None:
    """A guard that is left in no final state is told."""

    async def main() -> None:
        async with open_stage(a_run(), World()) as stage, stage.open() as ws:
            stage.guards.append(ws)
            stage.streams.clear()
            stage.expect_clean()

    with pytest.raises(AssertionError, match="it was left in CONNECTED"):
        run_simulation(main)


def test_a_task_that_is_left_is_noticed() -> None:
    """A task that outlives the stage is told."""

    @asynccontextmanager
    async def leaky(*args: Any, **options: Any) -> AsyncIterator[wsguard.GuardedWebSocket]:
        async with wsguard.open_guarded_websocket(*args, **options) as ws:
            trio.lowlevel.spawn_system_task(trio.sleep_forever)
            yield ws

    with pytest.raises(AssertionError, match="1 tasks are left"):
        run_simulation(visit, a_run(leaky))


def test_the_count_of_objects_sees_what_is_kept() -> None:
    """An object that is kept is in the next count."""

    class Kept:
        pass

    before = guard_leaving._census()
    kept = [Kept() for _ in range(5)]
    grown = guard_leaving._census() - before
    assert grown[f"{Kept.__module__}.{Kept.__qualname__}"] == len(kept)


@pytest.mark.parametrize("way", guard_leaving._WAYS)
def test_every_way_has_many_steps(way: str) -> None:
    """Each way through a guard's life is long enough to be worth cancelling everywhere."""
    assert run_simulation(guard_leaving._steps_of, a_run(), way) > 100
