"""A guard that waits for the next connection in the mode that is to fail at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard import ConnectionState
from trio_wsguard._shell.outgoing import FailingOutgoing
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "each_mode_does_what_it_says"


@contextmanager
def mutated() -> Iterator[Parts]:
    send = FailingOutgoing.send

    async def patient(self: FailingOutgoing, message: Message) -> None:
        if self.gate.state is ConnectionState.RECONNECTING:
            await trio.sleep(0.25)
        await send(self, message)

    with mock.patch.object(FailingOutgoing, "send", patient):
        yield Parts()
