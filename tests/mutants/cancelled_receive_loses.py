"""A guard whose `get_message` can be cancelled with a message in its hands."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "a_cancelled_receive_loses_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    get_message = GuardedWebSocket.get_message

    async def polite(self: GuardedWebSocket) -> Message:
        message = await get_message(self)
        await trio.lowlevel.checkpoint()
        return message

    with mock.patch.object(GuardedWebSocket, "get_message", polite):
        yield Parts()
