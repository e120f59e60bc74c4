"""Bytes arrive in small pieces."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Slicer(Fault):
    """Cut bytes into pieces; one receive never takes more than one of them.

    A reader gets the same bytes with other boundaries. A writer notices nothing.

    Args:
        size: Bytes of a piece, on average.
        variation: Up to so many bytes more or less, drawn for each piece.
        delay: Seconds from one piece to the next.
        direction: Which way.

    Source: toxiproxy's ``slicer``.
    """

    size: int = attrs.field(validator=checks.count)
    variation: int = attrs.field(default=0, validator=checks.whole)
    delay: float = attrs.field(default=0.0, validator=checks.not_negative)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.variation >= self.size:
            raise PolicyError("variation", self.variation, f"must be below the size {self.size}")

    def effect(self, way: Way) -> Effect | None:
        """Cut each segment."""
        return _Sliced(self, way.rng) if self.direction.includes(way.direction) else None


class _Sliced(Effect):
    def __init__(self, fault: Slicer, rng: Random) -> None:
        self._fault = fault
        self._rng = rng
        self._free_at = -math.inf

    def shape(self, segment: Segment) -> Iterable[Segment]:
        fault = self._fault
        at = max(self._free_at, segment.at)
        if not segment.data:
            return (attrs.evolve(segment, at=at),)
        pieces: list[Segment] = []
        start = 0
        while start < len(segment.data):
            end = start + fault.size + self._rng.randint(-fault.variation, fault.variation)
            data = segment.data[start:end]
            pieces.append(attrs.evolve(segment, data=data, at=at, is_piece=True))
            start = end
            at += fault.delay
        self._free_at = at
        return pieces
