"""A guard that reads on however much the application has left unread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import Connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "the_queue_is_bounded"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def read_on(_self: Connection) -> None:
        await trio.lowlevel.checkpoint()

    with mock.patch.object(Connection, "wait_for_room", read_on):
        yield Parts()
