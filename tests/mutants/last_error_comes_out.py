"""A guard that raises why the last attempt failed, and not that it gave up."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._shell.supervisor import Supervisor
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "entering_a_hopeless_guard_fails"


@contextmanager
def mutated() -> Iterator[Parts]:
    def bare(self: Supervisor) -> Any:
        return self._errors[-1]

    with mock.patch.object(Supervisor, "failed_error", bare):
        yield Parts()
