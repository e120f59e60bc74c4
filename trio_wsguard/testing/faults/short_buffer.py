"""Small buffers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault, is_direction
from trio_wsguard.testing.segment import Effect

if TYPE_CHECKING:
    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class ShortBuffer(Fault):
    """Let little fit into a connection: a writer blocks after a few unread bytes.

    A reader notices nothing. It is the way to test a blocked sender.

    Args:
        size: Bytes that fit, in flight and unread.
        direction: Which way.

    Source: SO_SNDBUF and SO_RCVBUF.
    """

    size: int = attrs.field(validator=checks.count)
    direction: Direction = attrs.field(default=Direction.UP, validator=is_direction)

    def effect(self, way: Way) -> Effect | None:
        """Limit the room."""
        return _Short(self.size) if self.direction.includes(way.direction) else None


class _Short(Effect):
    def __init__(self, size: int) -> None:
        self.capacity = size
