"""Leaving the iteration and the block in every way, on real sockets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import trio
import trio_websocket

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState

from .servers import accept, echo, eventually, greet, open_guard, quick

if TYPE_CHECKING:
    from .servers import Server


class Ends:
    """A server's talk that notes how the client ended it."""

    def __init__(self) -> None:
        self.codes: list[int] = []

    async def __call__(self, ws: trio_websocket.WebSocketConnection) -> None:
        """Say three things, listen, and note the close code."""
        try:
            await greet("0", "1", "2", then=echo)(ws)
        except trio_websocket.ConnectionClosed:
            assert ws.closed is not None
            self.codes.append(ws.closed.code)


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


async def test_break_out_of_the_iteration(server: Server) -> None:
    """`break` leaves the iteration at once; the guard lives on, and the block ends cleanly."""
    ends = Ends()
    server.script(accept(ends))
    before = _tasks()
    async with open_guard(server.url, policy=quick(close_timeout=5)) as ws:
        async for message in ws:
            assert message == "0"
            break
        assert ws.snapshot().connection_state is ConnectionState.CONNECTED
        assert await ws.get_message() == "1"
        async for message in ws:
            assert message == "2"
            break
    assert ws.state is ConnectionState.CLOSED
    await eventually(lambda: ends.codes == [1000])
    await eventually(lambda: _tasks() == before)


async def test_an_error_in_the_loop_comes_out_as_itself(server: Server) -> None:
    """An exception of the loop's body leaves the block as itself, not in a group."""
    ends = Ends()
    server.script(accept(ends))
    before = _tasks()
    error = KeyError("mine")
    with pytest.raises(KeyError) as caught:  # noqa: PT012 - the whole block is under test
        async with open_guard(server.url, policy=quick(close_timeout=5)) as ws:
            async for _ in ws:
                raise error
    assert caught.value is error
    assert ws.state is ConnectionState.CLOSED
    await eventually(lambda: ends.codes == [1000])
    await eventually(lambda: _tasks() == before)


async def test_an_outer_timeout_ends_everything(server: Server) -> None:
    """A timeout around the block ends it; a close frame still goes out, and no task stays."""
    ends = Ends()
    server.script(accept(ends))
    before = _tasks()
    received: list[object] = []
    with trio.move_on_after(float("inf")) as scope:
        async with open_guard(server.url) as ws:
            scope.deadline = trio.current_time() + 0.1
            async for message in ws:
                received.append(message)  # noqa: PERF401 - a loop as users write it
    assert scope.cancelled_caught
    assert ws.state is ConnectionState.CLOSED
    await eventually(lambda: ends.codes == [1000])
    await eventually(lambda: _tasks() == before)


async def test_an_outer_timeout_while_connecting(server: Server) -> None:
    """A timeout around entering ends the attempt, and nobody is CONNECTED."""

    async def never(peer: trio.abc.Stream) -> None:
        await peer.receive_some()
        await trio.sleep_forever()

    server.script(never)
    with trio.move_on_after(0.1) as scope:
        async with open_guard(server.url):
            raise AssertionError("entered")  # pragma: no cover
    assert scope.cancelled_caught


async def test_a_timeout_around_one_message_loses_none(server: Server) -> None:
    """A timeout around get_message() loses no message and no connection."""
    server.script(accept(echo))
    async with open_guard(server.url) as ws:
        with trio.move_on_after(0.02) as scope:
            await ws.get_message()
        assert scope.cancelled_caught
        for n in range(200):
            await ws.send_message(str(n))
        received: list[object] = []
        for tries in itertools.count():
            with trio.CancelScope(deadline=trio.current_time() + tries % 7 * 0.0001):
                received.append(await ws.get_message())
            if len(received) == 200:
                break
        assert received == [*map(str, range(200))]
        assert ws.generation == 1


async def test_a_failing_sibling_ends_the_guard(server: Server) -> None:
    """An error beside the guard cancels it within its nursery, and is the only one told."""
    server.script(accept(echo))

    async def fail(ws: wsguard.GuardedWebSocket) -> None:
        await ws.send_message("x")
        await ws.get_message()
        raise LookupError("of the sibling")

    with pytest.RaisesGroup(pytest.RaisesExc(LookupError)):
        async with trio.open_nursery() as nursery, open_guard(server.url) as ws:
            nursery.start_soon(fail, ws)
            await trio.sleep_forever()
    assert ws.state is ConnectionState.CLOSED


async def test_a_task_of_a_connection_ends_with_it(server: Server) -> None:
    """A task from start_soon is cancelled when its connection is lost; the next has its own."""
    server.script(accept(lambda ws: ws.get_message()), accept(echo))
    began: list[int] = []
    ended: list[int] = []

    async def task(connection: wsguard.Connection) -> None:
        began.append(connection.generation)
        try:
            await trio.sleep_forever()
        finally:
            ended.append(connection.generation)

    async def on_connect(connection: wsguard.Connection) -> None:
        connection.start_soon(task, connection)
        await trio.lowlevel.checkpoint()

    async with open_guard(server.url, on_connect=on_connect) as ws:
        await ws.send_message("drop me")
        await ws.wait_state(ConnectionState.RECONNECTING)
        assert ended == [1]
        await ws.wait_connected()
        await eventually(lambda: began == [1, 2])
        assert ended == [1]
    assert ended == [1, 2]


async def test_on_connect_talks_before_the_application(server: Server) -> None:
    """What on_connect sends and receives comes first; what it leaves goes to the application."""

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        assert await ws.get_message() == "login"
        for message in ("welcome", "first", "second"):
            await ws.send_message(message)
        assert await ws.get_message() == "hello"

    server.script(accept(talk), accept(talk))

    async def on_connect(connection: wsguard.Connection) -> None:
        await connection.send_message("login")
        assert await connection.get_message() == "welcome"

    async with open_guard(server.url, on_connect=on_connect) as ws:
        for generation in (1, 2):
            assert await ws.get_message() == "first"
            assert await ws.get_message() == "second"
            assert ws.generation == generation
            await ws.send_message("hello")
            if generation == 1:
                await ws.wait_state(ConnectionState.RECONNECTING)
