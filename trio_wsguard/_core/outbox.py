"""Messages kept until the peer acknowledges them: sent at least once, in order.

A ledger holds messages in the order they were accepted, and a second line of
those to be sent on the present connection. A new connection makes that line
anew of all that is unacknowledged, which is what puts a repetition before
anything newer. What leaves the ledger stays in the line, and is passed over
when its turn comes.

An acknowledgement counts for any message that was ever handed to a transport,
on whichever connection: the peer has it. One for a message that was never sent,
or that is no longer there (a repetition is acknowledged twice), means nothing
and is only counted.

A ledger has no end of its own: what a guard that is over leaves in it is still
there for the next guard that is given it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

import attrs

from trio_wsguard._core import checks
from trio_wsguard._core.delivery import (
    ACKNOWLEDGED,
    IN_FLIGHT,
    MAYBE_SENT,
    QUEUED,
    SENT,
    STORING,
    Delivery,
    Limits,
    size_of,
)
from trio_wsguard._errors import DuplicateKeyError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_wsguard._core.delivery import Message
    from trio_wsguard._errors import BufferFullError


@attrs.frozen
class UpTo:
    """A cumulative acknowledgement: this message, and all that were accepted before it.

    Args:
        key: The key of the message.
    """

    key: Hashable


if TYPE_CHECKING:
    Acknowledged = UpTo | Iterable[Hashable] | None


@attrs.frozen(kw_only=True)
class OutboxPolicy(Limits):
    """What an outbox keeps, and how it knows what the peer has.

    Args:
        key: A function from a message to what the peer acknowledges it by. No
            two messages that are unacknowledged at a time may have the same.
        acks: A function from a message received to what it acknowledges: the
            keys (a list, a tuple or a set), `UpTo` a key, or ``None``.
        window: Messages sent and not acknowledged, after which sending waits;
            ``None`` for no limit but that of what is kept.
        max_messages: Messages kept.
        max_bytes: Bytes of their payloads together.
        overflow: ``"block"`` lets the sender wait, ``"error"`` refuses with
            `BufferFullError`, ``"drop_oldest"`` fails the oldest to make room.
    """

    key: Callable[[Message], Hashable] = attrs.field(validator=checks.function)
    acks: Callable[[Message], Acknowledged] = attrs.field(validator=checks.function)
    window: int | None = attrs.field(default=None, validator=checks.optional(checks.count))


@attrs.define(kw_only=True)
class OutboxTotals:
    """What became of the messages of an outbox so far.

    Those accepted and in none of the three ends are still in it.

    Attributes:
        accepted: Messages accepted, those found in its file among them.
        acknowledged: Of these, acknowledged.
        dropped: Of these, dropped for newer ones.
        withdrawn: Of these, withdrawn before they were stored.
        resent: Sendings that were not a message's first.
        unknown: Acknowledgements of what was not there, or never sent.
    """

    accepted: int = 0
    acknowledged: int = 0
    dropped: int = 0
    withdrawn: int = 0
    resent: int = 0
    unknown: int = 0


@attrs.frozen(kw_only=True)
class OutboxStatistics:
    """The figures of an outbox at one moment.

    Attributes:
        depth: Messages in it.
        size: Bytes of their payloads together.
        unacknowledged: Of the messages, those sent or being sent on the
            present connection.
        oldest_age: Seconds since the oldest of them was accepted; 0 for none.
        totals: What became of all.
    """

    depth: int
    size: int
    unacknowledged: int
    oldest_age: float
    totals: OutboxTotals


class Ledger:
    """The unacknowledged messages of one outbox, in order.

    Args:
        policy: What it keeps.
    """

    def __init__(self, policy: OutboxPolicy) -> None:
        self._policy = policy
        # Ordered by acceptance; like the keys of a filter, taken from both ends.
        self._kept: OrderedDict[Hashable, Delivery] = OrderedDict()
        self._line: deque[Delivery] = deque()
        self._size = 0
        self._in_flight: Delivery | None = None
        self._unacknowledged = 0
        self._is_ready = False
        self._ended: list[Delivery] = []
        self._totals = OutboxTotals()

    def __len__(self) -> int:
        return len(self._kept)

    def statistics(self, now: float) -> OutboxStatistics:
        """Freeze all figures."""
        oldest = next(iter(self._kept.values()), None)
        return OutboxStatistics(
            depth=len(self._kept),
            size=self._size,
            unacknowledged=self._unacknowledged,
            oldest_age=0.0 if oldest is None else now - oldest.accepted_at,
            totals=attrs.evolve(self._totals),
        )

    def take_ended(self) -> list[Delivery]:
        """Tell which messages have ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    # --- coming in -------------------------------------------------------------

    def put(self, message: Message, now: float, *, is_stored: bool = True) -> Delivery | None:
        """Accept a message, behind all others.

        Args:
            message: What is sent.
            now: Monotonic seconds.
            is_stored: False for a message that may not go before `stored`; it
                holds up those behind it.

        Returns:
            The message to be followed; ``None`` where the sender has to wait
            until another ends.

        Raises:
            BufferFullError: There is no room, or never can be.
            DuplicateKeyError: A message of that key is unacknowledged.
        """
        key = self._key_of(message)
        size = size_of(message)
        if (never := self._policy.exceeded(1, size)) is not None:
            raise never
        while (full := self._policy.exceeded(len(self._kept) + 1, self._size + size)) is not None:
            if self._policy.overflow == "error":
                raise full
            if self._policy.overflow == "block" or not self._drop_oldest(full):
                return None
        delivery = Delivery(message, now, key, state=QUEUED if is_stored else STORING)
        self._add(delivery)
        return delivery

    def _key_of(self, message: Message) -> Hashable:
        key = self._policy.key(message)
        if key is None:
            raise TypeError("key() gave None: a message without a key cannot be acknowledged")
        if key in self._kept:
            raise DuplicateKeyError(key)
        return key

    def _add(self, delivery: Delivery) -> None:
        self._kept[delivery.key] = delivery
        self._line.append(delivery)
        self._size += delivery.size
        self._totals.accepted += 1
        # Without a connection nothing passes over what left the ledger meanwhile.
        if len(self._line) > 2 * max(len(self._kept), self._policy.max_messages):
            self._line = deque(filter(self._is_kept, self._line))

    def _is_kept(self, delivery: Delivery) -> bool:
        return self._kept.get(delivery.key) is delivery

    def _drop_oldest(self, full: BufferFullError) -> bool:
        oldest = next(iter(self._kept.values()))
        if oldest.state is STORING:  # not known to be there yet; nor are those behind it
            return False
        self._totals.dropped += 1
        self._remove(oldest)
        oldest.fail(full)
        return True

    def restore(self, delivery: Delivery) -> None:
        """Take in a message that was found in a file; it may have been sent before.

        Raises:
            DuplicateKeyError: A message of that key is unacknowledged.
        """
        if delivery.key in self._kept:
            raise DuplicateKeyError(delivery.key)
        delivery.sends = 1  # perhaps; an acknowledgement counts
        self._add(delivery)

    def stored(self, delivery: Delivery) -> None:
        """Note that a message is stored, and may go."""
        delivery.move(QUEUED)

    def withdraw(self, delivery: Delivery, error: Exception) -> None:
        """Note that a message could not be stored: it was never accepted."""
        self._totals.withdrawn += 1
        self._remove(delivery)
        delivery.fail(error)

    def _remove(self, delivery: Delivery) -> None:
        if delivery.state in (IN_FLIGHT, SENT):
            self._unacknowledged -= 1
        del self._kept[delivery.key]
        self._size -= delivery.size
        self._ended.append(delivery)

    # --- going out -------------------------------------------------------------

    def ready(self) -> None:
        """Note that a new connection is ready: all that is kept is sent on it, in order."""
        for delivery in self._kept.values():
            if delivery.state is MAYBE_SENT:
                delivery.move(QUEUED)
        self._line = deque(self._kept.values())
        self._is_ready = True

    def begin(self) -> Delivery | None:
        """Hand out the next message to be written; ``None`` if none may go now.

        Raises:
            InternalError: Another one is being written.
        """
        if self._in_flight is not None:
            raise InternalError("two messages of an outbox in flight")
        line = self._line
        while line and not self._is_kept(line[0]):
            line.popleft()
        window = self._policy.window
        is_open = window is None or self._unacknowledged < window
        if not (self._is_ready and is_open and line and line[0].state is QUEUED):
            return None
        delivery = self._in_flight = line.popleft()
        delivery.move(IN_FLIGHT)
        self._unacknowledged += 1
        self._totals.resent += delivery.sends > 0
        delivery.sends += 1
        return delivery

    def _landed(self) -> Delivery:
        delivery, self._in_flight = self._in_flight, None
        if delivery is None:
            raise InternalError("no message of the outbox is in flight")
        return delivery

    def sent(self) -> None:
        """Note that the message in flight is written whole."""
        delivery = self._landed()
        if delivery.state is IN_FLIGHT:  # or else it was acknowledged or dropped meanwhile
            delivery.move(SENT)

    def not_begun(self) -> None:
        """Take the message in flight back: none of its bytes was written."""
        delivery = self._landed()
        if delivery.state is IN_FLIGHT:
            delivery.move(QUEUED)
            delivery.sends -= 1
            self._totals.resent -= delivery.sends > 0
            self._unacknowledged -= 1
            self._line.appendleft(delivery)

    def lost(self) -> None:
        """Note that the connection is lost: what was sent on it is in doubt."""
        self._in_flight = None
        self._is_ready = False
        self._unacknowledged = 0
        for delivery in self._kept.values():
            if delivery.state in (IN_FLIGHT, SENT):
                delivery.move(MAYBE_SENT)

    # --- what the peer says ------------------------------------------------------

    def incoming(self, message: Message) -> None:
        """Take in what a received message acknowledges.

        Whatever `acks` raises comes out, and has changed nothing.

        Raises:
            TypeError: `acks` gave what is no acknowledgement.
        """
        acknowledged = self._policy.acks(message)
        if acknowledged is not None:
            self.acknowledge(acknowledged)

    def acknowledge(self, acknowledged: UpTo | Iterable[Hashable]) -> None:
        """Let go of what the peer has.

        Args:
            acknowledged: The keys, or `UpTo` a key.

        Raises:
            TypeError: It is neither; a string would be taken for its letters.
        """
        if isinstance(acknowledged, UpTo):
            found = self._up_to(acknowledged.key)
        elif isinstance(acknowledged, str | bytes) or not isinstance(acknowledged, Iterable):
            kind = type(acknowledged).__name__
            raise TypeError(f"acknowledged keys are a list, a tuple or a set of them, not {kind}")
        else:
            found = [self._kept.get(key) for key in acknowledged]
        for delivery in found:
            if delivery is None or not delivery.sends or delivery.state is ACKNOWLEDGED:
                self._totals.unknown += 1
                continue
            self._totals.acknowledged += 1
            self._remove(delivery)
            delivery.move(ACKNOWLEDGED)

    def _up_to(self, key: Hashable) -> list[Delivery | None]:
        last = self._kept.get(key)
        if last is None or not last.sends:
            return [None]
        found: list[Delivery | None] = []
        for delivery in self._kept.values():
            found.append(delivery)
            if delivery is last:
                return found
        raise InternalError("a message of the outbox is not in its order")
