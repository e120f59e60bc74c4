"""A guard that raises its alerts anew on every connection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._core.state import CONNECTED
from trio_wsguard._shell.journal import Journal
from trio_wsguard._shell.observer import Observer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from trio_wsguard._core.state import ConnectionState

CAUGHT_BY = "alerts_come_in_pairs"


@contextmanager
def mutated() -> Iterator[Parts]:
    look, move = Observer.look, Journal.move
    reconnected: set[int] = set()

    def moving(self: Journal, state: ConnectionState, reason: str, **details: Any) -> None:
        move(self, state, reason, **details)
        if state is CONNECTED:
            reconnected.add(id(self))

    def forgetful(self: Observer, now: float) -> None:
        if id(self._journal) in reconnected:
            reconnected.discard(id(self._journal))
            for standing in self._alerts._standings:
                standing.raised = None
        look(self, now)

    with (
        mock.patch.object(Observer, "look", forgetful),
        mock.patch.object(Journal, "move", moving),
    ):
        yield Parts()
