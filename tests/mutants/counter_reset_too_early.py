"""A guard that forgets its failures as soon as it is CONNECTED."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.monitor import ConnectionMonitor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "a_handshake_is_not_health"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(
        ConnectionMonitor, "stable_at", property(lambda self: self._connected_at)
    ):
        yield Parts()
