"""A writer that puts long messages off, to let short ones go first."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import ConnectionLostError
from trio_wsguard._shell.writer import Writer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "sends_keep_their_order"


@contextmanager
def mutated() -> Iterator[Parts]:
    try_send = Writer.try_send

    async def rank(self: Writer, message: Message) -> bool:
        async def later() -> None:
            await trio.sleep(5)
            with suppress(ConnectionLostError):
                await try_send(self, message)

        if len(message) < 1000:
            return await try_send(self, message)
        self._connection.start_soon(later)
        await trio.lowlevel.checkpoint()
        return True

    with mock.patch.object(Writer, "try_send", rank):
        yield Parts()
