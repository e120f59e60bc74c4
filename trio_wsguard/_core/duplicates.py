"""Repeats, found by a key and dropped on the receiving side.

What is remembered is bounded twice, by number and by age, and a call never does
more than a few steps: of the outdated keys it forgets two, not all, so that no
message ever waits for a sweep. Since a call remembers one key at most, they
still go faster than they come.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import attrs

from trio_wsguard._core import checks

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from trio_wsguard._core.delivery import Message

_FORGOTTEN_AT_ONCE: Final = 2


@attrs.define(eq=False, kw_only=True)
class SeenKeys:
    """Keys and when each was first seen, oldest first.

    It knows nothing of messages: several filters may share one, each with its
    own name in front of its keys, and with it one budget of memory.

    Args:
        max_size: Keys remembered; the oldest make room.
        ttl: Seconds for which one is remembered.
    """

    max_size: int = attrs.field(default=10_000, validator=checks.count)
    ttl: float = attrs.field(default=300, validator=checks.positive)
    # No plain dict: to find its oldest key it walks over all that were deleted before.
    _seen: OrderedDict[Hashable, float] = attrs.field(init=False, factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, key: Hashable, now: float) -> bool:
        """Remember a key; tell whether it is new.

        One seen again is not remembered for longer: otherwise a message that
        comes regularly would be let through once, and never again.
        """
        seen = self._seen
        seen_at = seen.get(key)
        if seen_at is not None:
            if now < seen_at + self.ttl:
                return False
            del seen[key]  # it joins anew, at the young end
        self._forget(now)
        seen[key] = now
        return True

    def _forget(self, now: float) -> None:
        seen = self._seen
        for _ in range(_FORGOTTEN_AT_ONCE):
            if not seen:
                return
            oldest = next(iter(seen))
            if len(seen) < self.max_size and now < seen[oldest] + self.ttl:
                return
            del seen[oldest]


@attrs.define(eq=False, kw_only=True)
class DuplicateFilter:
    """Drops messages whose key was seen before, on this connection or an earlier one.

    It outlives connections, and guards too: given to several guards it lets a
    message through once, whichever of them receives it first.

    Of one key, one message is let through in any `ttl` seconds; more only if
    `max_size` other keys came between.

    Args:
        key: A function from a message to what identifies it; ``None`` for a
            message that is not filtered. What it raises is the user's own and
            leaves the guard's block.
        max_size: Keys remembered; the oldest make room.
        ttl: Seconds for which a key is remembered, from its first message on.
            300 is the interval of Amazon SQS' FIFO queues.
    """

    key: Callable[[Message], Hashable] = attrs.field(validator=checks.function)
    max_size: int = 10_000
    ttl: float = 300
    dropped: int = attrs.field(init=False, default=0)
    _seen: SeenKeys = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._seen = SeenKeys(max_size=self.max_size, ttl=self.ttl)

    def __len__(self) -> int:
        return len(self._seen)

    def is_duplicate(self, message: Message, now: float) -> bool:
        """Tell whether a message is a repeat; remember it if it is not.

        Args:
            message: What was received.
            now: Monotonic seconds.
        """
        return self.is_repeat(self.key(message), now)

    def is_repeat(self, key: Hashable, now: float) -> bool:
        """Tell it by the key, where that was asked for already; else as `is_duplicate`."""
        if key is None or self._seen.add(key, now):
            return False
        self.dropped += 1
        return True

    def remember(self, key: Hashable, now: float) -> None:
        """Remember the key of a message that is handed on in any case, be it a repeat or not."""
        if key is not None:
            self._seen.add(key, now)
