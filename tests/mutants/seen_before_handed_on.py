"""A guard that counts messages as seen when they are read, though on_connect may still fail."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.connection import Connection
from trio_wsguard._shell.intake import SiftingQueue
from trio_wsguard._shell.queue import MessageQueue
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.connection import Setup
    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "a_gap_is_filled_by_resuming"


class Sifted(list["Message"]):
    """What went through the filter already."""


class Early(SiftingQueue):
    """The queue of a connection that is not ready."""

    def pop_all(self) -> list[Message]:
        return Sifted(super().pop_all())


@contextmanager
def mutated() -> Iterator[Parts]:
    init, put = Connection.__init__, SiftingQueue.put

    def hasty(self: Connection, setup: Setup, generation: int) -> None:
        init(self, setup, generation)
        if setup.intake is not None:
            self.inbox = Early(1000, 2**20, setup.intake)

    def put_once(self: SiftingQueue, batch: list[Message]) -> bool:
        return MessageQueue.put(self, batch) if isinstance(batch, Sifted) else put(self, batch)

    with (
        mock.patch.object(Connection, "__init__", hasty),
        mock.patch.object(SiftingQueue, "put", put_once),
    ):
        yield Parts()
