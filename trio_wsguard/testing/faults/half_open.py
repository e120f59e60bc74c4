"""The peer's host has forgotten the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault
from trio_wsguard.testing.faults.fuse import Fuse

if TYPE_CHECKING:
    from trio_wsguard.testing.faults.fault import Way
    from trio_wsguard.testing.segment import Effect


@attrs.frozen(kw_only=True, repr=False)
class HalfOpen(Fault):
    """Let the server's host lose each connection without a word, as by a reboot.

    The client reads nothing. Its next write succeeds and is answered with RST;
    after that it is broken. The server's handler ends with
    `trio.BrokenResourceError`. Dials succeed, and what they made is lost as
    well as long as the fault lasts.

    Args:
        after: Seconds after the fault met the connection.

    Source: RFC 9293, section 3.5.1.
    """

    after: float = attrs.field(default=0.0, validator=checks.not_negative)

    def effect(self, way: Way) -> Effect | None:
        """Set a timer that ends with the fault."""
        if way.direction is Direction.DOWN:
            return None
        return Fuse(way.connection, self.after, way.connection.server.vanish)
