"""A guard that does not tell that an attempt is stuck."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.observer import Observer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator


CAUGHT_BY = "a_stuck_attempt_is_told"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(Observer, "_tell_stuck", return_value=None):
        yield Parts()
