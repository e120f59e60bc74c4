"""The server of the demo: a feed on loopback that misbehaves when told to."""

from __future__ import annotations

import json
import math
import socket
import struct
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import attrs
import trio
import trio_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOST: Final = "127.0.0.1"
_TICK_INTERVAL: Final = 0.2
_CLOSE_TIMEOUT: Final = 1.0
_MAX_HEAD: Final = 2**16
# l_onoff = 1, l_linger = 0: closing sends a reset. Winsock's fields are shorts.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class _Line(trio.abc.Stream):
    """The byte stream of one peer; can be made deaf while TCP stays open."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.is_deaf = False
        self.ended = trio.Event()
        self._stream = stream

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may go on."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive; what arrives while deaf is taken and forgotten."""
        try:
            data = await self._stream.receive_some(max_bytes)
            while data and self.is_deaf:
                data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError:
            self.ended.set()
            raise
        if not data:
            self.ended.set()
        return data

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    def reset_on_close(self) -> None:
        """Let closing send a reset instead of an end."""
        self._stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)


@attrs.define(eq=False)
class _Peer:
    """One client of the server."""

    line: _Line
    ws: trio_websocket.WebSocketConnection | None = None

    async def serve(self) -> None:
        """Shake hands and send ticks until the connection ends."""
        async with trio.open_nursery() as nursery:
            request = await trio_websocket.wrap_server_stream(nursery, self.line)
            self.ws = await request.accept()
            tick = 0
            while not self.line.is_deaf:
                tick += 1
                await self.ws.send_message(json.dumps({"tick": tick}))
                await trio.sleep(_TICK_INTERVAL)
            await self.line.ended.wait()
            nursery.cancel_scope.cancel()

    async def close(self, code: int, reason: str) -> None:
        """Do a close handshake; the connection ends in any case."""
        if self.ws is not None:
            with trio.move_on_after(_CLOSE_TIMEOUT):
                await self.ws.aclose(code, reason)
        await trio.aclose_forcefully(self.line)


class DemoServer:
    """A server that can be told to misbehave; made by `open_demo_server`.

    Attributes:
        port: Its TCP port on loopback; the same after `down` and `up`.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.port = 0
        self._nursery = nursery
        self._peers: set[_Peer] = set()
        self._refusals = 0
        self._retry_after = 0.0
        self._listening = trio.CancelScope()
        self._is_closed = trio.Event()

    @property
    def url(self) -> str:
        """Where to connect."""
        return f"ws://{HOST}:{self.port}/feed"

    async def up(self) -> None:
        """Begin to listen.

        Raises:
            OSError: The port cannot be had.
        """
        self.listen(await trio.open_tcp_listeners(self.port, host=HOST))

    def listen(self, listeners: list[trio.SocketListener]) -> None:
        """Begin to listen on sockets that are open already."""
        self.port = listeners[0].socket.getsockname()[1]
        self._listening, self._is_closed = trio.CancelScope(), trio.Event()
        self._nursery.start_soon(self._listen, listeners)

    async def down(self) -> None:
        """Close the port and drop all peers, without a close frame."""
        self._listening.cancel()
        await self._is_closed.wait()
        for peer in list(self._peers):
            await trio.aclose_forcefully(peer.line)

    async def reset(self) -> None:
        """Drop all peers by a TCP reset."""
        for peer in list(self._peers):
            peer.line.reset_on_close()
            await trio.aclose_forcefully(peer.line)

    async def close(self, code: int, reason: str) -> None:
        """Close all peers with a close code."""
        for peer in list(self._peers):
            await peer.close(code, reason)

    def fall_silent(self) -> None:
        """Answer the present peers nothing any more, and keep TCP open."""
        for peer in self._peers:
            peer.line.is_deaf = True

    def refuse(self, times: int, retry_after: float) -> None:
        """Answer the next handshakes with 503.

        Args:
            times: How many.
            retry_after: Seconds to ask the client to wait; HTTP knows whole ones.
        """
        self._refusals, self._retry_after = times, retry_after

    async def _listen(self, listeners: list[trio.SocketListener]) -> None:
        try:
            with self._listening:
                await trio.serve_listeners(self._handle, listeners, handler_nursery=self._nursery)
        finally:
            self._is_closed.set()

    async def _handle(self, stream: trio.SocketStream) -> None:
        peer = _Peer(_Line(stream))
        try:
            if self._refusals:
                self._refusals -= 1
                await self._refuse(stream)
                return
            self._peers.add(peer)
            await peer.serve()
        except* Exception:  # noqa: BLE001, S110 - whatever ends a connection here ends only it
            pass
        finally:
            self._peers.discard(peer)
            await trio.aclose_forcefully(stream)

    async def _refuse(self, stream: trio.SocketStream) -> None:
        head = bytearray()
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
            chunk = await stream.receive_some()
            if not chunk:
                return
            head += chunk
        answer = (
            "HTTP/1.1 503 Service Unavailable\r\n"
            f"Retry-After: {math.ceil(self._retry_after)}\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        await stream.send_all(answer.encode())


@asynccontextmanager
async def open_demo_server() -> AsyncIterator[DemoServer]:
    """Run a demo server; leaving ends it at once.

    Raises:
        OSError: No port on loopback can be had.
    """
    # Opened out here, so that its error does not come out in a group.
    listeners = await trio.open_tcp_listeners(0, host=HOST)
    async with trio.open_nursery() as nursery:
        server = DemoServer(nursery)
        server.listen(listeners)
        yield server
        nursery.cancel_scope.cancel()
