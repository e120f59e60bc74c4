"""An outbox keeps and sends until acknowledged, over connections and over starts."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_wsguard._core.delivery import ACKNOWLEDGED, FAILED, SENT
from trio_wsguard._core.outbox import UpTo
from trio_wsguard._errors import (
    BufferFullError,
    ConnectionLostError,
    DuplicateKeyError,
    OutboxError,
)
from trio_wsguard._shell.outbox import Outbox
from trio_wsguard._shell.outbox_file import OutboxFile
from trio_wsguard._shell.outbox_store import open_outbox_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def settings(**changes: Any) -> dict[str, Any]:
    return {"key": lambda m: m, "acks": lambda m: m.split(), **changes}


@pytest.fixture(params=["memory", "file"])
async def outbox(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Outbox]:
    """An outbox for two messages, of either kind."""
    if request.param == "memory":
        yield Outbox(**settings(max_messages=2))
    else:
        async with Outbox.open(path, **settings(max_messages=2)) as opened:
            yield opened


class Wire:
    """One connection: what was sent on it, and when it ends.

    Args:
        room: Messages it takes before it ends.
        is_rude: Whether it ends in the middle of the next one, or before it.
    """

    def __init__(self, room: int = 1000, *, is_rude: bool = False) -> None:
        self.sent: list[object] = []
        self._room = room
        self._is_rude = is_rude

    async def try_send(self, message: object) -> bool:
        await trio.lowlevel.checkpoint()
        if len(self.sent) == self._room:
            if self._is_rude:
                raise ConnectionLostError(None, 1, maybe_sent=True)
            return False
        self.sent.append(message)
        return True

    async def flush(self, outbox: Outbox) -> list[object]:
        """Live on this connection until it ends, or all is sent."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._flush, outbox, nursery.cancel_scope)
                await wait_all_tasks_blocked()
                scope.cancel()
        return self.sent

    async def _flush(self, outbox: Outbox, scope: trio.CancelScope) -> None:
        with suppress(ConnectionLostError):
            await outbox.flush(self.try_send)
        scope.cancel()


async def test_sent_until_acknowledged(outbox: Outbox) -> None:
    """What is unacknowledged goes again on the next connection, before what is newer."""
    first = await outbox.put("a")
    assert await Wire().flush(outbox) == ["a"]
    second = await outbox.put(b"b")
    assert await Wire().flush(outbox) == ["a", b"b"]
    outbox.incoming("a")
    assert await Wire().flush(outbox) == [b"b"]
    outbox.acknowledge(UpTo(b"b"))
    assert await Wire().flush(outbox) == []
    assert len(outbox) == 0
    assert first.state is second.state is ACKNOWLEDGED
    assert outbox.statistics().totals.resent == 2


@pytest.mark.parametrize("is_rude", [False, True])
async def test_a_connection_that_ends_midway(outbox: Outbox, is_rude: bool) -> None:
    """However a connection ends, the next one begins with the oldest."""
    for message in ("a", "b"):
        await outbox.put(message)
    assert await Wire(1, is_rude=is_rude).flush(outbox) == ["a"]
    assert await Wire().flush(outbox) == ["a", "b"]


async def test_new_messages_wake_the_flush(outbox: Outbox) -> None:
    """A connection at rest sends a message as soon as it is put."""
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.flush, wire.try_send)
        await wait_all_tasks_blocked()
        delivery = await outbox.put("a")
        await wait_all_tasks_blocked()
        assert wire.sent == ["a"]
        assert delivery.state is SENT
        with pytest.raises(trio.BusyResourceError):
            await outbox.flush(wire.try_send)
        nursery.cancel_scope.cancel()


async def test_senders_wait_in_turn(outbox: Outbox) -> None:
    """A full outbox lets senders wait; with each acknowledgement the first of them goes on."""
    wire = Wire()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.flush, wire.try_send)
        for message in ("a", "b"):
            await outbox.put(message)
        for message in ("c", "d"):
            nursery.start_soon(outbox.put, message)
            await wait_all_tasks_blocked()
        assert len(outbox) == 2
        outbox.incoming("b")
        while len(wire.sent) < 3:
            await wait_all_tasks_blocked(0.001)
        outbox.incoming("a")
        while len(wire.sent) < 4:
            await wait_all_tasks_blocked(0.001)
        assert wire.sent == ["a", "b", "c", "d"]
        nursery.cancel_scope.cancel()


