"""A guard that forgets what is in its buffer when it is left."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.outgoing import BufferedOutgoing
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "giving_up_leaves_no_receipt_open"


@contextmanager
def mutated() -> Iterator[Parts]:
    def forget(self: BufferedOutgoing, error: Exception) -> None:
        del self, error

    with mock.patch.object(BufferedOutgoing, "leave", forget):
        yield Parts()
