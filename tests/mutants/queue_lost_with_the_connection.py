"""A guard that drops what was read and not yet taken when a connection is lost."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Attempt, Connection

CAUGHT_BY = "what_was_read_is_never_lost"


@contextmanager
def mutated() -> Iterator[Parts]:
    conclude = Supervisor._conclude

    def forgetful(self: Supervisor, attempt: Attempt, connection: Connection) -> None:
        self._setup.queue.pop_all()
        conclude(self, attempt, connection)

    with mock.patch.object(Supervisor, "_conclude", forgetful):
        yield Parts()
