"""A guard that counts a lost connection as a failed attempt."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator


CAUGHT_BY = "raised_alerts_were_due"


@contextmanager
def mutated() -> Iterator[Parts]:
    lost = ConnectionMonitor.lost

    def counting(self: ConnectionMonitor, now: float) -> bool:
        self.rates.attempted(now, is_good=False)
        return lost(self, now)

    with mock.patch.object(ConnectionMonitor, "lost", counting):
        yield Parts()
