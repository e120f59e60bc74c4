"""A guard that does not go on while a listener's queue is full."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "listeners_change_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    attempt = Supervisor._attempt

    async def considerate(self: Supervisor) -> None:
        with trio.move_on_after(30):
            streams = self._journal.listeners._streams
            while any(len(one._events) == one._max_queue for one in streams):  # noqa: ASYNC110 - it has a bug
                await trio.sleep(1)
        await attempt(self)

    with mock.patch.object(Supervisor, "_attempt", considerate):
        yield Parts()
