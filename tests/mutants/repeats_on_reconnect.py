"""A transport that gives the last message of the connection before once more."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import trio_wsguard as wsguard
from trio_wsguard._shell.transports.trio_websocket import open_transport
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "received_is_what_was_sent"


@contextmanager
def mutated() -> Iterator[Parts]:
    def open_guard(*args: Any, **options: Any) -> Any:
        options["transport"] = _Repeating().open
        return wsguard.open_guarded_websocket(*args, **options)

    yield Parts(open_guard=open_guard)


class _Repeating:
    def __init__(self) -> None:
        self._last: list[Message] = []

    @asynccontextmanager
    async def open(self, *args: Any) -> AsyncIterator[Any]:
        async with open_transport(*args) as transport:
            receive, repeated = transport.receive, self._last

            async def again() -> list[Message]:
                nonlocal repeated
                batch = repeated + await receive()
                repeated, self._last = [], batch[-1:]
                return batch

            transport.receive = again  # type: ignore[method-assign]
            yield transport
