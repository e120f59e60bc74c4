"""What travels over a simulated connection, and what a flow is told and tells."""

from __future__ import annotations

import enum
import errno
from typing import TYPE_CHECKING, Final, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FIRST_RETRANSMISSION: Final = 0.2  # seconds; Linux's minimum (RFC 6298 says 1)
LONGEST_RETRANSMISSION: Final = 120.0  # seconds; Linux's TCP_RTO_MAX


class Kind(enum.Enum):
    """What a segment carries."""

    DATA = "data"
    FIN = "FIN"
    RST = "RST"


@attrs.frozen
class Segment:
    """Something under way.

    Attributes:
        data: Bytes; empty for FIN and RST.
        at: When it arrives, in monotonic seconds.
        kind: What it is.
        is_piece: Whether one receive takes nothing from beyond its end.
        held_by: Effects that keep it from arriving as long as they last.
        sent_at: When it was sent, in monotonic seconds.
        waits: Which effect made it late by how many seconds; the flow keeps book.
    """

    data: bytes
    at: float
    kind: Kind = Kind.DATA
    is_piece: bool = False
    held_by: tuple[Effect, ...] = ()
    sent_at: float = 0.0
    waits: tuple[tuple[Effect, float], ...] = ()


class Effect:
    """What one fault does to one flow; it keeps what it has to remember.

    When it ends, what it made late arrives as if it had never been there, but
    not before the present.

    Attributes:
        blocks: Whether nothing arrives as long as the effect lasts; after a
            change of it the flow wants an `update`.
        retransmits: Whether what it held back arrives at TCP's next
            retransmission after it, or at once.
        acknowledges: Whether the sender's kernel hears from the other one while
            it blocks, and so never gives up.
        capacity: The bytes that fit into the flow; ``None`` to leave them.
    """

    blocks: bool = False
    retransmits: bool = True
    acknowledges: bool = False
    capacity: int | None = None

    def shape(self, segment: Segment) -> Iterable[Segment]:
        """Turn a segment into what becomes of it, by `attrs.evolve`."""
        return (segment,)

    def stop(self) -> None:
        """Clear up when the fault ends."""


class Clock(Protocol):
    """Tells the time and calls back."""

    @property
    def now(self) -> float:
        """The present, in monotonic seconds."""
        ...

    def call_at(self, at: float, fn: Callable[[], None]) -> None:
        """Call a function at a moment."""
        ...


class End(Protocol):
    """One end of the connection, as a flow tells it what happens."""

    def on_readable(self) -> None:
        """Bytes or the end arrived."""
        ...

    def on_writable(self) -> None:
        """There is room again."""
        ...

    def on_reset(self, error: OSError) -> None:
        """The connection broke; the end abandons what it has sent."""
        ...


def reset_error() -> OSError:
    """The error of a connection that was reset."""
    return ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")


def retransmission_after(since: float, now: float, first: float = FIRST_RETRANSMISSION) -> float:
    """Tell when TCP next sends again what it has first sent at `since`.

    Args:
        since: The first time, in monotonic seconds.
        now: The present, likewise.
        first: The first pause, in seconds; each one is twice the one before,
            up to 120 s.

    Returns:
        Monotonic seconds, after `now`.
    """
    at, pause = since, first
    while at <= now:
        at += pause
        pause = min(2 * pause, LONGEST_RETRANSMISSION)
    return at
