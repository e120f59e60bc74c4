"""The bounded hand-over from the receive task to the application.

Two lists and one event: taking a message costs one checkpoint, taking a batch
costs the same. A memory channel would cost twice as much a message, since
both of its ends checkpoint; a deque, even an empty one, 600 bytes of every guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from trio_wsguard._shell.transport import Message


class MessageQueue:
    """Messages read and not yet taken.

    `put` always succeeds, and the one who put waits for space *before it reads
    more*: so the queue exceeds its limits by one batch at the most, and nothing
    that was read is ever held by a task that can be cancelled.

    Args:
        limit: Messages at which reading stops; 0 to read only what is asked for.
        max_bytes: Bytes at which it stops, likewise; of text, characters.

    Attributes:
        count: Messages that it holds; read for every message, and so no call.
        size: Bytes that it holds, and characters.
        is_finished: Whether who finds it empty must look whether more can come.
    """

    __slots__ = (
        "_limit",
        "_max_bytes",
        "_newer",
        "_older",
        "_readable",
        "_writable",
        "count",
        "is_finished",
        "size",
    )

    def __init__(self, limit: int, max_bytes: int) -> None:
        self.count = self.size = 0
        self.is_finished = False
        self._limit = limit
        self._max_bytes = max_bytes
        self._newer: list[Message] = []
        self._older: list[Message] = []  # the oldest is the last, where taking is cheap
        # Events exist only while someone waits.
        self._readable: trio.Event | None = None
        self._writable: trio.Event | None = None

    def __len__(self) -> int:
        return self.count

    @property
    def is_full(self) -> bool:
        """Whether to stop reading."""
        return self.size >= self._max_bytes or self.count >= self._limit

    @property
    def is_asked(self) -> bool:
        """Whether someone waits for a message."""
        return self._readable is not None

    def put(self, batch: list[Message]) -> bool:
        """Add messages and wake who waits for them; tell whether to stop reading."""
        self._newer += batch
        self.count += len(batch)
        self.size += sum(map(len, batch))
        if self._readable is not None:
            self.wake()
        return self.size >= self._max_bytes or self.count >= self._limit

    def pop(self) -> Message:
        """Take the oldest message; there must be one."""
        if not self._older:
            self._newer.reverse()
            self._older, self._newer = self._newer, self._older
        message = self._older.pop()
        self.count -= 1
        self.size -= len(message)
        if self._writable is not None and self._is_half_empty:
            self.release()
        return message

    @property
    def _is_half_empty(self) -> bool:
        return self.size <= self._max_bytes // 2 and self.count <= self._limit // 2

    def pop_all(self) -> list[Message]:
        """Take all messages."""
        batch = self._older
        batch.reverse()
        batch += self._newer
        self._older, self._newer = [], []
        self.count = self.size = 0
        self.release()
        return batch

    def wait_readable(self) -> Awaitable[None]:
        """Wait until something is put, or `wake` is called."""
        if self._readable is None:
            self._readable = trio.Event()
        return self._readable.wait()  # not awaited here: each frame counts

    async def wait_half_empty(self) -> None:
        """Wait until half of the queue was taken, or `release` is called.

        Half, and not one message: otherwise a slow reader makes the two sides
        take turns message by message.
        """
        if self._is_half_empty:
            await trio.lowlevel.checkpoint()
            return
        if self._writable is None:
            self._writable = trio.Event()
        await self._writable.wait()

    def wake(self) -> None:
        """Let all who wait for messages look again."""
        if self._readable is not None:
            self._readable.set()
            self._readable = None

    def release(self) -> None:
        """Let the one who waits for space go on."""
        if self._writable is not None:
            self._writable.set()
            self._writable = None

    def finish(self) -> None:
        """Let all who find it empty, now and later, look whether more can come."""
        self.is_finished = True
        self.wake()
