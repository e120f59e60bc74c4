"""A guard that sends again what may have been sent already."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import ConnectionLostError, GuardedWebSocket
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "a_doubtful_send_is_not_repeated"


@contextmanager
def mutated() -> Iterator[Parts]:
    send_message = GuardedWebSocket.send_message

    async def insistent(self: GuardedWebSocket, message: Message) -> None:
        try:
            await send_message(self, message)
        except ConnectionLostError:
            await send_message(self, message)

    with mock.patch.object(GuardedWebSocket, "send_message", insistent):
        yield Parts()
