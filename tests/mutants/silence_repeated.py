"""A watchdog that raises silence at every look as long as it lasts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.monitor import Anomalies
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Anomaly
    from trio_wsguard._core.liveness import Raise

CAUGHT_BY = "anomalies_come_in_pairs"


@contextmanager
def mutated() -> Iterator[Parts]:
    begin = Anomalies.begin

    def insistent(
        self: Anomalies, what: Raise, now: float, time: float, generation: int
    ) -> Anomaly | None:
        self._since.pop(what.kind, None)
        return begin(self, what, now, time, generation)

    with mock.patch.object(Anomalies, "begin", insistent):
        yield Parts()
