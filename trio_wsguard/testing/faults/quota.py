"""Silence after so many bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Quota(Fault):
    """Let exactly so many bytes through, then nothing more, FIN and RST included.

    A reader gets a prefix, then silence. A writer notices nothing until the
    buffers are full, and its kernel gives up in the end. When the fault ends,
    the rest arrives at the next retransmission.

    Args:
        size: Bytes, counted from when the fault met the connection.
        direction: Which bytes count; each way by itself.

    Source: nftables' ``quota``.
    """

    size: int = attrs.field(validator=checks.whole)
    direction: Direction = attrs.field(default=Direction.DOWN, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Count bytes."""
        return _Counted(self.size) if self.direction.includes(way.direction) else None


class _Counted(Effect):
    def __init__(self, size: int) -> None:
        self._left = size

    def shape(self, segment: Segment) -> Iterable[Segment]:
        passed, held = segment.data[: self._left], segment.data[self._left :]
        if self._left and not held:
            self._left -= len(passed)
            return (segment,)
        self._left = 0
        rest = attrs.evolve(segment, data=held, held_by=(*segment.held_by, self))
        return (attrs.evolve(segment, data=passed), rest) if passed else (rest,)
