"""A guard that comes back from an unreachable network as soon as from a closed connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import BackoffPolicy
from trio_wsguard._core import monitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "it_waits_as_the_policy_says"


@contextmanager
def mutated() -> Iterator[Parts]:
    decide = monitor.ConnectionMonitor.decide

    def hasty(self: monitor.ConnectionMonitor, failure: object, rng: object) -> object:
        with mock.patch.object(BackoffPolicy, "backoff", lambda policy, _kind: policy.closed):
            return decide(self, failure, rng)  # type: ignore[arg-type]

    with mock.patch.object(monitor.ConnectionMonitor, "decide", hasty):
        yield Parts()
