"""Acting at a step of the schedule, to meet every await of every task; and coming to an end."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import trio

from trio_wsguard.testing.conformance.violation import expect

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator

_T = TypeVar("_T")

_LONG: Final = 5_000.0  # virtual seconds; no example takes so long, unless it never ends


@attrs.define(eq=False)
class AtStep(trio.abc.Instrument):
    """Calls a function before a step of any task.

    Args:
        step: Which one, from 1.
        act: The function.

    Attributes:
        seen: How many steps there were.
    """

    step: int
    act: Callable[[], object]
    seen: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's signature
        """Count, and act."""
        self.seen += 1
        if self.seen == self.step:
            self.act()


@contextmanager
def at_step(step: int, act: Callable[[], object]) -> Iterator[AtStep]:
    """Call a function before the n-th step of any task within the block, counted from 1."""
    instrument = AtStep(step, act)
    trio.lowlevel.add_instrument(instrument)
    try:
        yield instrument
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def cancelled_at(step: int, fn: Callable[..., Awaitable[object]], *args: object) -> bool:
    """Run a function and cancel it at a step.

    Args:
        step: Before which step of any task; 0 for before it begins.
        fn: The function.
        args: Its arguments.

    Returns:
        Whether it was cancelled, and not done before.
    """
    with trio.CancelScope() as scope:
        if step == 0:
            scope.cancel()
        with at_step(step, scope.cancel):
            await fn(*args)
    return scope.cancelled_caught


def in_time(fn: Callable[..., Awaitable[_T]]) -> Callable[..., Coroutine[Any, Any, _T]]:
    """Make an async function fail where it would never end: a guard may hang, a suite must not.

    What waits for ever does not even hang in virtual time: it lives through the
    ages. `Run.for_all` bounds each example by it.
    """

    @functools.wraps(fn)
    async def bounded(*args: Any, **options: Any) -> _T:
        found: list[_T] = []
        with trio.move_on_after(_LONG):
            found.append(await fn(*args, **options))
        expect(bool(found), f"it does not come to an end within {_LONG:g} s")
        return found[0]

    return bounded
