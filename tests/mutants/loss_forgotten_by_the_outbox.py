"""An outbox that takes what was written for delivered, whatever became of the connection."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.delivery import MAYBE_SENT
from trio_wsguard._core.outbox import Ledger
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "an_outbox_delivers_all_once_in_order"


@contextmanager
def mutated() -> Iterator[Parts]:
    ready = Ledger.ready

    def without_repeats(self: Ledger) -> None:
        written = [one for one in self._kept.values() if one.state is MAYBE_SENT]
        ready(self)
        self._line = deque(one for one in self._line if one not in written)

    with mock.patch.object(Ledger, "ready", without_repeats):
        yield Parts()
