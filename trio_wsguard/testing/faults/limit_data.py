"""The connection is closed after so many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Kind, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.connection import SimulatedConnection
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class LimitData(Fault):
    """Let exactly so many bytes through, then close the connection as a proxy does.

    A reader gets a prefix, then the end. A writer is told the end as well, and
    that the connection is broken once it has written more.

    Args:
        size: Bytes, counted from when the fault met the connection.
        direction: Which bytes count; each way by itself.

    Source: toxiproxy's ``limit_data``.
    """

    size: int = attrs.field(validator=checks.whole)
    direction: Direction = attrs.field(default=Direction.DOWN, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Count bytes."""
        return (
            _Limited(self.size, way.connection) if self.direction.includes(way.direction) else None
        )


class _Limited(Effect):
    def __init__(self, size: int, connection: SimulatedConnection) -> None:
        self._left = size
        self._connection = connection
        self._is_over = False

    def shape(self, segment: Segment) -> Iterable[Segment]:
        if segment.kind is not Kind.DATA:
            return (segment,)
        if self._is_over:
            return ()
        passed = segment.data[: self._left]
        self._left -= len(passed)
        if self._left:
            return (segment,)
        self._is_over = True
        # Not from within a send: closing changes the flow that asks.
        clock = self._connection.clock
        clock.call_at(clock.now, self._connection.cut)
        end = attrs.evolve(segment, data=b"", kind=Kind.FIN)
        return (attrs.evolve(segment, data=passed), end) if passed else (end,)
