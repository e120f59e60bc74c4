"""A guard that hands on messages while `on_connect` still runs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard import Connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "only_ready_connections_are_heard"


@contextmanager
def mutated() -> Iterator[Parts]:
    init = Connection.__init__

    def hasty(self: Connection, setup: Any, generation: int) -> None:
        init(self, setup, generation)
        self.inbox = setup.queue

    with mock.patch.object(Connection, "__init__", hasty):
        yield Parts()
