"""A durable store of messages: SQLite in a worker thread, one commit at a time.

Messages put while a commit runs wait together for the next one (group commit),
so that many senders share the cost of one. One task does the commits; a `put`
only waits for it, and can be cancelled at any moment.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trio_wsguard._errors import OutboxError
from trio_wsguard._shell.nursery import open_flat_nursery
from trio_wsguard._shell.outbox_file import OutboxFile, StoredMessage, check_key, open_file

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable

    from trio_wsguard._shell.transport import Message

    OnEnd = Callable[[int | Exception], None]


class _Batch:
    """What the next commit stores and deletes."""

    def __init__(self) -> None:
        self.added: dict[int, tuple[StoredMessage, OnEnd | None]] = {}
        self.removed: list[int] = []
        self.done = trio.Event()
        self.error: Exception | None = None

    def end(self, error: Exception | None) -> None:
        """Tell all who put something how it went, and wake them."""
        self.error = error
        for sequence, (_, on_end) in self.added.items():
            if on_end is not None:
                on_end(sequence if error is None else error)
        self.done.set()


class OutboxStore:
    """Messages in a file; made by `open_outbox_store`.

    Args:
        file: The open file.
        stored: What was found in it.
        limiter: Of the worker thread.
    """

    def __init__(
        self, file: OutboxFile, stored: list[StoredMessage], limiter: trio.CapacityLimiter
    ) -> None:
        self._file = file
        self._stored = stored
        self._limiter = limiter
        self._sequence = stored[-1].sequence if stored else 0
        self._next = _Batch()
        self._news = trio.Event()
        self._is_closed = False

    def load(self) -> list[StoredMessage]:
        """Tell what was found when the file was opened, in order; once, to let go of it."""
        stored, self._stored = self._stored, []
        return stored

    async def put(
        self, key: object, message: Message, accepted_at: float, on_end: OnEnd | None = None
    ) -> int:
        """Store a message; return once it is committed.

        From then on it is found on the next start, however this process ends.

        Cancelled, it leaves nothing if its commit has not begun; otherwise the
        message will be there. Either way it returns at once, and `on_end` is told.

        Args:
            key: What it is acknowledged by: str, bytes or int.
            message: What is sent.
            accepted_at: When, in Unix seconds.
            on_end: Called once with the sequence number of the stored message, or
                with why it is not stored; where `put` is cancelled perhaps after it.

        Returns:
            Its sequence number, by which it is deleted.

        Raises:
            OutboxError: It is not stored; the disk is full, for example.
            TypeError: The key is of another type; `on_end` is not called.
            ValueError: It is beyond 64 bits or no valid Unicode, likewise.
            trio.ClosedResourceError: The store is closed; if it was before, likewise.
        """
        self._check_open()
        checked = check_key(key)
        self._sequence += 1
        sequence, batch = self._sequence, self._next
        stored = StoredMessage(
            sequence=sequence, key=checked, message=message, accepted_at=accepted_at
        )
        batch.added[sequence] = stored, on_end
        self._news.set()
        try:
            await batch.done.wait()
        except trio.Cancelled:
            if batch is self._next:  # its commit has not begun
                del batch.added[sequence]
                if on_end is not None:
                    on_end(OutboxError(str(self._file.path), "the sender gave up"))
            raise
        if batch.error is not None:
            # One for each sender: a traceback is of one task.
            raise type(batch.error)(*batch.error.args) from batch.error
        return sequence

    def delete(self, sequences: Iterable[int]) -> None:
        """Delete messages with the next commit; the process killed before, they are found again.

        Raises:
            trio.ClosedResourceError: The store is closed.
        """
        self._check_open()
        self._next.removed += sequences
        self._news.set()

    def _check_open(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError("the outbox is closed")

    async def run(self) -> None:
        """Commit what comes, until closed and all is done."""
        while self._news.is_set() or not self._is_closed:
            await self._news.wait()
            self._news = trio.Event()
            if self._next.added or self._next.removed:
                await self._commit()

    async def _commit(self) -> None:
        batch, self._next = self._next, _Batch()
        added = [message for message, _ in batch.added.values()]
        error: Exception | None = trio.ClosedResourceError("the outbox was closed")
        try:
            # A thread cannot be stopped: cancelled, this goes on until it is done.
            await trio.to_thread.run_sync(
                self._file.commit, added, batch.removed, limiter=self._limiter
            )
            error = None
        except OutboxError as exc:
            error = exc
        finally:
            if error is not None:
                self._next.removed[:0] = batch.removed  # with the next one, then
            batch.end(error)

    def close(self) -> None:
        """Take nothing more; `run` ends once all is committed."""
        self._is_closed = True
        self._news.set()

    async def finish(self) -> None:
        """Close the file, and delete what is still to be deleted, even when cancelled.

        Raises:
            OutboxError: The deleting failed; the file is closed.
        """
        rest, self._next = self._next, _Batch()
        rest.end(trio.ClosedResourceError("the outbox was closed"))
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._file.finish, rest.removed, limiter=self._limiter)


@asynccontextmanager
async def open_outbox_store(
    path: str | os.PathLike[str], *, survives_power_loss: bool = False
) -> AsyncIterator[OutboxStore]:
    """Open the store in a file, or create it; only its owner may read it.

    It is this process' own until the block is left. What was put is committed
    by then, unless the block is cancelled; a commit that runs is waited for in
    any case, since a thread cannot be stopped.

    What was put survives the end of the process, however it comes: the system
    has it. If the whole machine loses power, the last seconds may be lost, but
    no half message is found, and none out of order.

    Args:
        path: The file.
        survives_power_loss: Whether every commit waits until the disk has it:
            milliseconds each, shared by all who put meanwhile.

    Raises:
        OutboxError: The file is not an outbox, is damaged or of a newer version,
            is used by somebody else, or cannot be read and written. It is left
            as it is.
    """
    limiter = trio.CapacityLimiter(1)  # its own: hanging name look-ups may hold all others

    def open_and_load() -> tuple[OutboxFile, list[StoredMessage]]:
        file = open_file(Path(path), survives_power_loss=survives_power_loss)
        try:
            return file, file.load()
        except BaseException:
            file.close()
            raise

    # Cancelled, it still returns what was opened; it is closed below.
    file, stored = await trio.to_thread.run_sync(open_and_load, limiter=limiter)
    store = OutboxStore(file, stored, limiter)
    try:
        async with open_flat_nursery() as nursery:
            nursery.start_soon(store.run)
            try:
                yield store
            finally:
                store.close()
    except BaseException:
        with suppress(OutboxError):  # what is not deleted is sent again: what came first matters
            await store.finish()
        raise
    await store.finish()
