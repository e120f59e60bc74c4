"""An outbox that sends what is new on a new connection before what it has to repeat."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.outbox import Ledger
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "an_outbox_delivers_all_once_in_order"


@contextmanager
def mutated() -> Iterator[Parts]:
    ready = Ledger.ready

    def newest_first(self: Ledger) -> None:
        ready(self)
        self._line = deque(sorted(self._line, key=lambda delivery: delivery.sends > 0))

    with mock.patch.object(Ledger, "ready", newest_first):
        yield Parts()
