"""A guard that is CONNECTED before `on_connect` is done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "connected_means_ready"


@contextmanager
def mutated() -> Iterator[Parts]:
    def open_guard(*args: Any, on_connect: Any = None, **options: Any) -> Any:
        async def later(connection: wsguard.Connection) -> None:
            connection.start_soon(on_connect, connection)

        hook = None if on_connect is None else later
        return wsguard.open_guarded_websocket(*args, on_connect=hook, **options)

    yield Parts(open_guard=open_guard)
