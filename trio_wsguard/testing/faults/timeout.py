"""Bytes are dropped, then the connection is closed."""

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
class Timeout(Fault):
    """Drop all bytes, and close the connection as a proxy does.

    A reader gets nothing more, then the end. A writer is taken for granted:
    all it sends is accepted and lost, until it is told the end. Since bytes are
    missing, the connection is closed as well when the fault ends. Dials succeed.

    Args:
        after: Seconds after the fault met the connection; 0 for not before the
            fault ends.
        direction: Which bytes are dropped.

    Source: toxiproxy's ``timeout``, where each dropped chunk starts the time anew.
    """

    after: float = attrs.field(default=0.0, validator=checks.not_negative)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Drop bytes."""
        return (
            _Dropped(way.connection, self.after) if self.direction.includes(way.direction) else None
        )


class _Dropped(Effect):
    def __init__(self, connection: SimulatedConnection, after: float) -> None:
        self._connection = connection
        if after:
            connection.clock.call_at(connection.clock.now + after, connection.cut)

    def shape(self, segment: Segment) -> Iterable[Segment]:
        return () if segment.kind is Kind.DATA else (segment,)

    def stop(self) -> None:
        self._connection.cut()
