"""A guard that sends for the application while `on_connect` still runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import Connection, ConnectionState
from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "on_connect_sends_first"


@contextmanager
def mutated() -> Iterator[Parts]:
    def hasty(self: Supervisor) -> Connection | None:
        states = (ConnectionState.CONNECTED, ConnectionState.CONNECTING)
        connection = self.connection
        if self.state not in states or connection is None:
            return None
        return connection if hasattr(connection, "transport") else None

    with mock.patch.object(Supervisor, "live", property(hasty)):
        yield Parts()
