"""The connection is reset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault
from trio_wsguard.testing.faults.fuse import Fuse

if TYPE_CHECKING:
    from trio_wsguard.testing.faults.fault import Way
    from trio_wsguard.testing.segment import Effect


@attrs.frozen(kw_only=True, repr=False)
class ResetPeer(Fault):
    """Reset each connection, for both ends at once, as a middlebox does.

    A reader takes what has arrived, then gets `trio.BrokenResourceError`; a
    writer gets it at once, and so does one that is blocked. Dials succeed, and
    what they made is reset as well as long as the fault lasts.

    Args:
        after: Seconds after the fault met the connection.
        discard: Whether what has arrived and was not read is lost as well.

    Source: toxiproxy's ``reset_peer``, which counts from the first byte.
    """

    after: float = attrs.field(default=0.0, validator=checks.not_negative)
    discard: bool = attrs.field(default=False, validator=checks.boolean)

    def effect(self, way: Way) -> Effect | None:
        """Set a timer that ends with the fault."""
        if way.direction is Direction.DOWN:
            return None
        return Fuse(way.connection, self.after, partial(way.connection.reset, discard=self.discard))
