"""A transport that goes on waiting where the connection was reset."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import trio

from trio_wsguard import TransportError
from trio_wsguard._shell.transports.trio_websocket import open_transport
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from trio_wsguard._shell.transport import Message

CAUGHT_BY = "an_end_is_noticed_at_once"


@contextmanager
def mutated() -> Iterator[Parts]:
    @asynccontextmanager
    async def deaf(*args: Any) -> AsyncIterator[Any]:
        async with open_transport(*args) as transport:
            receive = transport.receive

            async def swallow() -> list[Message]:
                try:
                    return await receive()
                except TransportError as exc:
                    if isinstance(exc.__cause__, trio.BrokenResourceError):
                        await trio.sleep_forever()
                    raise

            transport.receive = swallow  # type: ignore[method-assign]
            yield transport

    yield Parts(transport=deaf)
