"""A guard that takes the cancelling of a scope around it for its own end."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CAUGHT_BY = "cancelling_ends_all_at_once"


@contextmanager
def mutated() -> Iterator[Parts]:
    @asynccontextmanager
    async def open_guard(*args: Any, **options: Any) -> AsyncIterator[wsguard.GuardedWebSocket]:
        with suppress(trio.Cancelled):
            async with wsguard.open_guarded_websocket(*args, **options) as ws:
                yield ws

    yield Parts(open_guard=open_guard)