async def test_a_sender_that_gives_up_waiting(outbox: Outbox) -> None:
    """Cancelled while it waits for room, a message was never accepted."""
    for message in ("a", "b"):
        await outbox.put(message)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outbox.put, "c")
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    outbox.incoming("")
    assert len(outbox) == 2
    await Wire().flush(outbox)
    outbox.acknowledge(["a", "b"])
    await outbox.put("c")


@pytest.mark.parametrize(
    ("message", "error"),
    [("a", DuplicateKeyError), (7, TypeError), ("\ud800", ValueError), ("x" * 99, BufferFullError)],
)
async def test_messages_that_are_refused(path: Path, message: Any, error: type[Exception]) -> None:
    """A message that cannot be kept is refused at once, and what is kept stays."""
    async with Outbox.open(path, **settings(max_bytes=50)) as outbox:
        await outbox.put("a")
        with pytest.raises(error):
            await outbox.put(message)
        assert len(outbox) == 1


async def test_an_outbox_survives_its_process(path: Path) -> None:
    """What was put and not acknowledged is sent on the next start, before what is newer."""
    async with Outbox.open(path, **settings(overflow="drop_oldest", max_messages=4)) as outbox:
        for message in ("a", "b", "c", "d", "e"):
            await outbox.put(message)
        await Wire().flush(outbox)
        outbox.incoming("c")
    async with Outbox.open(path, **settings()) as outbox:
        assert outbox.statistics().oldest_age >= 0
        outbox.incoming("b")  # acknowledged late: it was sent in the earlier life
        await outbox.put("f")
        assert await Wire().flush(outbox) == ["d", "e", "f"]


async def test_what_cannot_be_stored_is_not_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that the disk did not take is not sent, holds up nothing, and can be put again."""
    async with Outbox.open(path, **settings()) as outbox:

        def full(self: OutboxFile, added: object, removed: object) -> None:
            raise OutboxError(str(path), "the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(OutboxFile, "commit", full)
            with pytest.raises(OutboxError, match="full"):
                await outbox.put("a")
        assert len(outbox) == 0
        assert outbox.statistics().totals.withdrawn == 1
        for message in ("b", "a"):
            await outbox.put(message)
        assert await Wire().flush(outbox) == ["b", "a"]


async def test_nothing_is_put_after_the_end(path: Path) -> None:
    """Out of its block, a durable outbox takes nothing, and keeps nothing of the attempt."""
    async with Outbox.open(path, **settings()) as outbox:
        pass
    with pytest.raises(trio.ClosedResourceError):
        await outbox.put("a")
    assert len(outbox) == 0


async def test_two_messages_of_one_key_in_a_file(path: Path) -> None:
    """A file that two keys have crept into is not guessed at."""
    async with open_outbox_store(path) as store:
        for message in ("1", "2"):
            await store.put("k", message, 1.0)
    with pytest.raises(OutboxError, match="is damaged: the outbox holds a message with the key"):
        async with Outbox.open(path, **settings()):
            pass


async def test_dropped_messages_fail(path: Path) -> None:
    """What is dropped for newer ones fails, and is not found again."""
    async with Outbox.open(path, **settings(overflow="drop_oldest", max_messages=1)) as outbox:
        first = await outbox.put("a")
        await outbox.put("b")
        assert first.state is FAILED
        assert isinstance(first.error, BufferFullError)
    async with Outbox.open(path, **settings()) as outbox:
        assert await Wire().flush(outbox) == ["b"]


async def test_senders_outside_a_cancelled_block(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the block is cancelled, a sender elsewhere is told whether its message is kept."""
    go_on, commit = threading.Event(), OutboxFile.commit
    told: dict[str, type[Exception] | None] = {}

    def slow(self: OutboxFile, added: Any, removed: Any) -> None:
        assert go_on.wait(10)
        commit(self, added, removed)

    async def put(message: str) -> None:
        try:
            await kept.put(message)
            told[message] = None
        except trio.ClosedResourceError:
            told[message] = trio.ClosedResourceError

    monkeypatch.setattr(OutboxFile, "commit", slow)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with Outbox.open(path, **settings()) as kept:
                for message in ("a", "b"):
                    nursery.start_soon(put, message)
                    await wait_all_tasks_blocked()
                scope.cancel()
                go_on.set()
    assert told == {"a": None, "b": trio.ClosedResourceError}
    assert len(kept) == 1
