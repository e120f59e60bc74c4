"""A duplicate filter that is emptied with each connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import attrs

from trio_wsguard._core.duplicates import DuplicateFilter
from trio_wsguard._shell.intake import Intake
from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import Attempt, Connection

CAUGHT_BY = "a_repeat_is_dropped_across_generations"


@contextmanager
def mutated() -> Iterator[Parts]:
    conclude = Supervisor._conclude

    def forgetful(self: Supervisor, attempt: Attempt, connection: Connection) -> None:
        intake = self._setup.intake
        if isinstance(intake, Intake) and isinstance(intake._dedup, DuplicateFilter):
            intake._dedup = attrs.evolve(intake._dedup)
        conclude(self, attempt, connection)

    with mock.patch.object(Supervisor, "_conclude", forgetful):
        yield Parts()
