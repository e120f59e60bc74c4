"""A guard that ends without resolving its alerts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.observer import Observer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator


CAUGHT_BY = "alerts_come_in_pairs"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(Observer, "finish", return_value=None):
        yield Parts()
