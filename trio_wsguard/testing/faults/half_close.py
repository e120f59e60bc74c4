"""One direction ends, the other goes on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.faults.fuse import Fuse
from trio_wsguard.testing.segment import Kind

if TYPE_CHECKING:
    from trio_wsguard.testing.faults.fault import Way
    from trio_wsguard.testing.segment import Effect


@attrs.frozen(kw_only=True, repr=False)
class HalfClose(Fault):
    """Let FIN arrive that nobody sent; the other direction goes on.

    The reader gets what is under way, then the end. The writer on that side
    notices nothing: what it sends is accepted and lost. Dials succeed, and what
    they made is half closed as well as long as the fault lasts.

    Args:
        after: Seconds after the fault met the connection.
        direction: Which one ends.

    Source: shutdown(SHUT_WR), and proxies that pass one half of it on.
    """

    after: float = attrs.field(default=0.0, validator=checks.not_negative)
    direction: Direction = attrs.field(default=Direction.DOWN, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Set a timer that ends with the fault."""
        if not self.direction.includes(way.direction):
            return None
        return Fuse(way.connection, self.after, partial(way.flow.inject, Kind.FIN))
