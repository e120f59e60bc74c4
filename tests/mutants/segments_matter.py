"""A transport that takes each read for the end of what the server had to say at once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

from trio_wsguard._core.failure import FailureKind
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.transports.common import AnswerHead
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "segments_do_not_matter"


@contextmanager
def mutated() -> Iterator[Parts]:
    read = AnswerHead.read

    def impatient(self: AnswerHead, chunk: Any) -> TransportError | None:
        if b"\r\n\r\n" not in chunk:
            return TransportError(FailureKind.PROTOCOL, "half an answer")
        return read(self, chunk)

    with mock.patch.object(AnswerHead, "read", impatient):
        yield Parts()
