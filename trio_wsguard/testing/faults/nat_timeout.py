"""A router forgets an idle connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault
from trio_wsguard.testing.segment import Effect, Segment, reset_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.connection import SimulatedConnection
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class NatTimeout(Fault):
    """Forget connections on which nothing was sent for a while, either way.

    From then on what the server sends vanishes, and it is told nothing. What
    the client sends vanishes as well, or is answered with RST: the write
    succeeds, and the connection is broken after it. When the fault ends, TCP
    sends again what vanished. Dials succeed.

    Args:
        idle: Seconds without a byte.
        reset: Whether the client's next bytes are answered with RST.

    Source: RFC 5382, section 5; Linux's conntrack.
    """

    idle: float = attrs.field(validator=checks.positive)
    reset: bool = attrs.field(default=False, validator=checks.boolean)

    def effect(self, way: Way) -> Effect | None:
        """Watch both ways."""
        return _Entry(self, way.connection) if way.direction is Direction.UP else None


class _Entry(Effect):
    """An entry in the router's table; it sees the way up, its other half the way down."""

    def __init__(self, fault: NatTimeout, connection: SimulatedConnection) -> None:
        self._fault = fault
        self._connection = connection
        self._is_over = self._is_forgotten = False
        self._down = _WayDown(self)
        connection.down.add(self._down)
        self.touch()
        self._watch()

    def touch(self) -> None:
        """Take note of traffic."""
        self._last_at = self._connection.clock.now

    def shape(self, segment: Segment) -> Iterable[Segment]:
        if not self._is_forgotten:
            self.touch()
        elif self._fault.reset:
            # It is the router that answers, and the server's way down is of no use.
            self._connection.client.on_reset(reset_error())
            return ()
        return (segment,)

    def stop(self) -> None:
        self._is_over = True
        self._connection.down.remove(self._down)

    def _watch(self) -> None:
        connection = self._connection
        if self._is_over or connection.is_over:
            return
        forget_at = self._last_at + self._fault.idle
        if connection.clock.now < forget_at:
            connection.clock.call_at(forget_at, self._watch)
            return
        self._is_forgotten = True
        self.blocks = not self._fault.reset
        connection.up.update()
        self._down.blocks = True
        connection.down.update()


class _WayDown(Effect):
    def __init__(self, entry: _Entry) -> None:
        self._entry = entry

    def shape(self, segment: Segment) -> Iterable[Segment]:
        self._entry.touch()
        return (segment,)
