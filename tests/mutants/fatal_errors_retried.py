"""A guard that tries again after a `FatalError`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import attrs

from trio_wsguard import Failure, classify
from trio_wsguard._shell import connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "errors_of_callables_are_failed_attempts"


@contextmanager
def mutated() -> Iterator[Parts]:
    def hopeful(exc: BaseException, rules: Any) -> Failure:
        return attrs.evolve(classify(exc, rules), transient=True)

    with mock.patch.object(connection, "classify", hopeful):
        yield Parts()
