"""Calls at moments of virtual time, in one task for a whole network."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Calls functions when their time has come; of one moment, in the order of asking."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._sleeper = trio.lowlevel.ParkingLot()

    @property
    def now(self) -> float:
        """The present, in seconds of trio's clock."""
        return trio.current_time()

    def call_at(self, at: float, fn: Callable[[], None]) -> None:
        """Call a function at a moment, or as soon as possible after it."""
        heapq.heappush(self._heap, (at, next(self._numbers), fn))
        if self._heap[0][0] == at:
            self._sleeper.unpark()

    async def run(self) -> None:
        """Make the calls until cancelled."""
        heap = self._heap
        while True:
            while heap and heap[0][0] <= trio.current_time():
                heapq.heappop(heap)[2]()
            with trio.move_on_at(heap[0][0] if heap else float("inf")):
                await self._sleeper.park()
