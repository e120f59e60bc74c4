"""A guard that takes a message for sent while it has no connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import ConnectionState, GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "a_send_has_one_outcome"


@contextmanager
def mutated() -> Iterator[Parts]:
    send_message = GuardedWebSocket.send_message

    async def content(self: GuardedWebSocket, message: Message) -> None:
        if self.state is ConnectionState.RECONNECTING:
            await trio.lowlevel.checkpoint()
        else:
            await send_message(self, message)

    with mock.patch.object(GuardedWebSocket, "send_message", content):
        yield Parts()
