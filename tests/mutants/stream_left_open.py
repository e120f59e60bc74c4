"""A guard that leaves the closing of streams to the WebSocket library."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import trio

from trio_wsguard._shell import attempt
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "cancelling_ends_all_at_once"


@contextmanager
def mutated() -> Iterator[Parts]:
    async def leave(_stream: trio.abc.Stream) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()

    trusting = mock.Mock(wraps=trio, aclose_forcefully=leave)
    with mock.patch.object(attempt, "trio", trusting):
        yield Parts()
