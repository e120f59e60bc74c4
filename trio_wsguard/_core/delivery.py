"""What becomes of one message that was accepted for sending.

Whoever accepts a message owes its sender an end: a message moves only along the
table below, which has no edge out of its four ends, so that it has one end and
not two. `SendBuffer` (at most once) and `Ledger` (at least once) both move their
messages through it; they differ in what follows MAYBE_SENT.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs

from trio_wsguard._core import checks
from trio_wsguard._errors import BufferFullError, InternalError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Hashable

Message = str | bytes
Overflow = Literal["block", "error", "drop_oldest"]


class DeliveryState(enum.Enum):
    """Where a message stands that was accepted for sending."""

    STORING = "storing"
    QUEUED = "queued"
    IN_FLIGHT = "in_flight"
    SENT = "sent"
    MAYBE_SENT = "maybe_sent"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    EXPIRED = "expired"


STORING: Final = DeliveryState.STORING
QUEUED: Final = DeliveryState.QUEUED
IN_FLIGHT: Final = DeliveryState.IN_FLIGHT
SENT: Final = DeliveryState.SENT
MAYBE_SENT: Final = DeliveryState.MAYBE_SENT
ACKNOWLEDGED: Final = DeliveryState.ACKNOWLEDGED
FAILED: Final = DeliveryState.FAILED
EXPIRED: Final = DeliveryState.EXPIRED

DELIVERY_TRANSITIONS: Final[dict[tuple[DeliveryState, DeliveryState], str]] = {
    (STORING, QUEUED): "committed",
    (STORING, FAILED): "it could not be stored, or its sender gave up first",
    (QUEUED, IN_FLIGHT): "its turn on a ready connection",
    (QUEUED, EXPIRED): "older than max_age",
    (QUEUED, FAILED): "dropped for newer ones, or the guard is over",
    (QUEUED, ACKNOWLEDGED): "an earlier sending is acknowledged late",
    (IN_FLIGHT, SENT): "written whole",
    (IN_FLIGHT, QUEUED): "the connection ended before its first byte",
    (IN_FLIGHT, MAYBE_SENT): "the connection was lost under it",
    (IN_FLIGHT, ACKNOWLEDGED): "the peer was faster than our own write's return",
    (IN_FLIGHT, FAILED): "dropped for newer ones",
    (SENT, ACKNOWLEDGED): "the peer has it",
    (SENT, MAYBE_SENT): "the connection was lost before the acknowledgement",
    (SENT, FAILED): "dropped for newer ones",
    (MAYBE_SENT, QUEUED): "to be sent again on the next connection",
    (MAYBE_SENT, ACKNOWLEDGED): "an earlier sending is acknowledged late",
    (MAYBE_SENT, FAILED): "nobody sends it again, or dropped for newer ones",
}


@attrs.define(eq=False)
class Delivery:
    """One accepted message, and where it stands.

    Attributes:
        message: What is sent.
        accepted_at: When, in monotonic seconds.
        key: What the peer acknowledges it by; ``None`` in a send buffer.
        sequence: Its number in a store; ``None`` if it is in none.
        state: Where it stands.
        sends: How often it was handed to a transport, as far as is known.
        error: Why it failed; ``None`` unless it did.
        size: Bytes of its payload.
    """

    message: Message
    accepted_at: float
    key: Hashable = None
    sequence: int | None = None
    state: DeliveryState = QUEUED
    sends: int = 0
    error: Exception | None = None
    size: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.size = size_of(self.message)

    def move(self, state: DeliveryState) -> None:
        """Move on.

        Raises:
            InternalError: The table has no such edge.
        """
        if (self.state, state) not in DELIVERY_TRANSITIONS:
            raise InternalError(f"a message cannot go from {self.state.name} to {state.name}")
        self.state = state

    def fail(self, error: Exception) -> None:
        """End it by an error."""
        self.move(FAILED)
        self.error = error


def size_of(message: Message) -> int:
    """Tell the bytes of a message's payload."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())


def _overflow(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if value not in get_args(Overflow):
        raise PolicyError(attribute.name, value, f"must be of {', '.join(get_args(Overflow))}")


@attrs.frozen(kw_only=True)
class Limits:
    """How much may wait, and what happens to what is too much.

    Args:
        max_messages: Messages.
        max_bytes: Bytes of their payloads together.
        overflow: ``"block"`` lets the sender wait, ``"error"`` refuses with
            `BufferFullError`, ``"drop_oldest"`` fails the oldest to make room.
    """

    max_messages: int = attrs.field(default=1024, validator=checks.count)
    max_bytes: int = attrs.field(default=2**24, validator=checks.count)
    overflow: Overflow = attrs.field(default="block", validator=_overflow)

    def exceeded(self, messages: int, size: int) -> BufferFullError | None:
        """Tell which limit so much is beyond, if any."""
        if messages > self.max_messages:
            return BufferFullError("max_messages", self.max_messages)
        if size > self.max_bytes:
            return BufferFullError("max_bytes", self.max_bytes)
        return None
