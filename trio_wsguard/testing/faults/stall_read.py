"""The peer's application stops reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect

if TYPE_CHECKING:
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class StallRead(Fault):
    """Keep an application from reading, as one that hangs or was sent SIGSTOP.

    Its writer fills the buffers, then blocks; its kernel hears from the other
    one and never gives up. When the fault ends everything arrives at once.
    Dials succeed.

    Args:
        direction: Whose reading: `Direction.UP` is the server's.

    Source: a zero window (RFC 9293, section 3.8.6.1).
    """

    direction: Direction = attrs.field(default=Direction.UP, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Block, with acknowledgements."""
        return _Unread() if self.direction.includes(way.direction) else None


class _Unread(Effect):
    blocks = True
    retransmits = False
    acknowledges = True
