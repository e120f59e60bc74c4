"""A writer that goes on after a frame that a cancelled send has cut off."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._shell.watched import WatchedStream
from trio_wsguard._shell.writer import Writer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "a_cancelled_send_is_whole_or_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def careless(self: Writer, write: Any, what: object) -> None:
        self._connection.vitals.write_begun()
        try:
            await write(what)
        finally:
            self._connection.vitals.write_ended()

    never = property(lambda _self: False, lambda _self, _value: None)
    with (
        mock.patch.object(Writer, "_write", careless),
        mock.patch.object(WatchedStream, "is_cut", never, create=True),
    ):
        yield Parts()
