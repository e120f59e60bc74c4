"""Bytes are held back, then all come at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect

if TYPE_CHECKING:
    from trio_wsguard.testing.connection import Dialing
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class Hold(Fault):
    """Hold all bytes back; when the fault ends they arrive at once, in one burst.

    A reader gets nothing, then everything. A writer notices nothing until the
    buffers are full; its kernel gives up in the end. A dial that was held gets
    through at the next of its SYNs.

    Args:
        direction: Which way.

    Source: turmoil's ``hold`` and ``release``; a mobile phone in a tunnel.
    """

    direction: Direction = attrs.field(default=Direction.BOTH, validator=is_direction)

    def meet_dial(self, dialing: Dialing) -> None:
        """Hold SYN or its answer."""
        dialing.is_blocked = True

    def effect(self, way: Way) -> Effect | None:
        """Hold."""
        return _Held() if self.direction.includes(way.direction) else None


class _Held(Effect):
    blocks = True
    retransmits = False
