"""Virtual time, and the same schedule every time.

trio shuffles the tasks that are ready at once, so that programs do not come to
rely on an order. A simulation keeps the shuffle and seeds it: another seed
tries another order, the same seed repeats one.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import trio
import trio.testing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_T = TypeVar("_T")

_seeded: Final[list[int]] = []  # the seed at work, if there is one

MAX_ROUNDS: Final = 100_000
"""Rounds of trio's scheduler at one moment of virtual time after which a simulation is given up."""


@contextmanager
def seeded_scheduling(seed: int) -> Iterator[None]:
    """Make trio's scheduling a function of a seed, for as long as the block lasts.

    This is what trio's plugin for Hypothesis switches on; without Hypothesis
    nobody does. trio offers no public way. Within another such block it changes
    nothing: the outer seed counts.
    """
    if _seeded:
        yield
        return
    import trio._core._run as run

    shuffle: Any = run._r  # noqa: SLF001 - see above
    before, state = run._ALLOW_DETERMINISTIC_SCHEDULING, shuffle.getstate()  # noqa: SLF001
    run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
    shuffle.seed(seed)
    _seeded.append(seed)
    try:
        yield
    finally:
        _seeded.clear()
        run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]  # noqa: SLF001
        shuffle.setstate(state)


class StandstillError(Exception):
    """A simulation came to no end at one moment of virtual time.

    A loop never waits, or every task waits for what will never come.

    Attributes:
        at: That moment, in virtual seconds.
    """

    def __init__(self, at: float) -> None:
        super().__init__(at)
        self.at = at

    def __str__(self) -> str:
        return (
            f"time stands still at {self.at:g} s: "
            "something loops without waiting, or all wait for what never comes"
        )


class _Standstill(trio.abc.Instrument):
    """Ends a simulation in which time does not pass; in virtual time nothing else would.

    Args:
        scope: Around all of it.
    """

    def __init__(self, scope: trio.CancelScope) -> None:
        self.found_at: float | None = None
        self._scope = scope
        self._at = -1.0
        self._rounds = 0

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 - trio's hook
        """Count the scheduler's rounds at one moment."""
        now = trio.current_time()
        if now != self._at:
            self._at, self._rounds = now, 0
        self._rounds += 1
        if self._rounds > MAX_ROUNDS and self.found_at is None:
            self.found_at = now
            self._scope.cancel()


async def keep_moving(fn: Callable[..., Awaitable[_T]], *args: Any) -> _T:
    """Run an async function, but not for ever at one moment of virtual time.

    Raises:
        StandstillError: Time stood still for `MAX_ROUNDS` rounds of the scheduler.
    """
    with trio.CancelScope() as scope:
        standstill = _Standstill(scope)
        trio.lowlevel.add_instrument(standstill)
        try:
            return await fn(*args)
        finally:
            trio.lowlevel.remove_instrument(standstill)
    assert standstill.found_at is not None  # noqa: S101 - nobody else has the scope
    raise StandstillError(standstill.found_at)


def run_simulation(fn: Callable[..., Awaitable[_T]], *args: Any, seed: int = 0) -> _T:
    """Run an async function in virtual time, deterministically.

    Whenever every task sleeps, the clock jumps to the next deadline: a day
    takes as long as what happens in it. Nothing in it may wait for the outside
    (a socket, a thread, a process), for the clock would run away meanwhile.

    Args:
        fn: The function.
        args: Its arguments.
        seed: Which schedule; the same seed gives the same run.

    Returns:
        What the function returns.

    Raises:
        StandstillError: Time stood still for `MAX_ROUNDS` rounds of the scheduler.
    """
    with seeded_scheduling(seed):
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(keep_moving, fn, *args, clock=clock)
