"""A strict client of few lines, and the clocks of this folder's tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio.testing
from wsproto.frame_protocol import FrameDecoder, Opcode

import trio_wsguard as wsguard
from trio_wsguard.testing.peer import Accept, Script, ScriptedPeer, frame

from ...clocks import in_virtual_time, run_by, within_limit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio_wsguard.testing.peer import Step

    from ...clocks import Runner

TEXT, BINARY, CLOSE, PING, PONG = (
    Opcode.TEXT,
    Opcode.BINARY,
    Opcode.CLOSE,
    Opcode.PING,
    Opcode.PONG,
)
REQUEST = (
    b"GET /feed?a=1 HTTP/1.1\r\nHost: peer.example\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, plain\r\n"
    b"Sec-WebSocket-Extensions: x-none\r\nX-Tag: one\r\nX-Tag: two\r\n\r\n"
)


def _clock_of(item: pytest.Item) -> Runner:
    return within_limit if item.path.name == "test_loopback.py" else in_virtual_time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests on sockets in real time, all others in virtual time."""
    run_by(items, Path(__file__).parent, _clock_of)


@attrs.define(eq=False)
class Client:
    """A client that says exactly what it is told to.

    Attributes:
        stream: Its end of the stream.
    """

    stream: trio.abc.Stream
    _decoder: FrameDecoder = attrs.field(factory=lambda: FrameDecoder(client=True))
    _unread: bytearray = attrs.field(factory=bytearray)

    async def request(self, raw: bytes = REQUEST) -> bytes:
        """Send a request and give the answer's head; nothing at the end of the stream."""
        await self.stream.send_all(raw)
        while b"\r\n\r\n" not in self._unread:
            data = await self.stream.receive_some()
            if not data:
                return bytes(self._unread)
            self._unread += data
        head, _, rest = self._unread.partition(b"\r\n\r\n")
        self._decoder.receive_bytes(bytes(rest))
        self._unread = rest
        return bytes(head)

    async def body(self) -> bytes:
        """Give all bytes up to the end of the stream."""
        data = b"more"
        while data:
            data = bytes(await self.stream.receive_some())
            self._unread += data
        return bytes(self._unread)

    async def send(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        """Send a frame, masked as a client must."""
        options.setdefault("masked", True)
        await self.stream.send_all(frame(opcode, payload, **options))

    async def read(self) -> tuple[Opcode, bytes] | None:
        """Give the next frame; ``None`` at the end of the stream."""
        while (found := self._decoder.process_buffer()) is None:
            data = await self.stream.receive_some()
            if not data:
                return None
            self._decoder.receive_bytes(bytes(data))
        assert isinstance(found.payload, bytes)
        return found.opcode, found.payload

    async def hears_nothing(self, seconds: float) -> bool:
        """Whether neither a frame nor the end comes for some time."""
        with trio.move_on_after(seconds):
            await self.read()
            return False
        return True


@attrs.define(eq=False)
class Memory:
    """Streams in memory to peers.

    Attributes:
        nursery: Where peers run.
    """

    nursery: trio.Nursery

    def dial(self, peer: ScriptedPeer) -> Client:
        """Open a stream to a peer."""
        client, server = trio.testing.memory_stream_pair()
        self.nursery.start_soon(peer, server)
        return Client(client)

    async def connect(self, peer: ScriptedPeer) -> Client:
        """Open a stream to a peer that accepts."""
        client = self.dial(peer)
        assert (await client.request()).startswith(b"HTTP/1.1 101 ")
        return client


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    """Streams in memory."""
    async with trio.open_nursery() as nursery:
        yield Memory(nursery)
        nursery.cancel_scope.cancel()


def talk(*steps: Step, heartbeat: object = None) -> ScriptedPeer:
    """A peer that accepts, and then plays some steps."""
    return ScriptedPeer(Script(Accept(), *steps), heartbeat=heartbeat)


def open_guard(memory: Memory, peer: ScriptedPeer, **options: Any) -> Any:
    """Open a guard whose dials reach a peer, and that tries for ever."""

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return memory.dial(peer).stream

    options.setdefault("policy", wsguard.GuardPolicy(max_connection_failures=None))
    return wsguard.open_guarded_websocket("ws://peer.example/", dial=dial, **options)


async def first_failure(memory: Memory, peer: ScriptedPeer) -> wsguard.Failure:
    """Tell the first failure of a guard."""
    async with open_guard(memory, peer, wait=False) as ws, ws.events() as events:
        async for event in events:
            if isinstance(event, wsguard.StateChange) and event.failure is not None:
                return event.failure
    raise AssertionError("the guard ended without a failure")
