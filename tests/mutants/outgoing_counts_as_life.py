"""A guard that takes the bytes it sends itself for a sign of life."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._core.liveness import Liveness
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "a_dead_peer_is_found"


@contextmanager
def mutated() -> Iterator[Parts]:
    tick = Liveness.tick

    def deceived(self: Liveness, now: float, *, traffic_at: float, **options: Any) -> Any:
        both = max(traffic_at, options["progress_at"])
        return tick(self, now, traffic_at=both, **options)

    with mock.patch.object(Liveness, "tick", deceived):
        yield Parts()
