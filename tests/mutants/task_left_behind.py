"""A guard that leaves a task behind."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CAUGHT_BY = "leaving_leaves_nothing"


@contextmanager
def mutated() -> Iterator[Parts]:
    @asynccontextmanager
    async def open_guard(*args: Any, **options: Any) -> AsyncIterator[wsguard.GuardedWebSocket]:
        async with wsguard.open_guarded_websocket(*args, **options) as ws:
            trio.lowlevel.spawn_system_task(trio.sleep, 1000)
            yield ws

    yield Parts(open_guard=open_guard)
