"""A server that is slow to say its first word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard.testing.faults.fault import Direction, Fault
from trio_wsguard.testing.segment import Effect, Kind, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_wsguard.testing.faults.fault import Way


@attrs.frozen(kw_only=True, repr=False)
class HandshakeDelay(Fault):
    """Delay the first bytes that the server sends on a connection, and all behind them.

    The client waits for the handshake's answer. A writer notices nothing, and
    a connection on which the server has spoken before is left alone. Dials
    succeed.

    Args:
        delay: Seconds.

    Source: a server that is started by its first request.
    """

    delay: float = attrs.field(validator=checks.positive)

    def effect(self, way: Way) -> Effect | None:
        """Delay the first segment."""
        if way.direction is Direction.UP or way.connection.down.sent:
            return None
        return _LateFirst(self.delay)


class _LateFirst(Effect):
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._is_first = True

    def shape(self, segment: Segment) -> Iterable[Segment]:
        if not self._is_first or segment.kind is Kind.RST:
            return (segment,)
        self._is_first = False
        return (attrs.evolve(segment, at=segment.at + self._delay),)
