"""A guard that keeps all its connections."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard import Connection
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "memory_is_bounded"


@contextmanager
def mutated() -> Iterator[Parts]:
    init = Connection.__init__
    kept: list[Connection] = []

    def hoard(self: Connection, setup: Any, generation: int) -> None:
        init(self, setup, generation)
        kept.append(self)

    with mock.patch.object(Connection, "__init__", hoard):
        yield Parts()
