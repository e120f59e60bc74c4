"""A guard that drops what was read once the peer has closed for good."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "what_was_read_outlives_the_guard"


@contextmanager
def mutated() -> Iterator[Parts]:
    leave = Supervisor._leave

    def tidy(self: Supervisor) -> None:
        self._setup.queue.pop_all()
        leave(self)

    with mock.patch.object(Supervisor, "_leave", tidy):
        yield Parts()
