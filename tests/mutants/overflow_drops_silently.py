"""A send buffer that drops the oldest message for a newer one, and tells nobody."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard import BufferFullError
from trio_wsguard._core.buffer import SendBuffer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._core.delivery import Delivery

CAUGHT_BY = "every_message_is_accounted_for"


@contextmanager
def mutated() -> Iterator[Parts]:
    fail = SendBuffer._fail

    def silent(self: SendBuffer, delivery: Delivery, error: Exception) -> None:
        if not isinstance(error, BufferFullError):
            fail(self, delivery, error)

    with mock.patch.object(SendBuffer, "_fail", silent):
        yield Parts()
