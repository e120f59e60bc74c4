"""A watchdog that waits for the writer before it ends a connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell import connection as connections
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Connection

CAUGHT_BY = "a_dead_peer_is_found"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def polite(connection: Connection) -> None:
        vitals = connection.vitals
        while True:
            late = await vitals.alarm.wait_until(vitals.next_deadline())
            async with connection.writer._lock:
                vitals.judge(late)

    with mock.patch.object(connections, "watchdog_task", polite):
        yield Parts()
