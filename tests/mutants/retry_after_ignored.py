"""A guard that does not wait as long as the server asked it to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import attrs

from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "retry_after_is_kept"


@contextmanager
def mutated() -> Iterator[Parts]:
    decide = ConnectionMonitor.decide

    def deaf(self: ConnectionMonitor, failure: Any, rng: Any) -> Any:
        return decide(self, attrs.evolve(failure, retry_after=None), rng)

    with mock.patch.object(ConnectionMonitor, "decide", deaf):
        yield Parts()
