"""A guard that sends its credentials to whatever host a redirect names."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell import attempt
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "a_redirect_does_not_stick"


@contextmanager
def mutated() -> Iterator[Parts]:
    with mock.patch.object(attempt, "_CREDENTIALS", frozenset()):
        yield Parts()
