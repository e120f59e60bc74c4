"""Several writes in one read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Coalesce(Fault):
    """Gather bytes: what is sent within a window arrives together at its end.

    A reader gets several writes at once. A writer notices nothing. When the
    fault ends, what was gathered arrives at once.

    Args:
        window: Seconds from the first byte to the arrival.
        direction: Which way.

    Source: Nagle's algorithm (RFC 896), and generic receive offload.
    """

    window: float = attrs.field(validator=checks.positive)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Delay each segment to the end of its window."""
        return _Gathered(self.window) if self.direction.includes(way.direction) else None


class _Gathered(Effect):
    def __init__(self, window: float) -> None:
        self._window = window
        self._until = -math.inf

    def shape(self, segment: Segment) -> Iterable[Segment]:
        if segment.at > self._until:
            self._until = segment.at + self._window
        return (attrs.evolve(segment, at=self._until),)
