"""Calls at moments of virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard.testing import run_simulation
from trio_wsguard.testing.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable


def test_calls_come_in_their_time() -> None:
    """In order of time; of one moment, in the order of asking; also where asked for later."""
    called: list[tuple[str, float]] = []

    def note(name: str) -> Callable[[], None]:
        return lambda: called.append((name, trio.current_time()))

    async def main() -> None:
        timers = Timers()
        timers.call_at(3, note("third"))
        timers.call_at(1, note("first"))
        timers.call_at(1, note("second"))
        timers.call_at(1, lambda: timers.call_at(0, note("past")))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(timers.run)
            await trio.sleep(2)
            timers.call_at(2.5, note("between"))
            timers.call_at(9, note("never"))
            await trio.sleep(3)
            nursery.cancel_scope.cancel()

    run_simulation(main)
    assert called == [("first", 1), ("second", 1), ("past", 1), ("between", 2.5), ("third", 3)]
