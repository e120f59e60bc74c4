"""A watchdog that does not look for silence again after the first one.

The suite found this one in the guard itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._shell.vitals import Vitals
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "silence_is_told_in_time"


@contextmanager
def mutated() -> Iterator[Parts]:
    received = Vitals.received

    def drowsy(self: Vitals, batch: Any) -> Any:
        with mock.patch.object(Vitals, "_rearm"):
            return received(self, batch)

    with mock.patch.object(Vitals, "received", drowsy):
        yield Parts()
