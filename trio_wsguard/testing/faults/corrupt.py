"""Bytes are altered."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults import settings
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Corrupt(Fault):
    """Flip bits, which no TCP does: for a broken middlebox, or memory.

    A reader gets as many bytes, some of them wrong. A writer notices nothing.
    No random plan has it unless asked to.

    Args:
        rate: The probability that a byte is altered.
        direction: Which way.

    Source: netem's ``corrupt``.
    """

    rate: float = attrs.field(validator=settings.probability)
    direction: Direction = attrs.field(default=Direction.DOWN, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Flip a bit here and there."""
        return _Corrupted(self.rate, way.rng) if self.direction.includes(way.direction) else None


class _Corrupted(Effect):
    def __init__(self, rate: float, rng: Random) -> None:
        self._scale = math.log1p(-rate) if rate < 1 else -math.inf
        self._rng = rng

    def shape(self, segment: Segment) -> Iterable[Segment]:
        data = bytearray(segment.data)
        position = self._gap()
        while position < len(data):
            data[position] ^= 1 << self._rng.randrange(8)
            position += 1 + self._gap()
        return (attrs.evolve(segment, data=bytes(data)),)

    def _gap(self) -> int:
        """Draw how many bytes are spared before the next one that is not."""
        # The inverse of the geometric distribution: one draw a hit, not one a byte.
        return int(min(math.log(1 - self._rng.random()) / self._scale, 2**62))
