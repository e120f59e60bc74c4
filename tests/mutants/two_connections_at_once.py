"""A guard that keeps the stream of a lost connection open for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio

import trio_wsguard as wsguard
from trio_wsguard.testing.conformance import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

CAUGHT_BY = "one_connection_at_a_time"


class _Clinging(trio.abc.Stream):
    """A stream that does not close the one beneath."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


@contextmanager
def mutated() -> Iterator[Parts]:
    def open_guard(*args: Any, dial: Any, **options: Any) -> Any:
        async def clinging(target: wsguard.Target) -> trio.abc.Stream:
            return _Clinging(await dial(target))

        return wsguard.open_guarded_websocket(*args, dial=clinging, **options)

    yield Parts(open_guard=open_guard)
