"""A guard whose beats are numbered alike on every connection, so that late pongs match."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._shell.vitals import Vitals
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "an_old_pong_proves_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    begin_beat = Vitals.begin_beat

    def numbered(self: Vitals, _generation: int, rng: Any) -> Any:
        return begin_beat(self, 0, rng)

    with mock.patch.object(Vitals, "begin_beat", numbered):
        yield Parts()
