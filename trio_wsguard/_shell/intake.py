"""What happens to a received message on its way to the application.

A message counts as seen when it is handed on, and not when it is read: what was
read during `on_connect` ends with that connection if `on_connect` fails. Had it
been remembered, the next connection would not ask for it again, and the filter
would drop it if it came: a message lost by those that are to prevent it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trio_wsguard._core.duplicates import DuplicateFilter
from trio_wsguard._errors import PolicyError
from trio_wsguard._shell.queue import MessageQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from trio_wsguard._core.health import Counters
    from trio_wsguard._shell.transport import Message


class Intake:
    """Remembers where a guard stands in its feed, and drops repeats.

    A key function is called once for each message, in their order: it may learn
    from one message (an answer that names an epoch) what it needs for the next.

    Args:
        key: A function from a message to its place in the feed; ``None`` for the
            filter's.
        dedup: What finds repeats; ``None`` to drop none. One of both is needed.
        counters: Where repeats are counted.

    Attributes:
        last_key: The key of the last message handed on that had one.
    """

    __slots__ = ("_counters", "_dedup", "_key", "last_key")

    def __init__(
        self,
        key: Callable[[Message], Hashable] | None,
        dedup: DuplicateFilter | None,
        counters: Counters,
    ) -> None:
        self.last_key: Hashable = None
        self._key = key
        self._dedup = dedup
        self._counters = counters

    def sift(self, batch: list[Message]) -> list[Message]:
        """Note messages that are about to be handed on; tell those that are no repeats.

        A repeat moves `last_key`, too: it tells where the peer stands.
        """
        # All keys first: if one raises, no message is remembered that was not handed on.
        places, keys = self._keys(batch)
        self._move(places)
        dedup = self._dedup
        if dedup is None:
            return batch
        now, is_repeat = trio.current_time(), dedup.is_repeat
        new = [m for m, key in zip(batch, keys, strict=True) if not is_repeat(key, now)]
        self._counters.duplicates_dropped += len(batch) - len(new)
        return new

    def note(self, message: Message) -> None:
        """Note one that `on_connect` takes: it gets the answers it waits for, repeats or not."""
        places, keys = self._keys([message])
        self._move(places)
        if self._dedup is not None:
            self._dedup.remember(keys[0], trio.current_time())

    def _keys(self, batch: list[Message]) -> tuple[list[Hashable], list[Hashable]]:
        """Tell where messages stand, and what the filter knows them by."""
        keys = [] if self._dedup is None else list(map(self._dedup.key, batch))
        return (keys if self._key is None else list(map(self._key, batch))), keys

    def _move(self, places: list[Hashable]) -> None:
        last = (place for place in reversed(places) if place is not None)
        self.last_key = next(last, self.last_key)


class SiftingQueue(MessageQueue):
    """The queue of a guard whose messages have keys. One without pays nothing.

    Args:
        limit: As for `MessageQueue`.
        max_bytes: Likewise.
        intake: What the messages pass.
    """

    __slots__ = ("_intake",)

    def __init__(self, limit: int, max_bytes: int, intake: Intake) -> None:
        super().__init__(limit, max_bytes)
        self._intake = intake

    def put(self, batch: list[Message]) -> bool:
        """Add what is no repeat; what a user's key function raises comes out."""
        new = self._intake.sift(batch)
        return super().put(new) if new else self.is_full


def make_intake(
    key: Callable[[Message], Hashable] | None, dedup: DuplicateFilter | None, counters: Counters
) -> Intake | None:
    """Make what a guard's settings ask for, if they do.

    Raises:
        PolicyError: A setting is wrong.
    """
    if key is not None and not callable(key):
        raise PolicyError("message_key", key, "must be callable")
    if dedup is not None and not isinstance(dedup, DuplicateFilter):
        raise PolicyError("dedup", dedup, "must be a DuplicateFilter")
    return None if key is None and dedup is None else Intake(key, dedup, counters)


def make_queue(limit: int, max_bytes: int, intake: Intake | None) -> MessageQueue:
    """Make the queue of a guard."""
    if intake is None:
        return MessageQueue(limit, max_bytes)
    return SiftingQueue(limit, max_bytes, intake)
