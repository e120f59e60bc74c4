"""The bounded hand-over from the receive task to the application.

A deque and one event: taking a message costs one checkpoint, taking a batch
costs the same. A memory channel would cost twice as much a message, since
both of its ends checkpoint.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_wsguard._shell.transport import Message


class MessageQueue:
    """Messages read and not yet taken.

    `put` always succeeds, and the one who put waits for space *before it reads
    more*: so the queue exceeds its limit by one batch at the most, and nothing
    that was read is ever held by a task that can be cancelled.

    Args:
        limit: Messages at which reading stops.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[Message] = deque()
        self._readable = trio.Event()
        self._writable = trio.Event()

    def __len__(self) -> int:
        return len(self._items)

    @property
    def is_full(self) -> bool:
        """Whether reading is to stop."""
        return len(self._items) >= self._limit

    def put(self, batch: list[Message]) -> None:
        """Add messages and wake who waits for them."""
        self._items.extend(batch)
        self._readable.set()

    def pop(self) -> Message:
        """Take the oldest message; there must be one."""
        message = self._items.popleft()
        if len(self._items) <= self._limit // 2:
            self._writable.set()
        return message

    def pop_all(self) -> list[Message]:
        """Take all messages."""
        batch = list(self._items)
        self._items.clear()
        self._writable.set()
        return batch

    async def wait_readable(self) -> None:
        """Wait until something was put, or `wake` was called."""
        if not self._items:
            self._readable = trio.Event() if self._readable.is_set() else self._readable
        await self._readable.wait()

    async def wait_half_empty(self) -> None:
        """Wait until half of the queue was taken, or `release` was called.

        Half, and not one message: otherwise a slow reader makes the two sides
        take turns message by message.
        """
        self._writable = trio.Event()
        await self._writable.wait()

    def wake(self) -> None:
        """Let all who wait for messages look again."""
        self._readable.set()

    def release(self) -> None:
        """Let the one who waits for space go on."""
        self._writable.set()
