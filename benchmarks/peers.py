"""The peers behind one face: connect, receive, send.

Each has its library's defaults, with two exceptions, made for all alike: no
compression, and no limit below the messages of the benchmark. Each is used as
its documentation shows; for picows that is a callback, which is why it has no
task to wake.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import attrs
import trio
import trio_websocket

import trio_wsguard as wsguard
from benchmarks.framework import PATIENCE
from benchmarks.server import encode_frame, encode_masked_frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    Connect = Callable[[str], AbstractAsyncContextManager["Wire"]]

_T = TypeVar("_T")

RAW: Final = "raw"
BARE: Final = "trio-websocket"
WS_TRIO: Final = "websockets.trio"
WS_ASYNCIO: Final = "websockets.asyncio"
AIOHTTP: Final = "aiohttp"
PICOWS: Final = "picows"
GUARD: Final = "guard"
GUARD_BATCHES: Final = "guard-batches"
FAST: Final = "fast-guard"
FAST_BATCHES: Final = "fast-guard-batches"

# The distribution that a peer needs, beyond what the package itself does.
REQUIRES: Final[Mapping[str, str]] = {
    WS_TRIO: "websockets",
    WS_ASYNCIO: "websockets",
    AIOHTTP: "aiohttp",
    PICOWS: "picows",
    FAST: "websockets",
    FAST_BATCHES: "websockets",
}

_READ: Final = 2**20  # bytes


class Wire(Protocol):
    """One connection of a peer."""

    async def take(self, count: int) -> int:
        """Receive about so many messages, at least one; tell how many."""
        ...

    async def send(self, message: bytes, count: int) -> None:
        """Send a message so many times, with what backpressure the peer knows."""
        ...


@attrs.frozen
class Wired:
    """A wire of two functions: receive a message, send one."""

    _receive: Callable[[], Awaitable[object]]
    _send: Callable[[bytes], Awaitable[object]]

    async def take(self, count: int) -> int:
        """Receive one by one."""
        receive = self._receive
        for _ in range(count):
            await receive()
        return count

    async def send(self, message: bytes, count: int) -> None:
        """Send one by one."""
        send = self._send
        for _ in range(count):
            await send(message)


class GuardWire:
    """A guard, message by message as ``async for`` gives them."""

    def __init__(self, ws: wsguard.GuardedWebSocket) -> None:
        self._ws = ws

    async def take(self, count: int) -> int:
        """Iterate."""
        taken = 0
        async for _ in self._ws:
            taken += 1
            if taken == count:
                break
        return taken

    async def send(self, message: bytes, count: int) -> None:
        """Send one by one."""
        for _ in range(count):
            await self._ws.send_message(message)


class BatchWire(GuardWire):
    """A guard, in batches."""

    async def take(self, count: int) -> int:  # noqa: ARG002 - what is at hand, it takes
        """Take all that is at hand."""
        return len(await self._ws.get_messages())


class RawWire:
    """A blocking socket that counts bytes: what the kernel and the server allow."""

    def __init__(self, plain: socket.socket, frame_size: int) -> None:
        self._socket = plain
        self._frame_size = frame_size
        self._buffer = bytearray(_READ)
        self._rest = 0

    async def take(self, count: int) -> int:  # noqa: ARG002 - what is at hand, it takes
        """Receive at least one frame; look at none."""
        while self._rest < self._frame_size:
            read = self._socket.recv_into(self._buffer)
            if not read:
                raise ConnectionError("the server closed the connection")
            self._rest += read
        taken, self._rest = divmod(self._rest, self._frame_size)
        return taken

    async def send(self, message: bytes, count: int) -> None:
        """Send frames that were encoded before."""
        frame = encode_masked_frame(len(message))
        step = max(1, _READ // len(frame))
        whole, rest = divmod(count, step)
        chunk = frame * min(step, count)
        for _ in range(whole):
            self._socket.sendall(chunk)
        self._socket.sendall(frame * rest)


class PicowsWire:
    """A picows transport; its listener counts what comes.

    Attributes:
        transport: What it sends on.
        writable: Whether its buffer is below its mark.
    """

    def __init__(self) -> None:
        self.transport: Any = None
        self.writable = asyncio.Event()
        self.writable.set()
        self._came = 0
        self._wanted = 1
        self._enough = asyncio.Event()

    def came(self) -> None:
        """Count a message, called by the listener."""
        self._came += 1
        if self._came >= self._wanted:
            self._enough.set()

    async def take(self, count: int) -> int:
        """Wait until so many have come since the last call."""
        if self._came < count:
            self._wanted = count
            self._enough.clear()
            await self._enough.wait()
        taken, self._came = self._came, 0
        return taken

    async def send(self, message: bytes, count: int) -> None:
        """Send, and wait only where the listener was told to pause."""
        binary = importlib.import_module("picows").WSMsgType.BINARY
        send, writable = self.transport.send, self.writable
        for _ in range(count):
            if not writable.is_set():
                await writable.wait()
            send(binary, message)


@asynccontextmanager
async def _raw(url: str) -> AsyncIterator[Wire]:
    """Connect a blocking socket; the last number of the path is the size of what comes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), PATIENCE) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.sendall(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode("ascii")
        )
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += plain.recv(1)
        yield RawWire(plain, len(encode_frame(int(parts.path.rpartition("/")[2]))))


