"""A slow line."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.faults.fault import Way

_SLICE: Final = 0.1  # seconds


@attrs.frozen(kw_only=True, repr=False)
class Bandwidth(Fault):
    """Let bytes through at a limited rate, in slices of a tenth of a second.

    A reader gets a trickle. A writer blocks once the buffers are full. When the
    fault ends, what is under way arrives at once.

    Args:
        rate: Bytes per second.
        direction: Which way; each way has the rate to itself.

    Source: toxiproxy's ``bandwidth``, which counts in KB/s.
    """

    rate: float = attrs.field(validator=checks.positive)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Queue the bytes."""
        return _Slow(self.rate) if self.direction.includes(way.direction) else None


class _Slow(Effect):
    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._slice = max(1, int(rate * _SLICE))
        self._free_at = -math.inf

    def shape(self, segment: Segment) -> Iterable[Segment]:
        at = max(self._free_at, segment.at)
        if not segment.data:
            return (attrs.evolve(segment, at=at),)
        slices: list[Segment] = []
        for start in range(0, len(segment.data), self._slice):
            data = segment.data[start : start + self._slice]
            at += len(data) / self._rate
            slices.append(attrs.evolve(segment, data=data, at=at))
        self._free_at = at
        return slices
