"""Bytes vanish, and nobody is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Blackhole(Fault):
    """Let nothing arrive, FIN and RST included, and tell nobody.

    A reader gets nothing. A writer notices nothing until the buffers are full;
    then it blocks, until its kernel gives up. A dial gets no answer. What was
    sent meanwhile is sent again by TCP and arrives after the fault, at the next
    retransmission; RST alone is lost for good.

    One way is enough to make a connection useless: the other way goes on, but
    its acknowledgements are lost, so that its writer blocks in the end as well.

    Args:
        direction: Which way.

    Source: a firewall that drops (nftables' ``drop``).
    """

    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def meet_dial(self, dialing: Dialing) -> None:
        """Lose SYN or its answer."""
        dialing.is_blocked = True

    def effect(self, way: Way) -> Effect | None:
        """Block."""
        return Blocked() if self.direction.includes(way.direction) else None


class Blocked(Effect):
    """Nothing gets through."""

    blocks = True
