"""What `send_message` does in its modes: fail, buffer, with an outbox."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import trio

import trio_wsguard as wsguard
from trio_wsguard import BufferPolicy, ConnectionState, DeliveryState, Outbox

from .conftest import Net, accept, dial_stalled_first, drop, idle, mute, quick

if TYPE_CHECKING:
    from collections.abc import Callable

    import trio_websocket


SENT, FAILED, EXPIRED = DeliveryState.SENT, DeliveryState.FAILED, DeliveryState.EXPIRED
QUEUED, ACKNOWLEDGED = DeliveryState.QUEUED, DeliveryState.ACKNOWLEDGED
CONNECTED, RECONNECTING = ConnectionState.CONNECTED, ConnectionState.RECONNECTING
REFUSED = ConnectionRefusedError(111, "Connection refused")


@attrs.define
class Book:
    """What a server received; it may acknowledge it and may drop the connection."""

    messages: list[str | bytes] = attrs.field(factory=list)

    async def read(self, ws: trio_websocket.WebSocketConnection) -> None:
        """Take what comes."""
        while True:
            self.messages.append(await ws.get_message())

    async def acknowledge(self, lives: int | None, ws: trio_websocket.WebSocketConnection) -> None:
        """Acknowledge what comes; drop the connection instead of so many acknowledgements."""
        while lives is None or lives > 0:
            message = str(await ws.get_message())
            self.messages.append(message)
            if lives is not None:
                lives -= 1
            if lives != 0:
                await ws.send_message(f"ack {message}")
        await drop(ws)


def acks(message: str | bytes) -> list[str] | None:
    """Read an acknowledgement."""
    text = str(message)
    return [text.removeprefix("ack ")] if text.startswith("ack ") else None


def outbox(**settings: Any) -> Outbox:
    """An outbox of messages that are their own keys."""
    return Outbox(key=lambda message: message, acks=acks, **settings)


async def offline(ws: wsguard.GuardedWebSocket) -> None:
    """Rest in DISCONNECTED."""
    ws.disconnect()
    await ws.wait_state(ConnectionState.DISCONNECTED)


async def raises(kind: type[Exception], fn: Callable[..., Any], *args: Any) -> None:
    """Call an async function that raises."""
    with pytest.raises(kind):
        await fn(*args)


# --- settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("send_mode", {"send_mode": "later"}),
        ("buffer", {"send_mode": "buffer", "buffer": 3}),
        ("buffer", {"buffer": BufferPolicy()}),
        ("outbox", {"outbox": "file"}),
        ("send_mode", {"send_mode": "buffer", "outbox": outbox()}),
        ("send_mode", {"send_mode": "fail", "outbox": outbox()}),
        ("send_rate", {"send_rate": 5}),
    ],
)
async def test_settings_that_do_not_go_together_are_refused(
    net: Net, field: str, options: dict[str, Any]
) -> None:
    """A mode that is none, and what belongs to another mode, are refused by name."""
    with pytest.raises(wsguard.PolicyError) as refused:
        async with net.open(**options):
            pass
    assert refused.value.field == field
    assert not net.dialed_at


def test_sqlite_is_not_imported_for_all() -> None:
    """Importing the library does not import SQLite."""
    code = "import sys, trio_wsguard; sys.exit('sqlite3' in sys.modules)"
    # Coverage, where it follows every process, would import it.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)  # noqa: S603
    assert done.returncode == 0


# --- wait --------------------------------------------------------------------------


async def test_by_default_there_is_no_receipt(net: Net) -> None:
    """A send that has waited for its connection is done: it gives nothing, and keeps no figures."""
    book = Book()
    net.script(accept(book.read))
    async with net.open() as ws:
        assert await ws.send_message("a") is None
        assert ws.snapshot().outgoing is None


# --- fail --------------------------------------------------------------------------


async def test_in_fail_mode_a_send_never_waits(net: Net) -> None:
    """While CONNECTED it sends; in any other state it raises at once, and nothing is kept."""
    book = Book()
    net.script(accept(book.read))
    async with net.open(send_mode="fail") as ws:
        assert await ws.send_message("a") is None
        await offline(ws)
        with pytest.raises(wsguard.NotConnectedError, match="DISCONNECTED") as refused:
            await ws.send_message("b")
        assert refused.value.state is ConnectionState.DISCONNECTED
        ws.connect()
        await ws.wait_connected()
        await ws.send_message("c")
        assert ws.snapshot().outgoing is None
    assert book.messages == ["a", "c"]


async def test_in_fail_mode_a_connection_that_is_ending_is_none(net: Net) -> None:
    """A send behind one that broke the connection is told that it is ending."""
    net.script(accept(idle))
    async with net.open(send_mode="fail") as ws:
        ws.force_reconnect()
        with pytest.raises(wsguard.NotConnectedError, match="the connection is ending"):
            await ws.send_message("a")


async def test_in_fail_mode_an_end_is_told_as_in_any(net: Net) -> None:
    """FAILED and closed are told by their own errors."""
    net.script(REFUSED)
    policy = quick(max_connection_failures=1)
    async with net.open(send_mode="fail", policy=policy, wait=False) as ws:
        await ws.wait_state(ConnectionState.FAILED)
        await raises(wsguard.GuardFailedError, ws.send_message, "a")
    await raises(trio.ClosedResourceError, ws.send_message, "a")


# --- buffer ------------------------------------------------------------------------


async def test_what_waits_is_sent_in_order_before_anything_newer(net: Net) -> None:
    """Messages accepted without a connection go first, after what `on_connect` sends."""
    book = Book()
    net.script(accept(book.read))

    async def on_connect(connection: wsguard.Connection) -> None:
        await connection.send_message("login")
        await trio.sleep(1)

    async with net.open(send_mode="buffer", on_connect=on_connect, wait=False) as ws:
        receipts = [await ws.send_message(str(number)) for number in range(5)]
        await ws.wait_connected()
        receipts.append(await ws.send_message("newer"))
        for receipt in receipts:
            assert await receipt.wait() is SENT
            assert (receipt.error, receipt.sends, repr(receipt)) == (None, 1, "<Receipt SENT>")
        last = await ws.send_message("last")
        assert last.state is SENT  # directly: nothing was before it
        assert ws.snapshot().outgoing.totals.sent == 6
    assert book.messages == ["login", "0", "1", "2", "3", "4", "newer", "last"]


async def test_a_buffer_that_is_full_lets_the_sender_wait(net: Net) -> None:
    """A sender waits for room, those behind it too, and all go out in their order."""
    book = Book()
    net.script(accept(book.read))
    options = {"send_mode": "buffer", "buffer": BufferPolicy(max_messages=1)}
    async with net.open(**options) as ws, trio.open_nursery() as nursery:
        await offline(ws)
        for name in "abc":
            nursery.start_soon(ws.send_message, name)
            await trio.testing.wait_all_tasks_blocked()
        assert ws.snapshot().outgoing.depth == 1
        ws.connect()
        await ws.wait_connected()
        await ws.send_message("d")
        await trio.sleep(1)
    assert book.messages == ["a", "b", "c", "d"]


async def test_a_sender_cancelled_while_it_waits_leaves_nothing(net: Net) -> None:
    """A send cancelled for want of room has not happened; the one behind it has."""
    book = Book()
    net.script(accept(book.read))
    options = {"send_mode": "buffer", "buffer": BufferPolicy(max_messages=1)}
    async with net.open(**options) as ws:
        await offline(ws)
        await ws.send_message("a")
        with trio.move_on_after(1) as scope:
            await ws.send_message("b")
        assert scope.cancelled_caught
        ws.connect()
        await ws.send_message("c")
        await trio.sleep(1)
    assert book.messages == ["a", "c"]


async def test_overflow_is_refused_or_drops_the_oldest(net: Net) -> None:
    """Which of the two, the policy says; what is dropped fails, and its receipt says why."""
    net.script(accept(idle))
    error = BufferPolicy(max_messages=1, overflow="error")
    async with net.open(send_mode="buffer", buffer=error) as ws:
        await offline(ws)
        await ws.send_message("a")
        await raises(wsguard.BufferFullError, ws.send_message, "b")
    drop_oldest = BufferPolicy(max_messages=1, overflow="drop_oldest")
    async with net.open(send_mode="buffer", buffer=drop_oldest) as ws:
        await offline(ws)
        oldest, newest = await ws.send_message("a"), await ws.send_message("b")
        assert await oldest.wait() is FAILED
        assert isinstance(oldest.error, wsguard.BufferFullError)
        assert newest.state is QUEUED


async def test_what_is_too_old_expires_without_a_connection(net: Net) -> None:
    """Each message expires when it is `max_age` old, and makes room for one that waits."""
    net.script(accept(idle))
    policy = BufferPolicy(max_messages=2, max_age=10)
    async with net.open(send_mode="buffer", buffer=policy) as ws:
        await offline(ws)
        began_at = trio.current_time()
        first = await ws.send_message("a")
        await trio.sleep(3)
        second = await ws.send_message("b")
        third = await ws.send_message("c")
        assert trio.current_time() - began_at == 10
        assert await first.wait() is EXPIRED
        assert await second.wait() is EXPIRED
        assert trio.current_time() - began_at == 13
        assert third.state is QUEUED
        assert ws.snapshot().outgoing.totals.expired == 2


async def test_what_is_found_expired_by_the_flush_is_told(net: Net) -> None:
    """A message too old at the very moment of connecting is not sent, and its end is told."""
    book = Book()
    net.script(accept(book.read))
    policy = BufferPolicy(max_age=10)
    async with net.open(send_mode="buffer", buffer=policy) as ws:
        await offline(ws)
        receipt = await ws.send_message("a")
        await trio.sleep(10)
        ws.connect()
        assert await receipt.wait() is EXPIRED
    assert not book.messages


async def test_a_direct_send_that_breaks_is_told_to_its_caller(net: Net) -> None:
    """What is sent directly raises as without a buffer, and what could not be begun is kept."""
    book = Book()
    net.script(accept(drop), accept(book.read))
    async with net.open(send_mode="buffer", policy=quick()) as ws:
        await ws.wait_state(RECONNECTING)
        receipt = await ws.send_message("a")
        assert await receipt.wait() is SENT
        ws.force_reconnect()
        again = await ws.send_message("b")  # its connection is ending
        assert again.state is QUEUED
        assert await again.wait() is SENT
    assert book.messages == ["a", "b"]


async def test_a_loss_in_the_middle_of_a_message_fails_it(net: Net) -> None:
    """The one in flight fails as maybe sent; those behind it go on the next connection."""
    book = Book()
    net.script(accept(book.read))
    async with net.open(
        dial=dial_stalled_first(net), send_mode="buffer", policy=quick(), wait=False
    ) as ws:
        receipts = [await ws.send_message(name) for name in "abc"]
        await ws.wait_connected()
        await trio.sleep(1)
        assert ws.snapshot().outgoing.in_flight == 1
        ws.force_reconnect()
        assert [await receipt.wait() for receipt in receipts] == [FAILED, SENT, SENT]
        error = receipts[0].error
        assert isinstance(error, wsguard.ConnectionLostError)
        assert (error.maybe_sent, error.generation) == (True, 1)
    assert book.messages == ["b", "c"]


async def test_a_flush_behind_another_write_comes_back_whole(net: Net) -> None:
    """A message that waits behind a blocked write when the connection ends was not begun."""
    book = Book()
    net.script(accept(book.read))

    async def on_connect(connection: wsguard.Connection) -> None:
        if connection.generation == 1:
            connection.start_soon(connection.send_message, "x" * 10)
            await trio.testing.wait_all_tasks_blocked()

    async with net.open(
        dial=dial_stalled_first(net),
        send_mode="buffer",
        policy=quick(),
        on_connect=on_connect,
        wait=False,
    ) as ws:
        receipt = await ws.send_message("a")
        await ws.wait_connected()
        await trio.sleep(1)
        ws.force_reconnect()
        assert await receipt.wait() is SENT
        assert receipt.sends == 1
    assert book.messages == ["a"]


@pytest.mark.parametrize("end", ["failed", "closed", "left", "cancelled"])
async def test_every_message_has_an_end(net: Net, end: str) -> None:
    """However the guard ends, what waits fails with its reason, and waiting senders are told."""
    net.script(REFUSED if end == "failed" else mute)
    kind = wsguard.GuardFailedError if end == "failed" else trio.ClosedResourceError
    policy = quick(max_connection_failures=2)
    options = {"send_mode": "buffer", "buffer": BufferPolicy(max_messages=2), "policy": policy}
    receipts: list[wsguard.Receipt] = []
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with net.open(wait=False, **options) as ws:
                receipts += [await ws.send_message("a"), await ws.send_message("b")]
                nursery.start_soon(raises, kind, ws.send_message, "c")
                nursery.start_soon(raises, kind, ws.send_message, "d")
                await trio.testing.wait_all_tasks_blocked()
                if end == "closed":
                    await ws.aclose()
                elif end == "cancelled":
                    scope.cancel()
                elif end == "failed":
                    await ws.wait_state(ConnectionState.FAILED)
                    assert isinstance(receipts[-1].error, kind)
                    await trio.testing.wait_all_tasks_blocked()
                await trio.lowlevel.checkpoint()
    assert [await receipt.wait() for receipt in receipts] == [FAILED, FAILED]
    assert all(isinstance(receipt.error, kind) for receipt in receipts)


async def test_a_final_close_by_the_peer_fails_what_waits(net: Net) -> None:
    """What waits for its turn when the peer closes for good fails, and says so."""

    async def close_soon(ws: trio_websocket.WebSocketConnection) -> None:
        assert await ws.get_message() == "a"
        await ws.aclose(1000, "bye")

    net.script(accept(close_soon))
    rate = wsguard.SendRate(rate=0.01)
    async with net.open(send_mode="buffer", send_rate=rate, wait=False) as ws:
        receipts = [await ws.send_message(name) for name in "abc"]
        began_at = trio.current_time()
        assert [await receipt.wait() for receipt in receipts] == [SENT, FAILED, FAILED]
        assert trio.current_time() - began_at < 1
        assert str(receipts[-1].error) == "closed with code 1000: bye"
        await raises(wsguard.ConnectionClosedError, ws.send_message, "d")


async def test_reset_begins_with_an_empty_buffer(net: Net) -> None:
    """What failed with the guard is not sent after a reset."""
    book = Book()
    net.script(REFUSED, accept(book.read))
    policy = quick(max_connection_failures=1)
    async with net.open(send_mode="buffer", policy=policy, wait=False) as ws:
        receipt = await ws.send_message("a")
        await ws.wait_state(ConnectionState.FAILED)
        assert receipt.state is FAILED
        await raises(wsguard.GuardFailedError, ws.send_message, "b")
        ws.reset()
        await ws.wait_connected()
        await ws.send_message("c")
    assert book.messages == ["c"]


async def test_an_idle_buffer_keeps_no_task(net: Net) -> None:
    """A connection with nothing to flush has no task more than without a buffer."""
    net.script(accept(idle))
    async with net.open() as ws:
        await trio.testing.wait_all_tasks_blocked()
        without = trio.lowlevel.current_statistics().tasks_living
    async with net.open(send_mode="buffer") as ws:
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living == without
        await offline(ws)
        receipt = await ws.send_message("a")
        ws.connect()
        await receipt.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().tasks_living <= without + 1


# --- outbox ------------------------------------------------------------------------


async def test_what_is_not_acknowledged_is_sent_again(net: Net) -> None:
    """On the next connection the unacknowledged go first, in order; then what is newer."""
    book = Book()
    net.script(accept(partial(book.acknowledge, 2)), accept(partial(book.acknowledge, None)))
    box = outbox()
    async with net.open(outbox=box, policy=quick()) as ws:
        receipts = [await ws.send_message(name) for name in "abc"]
        await ws.wait_state(RECONNECTING)
        receipts.append(await ws.send_message("d"))
        assert [await receipt.wait() for receipt in receipts] == [ACKNOWLEDGED] * 4
        figures = ws.snapshot().outgoing
        assert (figures.depth, figures.totals.acknowledged) == (0, 4)
        assert await ws.get_message() == "ack a"  # they are handed on
    assert book.messages[:2] == ["a", "b"]
    again = book.messages[book.messages.index("b") + 1 :]
    assert again in (["b", "c", "d"], ["c", "b", "c", "d"])


async def test_on_connect_may_read_acknowledgements(net: Net) -> None:
    """What `on_connect` reads itself passes the outbox as well."""
    book = Book()

    async def talk(ws: trio_websocket.WebSocketConnection) -> None:
        await ws.send_message("ack a")
        await book.read(ws)

    net.script(accept(book.read), accept(talk))

    async def on_connect(connection: wsguard.Connection) -> None:
        if connection.generation == 2:
            assert await connection.get_message() == "ack a"

    async with net.open(outbox=outbox(), policy=quick(), on_connect=on_connect) as ws:
        receipt = await ws.send_message("a")
        await trio.sleep(1)
        assert receipt.state is SENT
        ws.force_reconnect()
        assert await receipt.wait() is ACKNOWLEDGED
        await ws.wait_connected()
    assert book.messages == ["a"]


async def test_an_outbox_outlives_its_guard(net: Net) -> None:
    """What a guard leaves is sent by the next one; a receipt says that its guard is over."""
    book = Book()
    net.script(accept(idle), accept(partial(book.acknowledge, None)))
    box = outbox()
    async with net.open(outbox=box) as ws:
        receipt = await ws.send_message("a")
        with pytest.raises(trio.BusyResourceError):
            async with net.open(outbox=box):
                pass
    await raises(trio.ClosedResourceError, receipt.wait)
    assert len(box) == 1
    async with net.open(outbox=box) as ws:
        await (await ws.send_message("b")).wait()
    assert receipt.state is ACKNOWLEDGED
    assert await receipt.wait() is ACKNOWLEDGED
    assert book.messages == ["a", "b"]


@pytest.mark.parametrize("end", ["failed", "closed", "left"])
async def test_waiting_senders_of_an_outbox_are_told_the_end(net: Net, end: str) -> None:
    """A sender that waits for room and one that waits for an end are woken by the guard's."""
    net.script(REFUSED if end == "failed" else mute)
    kind = wsguard.GuardFailedError if end == "failed" else trio.ClosedResourceError
    box = outbox(max_messages=1)
    policy = quick(max_connection_failures=1)
    async with trio.open_nursery() as nursery:  # noqa: SIM117 - it ends after the guard
        async with net.open(outbox=box, policy=policy, wait=False) as ws:
            receipt = await ws.send_message("a")
            for name in "bc":
                nursery.start_soon(raises, kind, ws.send_message, name)
            nursery.start_soon(raises, kind, receipt.wait)
            await trio.testing.wait_all_tasks_blocked()
            if end == "closed":
                await ws.aclose()
            if end == "failed":
                await ws.wait_state(ConnectionState.FAILED)
    assert len(box) == 1


async def test_what_acks_raises_leaves_the_guard(net: Net) -> None:
    """An error of the user's own function comes out of the block as itself."""
    book = Book()
    net.script(accept(partial(book.acknowledge, None)))

    def broken(message: str | bytes) -> None:
        raise KeyError(message)

    box = Outbox(key=lambda message: message, acks=broken)
    with pytest.raises(KeyError):  # noqa: PT012 - it comes out of the block
        async with net.open(outbox=box) as ws:
            await ws.send_message("a")
            await trio.sleep(5)


async def test_two_messages_of_one_key_are_refused(net: Net) -> None:
    """A key that is unacknowledged cannot be used again."""
    net.script(accept(idle))
    async with net.open(outbox=outbox()) as ws:
        await ws.send_message("a")
        await raises(wsguard.DuplicateKeyError, ws.send_message, "a")