@asynccontextmanager
async def _bare(url: str) -> AsyncIterator[Wire]:
    async with trio_websocket.open_websocket_url(url) as ws:
        yield Wired(ws.get_message, ws.send_message)


@asynccontextmanager
async def _websockets_trio(url: str) -> AsyncIterator[Wire]:
    client: Any = importlib.import_module("websockets.trio.client")
    options = {"compression": None, "max_size": None, "proxy": None}
    async with client.connect(url, **options) as ws:
        yield Wired(ws.recv, ws.send)


@asynccontextmanager
async def _websockets_asyncio(url: str) -> AsyncIterator[Wire]:
    client: Any = importlib.import_module("websockets.asyncio.client")
    options = {"compression": None, "max_size": None, "proxy": None}
    async with client.connect(url, **options) as ws:
        yield Wired(ws.recv, ws.send)
        ws.transport.abort()  # megabytes are on their way


@asynccontextmanager
async def _aiohttp(url: str) -> AsyncIterator[Wire]:
    aiohttp: Any = importlib.import_module("aiohttp")
    # The server of a sender knows of no close handshake: it need not be waited for.
    timeout = aiohttp.ClientWSTimeout(ws_close=0.05)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, max_msg_size=0, timeout=timeout) as ws,
    ):
        yield Wired(ws.receive_bytes, ws.send_bytes)


@asynccontextmanager
async def _picows(url: str) -> AsyncIterator[Wire]:
    picows: Any = importlib.import_module("picows")
    wire = PicowsWire()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_frame(self, _transport: Any, frame: Any) -> None:
            # Taken out as bytes, since every other peer hands out bytes of its own.
            frame.get_payload_as_bytes()
            wire.came()

        def pause_writing(self) -> None:
            wire.writable.clear()

        def resume_writing(self) -> None:
            wire.writable.set()

    wire.transport, _ = await picows.ws_connect(Listener, url)
    try:
        yield wire
    finally:
        wire.transport.disconnect(graceful=False)


@asynccontextmanager
async def _guard(
    url: str,
    transport: str = "trio-websocket",
    wire: Callable[[wsguard.GuardedWebSocket], Wire] = GuardWire,
) -> AsyncIterator[Wire]:
    async with wsguard.open_guarded_websocket(url, transport=transport) as ws:
        yield wire(ws)


_ON_ASYNCIO: Final[dict[str, Connect]] = {
    RAW: _raw,  # it never waits for the loop
    WS_ASYNCIO: _websockets_asyncio,
    AIOHTTP: _aiohttp,
    PICOWS: _picows,
}
_ON_TRIO: Final[dict[str, Connect]] = {
    BARE: _bare,
    WS_TRIO: _websockets_trio,
    GUARD: _guard,
    GUARD_BATCHES: partial(_guard, wire=BatchWire),
    FAST: partial(_guard, transport="websockets"),
    FAST_BATCHES: partial(_guard, transport="websockets", wire=BatchWire),
}


def run(peer: str, url: str, work: Callable[[Wire], Awaitable[_T]], seconds: float) -> _T:
    """Connect a peer and work with it, in an event loop of its own.

    Args:
        peer: Its name.
        url: Of the benchmarks' server.
        work: What to do with the connection.
        seconds: How long that takes, about; `PATIENCE` more, and it counts as hung.

    Raises:
        TimeoutError: It hung, on asyncio.
        trio.TooSlowError: It hung, on trio.
    """
    limit = seconds + PATIENCE
    if peer in _ON_ASYNCIO:
        return asyncio.run(_on_asyncio(_ON_ASYNCIO[peer], url, work, limit))
    return trio.run(_on_trio, _ON_TRIO[peer], url, work, limit)


async def _on_asyncio(
    connect: Connect,
    url: str,
    work: Callable[[Wire], Awaitable[_T]],
    limit: float,
) -> _T:
    async with asyncio.timeout(limit), connect(url) as wire:
        return await work(wire)


async def _on_trio(
    connect: Connect,
    url: str,
    work: Callable[[Wire], Awaitable[_T]],
    limit: float,
) -> _T:
    results: list[_T] = []
    with trio.fail_after(limit), trio.CancelScope() as scope:
        async with connect(url) as wire:
            results.append(await work(wire))
            # Megabytes are on their way, and a close handshake would read them all.
            scope.cancel()
    return results[0]
