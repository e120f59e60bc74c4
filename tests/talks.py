"""What a server says once the real trio-websocket has shaken hands, on any stream."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import trio
import trio_websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Talk = Callable[[trio_websocket.WebSocketConnection], Awaitable[object]]


async def converse(stream: trio.abc.Stream, talk: Talk, subprotocol: str | None = None) -> None:
    """Shake hands and talk; end without a close frame unless the talk sent one."""
    async with trio.open_nursery() as nursery:
        request = await trio_websocket.wrap_server_stream(nursery, stream)
        ws = await request.accept(subprotocol=subprotocol)
        with suppress(trio_websocket.ConnectionClosed):
            await talk(ws)
        nursery.cancel_scope.cancel()


async def echo(ws: trio_websocket.WebSocketConnection) -> None:
    """Send back what comes."""
    while True:
        await ws.send_message(await ws.get_message())


async def idle(ws: trio_websocket.WebSocketConnection) -> None:
    """Answer pings and close frames, and say nothing."""
    while True:
        await ws.get_message()


async def drop(ws: trio_websocket.WebSocketConnection) -> None:
    """End the stream without a close frame."""
    await trio.lowlevel.checkpoint()


def close_with(code: int, reason: str | None = None) -> Talk:
    """Close at once with a code."""

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        await ws.aclose(code, reason)

    return talk
