"""A guard that sends a new message at once, though older ones still wait in the buffer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.outgoing import BufferedOutgoing
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Receipt
    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "nothing_newer_passes_the_flush"


@contextmanager
def mutated() -> Iterator[Parts]:
    send = BufferedOutgoing.send

    async def hasty(self: BufferedOutgoing, message: Message) -> Receipt:
        if await self._send_directly(message):
            return self._sent(message)
        return await send(self, message)

    with mock.patch.object(BufferedOutgoing, "send", hasty):
        yield Parts()
