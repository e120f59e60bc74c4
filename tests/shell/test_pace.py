"""Sends at a limited rate, in virtual time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

import trio_wsguard as wsguard
from trio_wsguard import ConnectionState, SendRate

from .conftest import Net, accept, dial_stalled_first, mute, quick

if TYPE_CHECKING:
    import trio_websocket


@attrs.define
class Log:
    """What a server received, and when."""

    messages: list[str | bytes] = attrs.field(factory=list)
    at: list[float] = attrs.field(factory=list)

    async def read(self, ws: trio_websocket.WebSocketConnection, lives: int | None = None) -> None:
        """Take what comes; drop the connection after so many messages."""
        began_at = trio.current_time()
        while lives is None or lives > len(self.messages):
            self.messages.append(await ws.get_message())
            self.at.append(trio.current_time() - began_at)


async def test_sends_keep_the_pace(net: Net) -> None:
    """A burst goes at once, the rest at the rate, in order, what `on_connect` sends included."""
    log = Log()
    net.script(accept(log.read))

    async def on_connect(connection: wsguard.Connection) -> None:
        await connection.send_message("login")

    rate = SendRate(rate=2, burst=3)
    async with (
        net.open(send_rate=rate, on_connect=on_connect) as ws,
        trio.open_nursery() as nursery,
    ):
        for number in range(5):
            nursery.start_soon(ws.send_message, str(number))
            await trio.lowlevel.checkpoint()
        await trio.sleep(10)
    assert log.messages == ["login", "0", "1", "2", "3", "4"]
    assert log.at == pytest.approx([0, 0, 0, 0.5, 1, 1.5])


async def test_beats_pass_the_pace(net: Net) -> None:
    """A message that waits for its turn holds up no beat."""
    net.script(accept(Log().read))
    policy = wsguard.GuardPolicy(heartbeat=wsguard.HeartbeatPolicy(interval=5))
    async with net.open(send_rate=SendRate(rate=0.01), policy=policy) as ws:
        await ws.send_message("a")
        with trio.move_on_after(62):
            await ws.send_message("b")
        found = ws.snapshot()
        assert (found.beats_answered, found.beats_missed) == (12, 0)
        assert found.messages_sent == 1
        assert ws.state is ConnectionState.CONNECTED


async def test_who_gives_up_in_the_line_leaves_no_debt(net: Net) -> None:
    """Cancelled senders have taken no turn from those behind them."""
    log = Log()
    net.script(accept(log.read))
    async with net.open(send_rate=SendRate(rate=0.1)) as ws, trio.open_nursery() as nursery:
        await ws.send_message("a")
        for _ in range(5):
            with trio.move_on_after(1):
                await ws.send_message("never")
        nursery.start_soon(ws.send_message, "b")
    assert log.messages == ["a", "b"]
    assert log.at == pytest.approx([0, 10])


async def test_a_send_cancelled_before_its_first_byte_gives_its_turn_back(net: Net) -> None:
    """A turn taken for a write that did not begin is there for the next one at once."""
    log = Log()
    net.script(accept(log.read))
    async with net.open(send_rate=SendRate(rate=0.1)) as ws:
        connection = ws._supervisor.connection
        send, connection.transport.send = connection.transport.send, partial(_never, ws)
        with trio.move_on_after(1):
            await ws.send_message("never")
        connection.transport.send = send
        await ws.send_message("a")
    assert log.messages == ["a"]
    assert log.at == [1]


async def _never(_: wsguard.GuardedWebSocket, message: str) -> None:
    await trio.sleep_forever()


async def test_a_turn_of_a_send_that_was_cut_is_spent(net: Net) -> None:
    """What may have been sent counts: the next one waits, on the next connection too."""
    log = Log()
    net.script(accept(log.read))
    async with net.open(
        dial=dial_stalled_first(net), policy=quick(), send_rate=SendRate(rate=0.1)
    ) as ws:
        began_at = trio.current_time()
        with trio.move_on_after(2):
            await ws.send_message("cut")
        await ws.send_message("a")
        assert trio.current_time() - began_at == pytest.approx(10)
    assert log.messages == ["a"]


async def test_the_line_moves_on_when_the_connection_is_lost(net: Net) -> None:
    """Who waits for a turn is told of the loss at once, and takes no turn of a dead connection."""
    log = Log()
    net.script(accept(partial(log.read, lives=1)), accept(log.read))
    async with (
        net.open(send_rate=SendRate(rate=0.1), policy=quick(), send_mode="fail") as ws,
        trio.open_nursery() as nursery,
    ):
        began_at = trio.current_time()
        await ws.send_message("a")
        for _ in range(3):
            nursery.start_soon(_is_refused, ws)
        await ws.wait_state(ConnectionState.RECONNECTING)
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() - began_at < 1
        await ws.wait_connected()
        await ws.send_message("b")
        assert trio.current_time() - began_at == pytest.approx(10)
    assert log.messages == ["a", "b"]


async def _is_refused(ws: wsguard.GuardedWebSocket) -> None:
    began_at = trio.current_time()
    with pytest.raises(wsguard.NotConnectedError):
        await ws.send_message("never")
    assert trio.current_time() - began_at < 1


async def test_closing_does_not_wait_for_a_turn(net: Net) -> None:
    """A sender that waits for its turn is told at once that the guard is closed."""
    net.script(accept(Log().read))
    async with net.open(send_rate=SendRate(rate=0.001)) as ws, trio.open_nursery() as nursery:
        await ws.send_message("a")
        nursery.start_soon(_is_closed, ws)
        await trio.sleep(1)
        began_at = trio.current_time()
        await ws.aclose()
    assert trio.current_time() - began_at < 6


async def _is_closed(ws: wsguard.GuardedWebSocket) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await ws.send_message("b")


async def test_a_rate_does_not_bind_a_connection_that_is_not_there(net: Net) -> None:
    """Cancelling is prompt where nothing is connected."""
    net.script(mute)
    async with net.open(send_rate=SendRate(rate=1), wait=False) as ws:
        with trio.move_on_after(1) as scope:
            await ws.send_message("a")
        assert scope.cancelled_caught
