"""A guard whose first retry after an outage does not wait."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard import BackoffPolicy
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "no_storm"


@contextmanager
def mutated() -> Iterator[Parts]:
    delay = BackoffPolicy.delay

    def early(self: BackoffPolicy, kind: Any, failures: int, *args: Any, **options: Any) -> float:
        return delay(self, kind, failures - 1, *args, **options)

    with mock.patch.object(BackoffPolicy, "delay", early):
        yield Parts()
