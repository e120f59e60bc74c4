"""A guard that waits for the peer's close frame as long as it takes."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import Connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "leaving_leaves_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def patient(self: Connection) -> None:
        if self.ending is not None and self.ending.handshake is not None:
            with trio.move_on_after(60):
                await self.transport.aclose(*self.ending.handshake)

    with mock.patch.object(Connection, "_close_handshake", patient):
        yield Parts()
