"""The path between two simulated hosts, and the faults that sit on it."""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults.fault import Direction, Fault, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_wsguard.testing.connection import Dialing, SimulatedConnection
    from trio_wsguard.testing.flow import Flow
    from trio_wsguard.testing.segment import Clock, Effect


@attrs.define(eq=False)
class _Placed:
    """A fault on a link, from when it was added until it is over."""

    fault: Fault
    number: int
    is_over: bool = False
    effects: list[tuple[SimulatedConnection, Flow, Effect]] = attrs.field(factory=list)


class Link:
    """The path between two hosts. Faults on it work in the order in which they were added.

    Args:
        name: The two hosts, for the trace.
        seed: Where the chance of its faults comes from.
        clock: The time, and timers.
        note: Called with a line for the trace.
    """

    def __init__(self, name: str, seed: str, clock: Clock, note: Callable[[str, str], None]):
        self.name = name
        self.injected = 0
        self._seed = seed
        self._clock = clock
        self._note = note
        self._added = self._dials = 0
        self._placed: list[_Placed] = []
        self._active: list[_Placed] = []
        self._connections: list[SimulatedConnection] = []
        self._changed = trio.lowlevel.ParkingLot()

    # --- for users -----------------------------------------------------------------

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults at work now."""
        return tuple(placed.fault for placed in self._active)

    def add(self, *faults: Fault) -> None:
        """Add faults; their `start` and `end` count from now."""
        for fault in faults:
            if not isinstance(fault, Fault):
                raise PolicyError("fault", fault, "is no fault")
            self._place(fault)

    def _place(self, fault: Fault) -> _Placed:
        self._added += 1
        placed = _Placed(fault, self._added)
        self._placed.append(placed)
        now = self._clock.now
        if fault.end != float("inf"):
            self._clock.call_at(now + fault.end, lambda: self._end(placed))
        if fault.start > 0:
            self._clock.call_at(now + fault.start, lambda: self._begin(placed))
        else:
            self._begin(placed)
        return placed

    def remove(self, fault: Fault) -> None:
        """End a fault, or keep it from beginning.

        Raises:
            PolicyError: It is not on this link.
        """
        for placed in self._placed:
            if placed.fault == fault:
                self._end(placed)
                return
        raise PolicyError("fault", fault, f"is not on the link {self.name}")

    def heal(self) -> None:
        """End all faults, those to come included."""
        for placed in [*self._placed]:
            self._end(placed)

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """Have a fault on the link for the time of the block."""
        placed = self._place(fault)
        try:
            yield
        finally:
            self._end(placed)

    # --- for the network -----------------------------------------------------------

    def meet_dial(self, dialing: Dialing) -> None:
        """Let the faults change what a dial meets."""
        self._dials += 1
        for placed in self._active:
            dialing.rng = Random(f"{self._seed}/{placed.number}/dial/{self._dials}")  # noqa: S311 - a simulation
            placed.fault.meet_dial(dialing)

    async def wait_changed(self) -> None:
        """Wait until a fault begins or ends."""
        await self._changed.park()

    def carry(self, connection: SimulatedConnection) -> None:
        """Carry a new connection."""
        self._connections = [one for one in self._connections if not one.is_over]
        self._connections.append(connection)
        for placed in [*self._active]:
            placed.effects = [entry for entry in placed.effects if not entry[0].is_over]
            self._apply(placed, connection)

    # --- faults come and go ----------------------------------------------------------

    def _begin(self, placed: _Placed) -> None:
        if placed.is_over:
            return
        self.injected += 1
        self._note(self.name, f"begins: {placed.fault!r}")
        self._active.append(placed)
        for connection in self._connections:
            if not connection.is_over:
                self._apply(placed, connection)
        self._changed.unpark_all()

    def _apply(self, placed: _Placed, connection: SimulatedConnection) -> None:
        for direction in (Direction.UP, Direction.DOWN):
            seed = f"{self._seed}/{placed.number}/{connection.number}/{direction.value}"
            way = Way(connection, direction, Random(seed))  # noqa: S311 - a simulation
            effect = placed.fault.effect(way)
            if effect is not None:
                way.flow.add(effect)
                placed.effects.append((connection, way.flow, effect))
        placed.fault.meet_connection(connection)

    def _end(self, placed: _Placed) -> None:
        if placed.is_over:
            return
        placed.is_over = True
        self._placed.remove(placed)
        if placed in self._active:
            self._active.remove(placed)
            self._note(self.name, f"ends: {placed.fault!r}")
            for _, flow, effect in placed.effects:
                flow.remove(effect)
            self._changed.unpark_all()
