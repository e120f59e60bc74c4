"""A guard whose `get_messages` takes no more than three at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "a_batch_is_all_at_hand"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def modest(self: GuardedWebSocket) -> list[Message]:
        batch = [await self.get_message()]
        while self._queue and len(batch) < 3:
            batch.append(self._queue.pop())
        return batch

    with mock.patch.object(GuardedWebSocket, "get_messages", modest):
        yield Parts()
