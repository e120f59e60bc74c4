"""A guard whose last key is that of the first message of a batch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.intake import Intake
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

CAUGHT_BY = "on_connect_knows_the_last_key"


@contextmanager
def mutated() -> Iterator[Parts]:
    move = Intake._move

    def hasty(self: Intake, places: list[Hashable]) -> None:
        move(self, places[:1])

    with mock.patch.object(Intake, "_move", hasty):
        yield Parts()
