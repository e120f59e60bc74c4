"""A guard that cancels the tasks of its block when a connection is lost."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CAUGHT_BY = "no_fault_cancels_the_user"


@contextmanager
def mutated() -> Iterator[Parts]:
    @asynccontextmanager
    async def open_guard(*args: Any, **options: Any) -> AsyncIterator[wsguard.GuardedWebSocket]:
        async with (
            wsguard.open_guarded_websocket(*args, **options) as ws,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_cancel_when_lost, ws, nursery.cancel_scope)
            yield ws
            nursery.cancel_scope.cancel()

    yield Parts(open_guard=open_guard)


async def _cancel_when_lost(ws: wsguard.GuardedWebSocket, scope: trio.CancelScope) -> None:
    await ws.wait_state(wsguard.ConnectionState.RECONNECTING)
    scope.cancel()
