"""A transport over `websockets` in memory, and a server that says only what the test says."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

pytest.importorskip("websockets")

from websockets.extensions.permessage_deflate import enable_server_permessage_deflate
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from trio_wsguard._core.health import Counters
from trio_wsguard._errors import TransportError
from trio_wsguard._shell.dial import parse_url
from trio_wsguard._shell.transport import Handshake
from trio_wsguard._shell.transports.websockets import open_transport
from trio_wsguard._shell.watched import WatchedStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trio_wsguard._shell.transports.websockets import WebSocketsTransport


class Peer:
    """A server made of the library's own protocol, which says only what the test says.

    Attributes:
        frames: What came from the client so far.
    """

    def __init__(self, stream: trio.abc.Stream, *, deflate: bool = True) -> None:
        self.stream = stream
        extensions = enable_server_permessage_deflate(None) if deflate else None
        self.protocol = ServerProtocol(extensions=extensions, max_size=2**26)
        self.frames: list[Frame] = []
        self._lock = trio.Lock()

    async def say(self, raw: bytes) -> None:
        """Send bytes, from several tasks in turn."""
        async with self._lock:
            await self.stream.send_all(raw)

    async def flush(self) -> None:
        """Send what the protocol has."""
        await self.say(b"".join(self.protocol.data_to_send()))

    async def shake(self, then: bytes = b"") -> None:
        """Answer the handshake, with some bytes in the same piece."""
        request: Any = None
        while not request:
            self.protocol.receive_data(await self.stream.receive_some())
            request = [e for e in self.protocol.events_received() if isinstance(e, Request)]
        self.protocol.send_response(self.protocol.accept(request[0]))
        await self.say(b"".join(self.protocol.data_to_send()) + then)

    async def read(self, size: int = 2**16) -> bool:
        """Take one piece of what the client sent; tell whether there was one."""
        data = await self.stream.receive_some(size)
        if not data:
            return False
        self.protocol.receive_data(data)
        self.frames += [e for e in self.protocol.events_received() if isinstance(e, Frame)]
        return True

    async def read_on(self) -> None:
        """Take all that comes."""
        while await self.read():
            pass

    async def read_frame(self) -> Frame:
        """Wait for the client's next frame."""
        while not self.frames:
            assert await self.read(), "the client ended the connection"
        return self.frames.pop(0)


@asynccontextmanager
async def opened(
    *,
    then: bytes = b"",
    streams: tuple[trio.abc.Stream, trio.abc.Stream] | None = None,
    on_pong: Callable[[bytes], None] = lambda _: None,
    max_message_size: int = 2**20,
    compression: str | None = None,
) -> AsyncIterator[tuple[WebSocketsTransport, Peer, WatchedStream]]:
    """Open a transport to a peer in memory."""
    client, server = streams or trio.testing.memory_stream_pair()
    watched, peer = WatchedStream(client, Counters()), Peer(server)
    handshake = Handshake(target=parse_url("ws://sim/"), max_message_size=max_message_size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(peer.shake, then)
        async with open_transport(watched, handshake, on_pong, compression=compression) as one:
            yield one, peer, watched
        await trio.aclose_forcefully(client)


async def receive_until_end(transport: WebSocketsTransport) -> tuple[list[Any], TransportError]:
    """Receive all there is, and how it ended."""
    received: list[Any] = []
    while True:
        try:
            received += await transport.receive()
        except TransportError as exc:
            return received, exc
