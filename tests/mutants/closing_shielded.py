"""A guard that waits for the peer to close even when it is cancelled."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import Connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "cancelling_ends_all_at_once"


@contextmanager
def mutated() -> Iterator[Parts]:
    say_goodbye = Connection._say_goodbye

    async def at_leisure(self: Connection) -> None:
        await say_goodbye(self)
        if self.is_ready:
            with trio.move_on_after(5, shield=True):
                await self.stream.ended.wait()

    with mock.patch.object(Connection, "_say_goodbye", at_leisure):
        yield Parts()
