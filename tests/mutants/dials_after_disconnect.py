"""A guard whose backoff goes on after `disconnect`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "disconnect_rests"


@contextmanager
def mutated() -> Iterator[Parts]:
    def disconnect(self: GuardedWebSocket) -> None:
        self.force_reconnect("disconnect()")

    with mock.patch.object(GuardedWebSocket, "disconnect", disconnect):
        yield Parts()
