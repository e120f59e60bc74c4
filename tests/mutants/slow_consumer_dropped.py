"""A guard that judges beats although it does not read itself."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.liveness import Liveness
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "a_healthy_peer_is_kept"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(Liveness, "pause"):
        yield Parts()
