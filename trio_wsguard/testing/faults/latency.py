"""Bytes arrive late."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import PolicyError
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Latency(Fault):
    """Let bytes arrive late, in order. A sender notices nothing.

    A dial takes a round trip longer. When the fault ends, what is under way
    arrives at once.

    Args:
        delay: Seconds, one way.
        jitter: Up to so many seconds more or less, drawn for each segment.
        direction: Which way.

    Source: toxiproxy's ``latency``.
    """

    delay: float = attrs.field(validator=checks.not_negative)
    jitter: float = attrs.field(default=0.0, validator=checks.not_negative)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if self.jitter > self.delay:
            raise PolicyError("jitter", self.jitter, f"must not exceed the delay of {self.delay}")

    def meet_dial(self, dialing: Dialing) -> None:
        """Delay SYN, its answer, or both."""
        dialing.delay += self.delay * (2 if self.direction is Direction.BOTH else 1)

    def effect(self, way: Way) -> Effect | None:
        """Delay each segment."""
        return _Late(self, way.rng) if self.direction.includes(way.direction) else None


class _Late(Effect):
    def __init__(self, fault: Latency, rng: Random) -> None:
        self._fault = fault
        self._rng = rng

    def shape(self, segment: Segment) -> Iterable[Segment]:
        fault = self._fault
        late = fault.delay
        if fault.jitter:
            late += self._rng.uniform(-fault.jitter, fault.jitter)
        return (attrs.evolve(segment, at=segment.at + late),)
