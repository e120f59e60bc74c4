"""The end comes late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Kind, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class SlowClose(Fault):
    """Let FIN arrive late; bytes and RST are on time.

    A reader gets the end late. The end that closed notices nothing.

    Args:
        delay: Seconds.
        direction: Which way.

    Source: toxiproxy's ``slow_close``.
    """

    delay: float = attrs.field(validator=checks.positive)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Delay FIN."""
        return _LateEnd(self.delay) if self.direction.includes(way.direction) else None


class _LateEnd(Effect):
    def __init__(self, delay: float) -> None:
        self._delay = delay

    def shape(self, segment: Segment) -> Iterable[Segment]:
        if segment.kind is Kind.FIN:
            return (attrs.evolve(segment, at=segment.at + self._delay),)
        return (segment,)
