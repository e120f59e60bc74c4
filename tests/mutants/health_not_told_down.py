"""A guard that does not tell that a lost connection made it DOWN."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.state import CONNECTED
from trio_wsguard._shell.journal import Journal
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator


CAUGHT_BY = "health_is_told_as_it_changes"


@contextmanager
def mutated() -> Iterator[Parts]:
    assess = Journal.assess

    def while_connected(self: Journal) -> None:
        if self.state is CONNECTED:
            assess(self)

    with mock.patch.object(Journal, "assess", while_connected):
        yield Parts()
