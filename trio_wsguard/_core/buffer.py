"""Messages accepted while there is no connection: sent at most once, each with one end.

What is handed to the transport is out of the buffer's hands. If the connection
ends before its first byte it comes back to the front; if it ends later nobody
knows whether the peer has it, and the message fails with an error that says so:
to send it again is for an outbox alone.

What is dropped for newer ones *fails*, with `BufferFullError`: a sender has
three ends to tell apart, and why one failed is told by its error.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.delivery import (
    EXPIRED,
    IN_FLIGHT,
    MAYBE_SENT,
    QUEUED,
    SENT,
    Delivery,
    Limits,
    size_of,
)
from trio_wsguard._errors import InternalError

if TYPE_CHECKING:
    from trio_wsguard._core.delivery import Message


@attrs.frozen(kw_only=True)
class BufferPolicy(Limits):
    """How much waits for a connection, and how long.

    Args:
        max_messages: Messages that wait; one more may be on its way.
        max_bytes: Bytes of their payloads together.
        max_age: Seconds after which one that waits expires; ``None`` for never.
        overflow: ``"block"`` lets the sender wait, ``"error"`` refuses with
            `BufferFullError`, ``"drop_oldest"`` fails the oldest to make room.
    """

    max_age: float | None = attrs.field(default=None, validator=checks.optional(checks.positive))


@attrs.define(kw_only=True)
class BufferTotals:
    """What became of the messages of a send buffer so far.

    Those accepted and in none of the three ends are waiting or in flight.

    Attributes:
        accepted: Messages accepted.
        sent: Of these, written whole.
        failed: Of these, failed.
        expired: Of these, expired.
        dropped: Of the failed, dropped for newer ones.
        maybe_sent: Of the failed, in the middle of the write.
    """

    accepted: int = 0
    sent: int = 0
    failed: int = 0
    expired: int = 0
    dropped: int = 0
    maybe_sent: int = 0


@attrs.frozen(kw_only=True)
class BufferStatistics:
    """The figures of a send buffer at one moment.

    Attributes:
        depth: Messages that wait.
        size: Bytes of their payloads together.
        oldest_age: Seconds for which the oldest of them has waited; 0 for none.
        in_flight: Messages being written, 0 or 1.
        totals: What became of all.
    """

    depth: int
    size: int
    oldest_age: float
    in_flight: int
    totals: BufferTotals


class SendBuffer:
    """The messages of one guard that wait for a connection, in order.

    Args:
        policy: How many, and how long.
    """

    def __init__(self, policy: BufferPolicy) -> None:
        self._policy = policy
        self._waiting: deque[Delivery] = deque()
        self._size = 0
        self._in_flight: Delivery | None = None
        self._ended: list[Delivery] = []
        self._totals = BufferTotals()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether none waits and none is in flight."""
        return not self._waiting and self._in_flight is None

    def statistics(self, now: float) -> BufferStatistics:
        """Freeze all figures."""
        waiting = self._waiting
        return BufferStatistics(
            depth=len(waiting),
            size=self._size,
            oldest_age=now - waiting[0].accepted_at if waiting else 0.0,
            in_flight=int(self._in_flight is not None),
            totals=attrs.evolve(self._totals),
        )

    def take_ended(self) -> list[Delivery]:
        """Tell which messages have ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    # --- coming in -------------------------------------------------------------

    def put(self, message: Message, now: float) -> Delivery | None:
        """Accept a message, behind all others.

        Returns:
            The message to be followed; ``None`` where the sender has to wait
            until another ends.

        Raises:
            BufferFullError: There is no room, or never can be.
        """
        policy, size = self._policy, size_of(message)
        if (never := policy.exceeded(1, size)) is not None:
            raise never
        self.tick(now)
        while (full := policy.exceeded(len(self._waiting) + 1, self._size + size)) is not None:
            if policy.overflow == "block":
                return None
            if policy.overflow == "error":
                raise full
            self._totals.dropped += 1
            self._fail(self._pop(), full)
        delivery = Delivery(message, now)
        self._waiting.append(delivery)
        self._size += size
        self._totals.accepted += 1
        return delivery

    def _pop(self) -> Delivery:
        delivery = self._waiting.popleft()
        self._size -= delivery.size
        return delivery

    # --- time ------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Tell when the oldest expires, in monotonic seconds; infinite for never."""
        if self._policy.max_age is None or not self._waiting:
            return math.inf
        return self._waiting[0].accepted_at + self._policy.max_age

    def tick(self, now: float) -> None:
        """Let expire what is too old; called too early it does nothing."""
        while now >= self.next_deadline():
            delivery = self._pop()
            delivery.move(EXPIRED)
            self._totals.expired += 1
            self._ended.append(delivery)

    # --- going out -------------------------------------------------------------

    def begin(self, now: float) -> Delivery | None:
        """Hand out the oldest message to be written; ``None`` if none waits.

        Raises:
            InternalError: Another one is being written.
        """
        if self._in_flight is not None:
            raise InternalError("two messages of a buffer in flight")
        self.tick(now)
        if not self._waiting:
            return None
        delivery = self._in_flight = self._pop()
        delivery.move(IN_FLIGHT)
        delivery.sends += 1
        return delivery

    def _landed(self) -> Delivery:
        delivery, self._in_flight = self._in_flight, None
        if delivery is None:
            raise InternalError("no message of the buffer is in flight")
        return delivery

    def sent(self) -> None:
        """Note that the message in flight is written whole."""
        delivery = self._landed()
        delivery.move(SENT)
        self._totals.sent += 1
        self._ended.append(delivery)

    def not_begun(self) -> None:
        """Take the message in flight back: none of its bytes was written.

        It is the oldest again. It was accepted, so it is taken back even where
        its place is filled meanwhile.
        """
        delivery = self._landed()
        delivery.move(QUEUED)
        delivery.sends -= 1
        self._waiting.appendleft(delivery)
        self._size += delivery.size

    def lost(self, error: Exception) -> None:
        """Note that the connection was lost in the middle of the message in flight."""
        delivery = self._landed()
        delivery.move(MAYBE_SENT)
        self._totals.maybe_sent += 1
        self._fail(delivery, error)

    def fail_all(self, error: Exception) -> None:
        """Fail what waits: the guard gave up or is closed. What is in flight ends by itself."""
        while self._waiting:
            self._fail(self._pop(), error)

    def _fail(self, delivery: Delivery, error: Exception) -> None:
        delivery.fail(error)
        self._totals.failed += 1
        self._ended.append(delivery)
