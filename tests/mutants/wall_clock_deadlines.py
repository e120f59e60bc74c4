"""A watchdog that measures the life of a connection by the wall clock."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "the_wall_clock_decides_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    settle = ConnectionMonitor.settle

    def by_the_wall(self: ConnectionMonitor, _now: Any) -> None:
        lived = time.time() - self.last_successful_connection
        settle(self, self._connected_at + lived)

    with mock.patch.object(ConnectionMonitor, "settle", by_the_wall):
        yield Parts()
