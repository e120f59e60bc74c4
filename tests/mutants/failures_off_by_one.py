"""A guard that gives up one failure too late."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "it_fails_at_the_limit"


@contextmanager
def mutated() -> Iterator[Parts]:
    decide = ConnectionMonitor.decide

    def late(self: ConnectionMonitor, failure: Any, rng: Any) -> Any:
        limit = self.max_connection_failures
        self.max_connection_failures = None if limit is None else limit + 1
        try:
            return decide(self, failure, rng)
        finally:
            self.max_connection_failures = limit

    with mock.patch.object(ConnectionMonitor, "decide", late):
        yield Parts()
