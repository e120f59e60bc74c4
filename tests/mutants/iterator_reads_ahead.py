"""A guard whose iterator is a generator over batches: what it holds is lost with it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import ConnectionClosedError, GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "leaving_a_loop_is_safe"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def batches(self: GuardedWebSocket) -> AsyncIterator[Message]:
        while True:
            try:
                batch = await self.get_messages()
            except ConnectionClosedError:
                return
            for message in batch:
                yield message

    with mock.patch.object(GuardedWebSocket, "__aiter__", batches):
        yield Parts()
