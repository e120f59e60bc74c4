"""Packets are lost, which shows as delay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard.testing.faults import settings
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import FIRST_RETRANSMISSION, Effect, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way

_PACKET: Final = 1460  # bytes; what Ethernet leaves to TCP over IPv4
_FIRST_SYN_RETRY: Final = 1.0  # seconds; Linux (RFC 6298)
_MAX_LOSSES: Final = 6  # in a row; Linux gives SYN up after so many


@attrs.frozen(kw_only=True, repr=False)
class Loss(Fault):
    """Lose packets. TCP sends them again, so a stream loses nothing: it stalls.

    A packet that is lost n times in a row is late by 0.2 s, doubling each time,
    and all behind it waits. A writer notices nothing until the buffers are
    full. A dial loses its SYNs likewise, with 1 s for 0.2 s. When the fault
    ends, what is under way arrives at once.

    Args:
        rate: The probability that a packet of up to 1,460 bytes is lost.
        direction: Which way.

    Source: RFC 6298; netem's ``loss``; madsim, where a lost packet is a late one.
    """

    rate: float = attrs.field(validator=settings.probability)
    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def meet_dial(self, dialing: Dialing) -> None:
        """Lose SYN, or its answer."""
        dialing.delay += _lateness(self.rate, _FIRST_SYN_RETRY, dialing.rng)

    def effect(self, way: Way) -> Effect | None:
        """Delay each packet."""
        return _Lossy(self.rate, way.rng) if self.direction.includes(way.direction) else None


class _Lossy(Effect):
    retransmits = False

    def __init__(self, rate: float, rng: Random) -> None:
        self._rate = rate
        self._rng = rng

    def shape(self, segment: Segment) -> Iterable[Segment]:
        packets: list[Segment] = []
        for start in range(0, max(1, len(segment.data)), _PACKET):
            late = _lateness(self._rate, FIRST_RETRANSMISSION, self._rng)
            data = segment.data[start : start + _PACKET]
            packets.append(attrs.evolve(segment, data=data, at=segment.at + late))
        return packets


def _lateness(rate: float, first: float, rng: Random) -> float:
    """Draw how late a packet is, in seconds."""
    late, pause = 0.0, first
    for _ in range(_MAX_LOSSES):
        if rng.random() >= rate:
            break
        late += pause
        pause *= 2
    return late
