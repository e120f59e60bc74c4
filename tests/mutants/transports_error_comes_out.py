"""A guard that lets the transport's own error out of a send."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

from trio_wsguard._shell.writer import Writer
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_wsguard import ConnectionLostError, TransportError

CAUGHT_BY = "only_our_errors_come_out"


@contextmanager
def mutated() -> Iterator[Parts]:
    broken_by = Writer._broken_by

    def frank(self: Writer, exc: TransportError) -> ConnectionLostError:
        broken_by(self, exc)
        raise exc

    with mock.patch.object(Writer, "_broken_by", frank):
        yield Parts()
