"""Cancelling at every await of the public API leaves nothing behind.

The scope around a guard is cancelled before the k-th step of any task, for
every k there is, by an instrument that counts them: so every await of every
task is met. Precedent: httpcore's cancellation tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState

from .conftest import Net, accept, echo, idle, quick

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@attrs.define(eq=False)
class CancelAtStep(trio.abc.Instrument):
    """Cancel a scope before the n-th step of any task; count the steps."""

    scope: trio.CancelScope
    step: int
    seen: int = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Count, and cancel."""
        self.seen += 1
        if self.seen == self.step:
            self.scope.cancel()


async def cancelled_at(step: int, fn: Callable[[], Awaitable[object]]) -> bool:
    """Run a function, cancelled at a step; tell whether it got there.

    Nothing but `Cancelled` may come out, and no virtual time may pass after.
    """
    with trio.CancelScope() as scope:
        instrument = CancelAtStep(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await fn()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return instrument.seen >= step


@attrs.define(eq=False)
class CountedStream(trio.abc.Stream):
    """A stream that knows what was sent and whether it was closed.

    Like a socket whose buffers have room, it takes bytes at once: once begun, a
    send cannot be cancelled.
    """

    stream: trio.abc.Stream
    is_closed: bool = False
    sent: bytearray = attrs.field(factory=bytearray)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send, and remember."""
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            await self.stream.send_all(data)
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the stream beneath does."""
        await self.stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        """Receive as the stream beneath does."""
        return await self.stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        """Close, and remember."""
        self.is_closed = True
        await self.stream.aclose()


def counted(net: Net, streams: list[CountedStream]) -> Callable[[Any], Awaitable[trio.abc.Stream]]:
    """A dial whose streams are kept."""

    async def dial(target: wsguard.Target) -> trio.abc.Stream:
        stream = CountedStream(await net.dial(target))
        streams.append(stream)
        return stream

    return dial


def check_frames(sent: bytes) -> None:
    """Check that what was sent after the handshake is whole frames (RFC 6455, 5.2)."""
    rest = sent.partition(b"\r\n\r\n")[2]
    while rest:
        assert len(rest) >= 6, "cut in a frame's head"
        length = rest[1] & 0x7F
        assert length < 126, "these tests send short frames only"
        assert len(rest) >= 6 + length, "cut in a frame"
        rest = rest[6 + length :]


async def on_connect(connection: wsguard.Connection) -> None:
    """Talk, as a login does."""
    await connection.send_message("login")
    assert await connection.get_message() == "login"


async def live_until(step: int, net: Net) -> bool:
    """Live a guard's whole life, cancelled at a step; check what is left."""
    streams: list[CountedStream] = []
    guards: list[wsguard.GuardedWebSocket] = []

    async def life() -> None:
        async with net.open(dial=counted(net, streams), on_connect=on_connect) as ws:
            guards.append(ws)
            await ws.send_message("a")
            await ws.get_message()
            await ws.send_message("b")
            await ws.get_messages()
            ws.force_reconnect()
            await ws.wait_connected()
            await ws.aclose()

    net.script(accept(echo))
    began = trio.current_time()
    got_there = await cancelled_at(step, life)
    # The grace for the peer's EOF after each of two closes, and nothing else.
    assert trio.current_time() - began < 0.2
    assert all(stream.is_closed for stream in streams)
    for stream in streams:
        check_frames(bytes(stream.sent))
    ended = (ConnectionState.CLOSED, ConnectionState.DISCONNECTED)
    assert all(ws.state in ended for ws in guards)
    return got_there


async def test_the_whole_life_cancelled_at_every_step(net: Net) -> None:
    """Cancelled anywhere, a guard ends at once: streams closed, state final, no task left."""
    step, got_there = 0, True
    living = trio.lowlevel.current_statistics().tasks_living
    while got_there:
        step += 1
        async with trio.open_nursery() as net.nursery:
            got_there = await live_until(step, net)
            net.nursery.cancel_scope.cancel()
        assert trio.lowlevel.current_statistics().tasks_living == living
    assert step > 100


@pytest.mark.parametrize(
    "call",
    [
        lambda ws: ws.get_message(),
        lambda ws: ws.get_messages(),
        lambda ws: ws.wait_connected(),
        lambda ws: ws.wait_state(ConnectionState.FAILED),
        lambda ws: ws.send_message("x"),
        lambda ws: ws.__anext__(),
    ],
)
async def test_a_cancelled_call_leaves_the_guard_as_it_was(
    net: Net, call: Callable[[wsguard.GuardedWebSocket], Awaitable[object]]
) -> None:
    """A call cancelled at any step harms neither the guard nor what comes after."""
    net.script(accept(echo))
    streams: list[CountedStream] = []
    async with net.open(dial=counted(net, streams)) as ws:
        for step in range(1, 30):
            with trio.move_on_after(1):
                await cancelled_at(step, lambda: call(ws))
        assert (ws.state, ws.generation) == (ConnectionState.CONNECTED, 1)
        await ws.send_message("last")
        while await ws.get_message() != "last":
            pass
        check_frames(bytes(streams[0].sent))


async def test_receiving_cancelled_at_random_loses_nothing(net: Net) -> None:
    """Messages received through cancelled calls are all there, in order."""

    async def flood(ws: trio_websocket.WebSocketConnection) -> None:
        for n in range(300):
            await ws.send_message(str(n))
            if n % 7 == 0:
                await trio.sleep(0.01)
        await idle(ws)

    received: list[object] = []
    net.script(accept(flood))
    async with net.open() as ws:
        while len(received) < 300:
            with trio.move_on_after(0.003):
                received.append(await ws.get_message())
            with trio.CancelScope() as scope:
                scope.cancel()
                received.append(await ws.get_message())
    assert received == [str(n) for n in range(300)]


async def test_cancelling_in_backoff_takes_no_time(net: Net) -> None:
    """Cancelling in a 60 s backoff ends everything within a few scheduler passes."""
    long = wsguard.LinearBackoff(step=60, cap=60)
    net.script(ConnectionRefusedError())
    policy = quick(backoff=wsguard.BackoffPolicy(network=long))
    with trio.CancelScope() as scope:
        async with net.open(wait=False, policy=policy) as ws:
            await ws.wait_state(ConnectionState.RECONNECTING)
            began = trio.current_time()
            scope.cancel()
            await trio.sleep_forever()
    assert trio.current_time() == began
    assert ws.state is ConnectionState.DISCONNECTED


async def test_a_close_frame_goes_out_when_cancelled(net: Net) -> None:
    """Cancelling an idle, open guard still sends a close frame, without waiting."""
    codes: list[int] = []

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        with pytest.raises(trio_websocket.ConnectionClosed) as caught:
            await ws.get_message()
        codes.append(getattr(caught.value.reason, "code", 0))

    net.script(accept(talk))
    with trio.CancelScope() as scope:
        async with net.open() as ws:
            began = trio.current_time()
            scope.cancel()
            await trio.sleep_forever()
    assert ws.state is ConnectionState.CLOSED
    assert trio.current_time() == began
    await trio.testing.wait_all_tasks_blocked()
    assert codes == [1000]


def test_the_frame_check_notices_half_a_frame() -> None:
    """The check of these tests can fail."""
    frame = b"\x81\x85mask\x00\x00\x00\x00\x00"
    check_frames(b"GET / HTTP/1.1\r\n\r\n" + frame + frame)
    with pytest.raises(AssertionError):
        check_frames(b"GET / HTTP/1.1\r\n\r\n" + frame + frame[:-1])
