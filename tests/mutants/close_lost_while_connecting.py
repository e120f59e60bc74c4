"""A guard whose `aclose` waits until the attempt under way is over."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import ConnectionState
from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.ending import Ending

CAUGHT_BY = "close_wins_every_race"


@contextmanager
def mutated() -> Iterator[Parts]:
    end_connection = Supervisor.end_connection

    def only_if_connected(self: Supervisor, ending: Ending) -> bool:
        return self.state is ConnectionState.CONNECTED and end_connection(self, ending)

    with mock.patch.object(Supervisor, "end_connection", only_if_connected):
        yield Parts()
