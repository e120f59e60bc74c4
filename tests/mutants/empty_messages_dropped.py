"""A guard that takes an empty message for none."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.vitals import Vitals
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "any_message_comes_out_whole"


@contextmanager
def mutated() -> Iterator[Parts]:
    received = Vitals.received

    def careless(self: Vitals, batch: list[Message]) -> list[Message]:
        return [message for message in received(self, batch) if message]

    with mock.patch.object(Vitals, "received", careless):
        yield Parts()
