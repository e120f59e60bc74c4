"""Virtual time, and one schedule for one seed."""

from __future__ import annotations

from contextlib import suppress

import pytest
import trio
import trio._core._run as run
import trio.testing

from trio_wsguard.testing import run_simulation
from trio_wsguard.testing.simulation import StandstillError, seeded_scheduling


async def race() -> list[int]:
    """Let ten tasks run at once, ten times; tell in which order they did."""
    order: list[int] = []

    async def note(number: int) -> None:
        for _ in range(10):
            order.append(number)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(note, number)
    return order


def test_the_same_seed_gives_the_same_schedule() -> None:
    """One seed repeats an order, and others try others."""
    orders = [tuple(run_simulation(race, seed=seed)) for seed in range(10)]
    assert orders == [tuple(run_simulation(race, seed=seed)) for seed in range(10)]
    assert len(set(orders)) > 5


def test_time_is_virtual() -> None:
    """A year of sleep takes no time, and the clock begins at 0."""

    async def main(seconds: float) -> float:
        await trio.sleep(seconds)
        return trio.current_time()

    assert run_simulation(main, 365 * 86400) == 365 * 86400


def test_scheduling_is_restored() -> None:
    """After the block trio schedules as before, also where it was left by an error."""
    before = run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()
    with suppress(KeyError), seeded_scheduling(1):
        assert run._ALLOW_DETERMINISTIC_SCHEDULING
        raise KeyError
    run_simulation(race)
    assert (run._ALLOW_DETERMINISTIC_SCHEDULING, run._r.getstate()) == before


def test_errors_come_out() -> None:
    """What the function raises leaves as it is."""

    async def main() -> None:
        await trio.sleep(1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_simulation(main)


def test_a_loop_that_never_waits_is_found() -> None:
    """A simulation in which time stands still is ended, instead of hanging."""

    async def main() -> None:
        await trio.sleep(5)
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(StandstillError, match="time stands still at 5 s"):
        run_simulation(main)
